"""``result.json`` of a run on series: what it holds, and its checked reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from tspcrep.common import results
from tspcrep.common.errors import UserError
from tspcrep.common.results import Head


class Errors(TypedDict):
    mse: float
    mae: float


class Average(Errors, total=False):
    mse_std: float


class Scores(TypedDict):
    horizons: dict[str, Errors]
    average: Average


class Control(Scores, total=False):
    probe: Scores


class Choice(TypedDict):
    errors: dict[str, float]
    shares: dict[str, float]


class _Timed(Head):
    timing: dict[str, float]


class _Forecasting(_Timed, Scores):
    mode: str
    controls: dict[str, Control]


class Forecasting(_Forecasting, total=False):
    """Of a pretrained encoder (:func:`tsrep.evaluation.forecasts.summary`) or of a forecaster."""

    probe: Scores
    coverage: dict[str, float]
    width: dict[str, float]
    crps: dict[str, float]
    choices: dict[str, Choice]


class Accuracy(TypedDict):
    svm: float
    linear: float


class _Spreads(Accuracy, total=False):
    svm_std: float
    linear_std: float


class Classification(_Timed):
    accuracy: _Spreads
    controls: dict[str, _Spreads]


_FORMS = {"forecasting": Forecasting, "classification": Classification}


def read_result(folder: Path, *tasks: str) -> dict[str, Any]:
    """``result.json`` of a finished run of one of ``tasks``.

    Raises UserError, one line, for a file that is missing, damaged or not such a result.
    """
    result = results.read_result(folder, {task: _FORMS[task] for task in tasks if task in _FORMS})
    if result["task"] == "forecasting":
        _check_horizons(result, folder / "result.json")
    return result


def _check_horizons(result: dict[str, Any], path: Path) -> None:
    """All systems were tested on the same horizons, and an untrained encoder beside a probe."""
    expected = result["horizons"].keys()
    if not expected or not all(name.isdecimal() and int(name) for name in expected):
        raise UserError(f"{path}: horizons: found {list(expected)}, expected numbers of steps")
    for name, scores in _systems(result):
        if scores["horizons"].keys() != expected:
            raise UserError(
                f"{path}: {name}: found the horizons {', '.join(scores['horizons']) or 'none'}, "
                f"expected {', '.join(expected)}"
            )
    if "probe" in result and "probe" not in result["controls"].get("random_encoder", {}):
        raise UserError(f"{path}: controls: random_encoder: lacks probe, which the result has")


def _systems(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, scores in result["controls"].items():
        yield f"controls: {name}", scores
        if "probe" in scores:
            yield f"controls: {name}: probe", scores["probe"]
    if "probe" in result:
        yield "probe", result["probe"]
