"""The ridge on blocks against scikit-learn's Ridge, fitted anew without each row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from tsrep.features.ridge import PENALTIES, BlockRidge, BlockScale, LeaveOneOut


def problem(n, d, seed, targets=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x - x.mean(0), x @ rng.normal(size=(d, targets)) + rng.normal(size=(n, targets))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(3, 12),
    d=st.integers(1, 20),
    alpha=st.sampled_from([1e-3, 0.1, 10.0]),
    seed=st.integers(0, 99),
)
def test_leave_one_out_is_fitting_without_the_row(n, d, alpha, seed):
    x, y = problem(n, d, seed)
    path = LeaveOneOut(x, y)
    whole = Ridge(n * alpha).fit(x, y)
    np.testing.assert_allclose(path.weight(alpha), whole.coef_.T, atol=1e-7)
    found = path.predictions(alpha)
    for i in range(n):
        others = np.arange(n) != i
        left_out = Ridge(n * alpha).fit(x[others], y[others]).predict(x[i : i + 1])[0]
        np.testing.assert_allclose(found[i], left_out, atol=1e-6)


def test_more_columns_than_rows_and_fewer_are_one_ridge():
    """Columns of zeros change nothing, but which side is decomposed."""
    x, y = problem(10, 4, 0)
    wide = np.pad(x, [(0, 0), (0, 30)])
    for alpha in (1e-3, 1.0):
        narrow, other = LeaveOneOut(x, y), LeaveOneOut(wide, y)
        np.testing.assert_allclose(narrow.predictions(alpha), other.predictions(alpha), atol=1e-9)
        np.testing.assert_allclose(narrow.weight(alpha), other.weight(alpha)[:4], atol=1e-9)


def blocks_of(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(3, 5, (n, 4)), 1e-4 * rng.normal(size=(n, 60))]


def test_it_is_a_ridge_on_standardised_columns_and_scaled_blocks():
    blocks = blocks_of()
    y = np.random.default_rng(1).normal(size=(40, 3))
    model = BlockRidge.fit(blocks, y)
    roots = [2, np.sqrt(60)]  # of 4 and of 60 columns
    shares = [root / sum(roots) for root in roots]
    x = np.hstack(
        [
            (x - x.mean(0)) / x.std(0) * np.sqrt(share / x.shape[1])
            for x, share in zip(blocks, shares, strict=True)
        ]
    )
    assert np.mean(np.sum(x**2, axis=1)) == pytest.approx(1)
    expected = Ridge(40 * model.alpha).fit(x, y).predict(x)
    np.testing.assert_allclose(model.predict(blocks), expected, atol=1e-6)
    errors = {a: np.square(y - LeaveOneOut(x, y).predictions(a)).mean() for a in PENALTIES}
    assert model.alpha == min(errors, key=errors.get)


def test_units_of_columns_change_nothing():
    blocks, y = blocks_of(), np.random.default_rng(1).normal(size=(40, 1))
    first = BlockRidge.fit(blocks, y).predict(blocks)
    second = [7 * block - 100 for block in blocks]
    np.testing.assert_allclose(BlockRidge.fit(second, y).predict(second), first, atol=1e-8)


def test_constant_columns_and_a_constant_block():
    blocks, y = blocks_of(), np.random.default_rng(1).normal(size=(40, 1))
    blocks[0][:, 1] = 0.1
    with_constant = BlockRidge.fit([*blocks, np.full((40, 2), 3.0)], y)
    assert np.isfinite(with_constant.predict([*blocks, np.full((40, 2), 9.0)])).all()
    alone = BlockRidge.fit([np.zeros((40, 2))], y)
    np.testing.assert_allclose(alone.predict([np.zeros((1, 2))]), [y.mean(0)])


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6])
def test_a_constant_of_single_precision_does_not_vary(value):
    """Its deviation is not 0 in either precision."""
    block = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    block[:, 1] = value
    z = BlockScale.fit([block])([block])
    np.testing.assert_allclose(z[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0)[[0, 2]], np.sqrt(1 / 2))


def test_left_out_predictions_of_noise_are_no_better_than_the_mean():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 1))
    model = BlockRidge.fit([rng.normal(size=(60, 300))], y)
    assert np.mean((y - model.left_out) ** 2) > 0.9 * y.var()
    assert np.mean((y - model.predict([rng.normal(size=(60, 300))])) ** 2) > 0.9 * y.var()
