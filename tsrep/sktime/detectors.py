"""sktime detectors: anomalies and change points by vectors of windows."""

from typing import ClassVar

import numpy as np
import pandas as pd
from sktime.detection.base import BaseDetector

from tsrep import mining
from tsrep.sktime.panels import tiny_encoder

_COMMON = {
    "authors": ["tspcrep"],
    "maintainers": ["tspcrep"],
    "X_inner_mtype": "pd.DataFrame",
    "learning_type": "unsupervised",
    "capability:multivariate": True,
    "capability:missing_values": True,
}


class ContrastiveAnomalyDetector(BaseDetector):
    """Anomalous steps of a series, by the distance of its windows to those that were fitted.

    ``transform_scores`` gives a score for each step, ``predict`` the steps above a threshold.

    Parameters
    ----------
    window, encoder, values, stride, neighbours, quantile : see
        :class:`tsrep.mining.AnomalyDetector`, which does the work. A window is at most half of the
        series that is fitted.

    Attributes
    ----------
    model_ : the fitted :class:`tsrep.mining.AnomalyDetector`.

    Values may be missing; any number of channels. For scores as samples arrive, see
    ``model_.stream()``.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from tsrep.features import RandomConvolutions
    >>> from tsrep.sktime import ContrastiveAnomalyDetector
    >>> y = load_airline()
    >>> detector = ContrastiveAnomalyDetector(window=12, encoder=RandomConvolutions(840))
    >>> detector.fit(y).transform_scores(y).shape
    (144, 1)
    """

    _tags: ClassVar = {**_COMMON, "task": "anomaly_detection", "fit_is_empty": False}

    def __init__(
        self,
        window=32,
        encoder="series-small",
        values=False,
        stride=None,
        neighbours=1,
        quantile=0.99,
    ):
        self.window = window
        self.encoder = encoder
        self.values = values
        self.stride = stride
        self.neighbours = neighbours
        self.quantile = quantile
        super().__init__()

    def _fit(self, X, y=None):
        self.model_ = mining.AnomalyDetector(**self.get_params(deep=False)).fit(X.to_numpy(float))
        return self

    def _predict(self, X) -> pd.Series:
        return pd.Series(np.flatnonzero(self.model_.predict(X.to_numpy(float))), dtype="int64")

    def _transform_scores(self, X) -> pd.DataFrame:
        scores = self.model_.score(X.to_numpy(float))
        return pd.DataFrame({"scores": scores}, index=X.index)

    def _predict_scores(self, X) -> np.ndarray:
        scores = self.model_.score(X.to_numpy(float))
        return scores[scores > self.model_.threshold_]

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        return [
            {"window": 4, "encoder": tiny_encoder()},
            {"window": 3, "stride": 2, "encoder": tiny_encoder(), "values": True},
        ]


class ContrastiveChangePoints(BaseDetector):
    """First steps of segments, where the windows of a series begin to look different.

    Parameters
    ----------
    window, encoder, stride, changes, penalty : see :class:`tsrep.mining.ChangePoints`, which does
        the work.

    Values may be missing; any number of channels.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from tsrep.features import RandomConvolutions
    >>> from tsrep.sktime import ContrastiveChangePoints
    >>> y = load_airline()
    >>> model = ContrastiveChangePoints(window=24, encoder=RandomConvolutions(840), changes=1)
    >>> model.fit(y).predict(y).shape
    (1, 1)
    """

    _tags: ClassVar = {**_COMMON, "task": "change_point_detection", "fit_is_empty": True}

    def __init__(self, window=32, encoder="series-small", stride=None, changes=None, penalty=0.05):
        self.window = window
        self.encoder = encoder
        self.stride = stride
        self.changes = changes
        self.penalty = penalty
        super().__init__()

    def _predict(self, X) -> pd.Series:
        model = mining.ChangePoints(**self.get_params(deep=False))
        return pd.Series(model.predict(X.to_numpy(float)), dtype="int64")

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        return [
            {"window": 4, "encoder": tiny_encoder()},
            {"window": 3, "changes": 1, "encoder": tiny_encoder()},
        ]
