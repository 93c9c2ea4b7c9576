"""Blocks of features of series: vectors of an encoder beside random convolutions."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone

from tsrep.features import RandomConvolutions
from tsrep.sklearn.encoder import check_choice, draw_seed
from tsrep.sklearn.pretrained import PretrainedEncoder

FEATURES = ("encoder", "random", "both")


def fitted_blocks(estimator: BaseEstimator, X: np.ndarray) -> list[TransformerMixin]:
    """The fitted transformers of an estimator with the parameters ``features``, ``encoder`` and
    ``random_state``: each makes a block of features (N, d_k) of ``X (N, T, C)``.

    "random" are :class:`tsrep.features.RandomConvolutions` of the series and of its differences;
    "encoder" are vectors of ``encoder``: a name, path or encoder for :class:`PretrainedEncoder`, or
    a transformer of series that is cloned and fitted, such as :class:`ContrastiveEncoder`.
    """
    check_choice("features", estimator.features, FEATURES)
    parts: list[TransformerMixin] = []
    if estimator.features != "random":
        trains = hasattr(estimator.encoder, "fit_transform")
        parts += [clone(estimator.encoder) if trains else PretrainedEncoder(estimator.encoder)]
    if estimator.features != "encoder":
        seed = draw_seed(estimator.random_state)
        parts += [RandomConvolutions(differences=d, random_state=seed) for d in (False, True)]
    return [part.fit(X) for part in parts]
