"""Metrics against loops, closed forms and numpy."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tspcrep.common import metrics

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_alignment_and_uniformity_are_their_equations():
    x, y = rows(20, 5), rows(20, 5, seed=1)
    u, v = normalize(x, dim=-1), normalize(y, dim=-1)
    close(metrics._alignment(x, y), (u - v).square().sum(1).mean())
    close(metrics._uniformity(x), (-2 * torch.pdist(u).square()).exp().mean().log())
    close(metrics._uniformity(torch.ones(9, 3).double()), torch.zeros(()).double())


def test_uniformity_of_uniform_rows_on_a_circle():
    # E exp(-2 (2 - 2 cos)) over the circle is e^-4 I_0(4).
    angle = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)[:-1]
    x = torch.stack([angle.cos(), angle.sin()], 1)
    assert float(metrics._uniformity(x)) == pytest.approx(math.log(np.i0(4.0)) - 4, abs=3e-3)


def test_tolerance_is_its_equation():
    x, labels = rows(30, 4), torch.arange(30) % 4 * 7
    u = normalize(x, dim=-1)
    terms = [
        float(u[i] @ u[j]) * (labels[i] == labels[j]).item()
        for i in range(30)
        for j in range(30)
        if i != j
    ]
    assert float(metrics._tolerance(x, labels)) == pytest.approx(sum(terms) / (30 * 29))


def test_effective_rank_of_known_spectra():
    q = torch.linalg.qr(rows(40, 6)).Q
    assert float(metrics._effective_rank(q)) == pytest.approx(6)
    assert float(metrics._effective_rank(torch.ones(9, 4))) == pytest.approx(1, abs=1e-5)
    s = np.array([3.0, 2.0, 1.0]) / 6
    expected = math.exp(-(s * np.log(s)).sum())
    x = q[:, :3] * torch.tensor([3.0, 2.0, 1.0])
    assert float(metrics._effective_rank(x)) == pytest.approx(expected)


def test_histograms_count_every_pair(monkeypatch):
    x, y = rows(50, 5), rows(50, 5, seed=1)
    s = (normalize(x, dim=-1) @ normalize(y, dim=-1).T).numpy()
    off = s[~np.eye(50, dtype=bool)]
    got = metrics._score_histograms(x, y, 20)
    assert got["negative"].tolist() == np.histogram(off, 20, (-1, 1))[0].tolist()
    assert got["positive"].tolist() == np.histogram(np.diag(s), 20, (-1, 1))[0].tolist()
    assert float(got["negative_mean"]) == pytest.approx(off.mean())
    assert float(got["negative_var"]) == pytest.approx(off.var())
    assert float(got["positive_var"]) == pytest.approx(np.diag(s).var())


def test_hard_negative_weight_between_its_limits():
    x, y = rows(101, 5), rows(101, 5, seed=1)
    assert float(metrics._hard_negative_weight(x, y, 1e6)) == pytest.approx(0.08, abs=1e-4)
    assert float(metrics._hard_negative_weight(x, y, 1e-3)) == pytest.approx(1, abs=1e-3)
    logits = normalize(x, dim=-1) @ normalize(y, dim=-1).T / 0.5
    expected = []
    for i in range(101):
        weights = torch.cat([logits[i, :i], logits[i, i + 1 :]]).softmax(0).sort().values
        expected.append(float(weights[-8:].sum()))
    assert float(metrics._hard_negative_weight(x, y, 0.5)) == pytest.approx(np.mean(expected))


def test_diagnostics_are_finite_scalars_and_counts():
    found = metrics.diagnostics(rows(16, 5), rows(16, 5, seed=1), 0.1, torch.arange(16) % 3)
    assert set(found) == {
        "alignment", "uniformity", "effective_rank", "hard_negative_weight", "tolerance",
        "positive_score", "negative_score", "positive_var_score", "negative_var_score",
        "positive_scores", "negative_scores",
    }  # fmt: skip
    assert found.pop("positive_scores").sum() == 16
    assert found.pop("negative_scores").sum() == 16 * 15
    assert all(x.ndim == 0 and x.isfinite() for x in found.values())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"embeddings have shape \(1, 5\)"):
        metrics._alignment(rows(1, 5), rows(1, 5))
    with pytest.raises(ValueError, match=r"labels has shape \(3,\)"):
        metrics._tolerance(rows(4, 5), torch.arange(3))
