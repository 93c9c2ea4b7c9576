"""What is written back to the points of a file: classes, how sure they are, and colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields of N points, of which point i is row ``row[i]`` of its file.

    label : (N,) whole numbers, index of a class, or -1. confidence : (N,) float32.
    row : (N,) int64, or None where the points are all rows, in order: arrays may then lie on disk.
    colour : (N, 3) uint8, or None for those that the file has.
    codes : (C,) number of each class in the classification of a LAS file or in a ``.label``.
    names : of the columns of the file, where the user gave them.
    """

    label: np.ndarray
    confidence: np.ndarray
    row: np.ndarray | None
    codes: np.ndarray
    colour: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def of_rows(self, count: int, path: Path) -> dict[str, np.ndarray]:
        """``label``, ``confidence`` and, with colours, ``red``, ``green`` and ``blue`` of all rows.

        Rows without a point have label -1, confidence 0 and black.

        Raises UserError where the file does not have ``count`` rows any more.
        """
        most = len(self.label) if self.row is None else int(self.row.max()) + 1
        if most > count or (self.row is None and most < count):
            raise UserError(
                f"{path}: holds {count} points, expected at least {most}, as when it was read; it "
                "has changed, try again when it is complete"
            )
        if self.row is None:
            found = {"label": self.label, "confidence": self.confidence}
            return found | self._colours()
        kind = np.int16 if self.label.max() < 2**15 else np.int32
        found = {"label": np.full(count, -1, kind), "confidence": np.zeros(count, np.float32)}
        found["label"][self.row], found["confidence"][self.row] = self.label, self.confidence
        for name, shade in self._colours().items():
            found[name] = np.zeros(count, np.uint8)
            found[name][self.row] = shade
        return found

    def _colours(self) -> dict[str, np.ndarray]:
        if self.colour is None:
            return {}
        return {name: self.colour[:, i] for i, name in enumerate(("red", "green", "blue"))}

    def arrays(self, count: int, path: Path) -> dict[str, np.ndarray]:
        """:meth:`of_rows`, with ``colour`` (count, 3) in one array."""
        values = self.of_rows(count, path)
        colour = [values.pop(name) for name in ("red", "green", "blue") if name in values]
        return values | ({"colour": np.column_stack(colour)} if colour else {})
