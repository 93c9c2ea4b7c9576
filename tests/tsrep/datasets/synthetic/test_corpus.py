"""The synthetic corpus: what a series depends on, and what its families look like."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import UserError
from tsrep.datasets.synthetic import SyntheticCorpus, waves
from tsrep.datasets.synthetic.graphs import draw_graph


def test_a_series_depends_on_seed_and_index_alone():
    one, other = SyntheticCorpus(50, 64, seed=1), SyntheticCorpus(9, 64, seed=1)
    backwards = [one[i] for i in reversed(range(9))][::-1]
    np.testing.assert_array_equal(np.stack(backwards), np.stack(list(other)))
    np.testing.assert_array_equal(other.draw(range(9)), np.stack(list(other)))
    assert not np.allclose(SyntheticCorpus(9, 64, seed=2)[3], other[3])
    assert len({series.tobytes() for series in one}) == 50


def test_worker_processes_draw_the_same():
    corpus = SyntheticCorpus(12, 32, channels=2)
    np.testing.assert_array_equal(corpus.draw([7, 3, 11], workers=2), corpus.draw([7, 3, 11]))


@settings(max_examples=25, deadline=None)
@given(
    steps=st.sampled_from([8, 9, 33, 64]),
    channels=st.integers(1, 3),
    seed=st.integers(0, 1),
    index=st.integers(0, 9999),
)
def test_series_are_standardised(steps, channels, seed, index):
    x = SyntheticCorpus(10_000, steps, channels, seed)[index].astype(np.float64)
    assert x.shape == (steps, channels) and np.isfinite(x).all()
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    assert all(abs(s - 1) < 1e-5 or s < 1e-6 for s in x.std(0))


def test_few_series_are_constant():
    drawn = SyntheticCorpus(300, 64).draw(range(300))
    assert (drawn.std(1) == 0).mean() < 0.03


@pytest.mark.parametrize("family", waves.FAMILIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [8, 100, 512])
def test_families_draw_any_length(family, steps):
    drawn = [family(np.random.default_rng(seed), steps) for seed in range(30)]
    assert all(x.shape == (steps,) and np.isfinite(x).all() for x in drawn)
    again = [family(np.random.default_rng(seed), steps) for seed in range(30)]
    np.testing.assert_array_equal(np.stack(drawn), np.stack(again))
    assert len({x.tobytes() for x in drawn}) > 20


def test_coloured_noise_has_the_spectrum_it_says():
    """The slope of the periodogram in logarithms lies between 0 and -3, and takes all of it."""
    slopes = []
    for seed in range(200):
        x = waves.coloured_noise(np.random.default_rng(seed), 512)
        power = np.abs(np.fft.rfft(x)[1:-1]) ** 2
        slopes.append(np.polyfit(np.log(np.arange(1, 256)), np.log(power), 1)[0])
    assert -3.5 < min(slopes) < -2.5 and -0.5 < max(slopes) < 0.5


def test_regimes_follow_their_recursion():
    """x_t = (1 - theta) x_{t-1} + theta level + sqrt(theta) noise, by a loop."""
    rng = np.random.default_rng(5)
    found = waves.regimes(rng, 60)
    rng, x, expected = np.random.default_rng(5), 0.0, []
    stay = rng.uniform(0.85, 0.999)
    wild = np.cumsum(rng.random(60) > stay) % 2 == 1
    high, low = rng.normal(), rng.normal()
    loud, calm = rng.uniform(0.5, 2), rng.uniform(0.05, 0.5)
    noise = rng.standard_normal(60)
    theta = np.exp(rng.uniform(np.log(0.01), np.log(0.5)))
    for t in range(60):
        level, size = (high, loud) if wild[t] else (low, calm)
        x = (1 - theta) * x + theta * level + np.sqrt(theta) * size * noise[t]
        expected.append(x)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_channels_of_a_graph_depend_on_each_other():
    def dependence(draw):
        return np.mean([np.abs(np.corrcoef(draw(seed).T)[0, 1]) for seed in range(60)])

    together = dependence(lambda s: draw_graph(np.random.default_rng(s), 0, 64, 2))
    apart = dependence(
        lambda s: np.hstack([draw_graph(np.random.default_rng((s, i)), 0, 64, 1) for i in range(2)])
    )
    assert together > apart + 0.05


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size: found 0"),
        ({"size": 5, "steps": 7}, "steps: found 7, expected at least 8"),
        ({"size": 5, "channels": 0}, "channels: found 0"),
        ({"size": 5, "seed": -1}, "seed: found -1"),
    ],
)
def test_bad_options_are_one_line(options, words):
    with pytest.raises(UserError, match=words):
        SyntheticCorpus(**options)


def test_an_index_outside_is_refused():
    with pytest.raises(IndexError, match="series 5 of 5"):
        SyntheticCorpus(5, 32)[5]
