"""Change points: where the vectors of windows begin to lie around another mean."""

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.mining.windows import WindowVectors, checked_series


class ChangePoints:
    """Cuts a series where its windows, as an encoder sees them, change.

    The cuts that minimise the sum, over segments, of squared distances of the windows' vectors to
    their segment's mean, exactly, by optimal partitioning (Jackson et al., IEEE SPL 2005).

    Parameters
    ----------
    window : length of a window in steps; segments are at least as long.
    encoder : a name, path or encoder, or a transformer of series that learns from the windows.
    stride : steps from one window to the next; a quarter of a window by default.
    changes : number of cuts; by default as many as each lower the sum by ``penalty``.
    penalty : what a cut must save, as a share of the sum without cuts.

    There is nothing to fit: :meth:`predict` cuts a series by itself.
    """

    def __init__(
        self, window: int, *, encoder="series-small", stride=None, changes=None, penalty=0.05
    ):
        self.window = window
        self.encoder = encoder
        self.stride = stride
        self.changes = changes
        self.penalty = penalty

    def predict(self, series) -> np.ndarray:
        """First steps of all segments but the first one, rising, of ``series (T, C)`` or (T,).

        Raises ValueError for a series that is too short for so many segments.
        """
        if self.penalty <= 0:
            raise UserError(f"penalty: found {self.penalty}, expected a share above 0")
        stride = self.stride or max(1, self.window // 4)
        vectors = WindowVectors(self.encoder, self.window, stride)
        ((starts, found),) = vectors.fit([checked_series(series)])
        costs, least = segment_costs(found), -(-self.window // stride)
        if self.changes is None:
            places = partition(costs, least, self.penalty * costs[0, -1])
        else:
            most = max(len(found) // least - 1, 0)
            if not 0 <= self.changes <= most:
                raise ValueError(
                    f"changes: found {self.changes}, expected from 0 to {most} for {len(found)} "
                    f"windows of {self.window} steps"
                )
            places = partition_into(costs, least, self.changes + 1)
        # A window changes when half of it has.
        return starts[places] + self.window // 2


def segment_costs(vectors: np.ndarray) -> np.ndarray:
    """Sums of squared distances to the mean, ``costs[i, j]`` of the rows i .. j - 1, (W+1, W+1)."""
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), vectors.cumsum(axis=0)])
    squares = np.concatenate([[0.0], np.square(vectors).sum(axis=1).cumsum()])
    inner = sums @ sums.T
    own = np.diag(inner)
    rows = np.arange(len(sums))
    number = np.maximum(np.abs(rows[None] - rows[:, None]), 1)
    costs = squares[None] - squares[:, None] - (own[None] + own[:, None] - 2 * inner) / number
    return np.maximum(costs, 0)


def partition(costs: np.ndarray, least: int, penalty: float) -> list[int]:
    """Cuts that minimise the costs of all segments plus ``penalty`` for each, rising.

    least: rows of the shortest segment.
    """
    count = len(costs) - 1
    best, last = np.full(count + 1, np.inf), np.zeros(count + 1, dtype=int)
    best[0] = 0
    for stop in range(least, count + 1):
        starts = np.arange(0, stop - least + 1)
        totals = best[starts] + costs[starts, stop] + penalty
        last[stop] = int(totals.argmin())
        best[stop] = totals[last[stop]]
    return _cuts(last, count)


def partition_into(costs: np.ndarray, least: int, segments: int) -> list[int]:
    """Cuts that minimise the costs of so many segments, rising."""
    count = len(costs) - 1
    best = np.where(np.arange(count + 1) >= least, costs[0], np.inf)
    lasts = []
    for _ in range(segments - 1):
        totals = best[:, None] + costs  # of a last segment from row to column
        rows = np.arange(count + 1)
        totals[rows[:, None] + least > rows[None]] = np.inf
        lasts.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
    cuts, stop = [], count
    for last in reversed(lasts):
        stop = int(last[stop])
        cuts.append(stop)
    return cuts[::-1]


def _cuts(last: np.ndarray, count: int) -> list[int]:
    cuts, stop = [], count
    while last[stop] > 0:
        stop = int(last[stop])
        cuts.append(stop)
    return cuts[::-1]
