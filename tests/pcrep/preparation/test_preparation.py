"""prepare(): what it fills, what it leaves, and what it reaches on real scenes."""

import os

import numpy as np
import pytest

from pcrep.cloud import Cloud
from pcrep.datasets import load_scenes
from pcrep.preparation import PrepareConfig, prepare
from pcrep.preparation.foreground import foreground
from pcrep.preparation.segments import SegmentConfig
from pcrep.procedural import procedural

DATA = os.environ.get("TSPCREP_DATA")


def test_what_is_filled_and_what_stays():
    cloud = procedural(1, 2)[0]
    done = prepare(cloud)
    assert done.segment.shape == (len(cloud),) and done.normal.shape == (len(cloud), 3)
    assert done.objectness.shape == (done.segment.max() + 1,)
    assert done.objectness.dtype == np.float32
    assert done.objectness.min() >= 0 and done.objectness.max() <= 1
    for name in ("coords", "colour", "label", "instance"):
        assert np.array_equal(getattr(done, name), getattr(cloud, name))


def test_the_same_bits_every_time():
    cloud = procedural(1, 2)[0]
    first, second = prepare(cloud), prepare(cloud)
    for name, values in first.arrays().items():
        assert np.array_equal(values, second.arrays()[name])


def test_settings_reach_what_they_set():
    cloud = procedural(1, 4)[0]
    few = prepare(cloud, PrepareConfig(segments=SegmentConfig(segments=20)))
    assert len(few.objectness) <= 20 < len(prepare(cloud).objectness)
    rng = np.random.default_rng(0)
    table = np.c_[rng.uniform(-0.5, 0.5, (2000, 2)), np.zeros(2000)]
    seen = table @ np.array([[1, 0, 0], [0, -0.7, 0.7], [0, -0.7, -0.7]]) + [0, 0, 1.2]
    camera = Cloud(coords=seen.astype(np.float32))
    assert prepare(camera, PrepareConfig(upright=False)).coords is camera.coords
    assert np.ptp(prepare(camera).coords[:, 2]) < 0.01 < np.ptp(seen[:, 2])


@pytest.mark.parametrize("count", [1, 2, 30])
def test_tiny_clouds(count):
    coords = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    done = prepare(Cloud(coords=coords))
    assert (done.segment >= 0).all() and np.isfinite(done.objectness).all()


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="$TSPCREP_DATA is not set: no real clouds here")
def test_objects_on_a_real_table():
    cloud = load_scenes("mosd", DATA)[0]
    done = prepare(cloud)
    found, truth = foreground(done), cloud.instance >= 0
    assert done.coords[truth, 2].mean() > done.coords[~truth, 2].mean() + 0.05
    assert (found & truth).sum() / found.sum() > 0.95
    assert (found & truth).sum() / truth.sum() > 0.95
