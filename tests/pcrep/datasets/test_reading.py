"""What labels mean, as a user says it."""

import numpy as np
import pytest

from pcrep.datasets import Reading, labelled_split, load_points, load_scenes
from tspcrep.common.errors import UserError

LABELS = np.array([2, 5, 255, 6, 2, 0, 255])


@pytest.fixture
def scan(tmp_path):
    np.savez(tmp_path / "a.npz", xyz=np.arange(21.0).reshape(7, 3), label=LABELS)
    return tmp_path / "a.npz"


def read(scan, tmp_path, ignore=(), lines=None):
    place = tmp_path / "map.txt"
    if lines is not None:
        place.write_text(lines, encoding="utf-8-sig")
    return load_points(scan, reading=Reading((), ignore, str(place) if lines else None))


def test_labels_that_stand_for_none(scan, tmp_path):
    label = read(scan, tmp_path, (255, 0)).label
    assert label.tolist() == [2, 5, -1, 6, 2, -1, -1]


@pytest.mark.parametrize(
    "lines",
    [
        "2 ground\n5 high vegetation\n6 building\n0 none\n255 -1\n",
        "# of the survey\n2,ground\n5;high vegetation\n6: building\n\n0\tignore\n255 = none\n",
        "ground, ground\nHigh vegetation = high vegetation\nbuilding: building\n0 none\n255 none",
    ],
    ids=["spaces", "marks", "names"],
)
def test_a_map_with_names(scan, tmp_path, lines):
    cloud = read(scan, tmp_path, (), lines)
    assert cloud.label.tolist() == [0, 1, -1, 2, 0, -1, -1]
    reading = Reading(label_map=str(tmp_path / "map.txt"))
    assert load_scenes(scan, None, reading).classes == ("ground", "high vegetation", "building")


def test_a_map_with_numbers_leaves_the_names_to_the_folder(scan, tmp_path):
    cloud = read(scan, tmp_path, (255,), "2 1\n5 0\n6 0\n0 none\n")
    assert cloud.label.tolist() == [1, 0, -1, 0, 1, -1, -1]
    (tmp_path / "classes.txt").write_text("thing\nground\n")
    reading = Reading(ignore=(255,), label_map=str(tmp_path / "map.txt"))
    scenes = load_scenes(scan, None, reading)
    assert scenes.classes == ("thing", "ground") and len(scenes[0]) == 7


def test_codes_of_the_asprs(tmp_path):
    """Of LAS 1.4: 2 ground, 6 building, 9 water, 18 high noise."""
    np.savez(tmp_path / "a.npz", xyz=np.ones((5, 3)), label=np.array([2, 6, 9, 18, 1]))
    reading = Reading(label_map="asprs")
    scenes = load_scenes(tmp_path / "a.npz", None, reading)
    names = [scenes.classes[i] if i >= 0 else None for i in scenes[0].label]
    assert names == ["ground", "building", "water", None, None]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("2 ground\n", "holds the label 0, which .* does not name; add a line"),
        ("2 ground\n5 1\n", "names 1 classes and numbers 1"),
        ("meadow, ground\n", "'meadow, ground', expected a number or an ASPRS name"),
        ("2\n", "'2', expected a number"),
        ("2 none\n", "names 0 classes"),
    ],
)
def test_a_map_that_cannot_be_used(scan, tmp_path, lines, words):
    with pytest.raises(UserError, match=words):
        read(scan, tmp_path, (255,), lines)


def test_a_map_that_is_not_there(scan):
    with pytest.raises(UserError, match=r"--label-map nowhere.txt: cannot be read"):
        load_points(scan, reading=Reading(label_map="nowhere.txt"))


def test_labels_outside_the_classes_are_told_with_what_to_do(tmp_path):
    for part in ("learn", "test"):
        (tmp_path / part).mkdir()
        np.savez(tmp_path / part / "a.npz", xyz=np.ones((2, 3)), label=np.array([0, 255]))
    (tmp_path / "classes.txt").write_bytes("\ufefffloor\r\nwall\r\n".encode())
    split = labelled_split(tmp_path)
    assert split.learn.classes == ("floor", "wall")
    with pytest.raises(
        UserError, match=r"label 255 .*expected 0 \.\. 1.*--ignore 255.*--label-map"
    ):
        split.learn[0]
    split = labelled_split(tmp_path, None, Reading(ignore=(255,)))
    assert split.test[0].label.tolist() == [0, -1]


@pytest.mark.parametrize("far", [0, 5_403_000.25])
@pytest.mark.parametrize("unit", [0.001, 0.3048])
def test_units(tmp_path, unit, far):
    metres = np.random.default_rng(0).uniform(1, 9, (20, 3)) + np.array([0, far, 0])
    np.savez(tmp_path / "a.npz", xyz=metres / unit)
    cloud = load_points(tmp_path / "a.npz", reading=Reading(unit=unit))
    expected = metres - (np.floor(metres.min(0)) if far else 0)
    np.testing.assert_allclose(cloud.coords, expected, atol=1e-5)
    np.testing.assert_allclose(cloud.file_coords(), metres / unit, atol=1e-5 / unit)
    with pytest.raises(UserError, match="unit: found 0, expected metres above 0"):
        Reading(unit=0)


def test_the_first_number_of_each_class_in_a_map(tmp_path):
    def numbers(text):
        (tmp_path / "map").write_text(text)
        return Reading(label_map=str(tmp_path / "map")).numbers

    assert numbers("6 house\n2 ground\n9 ground\n7 none\n") == (6, 2)
    assert numbers("9 1\n4 0\n5 0\n") == (4, 9)
    assert numbers("9 2\n4 0\n") == ()  # nothing is said of class 1
    assert Reading().numbers == ()
    reading = Reading(label_map="asprs")
    names = [name for name in reading.classes if name in ("ground", "building", "snow")]
    assert [reading.numbers[reading.classes.index(n)] for n in names] == [2, 6, 21]
