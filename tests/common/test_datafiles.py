"""Where the files of named sets are looked for."""

import pytest

from tspcrep.common import datafiles
from tspcrep.common.errors import UserError


def _without_home(monkeypatch):
    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    _without_home(monkeypatch)
    with pytest.raises(UserError, match=r"no home directory .* set XDG_CACHE_HOME to a folder"):
        datafiles.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert datafiles.cache_folder() == tmp_path / "tspcrep"


def test_no_home_is_needed_where_the_data_are_given(monkeypatch, tmp_path):
    _without_home(monkeypatch)
    monkeypatch.delenv("TSPCREP_DATA", raising=False)
    (tmp_path / "set.csv").write_text("a")
    assert datafiles.find("set", "set.csv", "series", tmp_path, "") == tmp_path / "set.csv"
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        datafiles.find("other", "other.csv", "series", tmp_path, "")
