"""The linear head that reads frozen features: class-balanced, its penalty chosen by folds."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tspcrep.common.classifiers import Classifier, linear_map

PENALTIES = (1.0, 0.1, 0.01, 1e-3)
"""Candidates, the strongest first."""
_WITHOUT_FOLDS = 0.1


@dataclass(frozen=True, eq=False)
class Head:
    """A linear map from features to scores of classes.

    weight : (C, D). bias : (C,). The softmax of the scores is the probability of each class.
    penalty : chosen weight of the penalty. validation : its loss over the folds, or None.
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
    fold : (n,) int64. The penalty is the one of the least loss (the mean of w_y times the
        cross-entropy) over all folds, each predicted from the others. It was steadier with few
        scenes than the penalty of the largest mIoU. Rows whose class the others do not show say
        nothing and are left out. Without folds that can be predicted it is 0.1.
    classes : C. A class without rows is practically excluded, see
        :func:`tspcrep.common.classifiers.linear_map`.
    """
    losses = np.full((len(penalties), len(y)), np.nan)
    for k in np.unique(fold) if len(penalties) > 1 else ():
        rest, held = fold != k, (fold == k) & np.isin(y, y[fold != k])
        if len(np.unique(y[rest])) > 1 and held.any():
            for row, model in zip(losses, _path(x[rest], y[rest], balance, penalties), strict=True):
                column = np.searchsorted(model.classes_, y[held])
                found = model.predict_proba(x[held])[np.arange(held.sum()), column]
                row[held] = -np.log(np.maximum(found, np.finfo(np.float64).tiny))
    chosen, validation = penalties[0] if len(penalties) == 1 else _WITHOUT_FOLDS, None
    known = ~np.isnan(losses[0])
    if known.any():
        found = (losses[:, known] * _weights(y[known], balance)).mean(1)
        chosen, validation = penalties[int(found.argmin())], float(found.min())
    (model,) = _path(x, y, balance, (chosen,))
    return Head(*linear_map(Classifier(model, chosen, validation), classes), chosen, validation)


def _path(x: np.ndarray, y: np.ndarray, balance: float, penalties: tuple[float, ...]) -> list:
    """A fitted pipeline for each penalty, each started from the one before."""
    weight, classes = _weights(y, balance), len(np.unique(y))
    scaler = StandardScaler().fit(x)
    scaled, start, path = scaler.transform(x), None, []
    for penalty in penalties:
        # Of two classes scikit-learn penalises the difference of the rows of W, twice their share.
        strength = penalty * len(y) / (2 if classes == 2 else 1)
        model = LogisticRegression(C=1 / strength, max_iter=200, warm_start=True)
        if start is not None:
            model.coef_, model.intercept_ = start.coef_, start.intercept_
        with warnings.catch_warnings():  # a fit that has not converged is judged by its score
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = model.fit(scaled, y, weight)
        path.append(make_pipeline(scaler, model))
    return path


def _weights(y: np.ndarray, balance: float) -> np.ndarray:
    """Weight (n,) of each row, n_c^-balance of its class c, with mean 1."""
    _, number, count = np.unique(y, return_inverse=True, return_counts=True)
    weight = count[number] ** -float(balance)
    return weight / weight.mean()
