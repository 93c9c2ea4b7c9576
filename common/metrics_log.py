"""``metrics.jsonl``: one line per epoch with the means of the logged values."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from tspcrep.common.typed_json import is_number

if TYPE_CHECKING:  # reports read the file without the trainer's libraries
    from lightning_fabric.loggers import Logger


class MetricsLog:
    """Values of the current epoch, and the file to which their means are appended.

    ``size``, the bytes written so far, and ``values`` belong into a checkpoint: :meth:`start` cuts
    off lines that were written after it.

    path : the file; None to write nothing.
    logger : takes the scalars of each line as well, from the first line on; None for none.
    """

    def __init__(self, path: Path | None, logger: "Logger | None" = None) -> None:
        self.path = path
        self.logger = logger
        self.size = 0
        self.values: dict[str, list] = {}

    def start(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(min(self.size, file.tell()))
            for text in self.path.read_bytes().splitlines() if self.logger else ():
                self._hand_on(_line(text))

    def add(self, phase: str, losses: dict[str, Tensor]) -> None:
        """Add the scalars and vectors of one batch."""
        for name, value in losses.items():
            self.values.setdefault(f"{phase}/{name}", []).append(value.detach().tolist())

    def end_epoch(self, line: dict[str, Any]) -> dict[str, Any]:
        """Append ``line`` and the means of the epoch to the file, and return the means."""
        means = {name: np.mean(v, axis=0).tolist() for name, v in self.values.items()}
        self.values.clear()
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps({**line, **means}) + "\n")
            self.size = self.path.stat().st_size
            self._hand_on({**line, **means})
        return means

    def close(self) -> None:
        if self.logger:
            self.logger.finalize("finished")

    def _hand_on(self, line: dict[str, Any] | None) -> None:
        if self.logger and line is not None:
            scalars = {name: v for name, v in line.items() if not isinstance(v, list)}
            self.logger.log_metrics(scalars, scalars.pop("step"))
            self.logger.save()


class Logged(NamedTuple):
    """What a ``metrics.jsonl`` holds.

    curves : ``{name: (steps, values)}`` of the scalars, by the name that they were logged under,
        such as ``encoder/loss``. counts : ``{name: counts}`` of the last histograms. damaged : how
        many lines are no such lines.
    """

    curves: dict[str, tuple[list[int], list[float]]]
    counts: dict[str, list[float]]
    damaged: int


def read_metrics(path: Path) -> Logged:
    """Read a ``metrics.jsonl``; lines that a stop cut short are counted and left out.

    Raises OSError if the file cannot be read.
    """
    logged, damaged = Logged({}, {}, 0), 0
    for text in path.read_bytes().splitlines():
        line = _line(text)
        if line is None:
            damaged += 1
            continue
        for name, value in line.items():
            if isinstance(value, list):
                logged.counts[name] = value
            elif "/" in name:
                steps, values = logged.curves.setdefault(name, ([], []))
                steps.append(line["step"])
                values.append(value)
    return logged._replace(damaged=damaged)


def _line(text: bytes) -> dict[str, Any] | None:
    """A line of the file; None where it is damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return None
    for name, value in line.items():
        numbers = value if isinstance(value, list) else [value] if "/" in name else []
        if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers):
            return None
    return line if is_number(line["step"]) and [] not in line.values() else None
