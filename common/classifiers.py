"""Classification probes on frozen embeddings: RBF-SVM, linear, k nearest neighbours.

Each takes training rows ``x: (n, d)`` with labels ``y: (n,)``, chooses its hyperparameter by 5-fold
cross-validation on these rows, and is then fitted on all of them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

_FOLDS = 5
_HARD = 1e8  # stands for the papers' C = inf, which scikit-learn refuses (its issue 29772)
SVM_PENALTIES = (*(10.0**k for k in range(-4, 5)), _HARD)
"""Values of C in the TS2Vec and AutoTCL protocol."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted probe. choice: the chosen hyperparameter. validation: its mean accuracy over the
    folds, None without a search.
    """

    model: ClassifierMixin
    choice: float
    validation: float | None

    def predict(self, x) -> np.ndarray:
        """x: (n, d) -> labels (n,)."""
        return self.model.predict(_array(x))

    def accuracy(self, x, y) -> float:
        """Accuracy on rows ``x: (n, d)`` with labels ``y: (n,)``."""
        return float(np.mean(self.predict(x) == _array(y)))


def linear_map(probe: Classifier, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (classes, d) and bias (classes,) of a :func:`linear_probe`, for unstandardised rows.

    The softmax of the scores is the probe's probability. A class without training rows gets weight
    0 and a bias 10 below the mean of the others: practically excluded, but still trainable.
    """
    scaler, model = probe.model[0], probe.model[-1]
    weight = model.coef_ / scaler.scale_
    bias = model.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:  # for two classes scikit-learn stores only the difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weights, biases = np.zeros((classes, weight.shape[1])), np.full(classes, bias.mean() - 10)
    weights[model.classes_], biases[model.classes_] = weight, bias
    return weights, biases


def svm_probe(
    x,
    y,
    penalties: Sequence[float] = SVM_PENALTIES,
    max_rows: int = 10_000,
    seed: int = 0,
) -> Classifier:
    """RBF-SVM with ``gamma="scale"``, with C chosen as by ``GridSearchCV(SVC(), ..., cv=5)``.

    The protocol of TS2Vec and AutoTCL: more than ``max_rows`` rows are subsampled with ``seed``,
    stratified by class; with fewer than 50 rows, or fewer than 5 per class on average, C is 1e8
    without a search. The kernel matrix of a fold is computed once for all C.
    """
    x, y = _rows(x, y)
    x, y = _subsample(x.astype(np.float64), y, max_rows, seed)
    if len(y) < 50 or len(y) // len(np.unique(y)) < 5:
        return Classifier(SVC(C=_HARD).fit(x, y), _HARD, None)
    folds = _folds(x, y)
    accuracy = np.array([_svm_accuracies(x, y, *fold, penalties) for fold in folds]).mean(axis=0)
    best = int(accuracy.argmax())
    model = SVC(C=penalties[best]).fit(x, y)
    return Classifier(model, penalties[best], float(accuracy[best]))


def linear_probe(x, y, penalties: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0)) -> Classifier:
    """Multinomial logistic regression on standardised columns.

    penalties: candidate values of C, the inverse strength; if a class has fewer than 5 rows, C is 1
    without a search.
    """
    x, y = _rows(x, y)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return _grid_search(model, "logisticregression__C", penalties, 1.0, x, y)


def knn_probe(x, y, neighbours: Sequence[int] = (1, 5, 20)) -> Classifier:
    """Majority vote of the k nearest training rows by cosine similarity.

    neighbours: candidate values of k; if a class has fewer than 5 rows, k is 1 without a search.
    """
    x, y = _rows(x, y)
    smallest_fold = len(y) - -(-len(y) // _FOLDS)
    neighbours = [k for k in neighbours if k <= smallest_fold] or [1]
    model = make_pipeline(Normalizer(), KNeighborsClassifier())
    return _grid_search(model, "kneighborsclassifier__n_neighbors", neighbours, 1, x, y)


def _grid_search(model, name: str, grid: Sequence, default: Any, x, y) -> Classifier:
    if np.unique(y, return_counts=True)[1].min() < _FOLDS:
        return Classifier(model.set_params(**{name: default}).fit(x, y), default, None)
    search = GridSearchCV(model, {name: list(grid)}, cv=_FOLDS).fit(x, y)
    return Classifier(search.best_estimator_, search.best_params_[name], float(search.best_score_))


def _folds(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    with warnings.catch_warnings():
        # The protocol needs 5 rows per class on average; a rare class may be absent from a fold.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(StratifiedKFold(_FOLDS).split(x, y))


def _svm_accuracies(x, y, train, test, penalties: Sequence[float]) -> list[float]:
    """Accuracy of each C on one fold."""
    if (y[train] == y[train][0]).all():  # an SVM needs two classes
        return [float(np.mean(y[test] == y[train][0]))] * len(penalties)
    gamma = 1 / (x.shape[1] * x[train].var() or 1.0)  # SVC's gamma="scale"
    fitted, asked = rbf_kernel(x[train], gamma=gamma), rbf_kernel(x[test], x[train], gamma)
    models = (SVC(C=c, kernel="precomputed").fit(fitted, y[train]) for c in penalties)
    return [float(np.mean(model.predict(asked) == y[test])) for model in models]


def _subsample(x: np.ndarray, y: np.ndarray, max_rows: int, seed: int):
    if len(y) <= max_rows:
        return x, y
    # Stratification needs at least two rows of each class.
    stratify = y if np.unique(y, return_counts=True)[1].min() > 1 else None
    kept, _ = train_test_split(
        np.arange(len(y)), train_size=max_rows, random_state=seed, stratify=stratify
    )
    return x[kept], y[kept]


def _array(x) -> np.ndarray:
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


def _rows(x, y) -> tuple[np.ndarray, np.ndarray]:
    x, y = _array(x), _array(y)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(np.unique(y)) < 2:
        raise ValueError(
            f"x has shape {x.shape} and y {y.shape} with {len(np.unique(y))} classes, expected "
            "(rows, dim) and (rows,) with at least 2 classes"
        )
    return x, y
