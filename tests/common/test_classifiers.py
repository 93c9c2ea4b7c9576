"""Classification probes give what scikit-learn's grid search gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from tspcrep.common.classifiers import (
    _HARD,
    SVM_PENALTIES,
    knn_probe,
    linear_map,
    linear_probe,
    svm_probe,
)


def clusters(n=120, classes=3, noise=1.0, seed=0, dim=6):
    """Overlapping Gaussian classes with columns of unequal variance."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    rng.shuffle(y)
    x = rng.normal(size=(classes, dim))[y] + noise * rng.normal(size=(n, dim))
    return x * np.linspace(0.1, 3, dim), y


@settings(deadline=None, max_examples=6)
@given(
    classes=st.integers(2, 5),
    noise=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 100),
)
def test_svm_equals_grid_search(classes, noise, seed):
    x, y = clusters(100, classes, noise, seed)
    new, _ = clusters(60, classes, noise, seed + 1)
    theirs = GridSearchCV(SVC(gamma="scale"), {"C": SVM_PENALTIES}, cv=5).fit(x, y)
    ours = svm_probe(x, y)
    assert ours.choice == theirs.best_params_["C"]
    assert ours.validation == pytest.approx(theirs.best_score_)
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


def test_svm_takes_text_labels_and_tensors():
    x, y = clusters(noise=0.1)
    names = np.array(["car", "chair", "table"])[y]
    assert svm_probe(torch.tensor(x), names).accuracy(torch.tensor(x), names) == 1.0


@pytest.mark.parametrize(("rows", "classes"), [(49, 3), (60, 13)])
def test_svm_does_not_search_on_few_rows(rows, classes):
    x, y = clusters(rows, classes)
    found = svm_probe(x, y)
    assert (found.choice, found.validation) == (_HARD, None)
    np.testing.assert_array_equal(found.predict(x), SVC(C=_HARD).fit(x, y).predict(x))


def test_svm_subsamples_in_proportion_and_repeats():
    x, y = clusters(400, 2)
    y[: len(y) // 10] = 0
    one, two, other = (svm_probe(x, y, max_rows=100, seed=seed) for seed in (0, 0, 1))
    assert one.model.shape_fit_ == (100, 6)
    np.testing.assert_array_equal(one.model.support_vectors_, two.model.support_vectors_)
    assert not np.array_equal(one.model.support_vectors_, other.model.support_vectors_)


def test_svm_stands_a_class_of_one_row():
    x, y = clusters(120, 2)
    y[:] = 0
    y[0] = 1
    assert svm_probe(x, y).validation == pytest.approx(119 / 120, abs=0.01)
    assert svm_probe(x, y, max_rows=110, seed=1).model.shape_fit_[0] == 110


def test_linear_equals_logistic_regression_on_standardised_columns():
    x, y = clusters()
    found = linear_probe(x, y)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = LogisticRegression(C=found.choice, max_iter=2000).fit(z, y)
    np.testing.assert_array_equal(found.predict(x), theirs.predict(z))
    assert linear_probe(*clusters(8)).choice == 1.0  # too few rows to search


def test_knn_equals_a_loop():
    x, y = clusters()
    new, _ = clusters(seed=1)
    found = knn_probe(x, y, neighbours=(7,))
    for row, predicted in zip(new, found.predict(new), strict=True):
        cosine = x @ row / np.linalg.norm(x, axis=1) / np.linalg.norm(row)
        votes = np.bincount(y[np.argsort(-cosine)[:7]], minlength=3)
        assert votes[predicted] == votes.max()
    assert found.choice == 7
    assert knn_probe(x[:20], y[:20]).choice in (1, 5)  # 20 neighbours are more than a fold's rows


def test_one_class_and_ragged_rows_are_named():
    with pytest.raises(ValueError, match="with 1 classes, expected"):
        svm_probe(np.ones((60, 2)), np.zeros(60))
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\) and y \(4,\)"):
        linear_probe(np.ones((3, 2)), np.arange(4))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_linear_map_has_the_probabilities_of_the_probe(classes):
    x, y = clusters(classes=classes)
    probe = linear_probe(x, 1 + y)  # class 0 and the last are never seen
    weight, bias = linear_map(probe, classes + 2)
    odds = np.exp(x @ weight.T + bias)
    seen = odds[:, 1:-1] / odds[:, 1:-1].sum(1, keepdims=True)
    np.testing.assert_allclose(seen, probe.model.predict_proba(x), atol=1e-9)
    assert weight.shape == (classes + 2, x.shape[1])
    assert not weight[[0, -1]].any() and bias[0] < bias[1:-1].mean() - 9
