"""The points suite names what it keeps by code, settings and data, and tells what differs."""

import importlib
from dataclasses import replace

import pytest

from tests.tools.running import TOOLS


@pytest.fixture
def points(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("suites.points")


def result(miou):
    return {"miou": miou, "iou": {"box": miou}}


def test_a_spread_is_over_seeds_or_over_draws(points):
    """Means of draws differ by 0.2 between seeds; means of seeds by 0.1 between draws."""
    results = [[result(v) for v in row] for row in ((0.45, 0.55), (0.65, 0.75))]
    seeds, draws = points.spreads("mosd/linear-2", "fac", results, "seeds")
    assert (seeds.metric, seeds.seeds, seeds.over) == ("miou", 2, "seeds")
    assert seeds.value == pytest.approx(0.6) and seeds.std == pytest.approx(0.1)
    assert draws.metric == "spread over draws" and draws.value == pytest.approx(0.05)
    (alone,) = points.spreads("mosd/linear", "fac", [[result(0.4)], [result(0.6)]], "seeds")
    assert alone.std == pytest.approx(0.1)


def test_rows_say_what_differs(points, monkeypatch):
    monkeypatch.setattr(points, "score", lambda name, system, seed, task, draw: result(seed / 10))
    rows = list(points.rows("mosd/segcontrast", (1, 3)))
    over = {row.case: row.over for row in rows if row.metric == "miou"}
    assert over["mosd/linear"] == over["mosd/linear:decoder"] == "seeds of pretraining"
    assert over["mosd/linear-2"] == "seeds of pretraining, each the mean of 3 draws of labels"
    assert over["mosd/tuned-2"] == "seeds of pretraining, each with its own draw of labels"
    for row in rows:
        if row.metric == "miou":
            assert row.value == pytest.approx(0.2) and row.std == pytest.approx(0.1)


def test_tasks_are_read_back(points):
    assert points.parts("linear") == ("linear", "", "both")
    assert points.parts("linear:decoder-2") == ("linear", "2", "decoder")
    assert points.parts("tuned-28") == ("tuned", "28", "both")
    assert list(points.draws("linear-2", 7)) == [0, 1, 2]
    assert list(points.draws("linear", 7)) == list(points.draws("tuned-2", 7)) == [7]


def test_names_change_with_settings_and_data(points, monkeypatch):
    class Data:
        def __init__(self, content):
            self.fingerprint = lambda: content

    def key(system="fac", seed=0, content="points", **changed):
        plain = points.configuration("mosd", system)
        monkeypatch.setattr(points, "configuration", lambda *which: replace(plain, **changed))
        monkeypatch.setattr(points, "load", lambda name: (Data(content), None))
        points.encoder_key.cache_clear()
        try:
            return points.encoder_key("mosd", system, seed)
        finally:
            monkeypatch.undo()
            points.encoder_key.cache_clear()

    first = key()
    assert key() == first and len(first) == 10
    others = [key(seed=1), key(content="other"), key(network="14A"), key(system="csc")]
    assert len({first, *others}) == 5
