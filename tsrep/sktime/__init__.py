"""The encoders as sktime estimators: vectors, forecasts, classes.

    from sktime.datasets import load_airline

    from tsrep.sktime import ContrastiveForecaster

    y = load_airline()
    y_pred = ContrastiveForecaster().fit(y[:-24]).predict(fh=range(1, 25))

The classes inherit from sktime's, so sktime is imported with this package, and with no other.
"""

from tsrep.sktime.classifier import ContrastiveClassifier
from tsrep.sktime.forecaster import ContrastiveForecaster
from tsrep.sktime.transformer import ContrastiveTransformer

__all__ = ["ContrastiveClassifier", "ContrastiveForecaster", "ContrastiveTransformer"]
