"""Checkpoints: a killed and resumed run has the bits of one never killed; what is refused."""

import copy
import io
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.common.toys import (
    Plain,
    Rows,
    Toy,
    assert_equal_bits,
    assert_same_run,
    outcome,
    settings_of,
    torchrun,
)
from tests.nested import parent_of, places
from tspcrep.common import loop, runs
from tspcrep.common.errors import UserError
from tspcrep.common.training import fit


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The run that nobody killed: its folder's outcome and its weights."""
    folder = tmp_path_factory.mktemp("unbroken")
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=folder)
    return *outcome(folder), copy.deepcopy(method.state_dict())


def test_without_a_folder_the_same_weights_and_no_file(tmp_path, monkeypatch, unbroken):
    monkeypatch.chdir(tmp_path)
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=None, resume=True)
    assert_equal_bits(method.state_dict(), unbroken[2])
    assert list(tmp_path.iterdir()) == []


# --- a killed run -------------------------------------------------------------------------------


# Batches are asked for one at a time: batch k is the first that the killed run does not get. A
# checkpoint is written after every third, an epoch ends after every fifth.
@pytest.mark.parametrize("stop_at", [0, 2, 3, 4, 5, 6, 9, 10, 14, 15, 19])
def test_killed_and_resumed_is_the_run_never_killed(tmp_path, unbroken, stop_at):
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(), Rows(stop_at), settings_of(), seed=5, folder=tmp_path)
    torch.rand(stop_at)  # other users of the global random numbers do not matter
    method = Toy()
    with torch.no_grad():
        method.encoder[0].weight.add_(1 if stop_at >= 3 else 0)  # the checkpoint decides
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path, resume=True)
    assert_same_run(tmp_path, method, unbroken)


def test_killed_again_and_again(tmp_path, unbroken):
    stops = 0
    for _ in range(20):
        method = Toy()
        try:
            fit(method, Rows(4), settings_of(), seed=5, folder=tmp_path, resume=True)
        except KeyboardInterrupt:
            stops += 1
        else:
            break
    assert stops == 6  # 3 of every 4 steps outlive a kill
    assert_same_run(tmp_path, method, unbroken)


def test_resuming_a_finished_run_takes_no_step(tmp_path, unbroken):
    fit(Toy(), Rows(), settings_of(), seed=5, folder=tmp_path)
    method, rows = Toy(), Rows()
    fit(method, rows, settings_of(), seed=5, folder=tmp_path, resume=True)
    assert rows.seen == [] and method.calls == []
    assert_same_run(tmp_path, method, unbroken)


def test_a_lost_metrics_file_is_begun_anew(tmp_path):
    """A power failure may lose lines that were not flushed; they are not filled up with zeros."""
    fit(Toy(), Rows(), settings_of(max_steps=6), seed=5, folder=tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    fit(Toy(), Rows(), settings_of(), seed=5, folder=tmp_path, resume=True)
    assert [line["step"] for line in outcome(tmp_path)[1]] == [10, 15, 20]


def test_without_resume_an_old_checkpoint_is_not_read(tmp_path, unbroken):
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(), Rows(9), settings_of(), seed=6, folder=tmp_path)
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path)
    assert_same_run(tmp_path, method, unbroken)


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_failed_checkpoint_write_leaves_the_old_one_whole(
    tmp_path, monkeypatch, unbroken, moment, nth
):
    """The disk fills, or the power fails, while the nth checkpoint is written."""
    whole, calls = [], []

    def failing(original):
        def call(*arguments, **keywords):
            calls.append(1)
            if len(calls) == nth:
                if moment == "write":  # half of the bytes arrive
                    arguments[1].write(b"PK\x03\x04 half a checkpoint")
                raise KeyboardInterrupt
            result = original(*arguments, **keywords)
            if moment != "fsync":
                whole.append(1)
            return result

        return call

    owner, name = {
        "write": (torch, "save"),
        "fsync": (os, "fsync"),
        "replace": (os, "replace"),
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            fit(Toy(), Rows(), settings_of(), seed=5, folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["metrics.jsonl"] + ["checkpoint.pt"] * (nth > 1)
    )
    if nth > 1:
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3 * (nth - 1)
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path, resume=True)
    assert_same_run(tmp_path, method, unbroken)


SIGKILLED = """
import os, signal, sys
import torch
from tspcrep.common.training import fit
from tests.common.toys import Rows, Toy, settings_of

fsync, written = os.fsync, []

def kill_inside_the_third_write(handle):
    written.append(1)
    if len(written) == 3:
        os.ftruncate(handle, 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

os.fsync = kill_inside_the_third_write
fit(Toy(), Rows(), settings_of(), seed=5, folder=sys.argv[1])
"""


def test_sigkill_inside_a_checkpoint_write(tmp_path, unbroken):
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SIGKILLED, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 3 and {"checkpoint.pt", "metrics.jsonl"} < left  # and half a checkpoint
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path, resume=True)
    assert_same_run(tmp_path, method, unbroken)


def test_one_checkpoint_a_write(tmp_path, monkeypatch):
    """Every ``checkpoint_every`` steps and once at the end, never twice for the same step."""
    steps = []
    original = runs.write_atomically

    def counted(path, write):
        original(path, write)
        steps.append(torch.load(path, weights_only=True)["step"])

    monkeypatch.setattr(loop, "write_atomically", counted)
    for max_steps in (9, 10):
        fit(Toy(), Rows(), settings_of(max_steps=max_steps), seed=0, folder=tmp_path)
    assert steps == [3, 6, 9, 3, 6, 9, 10]


# --- what is refused ----------------------------------------------------------------------------


def assert_refused(folder, method, *words):
    """One line that names the file; the model in hand stays as it was."""
    before = copy.deepcopy(method.state_dict())
    with pytest.raises(UserError) as caught:
        fit(method, Rows(), settings_of(), seed=5, folder=folder, resume=True)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(folder / "checkpoint.pt"))
    assert all(word in message for word in words)
    assert_equal_bits(method.state_dict(), before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    fit(Toy(), Rows(), settings_of(max_steps=4), seed=5, folder=folder)
    return (folder / "checkpoint.pt").read_bytes()


@pytest.mark.parametrize("share", [0, 0.0005, 0.01, 0.3, 0.7, 0.99, 0.9999])
def test_a_truncated_checkpoint(tmp_path, checkpoint, share):
    (tmp_path / "checkpoint.pt").write_bytes(checkpoint[: int(share * len(checkpoint))])
    assert_refused(tmp_path, Toy(), "truncated")


@pytest.mark.parametrize("content", [b"", b"hello, world\n", b"\x80", b"\x80\x02.", b"0" * 5000])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert_refused(tmp_path, Toy(), "truncated, or not a checkpoint")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1, 2],
        torch.zeros(3),
        {"step": 1, "metrics_size": 0, "epoch_values": {}},
        {"step": 1, "metrics_size": 0, "epoch_values": {}, "method": {}},
    ],
    ids=["empty", "list", "tensor", "no weights", "no optimisers"],
)
def test_a_torch_file_that_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    assert_refused(tmp_path, Toy(), "not a checkpoint")


ODD = (None, True, -1, 2**70, float("nan"), "x", {"a": [1]}, torch.zeros(3), [[1], [1, 2]])


def test_each_part_of_a_checkpoint(tmp_path, checkpoint):
    """Of a value that cannot be: one line, or a run to its end; nothing in between."""
    wrong, refused = [], 0
    whole = torch.load(io.BytesIO(checkpoint), weights_only=True)
    for place in places({part: whole[part] for part in whole if part != "run"} | {"run": None}):
        for value in ODD:
            state = torch.load(io.BytesIO(checkpoint), weights_only=True)
            parent_of(state, place)[place[-1]] = value
            torch.save(state, tmp_path / "checkpoint.pt")
            try:
                fit(Toy(), Rows(), settings_of(max_steps=6), seed=5, folder=tmp_path, resume=True)
            except UserError as error:
                refused += 1
                if "\n" in str(error) or str(tmp_path / "checkpoint.pt") not in str(error):
                    wrong.append((place, value, str(error)))
            except Exception as error:
                wrong.append((place, value, repr(error)))
    assert not wrong, "\n".join(map(str, wrong))
    assert refused > 100


@pytest.mark.parametrize("moment", ["step", "exp_avg", "exp_avg_sq"])
def test_a_checkpoint_without_a_moment(tmp_path, checkpoint, moment):
    state = torch.load(io.BytesIO(checkpoint), weights_only=True)
    moments = next(iter(state["optimizers"].values()))["state"][0]
    moments["another"] = moments.pop(moment)
    torch.save(state, tmp_path / "checkpoint.pt")
    assert_refused(tmp_path, Toy(), "of another optimiser", "another")


def test_a_checkpoint_of_another_model(tmp_path):
    fit(Toy(width=5), Rows(), settings_of(max_steps=1), seed=5, folder=tmp_path)
    assert_refused(tmp_path, Toy(), "another model", "0.bias is (5,), expected (4,)")


def test_a_checkpoint_of_other_phases(tmp_path):
    class Single(Toy):
        def phases(self):
            return super().phases()[1:]

    fit(Single(), Rows(), settings_of(max_steps=1), seed=5, folder=tmp_path)
    assert_refused(tmp_path, Toy(), "another model", "['encoder']", "['encoder', 'helper']")


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_checkpoint_runs_no_code(tmp_path, form):
    payload = {"step": Payload(tmp_path / "owned"), "metrics_size": 0, "epoch_values": {}}
    if form == "torch":
        torch.save(payload, tmp_path / "checkpoint.pt")
    else:
        (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(payload, protocol=2))
    assert_refused(tmp_path, Toy(), "not a checkpoint")
    assert not (tmp_path / "owned").exists()


# --- of another run -----------------------------------------------------------------------------


class Named(Rows):
    """States what it holds."""

    def fingerprint(self):
        return f"{self.table.sum():.3f}"


def killed(folder):
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(), Named(stop_at=9), settings_of(), seed=5, folder=folder)


def refused(folder, data=None, seed=5, **changes):
    """The one line, less the file's name."""
    with pytest.raises(UserError) as caught:
        fit(Toy(), data or Named(), settings_of(**changes), seed, folder, resume=True)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("delete the file to train this seed again")
    return message.removeprefix(str(folder / "checkpoint.pt"))


def test_another_run_is_refused(tmp_path):
    killed(tmp_path)
    assert ": of a run with samples = 20, found 21; " in refused(tmp_path, Named(rows=21))
    assert ": of a run with batch_size x processes = 4, found 2; " in refused(
        tmp_path, batch_size=2
    )
    assert ": of a run with accumulate = 1, found 5; " in refused(tmp_path, accumulate=5)
    assert ": of a run with drop_last = False, found True; " in refused(tmp_path, drop_last=True)
    assert ": of a run with seed = 5, found 6; " in refused(tmp_path, seed=6)
    other = Named()
    other.table[3] += 1
    told = f"data = {Named().fingerprint()}, found {other.fingerprint()}; "
    assert told in refused(tmp_path, other)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["run"]["processes"] = 2
    torch.save(state, tmp_path / "checkpoint.pt")
    assert ": of a run with batch_size x processes = 8, found 4; " in refused(tmp_path)


def test_what_changes_no_number_may_change(tmp_path):
    unbroken = Toy()
    fit(unbroken, Named(), settings_of(), seed=5, folder=None)
    killed(tmp_path)
    method = Toy()
    changed = settings_of(workers=1, checkpoint_every=7)
    fit(method, Named(), changed, seed=5, folder=tmp_path, resume=True)
    assert_equal_bits(method.state_dict(), unbroken.state_dict())


@pytest.mark.parametrize("stated", [None, {}, {"data": None}])
def test_what_a_checkpoint_does_not_state_is_not_compared(tmp_path, unbroken, stated):
    """As written before the statement was, or before the data had a fingerprint."""
    killed(tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["run"] = stated
    if stated is None:
        del state["run"]
    torch.save(state, tmp_path / "checkpoint.pt")
    method = Toy()
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path, resume=True)
    assert_same_run(tmp_path, method, unbroken)


RESUMED = """
import sys
from tests.common.toys import Plain, Rows, settings_of
from tspcrep.common.errors import UserError
from tspcrep.common.training import fit

try:
    size = int(sys.argv[2])
    fit(Plain(), Rows(), settings_of(batch_size=size), seed=5, folder=sys.argv[1], resume=True)
except UserError as error:
    print(error)
"""


@pytest.mark.distributed
def test_a_run_of_one_process_goes_on_with_two_of_half_the_batch(tmp_path):
    unbroken = Plain()
    fit(unbroken, Rows(), settings_of(), seed=5, folder=None)
    with pytest.raises(KeyboardInterrupt):
        fit(Plain(), Rows(9), settings_of(), seed=5, folder=tmp_path)
    done = torchrun(RESUMED, tmp_path, tmp_path, 4)
    assert done.returncode == 0, done.stderr[-3000:]
    told = "checkpoint.pt: of a run with batch_size x processes = 4, found 8; "
    assert done.stdout.count(told) == 2
    done = torchrun(RESUMED, tmp_path, tmp_path, 2)
    assert done.returncode == 0 and not done.stdout, done.stderr[-3000:]
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 20
    torch.testing.assert_close(state["method"], unbroken.state_dict(), atol=1e-6, rtol=1e-5)
