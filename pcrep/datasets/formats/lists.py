"""Records of varying length: the elements of a PLY with properties that are lists."""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.records import judge_whole
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit

Properties = list[tuple[str, str, str]]
"""(name, type, type of the count of a list or "") of each property."""


def scalars_of_records(
    path: Path, start: int, elements: list[tuple[int, Properties]], order: str
) -> dict[str, np.ndarray]:
    """Properties of the last element, without its lists, that are plain numbers.

    elements : count and properties of each, in the order of the file. order : "<" or ">".
    """
    data = np.memmap(path, np.uint8, "r")
    for count, properties in elements:
        sizes = np.array([np.dtype(kind).itemsize for _, kind, _ in properties])
        counts = np.array([np.dtype(c).itemsize if c else 0 for _, _, c in properties])
        smallest = int(np.where(counts > 0, counts, sizes).sum())
        judge_whole(path, max(0, len(data) - start) // max(smallest, 1), count)
        offsets, start = _walk(data, start, count, sizes, counts, order == ">")
        if start < 0:
            raise UserError(
                f"{path}: its lists are longer than the file; it is cut off or damaged, get it "
                "again"
            )
    found = {}
    for column, (name, kind, length) in enumerate(properties):
        if not length:
            size = np.dtype(kind).itemsize
            at = offsets[:, column, None] + np.arange(size)
            found[name] = data[at].view(order + kind)[:, 0]
    return found


@jit
def _walk(data, start, count, sizes, counts, big):
    """Byte offsets (count, properties) of an element's properties, and the byte behind it; -1 for
    that where the data end before."""
    offsets = np.empty((count, len(sizes)), np.int64)
    at = start
    for i in range(count):
        for p in range(len(sizes)):
            offsets[i, p] = at
            if counts[p] == 0:
                at += sizes[p]
            else:
                if at + counts[p] > len(data):
                    return offsets, -1
                length = 0
                for b in range(counts[p]):
                    length = length * 256 + data[at + (b if big else counts[p] - 1 - b)]
                at += counts[p] + length * sizes[p]
            if at > len(data):
                return offsets, -1
    return offsets, at


def scalars_of_lines(
    path: Path, start: int, skip: int, count: int, properties: Properties
) -> dict[str, np.ndarray]:
    """The same of an element in text, one line each, behind ``skip`` other lines."""
    plain = [name for name, _, length in properties if not length]
    values = np.empty((count, len(plain)))
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(skip):
            file.readline()
        for row in range(count):
            try:
                values[row] = _plain_numbers(file.readline().split(), properties)
            except (ValueError, IndexError):
                raise UserError(
                    f"{path}: point {row} has too few numbers or a word, expected "
                    f"{', '.join(name for name, *_ in properties)}; it is cut off or damaged"
                ) from None
    return {name: values[:, column] for column, name in enumerate(plain)}


def _plain_numbers(words: list[bytes], properties: Properties) -> list[float]:
    found, at = [], 0
    for _, _, length in properties:
        if length:
            at += int(words[at])
        else:
            found.append(float(words[at]))
        at += 1
    if at > len(words):
        raise IndexError
    return found
