"""Series as scikit-learn's estimators take them: arrays (N, T, C), NaN where missing.

    from tsrep.sklearn import ContrastiveClassifier

    model = ContrastiveClassifier().fit(X, y)  # X (N, T, C)

Everything here is a plain scikit-learn estimator, for pipelines and grid searches.
"""

from tsrep.sklearn.classifier import ContrastiveClassifier
from tsrep.sklearn.clusterer import ContrastiveClusterer
from tsrep.sklearn.encoder import ContrastiveEncoder
from tsrep.sklearn.pretrained import PretrainedEncoder
from tsrep.sklearn.regressor import ContrastiveRegressor

__all__ = [
    "ContrastiveClassifier",
    "ContrastiveClusterer",
    "ContrastiveEncoder",
    "ContrastiveRegressor",
    "PretrainedEncoder",
]
