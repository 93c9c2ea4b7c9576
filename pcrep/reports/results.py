"""``result.json`` of a run on point clouds: what it holds, and its checked reading."""

from pathlib import Path
from typing import Any, TypedDict

from tspcrep.common import results
from tspcrep.common.results import Head
from tspcrep.common.typed_json import check


class Foreground(TypedDict):
    precision: float
    recall: float


class _Scores(TypedDict):
    miou: float
    miou_std: float
    iou: dict[str, float]


class Scores(_Scores, total=False):
    foreground: Foreground


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


_FORMS = {"segmentation": Segmentation, "pretraining": Pretraining}
_SCORES = {"miou", "iou", "controls"}
"""One of them in the result of a pretraining tells that its scenes had labels."""


def read_result(folder: Path, task: str) -> dict[str, Any]:
    """``result.json`` of a finished run of a task, ``segmentation`` or ``pretraining``.

    Raises UserError, one line, for a file that is missing, damaged or not such a result.
    """
    result = results.read_result(folder, {task: _FORMS[task]})
    if result.keys() & _SCORES:
        check(result, Segmentation, str(folder / "result.json"))
    return result
