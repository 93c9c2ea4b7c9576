"""The encoders as sktime estimators: vectors, forecasts, classes, numbers, clusters,
anomalies, change points.

    from sktime.datasets import load_airline

    from tsrep.sktime import ContrastiveForecaster

    y = load_airline()
    y_pred = ContrastiveForecaster().fit(y[:-24]).predict(fh=range(1, 25))

The classes inherit from sktime's, so sktime is imported with this package, and with no other.
"""

try:
    import sktime  # noqa: F401
except ImportError as error:
    raise ImportError(
        "tsrep.sktime needs sktime, which is not installed: pip install 'tspcrep[series]'"
    ) from error

from tsrep.sktime.classifier import ContrastiveClassifier
from tsrep.sktime.clusterer import ContrastiveClusterer
from tsrep.sktime.detectors import ContrastiveAnomalyDetector, ContrastiveChangePoints
from tsrep.sktime.forecaster import ContrastiveForecaster
from tsrep.sktime.global_forecaster import GlobalForecaster
from tsrep.sktime.regressor import ContrastiveRegressor
from tsrep.sktime.transformer import ContrastiveTransformer

__all__ = [
    "ContrastiveAnomalyDetector",
    "ContrastiveChangePoints",
    "ContrastiveClassifier",
    "ContrastiveClusterer",
    "ContrastiveForecaster",
    "ContrastiveRegressor",
    "ContrastiveTransformer",
    "GlobalForecaster",
]
