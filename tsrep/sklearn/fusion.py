"""Blocks of features of series: vectors of an encoder beside random convolutions."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from tsrep.features import RandomConvolutions
from tsrep.sklearn.encoder import check_choice, draw_seed
from tsrep.sklearn.pretrained import vectors_of

FEATURES = ("encoder", "random", "both")


def fitted_blocks(estimator: BaseEstimator, X: np.ndarray) -> list[TransformerMixin]:
    """The fitted transformers of an estimator with the parameters ``features``, ``encoder`` and
    ``random_state``: each makes a block of features (N, d_k) of ``X (N, T, C)``.

    "random" are :class:`tsrep.features.RandomConvolutions` of the series and of its differences;
    "encoder" are vectors of ``encoder``, see :func:`tsrep.sklearn.pretrained.vectors_of`.
    """
    check_choice("features", estimator.features, FEATURES)
    parts: list[TransformerMixin] = []
    if estimator.features != "random":
        parts += [vectors_of(estimator.encoder)]
    if estimator.features != "encoder":
        seed = draw_seed(estimator.random_state)
        parts += [RandomConvolutions(differences=d, random_state=seed) for d in (False, True)]
    return [part.fit(X) for part in parts]
