"""Outdoor scenes against closed forms: points on surfaces, scan patterns, densities, shadows."""

from dataclasses import replace

import numpy as np
import pytest

from pcrep.procedural.outdoors import aerial, street
from pcrep.procedural.rays import GROUND, relief_at
from pcrep.procedural.scanners import (
    AirborneConfig,
    RotatingConfig,
    airborne,
    labels,
    measure,
    rotating,
)
from pcrep.procedural.town import OUTDOOR_CLASSES, lay_out
from tests.pcrep.solids import distance, in_own_frame, inside
from tspcrep.common.errors import UserError

AIR, ROAD = AirborneConfig(density=(6.0, 6.0)), RotatingConfig(beams=(16,), azimuths=400)


def scans(seed):
    """A town with the pulses and exact echoes of both scanners."""
    rng = np.random.default_rng(seed)
    town = lay_out(rng, 40.0)
    for pulses in (airborne(rng, AIR), rotating(rng, ROAD, town)):
        yield town, pulses, measure(rng, town, pulses, 0.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_without_noise_every_echo_is_on_its_surface_or_in_its_leaves(seed):
    for town, pulses, echoes in scans(seed):
        on_ground = echoes.solid == GROUND
        ground = echoes.coords[on_ground]
        np.testing.assert_allclose(ground[:, 2], relief_at(town.waves, ground), atol=2e-5)
        solids = town.solids
        for p in np.unique(echoes.solid[~on_ground]):
            rows = np.flatnonzero(echoes.solid == p)
            back = echoes.inside[rows, None] * pulses.direction[echoes.pulse[rows]]
            own = in_own_frame(solids, p, echoes.coords[rows] - back)
            assert distance(solids.kind[p], solids.size[p], own).max() < 1e-6
            assert (echoes.inside[rows] > 0).all() == (town.leafy[p] > 0)
        assert echoes.inside.min() >= 0 and echoes.inside.max() <= 0.36 + 1e-9


def test_nothing_solid_stands_between_the_scanner_and_an_echo():
    for town, pulses, echoes in scans(2):
        rows = np.random.default_rng(0).permutation(len(echoes.pulse))[:300]
        end = echoes.coords[rows]
        away = end - pulses.origin[echoes.pulse[rows]]
        far = np.linalg.norm(away, axis=1)
        steps = np.linspace(0, 1, 400)[None] * np.minimum(far, 60)[:, None] + 0.01
        way = end[:, None] - steps[..., None] * (away / far[:, None])[:, None]
        way[steps > far[:, None] - 0.01] = 1e6
        solid = np.flatnonzero(town.leafy == 0)
        for p in solid:
            own = in_own_frame(town.solids, p, way)
            assert not inside(town.solids.kind[p], town.solids.size[p], own).any()
        assert (
            way[..., 2] > relief_at(town.waves, way.reshape(-1, 3)).reshape(way.shape[:2])
        ).all()


def test_a_flight_has_its_density_and_angles():
    for seed in range(6):
        config = AirborneConfig(density=(10.0, 10.0), angle=20.0)
        pulses = airborne(np.random.default_rng(seed), config)
        t = -pulses.origin[:, 2] / pulses.direction[:, 2]
        aim = pulses.origin + t[:, None] * pulses.direction
        within = (np.abs(aim[:, :2]) < 20).all(1)
        assert abs(within.sum() / 40**2 - 10) < 1, seed
        counts = np.histogram2d(*aim[within, :2].T, bins=8)[0]  # everywhere
        assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.5 * counts.mean()
        np.testing.assert_allclose(np.linalg.norm(pulses.direction, axis=1), 1)
        assert pulses.origin[:, 2].min() >= 400 and pulses.origin[:, 2].max() <= 1500
        tilt = np.degrees(np.arccos(-pulses.direction[:, 2]))
        assert tilt.max() < 40  # 20 across, up to 20 ahead, and the tile itself


def test_a_turn_has_its_beams_and_azimuths():
    rng = np.random.default_rng(0)
    town = lay_out(rng, 40.0)
    pulses = rotating(rng, replace(ROAD, turns=(2, 2)), town)
    assert len(pulses.direction) == 2 * 16 * 400
    places = np.unique(pulses.origin, axis=0)
    assert len(places) == 2
    height = places[:, 2] - relief_at(town.waves, places)
    assert (height > 1.6 - 1e-9).all() and (height < 2.3).all()
    assert (np.abs(places[:, 1]) < town.road).all()
    one = pulses.direction[:6400].reshape(400, 16, 3)
    np.testing.assert_allclose(one[:, :, 2], one[:1, :, 2].repeat(400, 0), atol=1e-12)
    up = np.degrees(np.arcsin(one[0, :, 2]))
    assert (np.diff(up) > 1).all() and abs(up[0] + 25) < 0.3 and 1.7 < up[-1] < 15.3
    around = np.unwrap(np.arctan2(one[:, 0, 1], one[:, 0, 0]))
    np.testing.assert_allclose(np.diff(around), 2 * np.pi / 400, atol=1e-9)


def test_noise_moves_an_echo_along_its_pulse_by_at_most_three_deviations():
    rng = np.random.default_rng(4)
    town = lay_out(rng, 40.0)
    pulses = rotating(rng, ROAD, town)
    sharp, noisy = (measure(np.random.default_rng(0), town, pulses, s) for s in (0.0, 0.05))
    moved = noisy.coords - sharp.coords
    np.testing.assert_allclose(
        moved, noisy.error[:, None] * pulses.direction[noisy.pulse], atol=1e-9
    )
    assert np.abs(noisy.error).max() <= 3 * 0.05 and 0.045 < noisy.error.std() < 0.055


def test_labels_are_those_of_what_was_hit():
    for town, _, echoes in scans(5):
        label, instance = labels(town, echoes.solid)
        for row in range(0, len(label), 97):
            p = echoes.solid[row]
            if p == GROUND:
                assert (label[row], instance[row]) == (0, 0)
            else:
                assert label[row] == town.solids.label[p] > 0
                assert instance[row] == town.solids.instance[p] > 0


@pytest.mark.parametrize("make", [aerial, street])
def test_what_scenes_hold(make):
    seen = set()
    for index in range(5):
        cloud = make(0, index)
        assert 5_000 < len(cloud) < 320_000
        assert cloud.coords.dtype == cloud.colour.dtype == cloud.intensity.dtype == np.float32
        assert np.isfinite(cloud.coords).all() and cloud.coords[:, 2].min() == 0
        for values in (cloud.colour, cloud.intensity):
            assert values.min() >= 0 and values.max() <= 1 and values.std() > 0.02
        for i in np.unique(cloud.instance):  # an object has one class
            assert len(np.unique(cloud.label[cloud.instance == i])) == 1
        ground = cloud.label == 0
        assert 0.2 < ground.mean() < 0.95
        assert cloud.coords[ground, 2].mean() < cloud.coords[~ground, 2].mean()
        seen |= set(np.unique(cloud.label))
    assert seen == set(range(len(OUTDOOR_CLASSES)))


@pytest.mark.parametrize("make", [aerial, street])
def test_a_scene_follows_from_its_seed_and_index(make):
    first, again = make(3, 2), make(3, 2)
    for name, values in first.arrays().items():
        assert values.tobytes() == again.arrays()[name].tobytes()
    for other in (make(3, 1), make(2, 2)):
        assert other.coords.tobytes() != first.coords.tobytes()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AirborneConfig, {"density": (0.0, 1.0)}),
        (AirborneConfig, {"half": 1.0}),
        (RotatingConfig, {"beams": (1,)}),
        (RotatingConfig, {"turns": (3, 2)}),
    ],
)
def test_options_out_of_range(kind, options):
    with pytest.raises(UserError, match=f"{next(iter(options))}.*expected"):
        kind(**options)
