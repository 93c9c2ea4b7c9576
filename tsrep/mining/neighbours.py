"""Distances between many vectors, exact, a few rows at a time."""

from collections.abc import Iterator

import numpy as np

_ROWS = 512


def distances(queries: np.ndarray, memory: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows of ``queries (Q, D)`` and their Euclidean distances (b, M) to ``memory``."""
    squares = np.square(memory).sum(axis=1)
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        part = queries[rows]
        found = np.square(part).sum(axis=1)[:, None] + squares - 2 * part @ memory.T
        yield rows, np.sqrt(np.maximum(found, 0))


def mean_nearest(
    queries: np.ndarray,
    memory: np.ndarray,
    neighbours: int,
    places: tuple[np.ndarray, np.ndarray] | None = None,
    apart: int = 0,
) -> np.ndarray:
    """Mean distance (Q,) of each query to its nearest rows of ``memory``.

    places: first steps (Q,) and (M,) of the windows that the rows stand for; those fewer than
    ``apart`` steps from a query do not count. Without any other a query has distance 0.
    """
    found = np.zeros(len(queries))
    for rows, part in distances(queries, memory):
        if places is not None:
            near = np.abs(places[0][rows, None] - places[1]) < apart
            part = np.where(near, np.inf, part)
        count = min(neighbours, part.shape[1])
        nearest = np.partition(part, count - 1, axis=1)[:, :count]
        known = np.isfinite(nearest)
        total = np.where(known, nearest, 0).sum(axis=1)
        found[rows] = total / np.maximum(known.sum(axis=1), 1)
    return found
