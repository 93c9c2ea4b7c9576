"""A scene is prepared once, in any process, and never read stale or broken."""

import os
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pcrep.cloud import Cloud, Scenes
from pcrep.preparation.cache import preprocessed
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class Settings:
    size: float = 2.0
    calls: str = ""  # a folder that gets a file a call, for calls in other processes


def prepare(cloud, settings):
    if settings.calls:
        with open(f"{settings.calls}/{os.getpid()}", "a") as file:
            file.write(f"{cloud.name}\n")
    segment = np.floor(cloud.coords[:, 0] / settings.size).astype(np.int64)
    return replace(cloud, segment=segment, objectness=np.ones(3, np.float32))


def broken(cloud, settings):
    raise UserError(f"{cloud.name}: cannot be prepared")


def deadly(cloud, settings):
    os._exit(1)


def scenes(count=5, seed=0):
    def read(index):
        rng = np.random.default_rng([seed, index])
        coords = rng.random((20, 3), dtype=np.float32) * 9
        return Cloud(coords=coords, label=np.arange(20), name=f"scene {index}")

    return Scenes("made", tuple(str(i) for i in range(count)), read, ("a", "b"))


def calls(folder):
    return sorted(line for path in folder.iterdir() for line in path.read_text().splitlines())


def same(one, two):
    assert one.name == two.name
    assert one.arrays().keys() == two.arrays().keys()
    for name, values in one.arrays().items():
        np.testing.assert_array_equal(values, two.arrays()[name])
        assert values.dtype == two.arrays()[name].dtype


@pytest.fixture
def counted(tmp_path):
    (tmp_path / "calls").mkdir()
    return Settings(calls=str(tmp_path / "calls"))


def test_each_scene_is_prepared_once(tmp_path, counted):
    made = preprocessed(scenes(), prepare, counted, tmp_path / "kept", workers=1)
    assert len(calls(tmp_path / "calls")) == 5
    assert (made.names, made.classes) == (scenes().names, ("a", "b"))
    for cloud, kept in zip(scenes(), made, strict=True):
        same(kept, prepare(cloud, Settings()))
    again = preprocessed(scenes(7), prepare, counted, tmp_path / "kept", workers=1)
    same(again[4], made[4])
    assert len(calls(tmp_path / "calls")) == 7


def test_other_settings_content_or_code_are_prepared_anew(tmp_path, counted, monkeypatch):
    def kept():
        return len(list((tmp_path / "kept").iterdir()))

    preprocessed(scenes(3), prepare, counted, tmp_path / "kept", workers=1)
    preprocessed(scenes(3), prepare, replace(counted, size=3), tmp_path / "kept", workers=1)
    assert kept() == 6
    coloured = scenes(3).map(lambda c: replace(c, colour=c.coords / 9))
    preprocessed(coloured, prepare, counted, tmp_path / "kept", workers=1)
    preprocessed(scenes(3, seed=1), prepare, counted, tmp_path / "kept", workers=1)
    assert kept() == 12
    monkeypatch.setattr("pcrep.preparation.cache._VERSION", 0)
    preprocessed(scenes(3), prepare, counted, tmp_path / "kept", workers=1)
    assert kept() == 15


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone", "flipped"])
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    made = preprocessed(scenes(1), prepare, Settings(), tmp_path, workers=1)
    path = next(tmp_path.iterdir())
    data = path.read_bytes()
    middle = data.index(np.arange(20).tobytes()) + 8  # in the labels
    path.write_bytes(
        {
            "cut": data[:middle],
            "empty": b"",
            "text": b"no archive",
            "gone": data,
            "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        }[damage]
    )
    if damage == "gone":
        path.unlink()
    same(made[0], prepare(scenes(1)[0], Settings()))
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_fill_one_folder(tmp_path, counted):
    expected = [prepare(cloud, Settings()) for cloud in scenes()]
    failures = []

    def fill():
        try:
            made = preprocessed(scenes(), prepare, counted, tmp_path / "kept", workers=1)
            for cloud, kept in zip(expected, made, strict=True):
                same(kept, cloud)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list((tmp_path / "kept").iterdir())) == 5


def test_processes_do_what_one_does(tmp_path, counted):
    alike = scenes(6).subset([0, 1, 2, 1, 3, 4, 5])
    one = preprocessed(alike, prepare, Settings(), tmp_path / "one", workers=1)
    many = preprocessed(alike, prepare, counted, tmp_path / "many", workers=2)
    for cloud, kept in zip(one, many, strict=True):
        same(kept, cloud)
    assert calls(tmp_path / "calls") == [f"scene {i}" for i in range(6)]
    assert str(os.getpid()) not in os.listdir(tmp_path / "calls")
    # all is there: no process is started
    preprocessed(alike, prepare, counted, tmp_path / "many", workers=2)
    assert len(calls(tmp_path / "calls")) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_scene_that_cannot_be_used(tmp_path, workers):
    with pytest.raises(UserError, match=r"scene \d: cannot be prepared"):
        preprocessed(scenes(1), broken, Settings(), tmp_path, workers=workers)


def test_a_process_that_dies(tmp_path):
    with pytest.raises(UserError, match="made: a process that prepared scenes died"):
        preprocessed(scenes(1), deadly, Settings(), tmp_path, workers=2)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written.*give another folder"):
        preprocessed(scenes(1), prepare, Settings(), tmp_path / "file" / "kept", workers=1)


def test_the_usual_folder_is_in_the_user_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("pcrep.preparation.cache.cache_folder", lambda: tmp_path)
    preprocessed(scenes(1), prepare, Settings(), workers=1)
    assert [path.suffix for path in (tmp_path / "prepared").iterdir()] == [".npz"]
