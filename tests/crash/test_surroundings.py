"""Trainings without a home, a locale, a stdout, a cache or space on the disk."""

import pytest

from tests.crash.killing import TRAININGS, differs, outcome
from tests.crash.surroundings import (
    FullAfter,
    bare,
    run_in,
    unwritable_cache,
    usual,
)
from tests.tools.running import is_one_line


@pytest.fixture(scope="module", params=TRAININGS)
def whole(request, tmp_path_factory):
    """A kind of training, its data and what it leaves in usual surroundings."""
    folder = tmp_path_factory.mktemp("whole")
    data = TRAININGS[request.param].data(folder)
    assert run_in(request.param, data, folder / "run", usual) == (0, "")
    return request.param, data, outcome(request.param, folder / "run")


def test_it_runs_as_usual(whole, tmp_path):
    name, data, expected = whole
    assert run_in(name, data, tmp_path / "über-run", bare) == (0, "")
    assert differs(outcome(name, tmp_path / "über-run"), expected) == ""


@pytest.mark.parametrize("size", [100, 8_000])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(whole, tmp_path, size):
    name, data, expected = whole
    status, stderr = run_in(name, data, tmp_path / "run", FullAfter(size))
    if status:
        is_one_line(status, stderr, "cannot be written", "File too large")
    assert status
    assert not list((tmp_path / "run").rglob("*.part"))
    assert run_in(name, data, tmp_path / "run", usual) == (0, "")
    assert differs(outcome(name, tmp_path / "run"), expected) == ""


def test_a_cache_that_cannot_be_written_is_no_end(whole, tmp_path):
    name, data, expected = whole
    status, stderr = run_in(name, data, tmp_path / "run", unwritable_cache)
    if status:  # where the cache is needed
        is_one_line(status, stderr, "cannot be written")
    else:
        assert differs(outcome(name, tmp_path / "run"), expected) == ""
