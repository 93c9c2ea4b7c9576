"""Every data set that ``fit`` is given in this project tells other content from its own."""

from dataclasses import replace

import numpy as np
import pytest

from pcrep.cloud import Scenes
from pcrep.contrast.objective import SceneBatches
from pcrep.evaluation.segmentation import LabelledScenes
from tests.pcrep.segmented import segmented
from tspcrep.common.checkpoints import fingerprint
from tsrep.datasets.windows import WindowDataset
from tsrep.forecasting.windows import ForecastWindows

SERIES = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


def windows(values, calendar=None, length=8):
    return WindowDataset(values[None], length, calendar=calendar)


def forecasts(values, known=None, rows=slice(0, 60)):
    return ForecastWindows(values, rows, 8, 4, known=known)


@pytest.mark.parametrize("data", [windows, forecasts])
@pytest.mark.parametrize("row", [0, 30, 59])
def test_series(data, row):
    changed = SERIES.copy()
    changed[row, 1] += 1e-4
    calendar = np.ones((60, 1), np.float32)
    prints = [data(SERIES), data(changed), data(SERIES, calendar), data(SERIES, 2 * calendar)]
    assert len({x.fingerprint() for x in prints}) == 4
    assert data(SERIES.copy()).fingerprint() == data(SERIES).fingerprint()


def test_other_windows_of_the_same_series():
    assert windows(SERIES).fingerprint() != windows(SERIES, length=9).fingerprint()
    other = forecasts(SERIES, rows=slice(0, 50))
    assert forecasts(SERIES).fingerprint() != other.fingerprint()


def scenes(clouds, names=("a", "b")):
    return Scenes("made", names, clouds.__getitem__)


@pytest.mark.parametrize(
    "data", [lambda s: SceneBatches(s, 0.02), lambda s: LabelledScenes(s, 4)], ids=["FAC", "few"]
)
def test_scenes(data):
    clouds = [segmented(0), segmented(1)]
    moved = replace(clouds[0], coords=clouds[0].coords + np.float32(0.001))
    prints = [
        data(scenes(clouds)),
        data(scenes(clouds, ("a", "c"))),
        data(scenes([moved, clouds[1]])),
        data(scenes(clouds[1:] + clouds[:1])),
    ]
    assert len({x.fingerprint() for x in prints}) == 4
    assert data(scenes(clouds)).fingerprint() == prints[0].fingerprint()


def test_type_and_shape_count():
    x = np.zeros(4, np.float32)
    parts = [(x,), (x.reshape(2, 2),), (np.zeros(2),), (x, None), ("a", "b"), ("ab",), (1,), ("1",)]
    assert len({fingerprint(*p) for p in parts}) == len(parts)
