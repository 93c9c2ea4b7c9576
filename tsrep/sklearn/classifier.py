"""A scikit-learn classifier of series: a ridge on an encoder's vectors and random convolutions."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    column_or_1d,
)

from tsrep.features.ragged import checked_panel
from tsrep.features.ridge_classifier import RidgeClassifier
from tsrep.sklearn.fusion import OfBlocks


class ContrastiveClassifier(OfBlocks, ClassifierMixin, BaseEstimator):
    """Classes of series by a ridge on vectors of an encoder beside random convolutions.

    Each class is a target of +1 and -1, as in ROCKET (Dempster et al., DMKD 2020, Section 3.3);
    standardised columns, blocks of features scaled to their shares, the penalty chosen by
    leave-one-out errors (:class:`tsrep.features.ridge_classifier.RidgeClassifier`).

    Parameters
    ----------
    features : "both"; "encoder", its vectors alone; or "random", random convolutions alone.
    encoder : where vectors come from: weights in the package, a run folder or a file, by name; an
        encoder in memory; or a transformer that learns in ``fit``, as
        :class:`tsrep.sklearn.ContrastiveEncoder` does. Not used with "random".
    random_state : seed of the random convolutions.

    Attributes
    ----------
    classes_ : the classes, sorted.
    parts_ : the fitted transformers, one for each block of features.
    ridge_ : the fitted :class:`tsrep.features.ridge_classifier.RidgeClassifier`.
    n_channels_ : channels seen in ``fit``.

    X is (N, T, C), or (N, T) for series of one channel; NaN where missing, and behind the end of
    shorter series. Raises ``ValueError`` for an infinite value, a single class, or other channels
    than were fitted.
    """

    def __init__(self, features="both", *, encoder="series-small", random_state=0):
        self.features = features
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X, y):
        """Fit to ``X (N, T, C)`` with the labels ``y (N,)``."""
        values = checked_panel(X, self, least_steps=2)
        y = _labels(y, values)
        self.ridge_ = RidgeClassifier.fit(self._fit_blocks(values), y)
        self.classes_ = self.ridge_.classes
        return self

    def decision_function(self, X):
        """Targets (N, K) of the classes, or their difference (N,) where there are two."""
        blocks = self._blocks(X)
        scores = self.ridge_.scores(blocks)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X):
        """Classes (N,)."""
        blocks = self._blocks(X)
        return self.ridge_.predict(blocks)

    def predict_proba(self, X):
        """Probabilities (N, K)."""
        blocks = self._blocks(X)
        return self.ridge_.probabilities(blocks)


def _labels(y, values: np.ndarray) -> np.ndarray:
    """Labels (N,) for ``values (N, T, C)``."""
    if y is None:
        raise ValueError("ContrastiveClassifier requires y to be passed, but the target y is None")
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    check_consistent_length(values, y)
    return y
