"""Scenes without end are the same in any process and order."""

import itertools

import pytest
from torch.utils.data import DataLoader

from pcrep.procedural.endless import KINDS, Endless
from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError


def digest(cloud):
    return fingerprint(*itertools.chain(*cloud.arrays().items()))


def digests(clouds):
    return [(cloud.name, digest(cloud)) for cloud in clouds]


def test_scenes_are_equal_in_any_worker_and_order():
    order = [7, 123_456, 2]
    for kind in KINDS:
        here = dict(digests(Endless(kind, 200_000, seed=4)[i] for i in sorted(order)))
        loader = DataLoader(
            Endless(kind, 200_000, seed=4),
            batch_size=1,
            sampler=order,
            num_workers=2,
            collate_fn=digests,
            multiprocessing_context="spawn",
        )
        found = [batch[0] for batch in loader]
        assert [name for name, _ in found] == [f"{kind}-4-{index}" for index in order]
        assert dict(found) == here and len(set(here.values())) == 3


def test_labels_are_within_the_classes_and_the_number_of_scenes_changes_nothing():
    for kind in KINDS:
        short, long = Endless(kind, 2), Endless(kind, 10**9)
        assert (len(short), len(long)) == (2, 10**9)
        assert digest(short[1]) == digest(long[1])
        assert short[1].label.min() >= 0 and short[1].label.max() < len(short.classes)
        with pytest.raises(IndexError):
            short[2]
        assert short.fingerprint() == Endless(kind, 2).fingerprint()
        assert short.fingerprint() != Endless(kind, 2, seed=1).fingerprint()


def test_as_labelled_scenes_they_are_the_same():
    made = Endless("street", 2, seed=3)
    scenes = made.scenes()
    assert scenes.classes == made.classes and [c.name for c in scenes] == list(scenes.names)
    assert digest(scenes[1]) == digest(made[1])


@pytest.mark.parametrize(("kind", "size"), [("caves", 3), ("rooms", 0)])
def test_wrong_kinds_and_sizes_are_told(kind, size):
    with pytest.raises(
        UserError, match="expected one of procedural, rooms, aerial, street and at least 1"
    ):
        Endless(kind, size)
