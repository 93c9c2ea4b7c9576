"""The linear head that reads frozen features: class-balanced, its penalty chosen by folds."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pcrep.evaluation.metrics import confusion, mean_iou
from tspcrep.common.classifiers import Classifier, linear_map

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
"""Candidates, the strongest first."""
_WITHOUT_FOLDS = 0.01


@dataclass(frozen=True, eq=False)
class Head:
    """A linear map from features to scores of classes.

    weight : (C, D). bias : (C,). The softmax of the scores is the probability of each class.
    penalty : chosen weight of the penalty. validation : its mIoU over the folds, or None.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    validation: float | None

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(M, D) -> (M, C)."""
        return features @ self.weight.T.astype(features.dtype) + self.bias.astype(features.dtype)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(M, D) -> classes (M,) int64."""
        return self.scores(features).argmax(1)


def fit_head(
    x: np.ndarray,
    y: np.ndarray,
    fold: np.ndarray,
    classes: int,
    balance: float = 1.0,
    penalties: tuple[float, ...] = PENALTIES,
) -> Head:
    """Multinomial logistic regression on standardised columns.

    Minimises the mean over rows of w_y times the cross-entropy, plus penalty / 2 |W|^2, with
    w_c proportional to n_c^-balance for a class of n_c rows: all rows count alike at 0, all classes
    at 1.

    Parameters
    ----------
    x, y : features (n, D) and classes (n,) int64, of at least two classes.
    fold : (n,) int64. The penalty is the one of the largest mIoU over all folds, each predicted
        from the others; of equals, the strongest. Rows whose class the others do not show say
        nothing and are left out. Without folds that can be predicted it is 0.01.
    classes : C. A class without rows is practically excluded, see
        :func:`tspcrep.common.classifiers.linear_map`.
    """
    matrices = np.zeros((len(penalties), classes, classes), np.int64)
    for k in np.unique(fold) if len(penalties) > 1 else ():
        rest, held = fold != k, (fold == k) & np.isin(y, y[fold != k])
        if len(np.unique(y[rest])) > 1 and held.any():
            path = _path(x[rest], y[rest], balance, penalties)
            for matrix, model in zip(matrices, path, strict=True):
                matrix += confusion(y[held], model.predict(x[held]), classes)
    chosen, validation = penalties[0] if len(penalties) == 1 else _WITHOUT_FOLDS, None
    if matrices.any():
        found = [mean_iou(matrix) for matrix in matrices]
        chosen, validation = penalties[int(np.argmax(found))], max(found)
    (model,) = _path(x, y, balance, (chosen,))
    return Head(*linear_map(Classifier(model, chosen, validation), classes), chosen, validation)


def _path(x: np.ndarray, y: np.ndarray, balance: float, penalties: tuple[float, ...]) -> list:
    """A fitted pipeline for each penalty, each started from the one before."""
    _, number, count = np.unique(y, return_inverse=True, return_counts=True)
    weight = count[number] ** -float(balance)
    weight *= len(y) / weight.sum()
    scaler = StandardScaler().fit(x)
    scaled, start, path = scaler.transform(x), None, []
    for penalty in penalties:
        # Of two classes scikit-learn penalises the difference of the rows of W, twice their share.
        strength = penalty * len(y) / (2 if len(count) == 2 else 1)
        model = LogisticRegression(C=1 / strength, max_iter=500, warm_start=True)
        if start is not None:
            model.coef_, model.intercept_ = start.coef_, start.intercept_
        with warnings.catch_warnings():  # a fit that has not converged is judged by its score
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = model.fit(scaled, y, weight)
        path.append(make_pipeline(scaler, model))
    return path
