"""Gaussian processes against their kernels, written as loops."""

import numpy as np

from tsrep.datasets.synthetic import kernels


def test_the_bank_equals_its_formulas():
    steps = 16
    bank = iter(kernels._bank(steps))
    x = [t / steps for t in range(steps)]
    forms = [
        lambda a, b, p=p: np.exp(-2 * np.sin(np.pi * abs(a - b) / (p / 512)) ** 2)
        for p in (4, 6, 7, 10, 12, 14, 24, 26, 30, 40, 48, 52, 60, 96, 168, 336, 365, 672, 730)
    ]
    forms += [lambda a, b, s=s: s * s + a * b for s in (0, 1, 10)]
    forms += [lambda a, b, s=s: np.exp(-((a - b) ** 2) / (2 * s * s)) for s in (0.1, 1, 10)]
    forms += [lambda a, b, s=s: (1 + (a - b) ** 2 / (2 * s)) ** -s for s in (0.1, 1, 10)]
    forms += [lambda a, b, s=s: s * (a == b) for s in (0.1, 1)]
    for form in forms:
        expected = [[form(a, b) for b in x] for a in x]
        np.testing.assert_allclose(next(bank), expected, atol=1e-12)
    assert next(bank, None) is None


def test_factors_are_those_of_valid_kernels_of_variance_one():
    found = kernels.factors(3, 32)
    assert found.shape == (kernels.COUNT, 32, 32) and found.dtype == np.float32
    assert not np.triu(found, 1).any()
    variances = np.einsum("kij,kij->ki", found, found).mean(1)
    np.testing.assert_allclose(variances, 1, atol=1e-3)
    assert len({kernel.tobytes() for kernel in found}) > 0.8 * kernels.COUNT
    assert not np.array_equal(found, kernels.factors(4, 32))


def test_draws_of_one_kernel_have_its_covariance(monkeypatch):
    factor = kernels.factors(0, 12)[:1]
    monkeypatch.setattr(kernels, "factors", lambda seed, steps: factor)
    monkeypatch.setattr(kernels, "_mean", lambda rng, steps: np.zeros(steps))
    rng = np.random.default_rng(0)
    draws = np.stack([kernels.draw(rng, 0, 12) for _ in range(20_000)])
    expected = factor[0].astype(float) @ factor[0].T
    np.testing.assert_allclose(draws.T @ draws / len(draws), expected, atol=0.05 * expected.max())


def test_means_are_of_four_kinds():
    rng = np.random.default_rng(0)
    means = [kernels._mean(rng, 64) for _ in range(400)]
    flat = [not m.any() for m in means]
    lines = [bool(m.any()) and np.allclose(np.diff(m, 2), 0, atol=1e-12) for m in means]
    spikes = [0 < np.count_nonzero(m) <= 5 for m in means]
    growing = [np.allclose(np.diff(m[1:] / m[:-1]), 0, atol=1e-9) for m in means if m.all()]
    for kind in (flat, lines, spikes, growing):
        assert 60 < sum(kind) < 140
