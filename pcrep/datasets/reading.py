"""What a user says of files that do not: names of columns, what labels mean, the unit.

A label is the index of a class, 0 .. C - 1, or -1 for none.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.formats.names import plain
from tspcrep.common.errors import UserError

ASPRS = {
    **{"unclassified": 1, "ground": 2, "low vegetation": 3, "medium vegetation": 4},
    **{"high vegetation": 5, "building": 6, "low noise": 7, "water": 9, "rail": 10},
    **{"road": 11, "overlap": 12, "wire guard": 13, "wire conductor": 14},
    **{"transmission tower": 15, "wire connector": 16, "bridge": 17, "high noise": 18},
    **{"overhead structure": 19, "ignored ground": 20, "snow": 21, "temporal exclusion": 22},
}
"""Classes of the ASPRS by name: LAS 1.4 R15, table 17."""

_NO_CLASS = ("unclassified", "low noise", "overlap", "high noise", "ignored ground",
             "temporal exclusion")  # fmt: skip
_NONE = ("-1", "none", "ignore")


@dataclass(frozen=True)
class Reading:
    """How the files of a user are read."""

    columns: tuple[str, ...] = ()
    """Names of the columns of files that do not name them, or name them otherwise, such as
    x,y,z,r,g,b,label; - for one that is left out."""
    ignore: tuple[int, ...] = ()
    """Labels in the files that stand for none, such as 255."""
    label_map: str | None = None
    """What labels mean: a file of lines such as "2 ground" or "2 0", of a number or an ASPRS name
    in the scans, and the name or the number of its class, or none; or asprs, for the classes of
    LAS files."""
    unit: float = 1.0
    """Metres of a unit of the coordinates: 0.001 for files in millimetres, 0.3048 in feet."""

    density: float | None = None
    """Points per square metre that are sampled from meshes; by default 10,000 from OBJ, OFF and
    STL, and the vertices of a PLY with faces."""

    def __post_init__(self) -> None:
        if self.density is not None and not 0 < self.density < float("inf"):
            raise UserError(f"density: found {self.density}, expected points per m2 above 0")
        if not 0 < self.unit < float("inf"):
            raise UserError(f"unit: found {self.unit}, expected metres above 0")

    def names(self) -> tuple[str, ...]:
        """Plain names of the columns, "" for one that is left out."""
        names = [name for part in self.columns for name in part.split(",")]
        return tuple("" if name.strip() == "-" else plain(name) for name in names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, where the map has names; else ()."""
        return self._map[1]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Number of each class in the files, the first that the map gives; () where it has none."""
        first: dict[int, int] = {}
        for number, index in self._map[0].items():
            if min(number, index) >= 0:
                first.setdefault(index, number)
        indices = range(len(first))
        return tuple(first[i] for i in indices) if set(first) == set(indices) else ()

    def labelled(self, cloud: Cloud) -> Cloud:
        """The cloud with the labels that its own stand for."""
        if cloud.label is None or not (self.ignore or self.label_map):
            return cloud
        label = np.where(np.isin(cloud.label, self.ignore), -1, cloud.label)
        table = self._map[0]
        if self.label_map:
            found, place = np.unique(label, return_inverse=True)
            unknown = [n for n in found.tolist() if n >= 0 and n not in table]
            if unknown:
                raise UserError(
                    f"{cloud.name}: holds the label {unknown[0]}, which {self.label_map} does not "
                    f'name; add a line "{unknown[0]} none", or the name of its class'
                )
            label = np.array([table.get(n, -1) for n in found.tolist()])[place]
        return replace(cloud, label=label.astype(np.int64))

    @cached_property
    def _map(self) -> tuple[dict[int, int], tuple[str, ...]]:
        """Class of each label in the files, and names of the classes."""
        if self.label_map is None:
            return {}, ()
        if self.label_map == "asprs":
            pairs = [(number, "none" if name in _NO_CLASS else name)
                     for name, number in ASPRS.items()]  # fmt: skip
            return _numbered([(0, "none"), *pairs], "asprs")
        path = Path(self.label_map)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"--label-map {path}: cannot be read ({error}), expected lines such as 2 ground; "
                "or asprs"
            ) from None
        return _numbered([_pair(line, path) for line in lines if line.split("#")[0].strip()], path)


def _pair(line: str, path: Path) -> tuple[int, str]:
    """The label and the class in a line."""
    parts = re.split(r"\s*[,;:\t=]\s*|(?<=\d)\s+", line.split("#")[0].strip(), maxsplit=1)
    name, kind = [*parts, ""][:2]
    number = ASPRS.get(name.strip().lower(), name)
    if not kind or not re.fullmatch(r"-?\d+", str(number)):
        raise UserError(
            f"--label-map {path}: {line.strip()[:60]!r}, expected a number or an ASPRS name "
            f"({', '.join(ASPRS)}) and a class, such as: 2 ground"
        )
    return int(number), kind.strip()


def _numbered(
    pairs: list[tuple[int, str]], path: Path | str
) -> tuple[dict[int, int], tuple[str, ...]]:
    kinds = [kind for _, kind in pairs if kind.lower() not in _NONE]
    numbers = [bool(re.fullmatch(r"\d+", kind)) for kind in kinds]
    if not kinds or any(numbers) != all(numbers):
        raise UserError(
            f"--label-map {path}: names {len(kinds) - sum(numbers)} classes and numbers "
            f"{sum(numbers)}, expected one or the other"
        )
    classes = () if all(numbers) else tuple(dict.fromkeys(kinds))
    table = {
        number: -1 if kind.lower() in _NONE else classes.index(kind) if classes else int(kind)
        for number, kind in pairs
    }
    return table, classes
