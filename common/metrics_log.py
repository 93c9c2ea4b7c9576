"""``metrics.jsonl``: one line per epoch with the means of the logged values."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


class MetricsLog:
    """Values of the current epoch, and the file to which their means are appended.

    ``size``, the bytes written so far, and ``values`` belong into a checkpoint: :meth:`start` cuts
    off lines that were written after it.

    path : the file; None to write nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.size = 0
        self.values: dict[str, list] = {}

    def start(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(min(self.size, file.tell()))

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
        return means
