"""``result.json`` at the top of a run folder: what every one holds, and its checked reading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from tspcrep.common.errors import UserError
from tspcrep.common.typed_json import check, read_json


class Head(TypedDict):
    """What the result of every task holds."""

    task: str
    data: str
    seeds: list[int]


def read_result(folder: Path, forms: Mapping[str, Any]) -> dict[str, Any]:
    """``result.json`` of a finished run of one of the tasks that ``forms`` names.

    forms : what the result of each task must be, a TypedDict with the fields of :class:`Head`.

    Raises UserError, one line, for a file that is missing, damaged or of another task, and for
    seeds that are none.
    """
    path = folder / "result.json"
    result: dict[str, Any] = read_json(path, Head)
    task, seeds = result["task"], result["seeds"]
    if task not in forms:
        raise UserError(f"{path}: found the task {task!r}, expected {' or '.join(forms)}")
    check(result, forms[task], str(path))
    if not seeds or min(seeds) < 0:
        raise UserError(f"{path}: seeds: found {seeds}, expected at least one, from 0 on")
    return result
