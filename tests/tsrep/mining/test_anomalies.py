"""Scores of anomalies against loops over windows; a stream against the whole series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tsrep.mining.raw_windows import RawWindow
from tsrep.mining import AnomalyDetector
from tsrep.mining.anomalies import spread_over_steps
from tsrep.mining.windows import StandardisedValues


def wave(steps=400, seed=0):
    t = np.arange(steps)
    return np.sin(2 * np.pi * t / 20) + 0.1 * np.random.default_rng(seed).normal(size=steps)


def of_vectors(window, **options):
    return AnomalyDetector(window, encoder=RawWindow(), **options)


def test_scores_are_those_of_loops():
    normal, series = wave(120), wave(60, 1)
    series[30] = 4
    model = of_vectors(10, stride=1, neighbours=2).fit(normal)

    def scaled(x):
        return (x - normal.mean()) / normal.std()

    known = np.array([scaled(normal)[t : t + 10] for t in range(111)])
    asked = np.array([scaled(series)[t : t + 10] for t in range(51)])
    units = known.std(0) * np.sqrt(10)
    gaps = np.sqrt(np.square((asked[:, None] - known[None]) / units).sum(-1))
    of_window = np.sort(gaps, axis=1)[:, :2].mean(1)
    expected = [of_window[max(0, t - 9) : t + 1].mean() for t in range(60)]
    np.testing.assert_allclose(model.score(series), expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(5, 30), length=st.integers(2, 5), stride=st.integers(1, 8))
def test_a_step_has_the_mean_of_its_windows(steps, length, stride):
    starts = np.unique([*range(0, steps - length + 1, stride), steps - length])
    scores = np.random.default_rng(0).normal(size=len(starts))
    found, last = spread_over_steps(scores, starts, length), None
    for t in range(steps):
        holding = scores[(starts <= t) & (t < starts + length)]
        last = holding.mean() if len(holding) else last
        assert found[t] == pytest.approx(last)


def test_an_anomaly_stands_out_and_the_fitted_series_is_not_its_own_neighbour():
    series = wave()
    series[203:207] = 2.5
    model = of_vectors(20, stride=1, quantile=0.9).fit(series)
    scores = model.score(series)
    assert 190 < scores.argmax() < 220
    assert scores[203:207].min() > 2 * np.median(scores)
    assert model.predict(series).mean() == pytest.approx(0.1, abs=0.02)
    assert model.predict(series)[203:207].all()


def test_quantile():
    normal = wave()
    for quantile in (0.5, 0.9, 1.0):
        model = of_vectors(20, quantile=quantile).fit(normal)
        assert np.mean(model.predict(normal)) == pytest.approx(1 - quantile, abs=0.01)


@pytest.mark.parametrize("stride", [1, 3, 25])
def test_a_stream_gives_the_scores_of_the_whole_series(stride):
    model = of_vectors(20, stride=stride).fit(wave())
    series = wave(143, 3)
    starts, scores = model.window_scores(series[:, None])
    expected = dict(zip(starts.tolist(), scores, strict=True))
    stream, found, rng, place = model.stream(), {}, np.random.default_rng(0), 0
    while place < len(series):
        size = int(rng.integers(1, 30))
        found.update(stream.push(series[place : place + size]))
        place += size
    assert list(found) == list(range(0, 143 - 20 + 1, stride))
    for start, score in found.items():
        assert score == pytest.approx(expected[start], abs=1e-6)
    assert len(stream.kept) < 20 + stride


def test_missing_values_and_several_channels():
    series = np.stack([wave(), wave(seed=1)], 1)
    series[50:53, 0] = np.nan
    scores = of_vectors(20).fit(series).score(series)
    assert scores.shape == (400,) and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: of_vectors(20).fit(wave(30)),
            "at least two windows",
        ),
        (lambda: AnomalyDetector(4, neighbours=0).fit(wave()), "neighbours 0"),
        (lambda: AnomalyDetector(4, quantile=0).fit(wave()), "quantile 0"),
        (lambda: fitted().score(np.zeros((30, 2))), "has 2 channels, but 1 were fitted"),
        (lambda: fitted().score(wave(9)), "has 9 steps, expected at least a window of 20"),
        (lambda: fitted().stream().push(np.zeros((1, 2))), "samples have 2 channels"),
        (lambda: AnomalyDetector(4, encoder="no-such").fit(wave()), "no-such"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def fitted():
    return of_vectors(20).fit(wave())


def test_with_values_the_score_is_the_mean_of_both():
    normal, series = wave(), wave(120, 1)
    parts = [
        AnomalyDetector(20, encoder=one).fit(normal) for one in (RawWindow(), StandardisedValues())
    ]
    both = AnomalyDetector(20, encoder=RawWindow(), values=True).fit(normal)
    expected = np.mean([part.score(series) for part in parts], axis=0)
    np.testing.assert_allclose(both.score(series), expected, rtol=1e-9)
    stream = both.stream()
    scores = [score for x in series for _, score in stream.push([x])]
    np.testing.assert_allclose(scores, both.window_scores(series[:, None])[1], rtol=1e-6)


def test_standardised_values_against_a_loop_with_gaps():
    x = np.random.default_rng(0).normal(3, 2, (4, 12, 2))
    x[1, 3:5, 0] = np.nan
    x[2, :, 1] = 7
    found = StandardisedValues().transform(x).reshape(4, 12, 2)
    for i in range(4):
        for c in range(2):
            known = x[i, ~np.isnan(x[i, :, c]), c]
            for t in range(12):
                value = x[i, t, c]
                expected = (
                    0
                    if np.isnan(value) or (i, c) == (2, 1)
                    else ((value - known.mean()) / known.std())
                )
                assert found[i, t, c] == pytest.approx(expected, abs=1e-9)
