"""JSON is of the form that is asked for, or one line says where it is not."""

import json
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.damage import OTHERS, damaged
from tspcrep.common.errors import UserError
from tspcrep.common.typed_json import check, read_json


class _Point(TypedDict):
    x: float
    name: str


class Form(_Point, total=False):
    seeds: list[int]
    scores: dict[str, float]
    gpu: str | None


GOOD = {"x": 1, "name": "a", "seeds": [0, 1], "scores": {"b": 0.5}, "gpu": None, "more": [{}]}


def matches(value):
    """Whether a value is of the form, spelt out."""

    def number(x):
        return type(x) in (int, float) and x == x and abs(x) < 2**60

    return (
        type(value) is dict
        and number(value.get("x"))
        and type(value.get("name")) is str
        and type(value.get("seeds", [])) is list
        and all(type(s) is int and number(s) for s in value.get("seeds", []))
        and type(value.get("scores", {})) is dict
        and all(map(number, value.get("scores", {}).values()))
        and type(value.get("gpu", "")) in (str, type(None))
    )


@given(damaged(GOOD) | st.sampled_from([GOOD, *OTHERS]))
def test_what_passes_is_of_the_form(value):
    try:
        check(value, Form, "file")
    except UserError as error:
        assert not matches(value)
        assert str(error).startswith("file") and "\n" not in str(error)
    else:
        assert matches(value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 5000,
        b"null",
        b"[]",
        b'{"x": NaN, "name": ""}',
    ],
    ids=["empty", "half", "bytes", "deep", "long", "null", "list", "nan"],
)
def test_a_damaged_file_is_one_line(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"result\.json") as found:
        read_json(path, Form)
    assert "\n" not in str(found.value) and len(str(found.value)) < 300 + len(str(path))


def test_no_file_says_how_a_stopped_run_goes_on(tmp_path):
    with pytest.raises(UserError, match="--resume"):
        read_json(tmp_path / "result.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        read_json(tmp_path / "folder")


def test_what_is_sound_is_read(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(GOOD))
    assert read_json(path, Form) == GOOD == read_json(path, dict[str, Any]) == read_json(path)
