"""Blocks of features of series: vectors of an encoder beside random convolutions."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tsrep.features import RandomConvolutions
from tsrep.features.ragged import SeriesEstimator, check_channels, checked_panel
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


class OfBlocks(SeriesEstimator):
    """An estimator that reads blocks of features; see :func:`fitted_blocks`."""

    def _fit_blocks(self, values: np.ndarray) -> list[np.ndarray]:
        """Blocks of the series ``values (N, T, C)``, whose transformers and channels are kept."""
        self.n_channels_ = values.shape[2]
        self.parts_ = fitted_blocks(self, values)
        return [part.transform(values) for part in self.parts_]

    def _blocks(self, X) -> list[np.ndarray]:
        """Blocks of other series by the fitted transformers."""
        check_is_fitted(self)
        values = checked_panel(X, self, least_steps=2)
        check_channels(values, self.n_channels_, self)
        return [part.transform(values) for part in self.parts_]
