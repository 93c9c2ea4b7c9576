"""Labels of a few clicked points: from a file or drawn, and spread over the segments they hit."""

import csv
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud, Scenes
from pcrep.evaluation.smoothing import with_segments
from tspcrep.common.errors import UserError

COLUMNS = ("scene", "x", "y", "z", "class")
_FAR = 0.01  # of the scene's extent: a click that misses by more is in another unit or scene


def draw_clicks(scenes: Scenes, count: int, seed: int) -> Scenes:
    """The scenes with ``count`` labels each, of random points, the classes in turn; the rest -1.

    So would a person label who clicks on one thing after the other. Raises UserError for a count
    below 1.
    """
    if count < 1:
        raise UserError(f"labelled points: found {count}, expected at least 1 per scene")
    return replace(scenes, read=partial(_drawn, scenes, count, seed))


def _drawn(scenes: Scenes, count: int, seed: int, index: int) -> Cloud:
    cloud = scenes[index]
    random, turns = np.random.default_rng((seed, index)), []
    label = cloud.known("label")
    for c in np.unique(label[label >= 0]):
        rows = random.permutation(np.flatnonzero(label == c))[:count]
        turns += [(turn, random.random(), row) for turn, row in enumerate(rows)]
    chosen = [row for *_, row in sorted(turns)[:count]]
    return replace(cloud, label=_only(cloud, chosen))


def read_clicks(scenes: Scenes, path: str | Path) -> Scenes:
    """The scenes that a CSV file of clicks names, with those labels alone.

    The file has a header and the columns scene, x, y, z, class: a name of ``scenes.names``, the
    coordinates of a point as in the scan's own file, and a name of ``scenes.classes``. Each click
    labels the nearest point.

    Raises
    ------
    UserError
        The file cannot be read, lacks a column or a number, names no scene or class that there is,
        or a click is further from any point than 1 % of the scene's extent.
    """
    rows: dict[str, list[tuple[int, list[float], int]]] = defaultdict(list)
    for line, row in _lines(Path(path)):
        if row["scene"] not in scenes.names:
            raise UserError(
                f"{path}, line {line}: scene {row['scene']!r}, expected one of "
                f"{', '.join(scenes.names[:8])}{', ...' if len(scenes) > 8 else ''}"
            )
        if row["class"] not in scenes.classes:
            raise UserError(
                f"{path}, line {line}: class {row['class']!r}, expected one of "
                f"{', '.join(scenes.classes)}"
            )
        place = [_number(row[axis], f"{path}, line {line}") for axis in "xyz"]
        rows[row["scene"]].append((line, place, scenes.classes.index(row["class"])))
    if not rows:
        raise UserError(f"{path}: found no clicks, expected a line for each labelled point")
    named = [scenes.names.index(name) for name in scenes.names if name in rows]
    chosen = scenes.subset(named)
    return replace(chosen, read=partial(_clicked, chosen, dict(rows), str(path)))


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from None
    rows = list(csv.reader(text, skipinitialspace=True))
    header = [name.strip() for name in rows[0]] if rows else []
    if not set(COLUMNS) <= set(header):
        shown = ", ".join(header) or "none"
        raise UserError(f"{path}: found the columns {shown}, expected {', '.join(COLUMNS)}")
    filled = [(line, row) for line, row in enumerate(rows[1:], 2) if row]
    for line, row in filled:
        if len(row) < len(header):
            raise UserError(f"{path}, line {line}: {len(row)} values, expected {len(header)}")
    return [
        (line, {name: value.strip() for name, value in zip(header, row, strict=False)})
        for line, row in filled
    ]


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{where}: found {text!r}, expected a number of metres")
    return value


def _clicked(scenes: Scenes, rows: dict[str, list], path: str, index: int) -> Cloud:
    cloud = scenes[index]
    label = np.full(len(cloud), -1)
    extent = float((cloud.coords.max(0) - cloud.coords.min(0)).max())
    for line, place, c in rows[scenes.names[index]]:
        distance = np.linalg.norm(cloud.coords.astype(np.float64) - place, axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > _FAR * extent:
            raise UserError(
                f"{path}, line {line}: {distance[nearest]:.3g} m from the nearest point of "
                f"{scenes.names[index]}, expected a point of the scan, in the coordinates and unit "
                "of its file"
            )
        label[nearest] = c
    return replace(cloud, label=label)


def spread(cloud: Cloud) -> Cloud:
    """Label all points of each segment that was clicked, where its clicks agree.

    Points that were clicked keep their label, and segments that were clicked as two classes are
    left as they are. Segments are found where the cloud has none.
    """
    cloud = with_segments(cloud)
    label, segment = cloud.known("label"), cloud.known("segment")
    hit = np.flatnonzero((label >= 0) & (segment >= 0))
    low = np.full(segment.max(initial=-1) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1)
    np.minimum.at(low, segment[hit], label[hit])
    np.maximum.at(high, segment[hit], label[hit])
    of_segment = np.where(low == high, high, -1)
    given = np.where(segment >= 0, of_segment[segment], -1)
    return replace(cloud, label=np.where(label >= 0, label, given))


def _only(cloud: Cloud, rows: list[int]) -> np.ndarray:
    label = np.full(len(cloud), -1)
    label[rows] = cloud.known("label")[rows]
    return label
