"""Search and motifs against loops over all pairs of windows."""

import numpy as np
import pytest

from tests.tsrep.mining.raw_windows import RawWindow
from tsrep.mining import SimilaritySearch


def collection(seed=0):
    """Three series of noise that hold the same wave of 16 steps at four places."""
    rng = np.random.default_rng(seed)
    series = [rng.normal(size=steps) for steps in (120, 90, 200)]
    wave = 4 * np.sin(np.arange(16))
    places = [(0, 30), (1, 5), (2, 60), (2, 150)]
    for k, (n, start) in enumerate(places):
        series[n][start : start + 16] = wave + 0.01 * (k + 1) * rng.normal(size=16)
    return series, wave, places


def scaled(series, length):
    """All windows in units of their deviation, and their places, by hand."""
    values = np.concatenate(series)
    parts = [(x - values.mean()) / values.std() for x in series]
    places = [(n, t) for n, x in enumerate(parts) for t in range(len(x) - length + 1)]
    windows = np.array([parts[n][t : t + length] for n, t in places])
    deviation = windows.std(0) * np.sqrt(length)
    return windows / deviation, places, lambda q: (q - values.mean()) / values.std() / deviation


def overlap(a, b, length=16):
    return a[0] == b[0] and abs(a[1] - b[1]) < length / 2


def test_nearest_windows_are_those_of_a_loop():
    series, wave, places = collection()
    windows, where, scale = scaled(series, 16)
    gaps = np.sqrt(np.square(windows - scale(wave)).sum(1))
    expected = []
    for row in np.argsort(gaps):
        if not any(overlap(where[row], other) for other, _ in expected):
            expected.append((where[row], gaps[row]))
    search = SimilaritySearch(16, encoder=RawWindow(), stride=1).fit(series)
    found = search.nearest(wave, 7)
    assert [match[:2] for match in found[:4]] == places
    assert [match[:2] for match in found] == [place for place, _ in expected[:7]]
    np.testing.assert_allclose([m.distance for m in found], [d for _, d in expected[:7]], atol=1e-5)


def test_motifs_are_those_of_a_loop():
    series, _, places = collection()
    windows, where, _ = scaled(series, 16)
    pairs = sorted(
        (float(np.sqrt(np.square(windows[i] - windows[j]).sum())), i, j)
        for i in range(len(windows))
        for j in range(i)
        if not overlap(where[i], where[j])
    )
    expected, taken = [], []
    for distance, i, j in pairs:
        both = where[i], where[j]
        if not any(overlap(a, b) for a in both for b in taken):
            expected.append((*sorted(both), distance))
            taken += both
    found = SimilaritySearch(16, encoder=RawWindow(), stride=1).fit(series).motifs(4)
    assert [motif[:2] for motif in found] == [motif[:2] for motif in expected[:4]]
    np.testing.assert_allclose([m.distance for m in found], [m[2] for m in expected[:4]], atol=1e-5)
    assert {found[0].first, found[0].second} < set(places)


def test_a_series_finds_itself():
    series, _, _ = collection()
    search = SimilaritySearch(16, encoder=RawWindow(), stride=1).fit(series[2])
    match = search.nearest(series[2][40:56], 1)[0]
    assert match[:2] == (0, 40) and match.distance < 1e-5


def test_the_graph_finds_what_all_distances_find():
    series, wave, _ = collection()
    exact, graph = (
        SimilaritySearch(16, encoder=RawWindow(), stride=1, index=index).fit(series)
        for index in ("exact", "hnsw")
    )
    assert [m[:2] for m in graph.nearest(wave, 5)] == [m[:2] for m in exact.nearest(wave, 5)]
    assert graph.motifs(1)[0][:2] == exact.motifs(1)[0][:2]


def test_without_the_library_the_graph_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "usearch.index", None)
    with pytest.raises(ValueError, match=r"pip install 'tspcrep\[search\]'"):
        SimilaritySearch(4, encoder=RawWindow(), index="hnsw").fit(np.arange(20.0))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: SimilaritySearch(4, index="tree").fit(np.arange(9.0)), "index: found 'tree'"),
        (lambda: SimilaritySearch(9, encoder=RawWindow()).fit(np.arange(4.0)), "has 4 steps"),
        (lambda: fitted().nearest(np.zeros(3)), "query has 3 steps, expected a window of 4"),
        (lambda: fitted().nearest(np.zeros((4, 2))), "has 2 channels, but 1 were fitted"),
        (lambda: fitted().nearest([1, 2, np.inf, 4]), "query is infinite at step 2"),
        (lambda: SimilaritySearch(4, encoder=RawWindow()).fit(np.zeros((2, 3, 1))), "has shape"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def fitted():
    return SimilaritySearch(4, encoder=RawWindow()).fit(np.arange(20.0))
