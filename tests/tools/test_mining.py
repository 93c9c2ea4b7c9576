"""The mining suite: its cases hold what they say, and its tasks tell good vectors from bad ones."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

from tsrep.datasets.series import Panel, Scaler


@pytest.fixture
def suites(suite):
    return suite("mining"), suite("mining_cases")


def waves(classes=4, each=6, steps=64):
    """Waves of as many frequencies as classes, in any phase."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    phase = rng.uniform(0, 6, (len(labels), 1))
    x = np.sin(np.arange(steps) * 2 * np.pi * (2 + 3 * labels[:, None]) / steps + phase)
    x = (x + 0.05 * rng.normal(size=x.shape))[..., None].astype(np.float32)
    scaler = Scaler(np.zeros(1), np.ones(1))
    return Panel("waves", x, labels, x, labels, tuple("abcd"), scaler)


class Spectrum(TransformerMixin, BaseEstimator):
    """What tells frequencies and not phases."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.abs(np.fft.rfft(X[..., 0], axis=1))


class Nothing(Spectrum):
    def transform(self, X):
        return np.random.default_rng(0).normal(size=(len(X), 3))


class Peaks(Spectrum):
    """The amplitudes of the four waves."""

    def transform(self, X):
        return super().transform(X)[:, [2, 5, 8, 11]]


DESCRIBED = {"spectrum": Spectrum(), "nothing": Nothing()}


def means(found):
    kept = {}
    for case, system, metric, value in found:
        kept.setdefault((case, system, metric), []).append(value)
    return {key: np.mean(values) for key, values in kept.items()}


def test_hidden_motifs_and_changes_are_where_they_should_be(suites):
    panel = waves()
    for seed in range(3):
        ((series, window, starts),) = suites[1].motif_cases([panel], seed)
        pair = np.stack([series[start : start + window] for start in starts])[..., None]
        peaks = Spectrum().transform(pair)[:, 1:].argmax(1)
        assert window == 64 and peaks[0] == peaks[1]
        assert len(series) == 2 * window * (2 + 3)  # the pair and three singles, between walks
        ((series, window, cuts),) = suites[1].change_cases([panel], seed)
        peaks = [
            Spectrum().transform(series[None, at : at + window, None])[0, 1:].argmax()
            for at in range(0, len(series), window)
        ]
        assert (np.flatnonzero(np.diff(peaks)) + 1).tolist() == [cut // window for cut in cuts]


def test_groups(suites):
    found = means(suites[0].groups([waves()], {"peaks": Peaks(), "nothing": Nothing()}, 0))
    assert found["clusters", "peaks", "adjusted Rand"] > 0.9
    assert found["nearest series", "peaks", "same class"] == 1
    assert found["clusters", "nothing", "adjusted Rand"] < 0.2
    assert found["nearest series", "nothing", "same class"] < 0.6


def test_changes_and_motifs(suites):
    panel = waves()
    found = means(
        result
        for seed in range(4)
        for task in (suites[0].changes, suites[0].motifs)
        for result in task([panel], DESCRIBED, seed)
    )
    for case, metric in (("change points", "F1"), ("motifs", "found")):
        assert found[case, "spectrum", metric] > found[case, "nothing", metric] + 0.2


def test_anomalies(suites, monkeypatch):
    monkeypatch.delenv("AEON_DATA", raising=False)
    rng = np.random.default_rng(0)
    day = np.sin(2 * np.pi * np.arange(1400) / 24) + 0.05 * rng.normal(size=1400)
    monkeypatch.setattr(suites[1], "clean_series", lambda: [day])
    found = means(suites[0].anomalies([], DESCRIBED, 0))
    spectrum = found["anomalies/all kinds", "spectrum", "VUS-PR"]
    assert spectrum > found["anomalies/all kinds", "nothing", "VUS-PR"] + 0.2
    assert found["anomalies/noise", "spectrum", "VUS-PR"] > 0.5
