"""Varied rooms: on surfaces, unlike each other, of all classes, and the same again."""

import numpy as np

from pcrep.procedural.shapes import CLASSES, ROOM_CLASSES
from pcrep.procedural.varied_rooms import _by_laser, furnish_varied, room
from tests.pcrep.solids import distance, in_own_frame


def test_classes_of_the_plain_rooms_keep_their_numbers():
    assert ROOM_CLASSES[: len(CLASSES)] == CLASSES
    assert len(set(ROOM_CLASSES)) == len(ROOM_CLASSES)


def test_what_a_laser_sees_is_within_its_noise_of_a_surface():
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        made = furnish_varied(rng)
        coords, far, colour, solid = _by_laser(rng, made, np.array([0, 0, 2.0]))
        assert len(coords) > 10_000 and far.min() > 0.3
        assert colour.min() >= 0 and colour.max() <= 1
        for p in np.unique(solid):
            own = in_own_frame(made.solids, p, coords[solid == p])
            away = distance(made.solids.kind[p], made.solids.size[p], own)
            assert away.max() <= 3 * 0.005 + 1e-9


def test_rooms_are_of_all_classes_and_unlike_each_other():
    clouds = [room(0, index) for index in range(24)]
    seen = set(np.concatenate([np.unique(cloud.label) for cloud in clouds]).tolist())
    assert seen >= set(range(len(ROOM_CLASSES))) - {ROOM_CLASSES.index("screen")}
    counts = [len(cloud) for cloud in clouds]
    assert min(counts) > 3_000 and max(counts) > 4 * min(counts)
    spacing = []
    for cloud in clouds:
        assert cloud.coords[:, 2].min() > -0.1 and cloud.coords[:, 2].max() < 3.6
        assert cloud.colour.min() >= 0 and cloud.colour.max() <= 1
        for i in np.unique(cloud.instance):  # an object has one class
            assert len(np.unique(cloud.label[cloud.instance == i])) == 1
        local = cloud.coords - cloud.coords.min(0)
        spacing.append(len(np.unique((local / 0.1).astype(int), axis=0)) / len(cloud))
    assert max(spacing) > 3 * min(spacing)  # densities


def test_a_room_follows_from_its_seed_and_index():
    first, again = room(3, 2), room(3, 2)
    for name, values in first.arrays().items():
        assert values.tobytes() == again.arrays()[name].tobytes()
    for other in (room(3, 1), room(2, 2)):
        assert other.coords.tobytes() != first.coords.tobytes()
