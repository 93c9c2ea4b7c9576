"""Anomalies: windows that are far from all normal ones, by their vectors and by their values."""

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.mining.neighbours import mean_nearest
from tsrep.mining.windows import StandardisedValues, WindowVectors, checked_series


class AnomalyDetector:
    """Scores of the steps of a series by the distance of its windows to normal ones.

    The score of a window is the mean distance of its vector to those of the nearest ``neighbours``
    windows that were fitted (Ramaswamy, Rastogi & Shim, SIGMOD 2000, on an encoder's vectors). The
    score of a step is the mean over the windows that hold it. About 1 is as far as windows that
    have nothing in common.

    Parameters
    ----------
    window : length of a window in steps; about a period, where there is one.
    encoder : a name, path or encoder, or a transformer of series that learns from the windows.
    values : compare values, too, each window standardised, as the matrix profile has it; the score
        is the mean of the two. Vectors see level and texture, values a day that is turned over.
    stride : steps from one window to the next; a sixteenth of a window by default.
    neighbours : number of nearest windows.
    quantile : share of the steps that were fitted which :meth:`predict` would call normal.

    Attributes
    ----------
    threshold_ : the ``quantile`` of the scores of the steps that were fitted, each window compared
        with those that do not overlap it.
    """

    def __init__(
        self,
        window: int,
        *,
        encoder="series-small",
        values=False,
        stride=None,
        neighbours=1,
        quantile=0.99,
    ):
        self.window = window
        self.encoder = encoder
        self.values = values
        self.stride = stride
        self.neighbours = neighbours
        self.quantile = quantile

    def fit(self, series) -> "AnomalyDetector":
        """Keep the windows of ``series (T, C)``, or (T,), which should be normal for the most part.

        Raises ValueError for a series that is shorter than two windows.
        """
        if self.neighbours < 1 or not 0 < self.quantile <= 1:
            raise UserError(
                f"neighbours {self.neighbours}, quantile {self.quantile}: expected at least 1, and "
                "a share above 0 and up to 1"
            )
        x = checked_series(series)
        if len(x) < 2 * self.window:
            raise ValueError(
                f"the series has {len(x)} steps, expected at least two windows of "
                f"{self.window}: give a shorter window or a longer series"
            )
        described = [self.encoder, StandardisedValues()] if self.values else [self.encoder]
        self.described_ = [WindowVectors(one, self.window, self.stride) for one in described]
        fitted = [one.fit([x])[0] for one in self.described_]
        self.starts_, self.normal_ = fitted[0][0], [vectors for _, vectors in fitted]
        self.fitted_ = x
        scores = self._scores(self.starts_, self.normal_, same=True)
        scores = spread_over_steps(scores, self.starts_, self.window)
        self.threshold_ = float(np.quantile(scores, self.quantile))
        return self

    def score(self, series) -> np.ndarray:
        """Scores (T,) of the steps of ``series``, the larger the more unusual.

        For the very series that was fitted, windows that overlap are not compared.
        """
        x = checked_series(series)
        same = np.array_equal(x, self.fitted_, equal_nan=True)
        starts, scores = self.window_scores(x, same)
        return spread_over_steps(scores, starts, self.window)

    def predict(self, series) -> np.ndarray:
        """Whether each step's score is above ``threshold_``, (T,) bool."""
        return self.score(series) > self.threshold_

    def stream(self) -> "AnomalyStream":
        """Scores as samples arrive."""
        return AnomalyStream(self)

    def window_scores(self, series: np.ndarray, same: bool = False) -> tuple[np.ndarray, ...]:
        """First steps and scores (W,) of the windows of ``series (T, C)``.

        same: it is the series that was fitted.
        """
        found = [one.of(series) for one in self.described_]
        return found[0][0], self._scores(found[0][0], [vectors for _, vectors in found], same)

    def _scores(self, starts: np.ndarray, parts: list[np.ndarray], same: bool) -> np.ndarray:
        places = (starts, self.starts_) if same else None
        pairs = zip(parts, self.normal_, strict=True)
        each = [mean_nearest(x, y, self.neighbours, places, self.window) for x, y in pairs]
        return np.mean(each, axis=0)


class AnomalyStream:
    """Scores of windows as samples arrive, those of :meth:`AnomalyDetector.score` before steps.

        stream = detector.stream()
        for sample in source:              # (1, C)
            for start, score in stream.push(sample):
                ...                        # the window from step ``start`` is complete

    Only a window of samples is kept, so memory and the cost of a sample are constant.
    """

    def __init__(self, detector: AnomalyDetector):
        self.detector = detector
        self.kept = np.empty((0, detector.described_[0].channels))
        self.first = 0  # step of the series that ``kept`` begins with
        self.next = 0  # step that the next window begins with

    def push(self, samples) -> list[tuple[int, float]]:
        """First steps and scores of the windows that ``samples (T, C)`` complete."""
        values = checked_series(samples, "samples")
        if values.shape[1] != self.kept.shape[1]:
            raise ValueError(
                f"samples have {values.shape[1]} channels, but {self.kept.shape[1]} were fitted"
            )
        self.kept = np.concatenate([self.kept, values])
        window, stride = self.detector.window, self.detector.described_[0].stride
        found: list[tuple[int, float]] = []
        complete = range(self.next, self.first + len(self.kept) - window + 1, stride)
        if len(complete):
            stop = complete[-1] + window - self.first
            scores = self.detector.window_scores(self.kept[self.next - self.first : stop])[1]
            found = list(zip(complete, scores.tolist(), strict=True))
            self.next = complete[-1] + stride
        done = min(self.next - self.first, len(self.kept))
        self.kept, self.first = self.kept[done:].copy(), self.first + done
        return found


def spread_over_steps(scores: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """The mean score (T,) over the windows that hold each step; between windows, of the last one
    before.
    """
    steps = int(starts[-1]) + length
    total, count = np.zeros(steps + 1), np.zeros(steps + 1)
    for into, values in ((total, scores), (count, np.ones(len(scores)))):
        np.add.at(into, starts, values)
        np.subtract.at(into, starts + length, values)
    total, count = total.cumsum()[:-1], count.cumsum()[:-1]
    rows = np.maximum.accumulate(np.where(count > 0.5, np.arange(steps), 0))
    return (total / np.maximum(count, 1))[rows]
