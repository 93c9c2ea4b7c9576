"""``result.json`` of a run on point clouds: what it holds, and its checked reading."""

from pathlib import Path
from typing import Any, TypedDict

from tspcrep.common.errors import UserError
from tspcrep.common.typed_json import read_json


class Foreground(TypedDict):
    precision: float
    recall: float


class _Scores(TypedDict):
    miou: float
    miou_std: float
    iou: dict[str, float]


class Scores(_Scores, total=False):
    foreground: Foreground


class Head(TypedDict):
    task: str
    data: str
    seeds: list[int]


class _Scored(Head, Scores):
    mode: str
    controls: dict[str, Scores]


class Segmentation(_Scored, total=False):
    """Of ``tools/finetune_segmentation.py``, and of a pretraining on scenes with labels."""

    spread: str
    labelled_scenes: int
    labelled_fraction: float
    instances: dict[str, dict[str, float]]


class Pretraining(Head, total=False):
    """Of a pretraining on scenes without labels: nothing is scored."""

    timing: dict[str, float]


def read_result(folder: Path, task: str) -> dict[str, Any]:
    """``result.json`` of a finished run of a task, ``segmentation`` or ``pretraining``.

    Raises UserError, one line, for a file that is missing, damaged or not such a result.
    """
    path = folder / "result.json"
    result = read_json(path, Pretraining)
    if result["task"] != task:
        raise UserError(f"{path}: found the task {result['task']!r}, expected {task}")
    if task == "segmentation" or result.keys() & {"miou", "iou", "controls"}:
        result = read_json(path, Segmentation)
    if not result["seeds"] or min(result["seeds"]) < 0:
        raise UserError(f"{path}: seeds: found {result['seeds']}, expected at least one, from 0 on")
    return result
