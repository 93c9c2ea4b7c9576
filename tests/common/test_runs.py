"""The run folder: files appear whole or not at all, nothing is overwritten, resuming is honest."""

import errno
import json
import os
import platform
import stat
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common import config as configuration
from tspcrep.common import runs
from tspcrep.common.errors import UserError
from tspcrep.common.runs import (
    Run,
    environment,
    tool_of,
    write_atomically,
    write_json,
    write_text,
)


@dataclass(frozen=True)
class Inner:
    epochs: int = 3
    rate: float = 0.1
    device: str = "auto"
    batch_size: int = 8


@dataclass(frozen=True)
class Config:
    data: str = "ETTh1"
    output: Path = Path("runs/one")
    resume: bool = False
    device: str = "auto"
    data_root: Path | None = None
    seeds: tuple[int, ...] = (0, 1)
    window: int | None = None
    training: Inner = field(default_factory=Inner)


# --- atomic writes ------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(old=st.none() | st.binary(max_size=50), new=st.binary(max_size=200))
def test_a_write_replaces_the_whole_file(tmp_path_factory, old, new):
    path = tmp_path_factory.mktemp("write") / "deep" / "er" / "file.bin"
    if old is not None:
        write_atomically(path, lambda file: file.write(old))
    write_atomically(path, lambda file: file.write(new))
    assert path.read_bytes() == new
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failed_write_changes_nothing(tmp_path, monkeypatch, error, moment, old):
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)

    def fail(*_):
        raise error

    def write(file):
        file.write(b"half of the new")
        if moment == "write":
            fail()

    with monkeypatch.context() as patch:
        if moment != "write":
            patch.setattr(os, moment, fail)
        with pytest.raises(UserError if isinstance(error, OSError) else type(error)):
            write_atomically(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["file.bin"])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_what_cannot_be_written_is_one_line(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written: ") as caught:
        write_text(tmp_path / name, "text")
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"cannot be written|exists and holds no run"):
        Run("tests", Config(output=tmp_path / name)).start()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_longest_name_can_be_written(tmp_path):
    write_text(tmp_path / ("x" * 255), "text")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_full_disk_keeps_the_last_good_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def full(file):
        file.write(b"new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="No space left on device; the file before it is kept"):
        write_atomically(path, full)
    assert path.read_text() == "old"


@pytest.mark.parametrize("leftover", [None, "seed-0/.checkpoint.pt.abc.part", "seed-0/deep/er/"])
def test_own_leftovers_are_no_run_and_are_swept(tmp_path, leftover):
    (tmp_path / ".config.toml.abc.part").write_text("half")
    if leftover is not None:
        (tmp_path / leftover).parent.mkdir(parents=True)
        if leftover.endswith(".part"):
            (tmp_path / leftover).write_text("half")
    Run("tests", Config(output=tmp_path)).start()
    files = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["config.toml", "env.json"]


@pytest.mark.parametrize(
    "name", ["seed-0/result.json", "film.part", "seed-0/deep/.hidden", ".part/x"]
)
def test_what_is_not_ours_is_no_leftover(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("precious")
    assert_refused(tmp_path, Config(), "holds no run")


def test_a_link_is_no_leftover(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(tmp_path)
    assert_refused(tmp_path / "run", Config(), "holds no run")


@pytest.mark.parametrize("seeds", [(), (0, 0), (-1,), (0, 2**32)])
def test_seeds_that_cannot_be_run(tmp_path, seeds):
    with pytest.raises(UserError, match=r"seeds: found .*, expected at least one, each from 0 to"):
        Run("tests", Config(output=tmp_path / "run", seeds=seeds))


def test_bytes_are_on_disk_before_the_name_moves(tmp_path, monkeypatch):
    """Rename before fsync would leave an empty file after a power failure."""
    order = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, original=original: (order.append(name), original(*a))
        )
    write_text(tmp_path / "a.txt", "déjà vu\n")
    assert order == ["fsync", "replace"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "déjà vu\n"


def test_json_round_trip(tmp_path):
    value = {"task": "forecasting", "horizons": {"24": {"mse": 0.25}}, "seeds": [0, 1], "no": None}
    write_json(tmp_path / "result.json", value)
    text = (tmp_path / "result.json").read_text()
    assert json.loads(text) == value and text.endswith("}\n")


# --- the folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["absent", "nested", "empty"])
def test_a_new_run(tmp_path, there):
    output = tmp_path / ("a/b/run" if there == "nested" else "run")
    if there == "empty":
        output.mkdir()
    config = Config(output=output, window=7)
    Run("tool", config).start()
    assert configuration.load(Config, output / "config.toml") == config
    env = json.loads((output / "env.json").read_text())
    assert env["python"] == platform.python_version() and env["cpus"] == os.cpu_count()
    assert env["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert sorted(p.name for p in output.iterdir()) == ["config.toml", "env.json"]


def test_environment_names_the_commit_of_the_code():
    root = Path(runs.__file__).parent
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    assert environment()["commit"] == (found or None)


def started(output):
    run = Run("tool", Config(output=output))
    run.start()
    return run


def assert_refused(output, config, *words, resume=False):
    before = {p: p.read_bytes() for p in sorted(Path(output).rglob("*")) if p.is_file()}
    with pytest.raises(UserError) as caught:
        Run("tool", replace(config, output=Path(output), resume=resume))
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(output))
    assert all(word in message for word in words), message
    after = {p: p.read_bytes() for p in sorted(Path(output).rglob("*")) if p.is_file()}
    assert before == after


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("precious")
    assert_refused(tmp_path, Config(), "holds no run", "--output", resume=resume)


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_place_of_the_folder(tmp_path, resume):
    path = tmp_path / "run"
    path.write_text("a file")
    assert_refused(path, Config(), "--output", resume=resume)
    assert path.read_text() == "a file"


def test_a_run_is_not_overwritten(tmp_path):
    started(tmp_path)
    assert_refused(tmp_path, Config(), "already holds a run", "--resume", "--output")


def test_resume_where_nothing_is_starts(tmp_path):
    run = Run("tool", Config(output=tmp_path / "new", resume=True))
    assert not (tmp_path / "new").exists()
    assert run.start() == [0, 1]
    assert (tmp_path / "new" / "config.toml").exists()


def test_resume_with_the_same_configuration(tmp_path):
    started(tmp_path)
    again = Run("tool", Config(output=tmp_path, resume=True))
    assert again.start() == [0, 1] and tool_of(tmp_path) == "tool"


def test_resume_on_other_numbers_of_processes(tmp_path, monkeypatch):
    """The batch of all processes together stays what it was when the run began."""

    def resumed(processes, batch_size):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        training = Inner(batch_size=batch_size)
        return Run("tool", Config(output=tmp_path, resume=True, training=training))

    monkeypatch.setenv("WORLD_SIZE", "2")
    Run("tool", Config(output=tmp_path)).start()
    for processes, batch_size in ((4, 4), (1, 16), (2, 8)):
        resumed(processes, batch_size).start()
    told = r"had training.batch_size x processes = 16, found 8"
    for processes, batch_size in ((1, 8), (4, 2)):
        with pytest.raises(UserError, match=told):
            resumed(processes, batch_size)
    with pytest.raises(UserError, match=r"had training.batch_size = 8, found 16"):
        resumed(2, 16)


def test_resume_with_another_tool(tmp_path):
    started(tmp_path)
    with pytest.raises(UserError, match="holds a run of tool, expected one of other"):
        Run("other", Config(output=tmp_path, resume=True))


@pytest.mark.parametrize("env", ["{}", None, "[]", "{"])
def test_a_folder_that_names_no_tool_resumes(tmp_path, env):
    """As version 0.1 wrote it, or with a damaged note."""
    started(tmp_path)
    path = tmp_path / "env.json"
    path.unlink() if env is None else path.write_text(env)
    assert tool_of(tmp_path) is None
    Run("other", Config(output=tmp_path, resume=True)).start()
    assert tool_of(tmp_path) == "other"


@pytest.mark.parametrize("resume", [False, True])
def test_no_seeds(tmp_path, resume):
    with pytest.raises(UserError, match="seeds: found none"):
        Run("tool", Config(output=tmp_path / "run", seeds=(), resume=resume))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("resume", True), ("output", Path(".")), ("device", "cpu"), ("data_root", Path("/x"))],
)
def test_what_may_change_on_resume(tmp_path, name, value):
    first = started(tmp_path).config
    now = replace(first, resume=True, **{} if name == "resume" else {name: value})
    if name == "output":  # the folder was moved
        (tmp_path / "config.toml").rename(tmp_path / value / "config.toml")
        now = replace(now, output=tmp_path / value)
    Run("tool", now).start()
    assert configuration.load(Config, now.output / "config.toml") == first  # the first one stays


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "ETTh2"}, ("data = ETTh1", "found ETTh2")),
        ({"seeds": (0, 2)}, ("seeds = [0, 1]", "found [0, 2]")),
        ({"window": 5}, ("window = None", "found 5")),
        ({"training": Inner(epochs=4)}, ("training.epochs = 3", "found 4")),
        ({"training": Inner(rate=0.2), "device": "cpu"}, ("training.rate = 0.1", "found 0.2")),
    ],
)
def test_resume_with_another_configuration_names_the_field(tmp_path, changes, words):
    started(tmp_path)
    config = replace(Config(), **changes)
    assert_refused(tmp_path, config, *words, "--output", resume=True)


def test_the_device_may_change_inside_a_section(tmp_path):
    """``training.device`` is where a tool has it."""
    config = started(tmp_path).config
    Run("tool", replace(config, training=Inner(device="cuda"), resume=True)).start()
    assert_refused(
        tmp_path,
        Config(training=Inner(device="cuda", epochs=4)),
        "training.epochs = 3, found 4",
        resume=True,
    )


def test_resume_of_a_damaged_configuration(tmp_path):
    (tmp_path / "config.toml").write_text("data = [")
    with pytest.raises(UserError, match="not a TOML file") as caught:
        Run("tool", Config(output=tmp_path, resume=True))
    assert str(tmp_path / "config.toml") in str(caught.value)


# --- results ------------------------------------------------------------------------------------


def test_seeds_are_finished_by_their_result(tmp_path):
    run = Run("tool", Config(output=tmp_path, seeds=(0, 1, 2)))
    assert run.seed_folder(3) == tmp_path / "seed-3"
    assert run.start() == [0, 1, 2]
    run.add(1, {"mse": 0.5})
    (run.seed_folder(0)).mkdir()
    (run.seed_folder(0) / "checkpoint.pt").write_bytes(b"")  # begun, not finished
    again = Run("tool", Config(output=tmp_path, seeds=(0, 1, 2), resume=True))
    assert again.start() == [0, 2]
    again.add(0, {"mse": 0.25})
    again.add(2, {"mse": 0.75})
    assert again.start() == []
    assert [result["mse"] for result in again.results()] == [0.25, 0.5, 0.75]


def test_a_finished_run_has_the_files_of_one_seed_and_the_result(tmp_path):
    run = started(tmp_path)
    for seed in (0, 1):
        run.add(seed, {"mse": seed})
        write_text(run.seed_folder(seed) / "weights", f"of {seed}")
    run.finish({"mse": 0.5}, 1, "weights", "absent")
    assert (tmp_path / "weights").read_text() == "of 1" and not (tmp_path / "absent").exists()
    assert json.loads((tmp_path / "result.json").read_text()) == {"mse": 0.5}


def test_a_follower_checks_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = Run("tool", Config(output=tmp_path / "run"))
    assert run.start() == [0, 1]
    run.add(0, {"mse": 0.5})
    assert not (tmp_path / "run").exists()
