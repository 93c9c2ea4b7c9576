"""A scikit-learn regressor of series: a ridge on an encoder's vectors and random convolutions."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length

from tsrep.features.ragged import checked_panel
from tsrep.features.ridge import BlockRidge
from tsrep.sklearn.fusion import OfBlocks


class ContrastiveRegressor(OfBlocks, RegressorMixin, BaseEstimator):
    """A number for each series: time series extrinsic regression (Tan et al., DMKD 2021).

    The features and the ridge of :class:`tsrep.sklearn.ContrastiveClassifier`, fitted to the
    targets themselves.

    Parameters
    ----------
    features, encoder, random_state : see :class:`tsrep.sklearn.ContrastiveClassifier`.

    Attributes
    ----------
    parts_ : the fitted transformers, one for each block of features.
    ridge_ : the fitted :class:`tsrep.features.ridge.BlockRidge`.
    n_channels_ : channels seen in ``fit``.

    X is (N, T, C), or (N, T) for series of one channel; NaN where missing, and behind the end of
    shorter series. y is (N,), or (N, m) for several targets, which share one penalty. Raises
    ``ValueError`` for an infinite value, a missing target, or other channels than were fitted.
    """

    def __init__(self, features="both", *, encoder="series-small", random_state=0):
        self.features = features
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X, y):
        """Fit to ``X (N, T, C)`` with the targets ``y (N,)`` or (N, m)."""
        values = checked_panel(X, self, least_steps=2)
        if y is None:
            raise ValueError(
                "ContrastiveRegressor requires y to be passed, but the target y is None"
            )
        y = check_array(y, dtype=np.float64, ensure_2d=False, estimator=self, input_name="y")
        check_consistent_length(values, y)
        self._flat = y.ndim == 1
        targets = y.reshape(len(y), -1)
        self._scale = np.where(np.ptp(targets, axis=0) > 0, targets.std(axis=0), 1.0)
        self.ridge_ = BlockRidge.fit(self._fit_blocks(values), targets / self._scale)
        return self

    def predict(self, X):
        """Targets (N,) or (N, m)."""
        blocks = self._blocks(X)
        found = self.ridge_.predict(blocks) * self._scale
        return found[:, 0] if self._flat else found

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
