"""What a cloud and scenes promise."""

import numpy as np
import pytest

from pcrep.cloud import Cloud, Scenes


def cloud(count=6):
    rng = np.random.default_rng(0)
    return Cloud(
        coords=rng.normal(size=(count, 3)).astype(np.float32),
        colour=rng.random((count, 3), dtype=np.float32),
        label=np.arange(count),
        segment=np.arange(count) // 2,
        objectness=np.array([0.5, 1, 0], np.float32),
        name="here",
    )


@pytest.mark.parametrize(
    "rows", [np.array([4, 0, 4]), np.array([True, False, True, False, False, True])]
)
def test_take(rows):
    whole, taken = cloud(), cloud().take(rows)
    assert len(taken) == 3
    for name in ("coords", "colour", "label", "segment"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(whole, name)[rows])
    assert taken.objectness is not None
    assert len(taken.objectness) == 3  # of segments, not of points
    assert (taken.normal, taken.name) == (None, "here")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"coords": np.ones((3, 2))}, r"shape \(3, 2\)"),
        ({"coords": np.ones((0, 3))}, r"N > 0"),
        ({"coords": np.ones((3, 3)), "label": np.ones(2)}, "label has 2 rows, expected 3"),
    ],
    ids=["flat", "empty", "short"],
)
def test_shapes_are_checked(arrays, message):
    with pytest.raises(ValueError, match=message):
        Cloud(**arrays)


def test_scenes_are_read_when_asked_for():
    read = []

    def one(index):
        read.append(index)
        return Cloud(coords=np.full((1, 3), index, np.float32), name=f"scene {index}")

    scenes = Scenes("made", tuple("abcd"), one, classes=("x",))
    chosen = scenes.subset([3, 1]).map(lambda c: c.take(np.array([0, 0])))
    assert (chosen.names, chosen.classes, len(chosen)) == (("d", "b"), ("x",), 2)
    assert read == []
    assert [c.coords[0, 0] for c in chosen] == [3, 1]
    assert len(chosen[0]) == 2
    assert read == [3, 1, 3]
    assert chosen.subset([1])[0].name == "scene 1"
    for index in (-1, 2):
        with pytest.raises(IndexError, match="which has 2"):
            chosen[index]
