"""Search by likeness: nearest windows, and motifs, in a long series or a collection."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.mining.neighbours import distances
from tsrep.mining.windows import WindowVectors, checked_series


class Match(NamedTuple):
    """A window: position of its series in the collection, its first step, and its distance."""

    series: int
    start: int
    distance: float


class Motif(NamedTuple):
    """Two windows that are alike, each a position of a series and a first step."""

    first: tuple[int, int]
    second: tuple[int, int]
    distance: float


class SimilaritySearch:
    """Nearest windows by the vectors of an encoder.

    Distances are Euclidean, between vectors in units of their deviation over all windows: two
    windows at random are about 1.4 apart.

    Parameters
    ----------
    window : length of a window in steps.
    encoder : a name, path or encoder, or a transformer of series that learns from the windows.
    stride : steps from one window to the next; a sixteenth of a window by default.
    index : "exact", by all distances; or "hnsw", a graph for millions of windows, by usearch
        (Malkov & Yashunin, TPAMI 2020), whose answers may miss a neighbour.
    """

    def __init__(self, window: int, *, encoder="series-small", stride=None, index="exact"):
        self.window = window
        self.encoder = encoder
        self.stride = stride
        self.index = index

    def fit(self, collection) -> "SimilaritySearch":
        """Keep the windows of a series (T, C), or of a list of them of any lengths."""
        if self.index not in ("exact", "hnsw"):
            raise UserError(f"index: found {self.index!r}, expected one of exact, hnsw")
        listed = collection if isinstance(collection, list | tuple) else [collection]
        series = [checked_series(part, f"series {n}") for n, part in enumerate(listed)]
        self.vectors_ = WindowVectors(self.encoder, self.window, self.stride)
        parts = self.vectors_.fit(series)
        self.memory_ = np.concatenate([vectors for _, vectors in parts])
        self.series_ = np.repeat(np.arange(len(parts)), [len(starts) for starts, _ in parts])
        self.starts_ = np.concatenate([starts for starts, _ in parts])
        self.graph_ = _graph(self.memory_) if self.index == "hnsw" else None
        return self

    def nearest(self, query, k: int = 5) -> list[Match]:
        """The ``k`` windows nearest to ``query (window, C)``, nearest first, none overlapping.

        Windows overlap if they begin less than half a window apart.
        """
        values = checked_series(query, "query")
        if len(values) != self.window:
            raise ValueError(f"query has {len(values)} steps, expected a window of {self.window}")
        vector = self.vectors_.of(values)[1]
        rows, found = next(iter(self._ordered(vector, k)))
        return self._apart(rows, found, k, [])

    def motifs(self, k: int = 1) -> list[Motif]:
        """The ``k`` pairs of windows that are most alike, best first, none overlapping another."""
        motifs: list[Motif] = []
        taken: list[int] = []
        while len(motifs) < k:
            best = min(self._partners(taken), default=None)
            if best is None:
                break
            distance, *rows = best
            first, second = sorted(map(self._place, rows))
            motifs.append(Motif(first, second, distance))
            taken += rows
        return motifs

    def _partners(self, taken: list[int]) -> Iterator[tuple[float, int, int]]:
        """Distance, row and nearest row of each window that overlaps none of ``taken``."""
        for row, (rows, found) in enumerate(self._ordered(self.memory_, 1)):
            if any(self._overlap(row, other) for other in taken):
                continue
            for match in self._apart(rows, found, 1, [*taken, row]):
                yield match.distance, row, self._row(match)

    def _ordered(self, queries: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each query, rows of the memory and their distances, nearest first."""
        if self.graph_ is not None:
            # Each answer may hide the windows that overlap it on both sides.
            many = (k + 1) * (2 * (self.window // (2 * self.vectors_.stride)) + 1)
            many = min(many, len(self.memory_))
            self.graph_.expansion_search = max(200, 2 * many)
            for query in queries.astype(np.float32):
                found = self.graph_.search(query, many)
                yield found.keys.astype(np.int64), np.sqrt(np.maximum(found.distances, 0))
            return
        for _, part in distances(queries, self.memory_):
            order = np.argsort(part, axis=1, kind="stable")
            yield from zip(order, np.take_along_axis(part, order, axis=1), strict=True)

    def _apart(
        self, rows: Iterable[int], found: Iterable[float], k: int, taken: list[int]
    ) -> list[Match]:
        """The first ``k`` of ``rows`` that overlap neither each other nor the rows ``taken``."""
        taken = list(taken)
        matches: list[Match] = []
        for row, distance in zip(rows, found, strict=True):
            if len(matches) == k:
                break
            if not any(self._overlap(row, other) for other in taken):
                matches.append(Match(*self._place(row), float(distance)))
                taken.append(row)
        return matches

    def _overlap(self, row: int, other: int) -> bool:
        near = abs(self.starts_[row] - self.starts_[other]) < (self.window + 1) // 2
        return bool(self.series_[row] == self.series_[other] and near)

    def _place(self, row: int) -> tuple[int, int]:
        return int(self.series_[row]), int(self.starts_[row])

    def _row(self, match: Match) -> int:
        same = (self.series_ == match.series) & (self.starts_ == match.start)
        return int(same.argmax())


def _graph(memory: np.ndarray):
    """usearch's index of the rows of ``memory``."""
    try:
        from usearch.index import Index
    except ImportError:
        raise UserError(
            "index 'hnsw' needs usearch, which is not installed: pip install 'tspcrep[search]'"
        ) from None
    graph = Index(ndim=memory.shape[1], metric="l2sq", dtype="f32", expansion_add=200)
    rows = np.arange(len(memory))
    graph.add(rows, memory.astype(np.float32), threads=1)  # several threads are not repeatable
    return graph
