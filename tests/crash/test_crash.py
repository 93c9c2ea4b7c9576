"""Runs that are killed within a write, and resumed, against one that was not; ``make crash``."""

import pytest

from tests.crash.killing import TRAININGS, differs, outcome, run

NAME = "series"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody killed: its data, its moments and what it left."""
    folder = tmp_path_factory.mktemp("whole")
    data = TRAININGS[NAME].data(folder)
    status, moments = run(NAME, data, folder / "run")
    assert status == 0
    return data, moments, outcome(NAME, folder / "run")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["config.toml", "amid", "the last write"])
def test_a_killed_run_goes_on_to_the_same_bits(whole, tmp_path, share):
    data, moments, expected = whole
    at = 1 + round(share * (moments - 1))
    status, _ = run(NAME, data, tmp_path / "run", kill_at=at)
    assert status == -9
    status, _ = run(NAME, data, tmp_path / "run")
    assert status == 0
    assert differs(outcome(NAME, tmp_path / "run"), expected) == ""
    assert not list(tmp_path.rglob("*.part"))
