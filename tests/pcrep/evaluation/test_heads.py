"""The linear head against its loss minimised by scipy, and the choice of its penalty."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from pcrep.evaluation.heads import PENALTIES, fit_head


def rows(seed=0, counts=(60, 25, 8), dim=3, apart=1.5):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(1).normal(size=(len(counts), dim)) * apart
    return (centres[y] + rng.normal(size=(len(y), dim))) * [1, 5, 0.2], y


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("counts", [(60, 25, 8), (70, 9)])
def test_the_head_minimises_its_loss(balance, counts):
    x, y = rows(counts=counts)
    penalty, classes = 0.03, len(counts)
    weight = np.array([(y == c).sum() ** -balance for c in y])
    weight *= len(y) / weight.sum()
    scaled = (x - x.mean(0)) / x.std(0)

    def loss(flat):
        w, b = flat[: 3 * classes].reshape(classes, 3), flat[3 * classes :]
        s = scaled @ w.T + b
        terms = logsumexp(s, 1) - s[np.arange(len(y)), y]
        return (weight * terms).mean() + penalty / 2 * (w**2).sum()

    best = minimize(loss, np.zeros(4 * classes), method="BFGS", options={"gtol": 1e-9}).x
    w, b = best[: 3 * classes].reshape(classes, 3), best[3 * classes :]
    expected = softmax(scaled @ w.T + b, 1)
    head = fit_head(x, y, np.zeros(len(y)), classes, balance, (penalty,))
    np.testing.assert_allclose(softmax(head.scores(x), 1), expected, atol=2e-3)


def test_the_penalty_is_the_best_on_folds_that_are_left_out():
    """Columns that tell each fold's rows apart, but of no other fold, ask for a strong penalty."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 100)
    fold = np.repeat(np.arange(5), 60)
    true = np.eye(3)[y] + rng.normal(size=(300, 3))
    of_fold = np.zeros((300, 40))
    for k in range(5):  # 8 columns of a fold: noise that its rows can be told by
        of_fold[fold == k, 8 * k : 8 * k + 8] = rng.normal(size=(60, 8))
    found = fit_head(np.c_[true, of_fold], y, fold, 3)
    losses = {}
    for penalty in PENALTIES:
        terms = []
        for k in range(5):
            rest = fold != k
            x = np.c_[true, of_fold]
            head = fit_head(x[rest], y[rest], fold[rest], 3, penalties=(penalty,))
            scores = head.scores(x[~rest])
            terms += list(logsumexp(scores, 1) - scores[np.arange(60), y[~rest]])
        losses[penalty] = np.mean(terms)  # the classes have as many rows each
    assert found.penalty == min(losses, key=losses.get)
    assert found.validation == pytest.approx(losses[found.penalty], rel=1e-2)


def test_a_class_of_one_fold_alone_does_not_count_against_a_penalty():
    x, y = rows(counts=(40, 40, 20), apart=6)
    fold = np.where(y == 2, 1, np.arange(100) % 2)
    found = fit_head(x, y, fold, 3)
    assert found.validation < 0.1  # class 2 cannot be predicted from fold 0


def test_without_folds_or_classes():
    x, y = rows(counts=(30, 20))
    found = fit_head(x, y, np.zeros(50), 4)
    assert found.penalty == 0.1 and found.validation is None
    assert set(found.predict(x)) == {0, 1} and found.weight.shape == (4, 3)


def test_balance_raises_the_recall_of_a_rare_class():
    x, y = rows(counts=(500, 12), apart=0.7)
    recall = [
        (fit_head(x, y, np.arange(512) % 2, 2, b).predict(x)[y == 1] == 1).mean()
        for b in (0.0, 1.0)
    ]
    assert recall[1] > recall[0] + 0.2
