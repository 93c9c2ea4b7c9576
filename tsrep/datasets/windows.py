"""Windows of series and the labels of forecasts, without copies of what overlaps.

    dataset = WindowDataset(series.values, 512, rows=series.split.train, calendar=series.calendar)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, collate_fn=as_batch)

    test = series.split.test
    ends = slice(test.start, test.stop - 24)              # rows of the last values seen
    labels = targets(series.values[0], ends, horizon=24)  # (len(ends), 24, C), a view

No window that is learned from, and no label, leaves its own part of the split. The look-back of the
first forecasts of validation and test may reach into earlier rows: at that moment they are history,
which a user would have, so nothing leaks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import Dataset

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError


class Windows(NamedTuple):
    """A batch of windows. values: float32 (B, L, C), NaN where missing. index: int64 (B,)."""

    values: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]  # hides tuple.index

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Windows":
        """The same batch on another device."""
        return Windows(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))


def windows(values: np.ndarray, length: int, stride: int = 1) -> np.ndarray:
    """Every window of a series, as a read-only view.

    values: (T, C). length, stride: steps, at least 1. Returns (W, length, C) with
    W = (T - length) // stride + 1 and ``result[w] = values[w * stride : w * stride + length]``.
    Raises UserError where the series is shorter than a window.
    """
    _check_at_least_one(length=length, stride=stride)
    if values.ndim != 2:
        raise ValueError(f"values have shape {values.shape}, expected (T, C)")
    _check_fits(len(values), length)
    view = sliding_window_view(values, length, axis=0)[::stride]  # (W, C, length)
    return view.transpose(0, 2, 1)


def targets(values: np.ndarray, ends: range | slice, horizon: int) -> np.ndarray:
    """The values that follow each look-back, as a read-only view.

    values: (T, C). ends: position of the last step of each look-back, evenly spaced and rising (a
    view has no other shape), a slice with start and stop, or a range. horizon: steps.
    Returns (len(ends), horizon, C), ``result[i] = values[ends[i] + 1 : ends[i] + 1 + horizon]``.
    Raises ValueError where a label would leave the series.
    """
    if isinstance(ends, slice):
        ends = range(ends.start, ends.stop, 1 if ends.step is None else ends.step)
    if not isinstance(ends, range) or ends.step < 1:
        raise ValueError(f"ends are {ends!r}, expected a rising range or slice")
    if len(ends) and not (ends[0] >= -1 and ends[-1] + horizon < len(values)):
        raise ValueError(
            f"labels of {horizon} steps after {ends[0]} to {ends[-1]} leave the series: "
            f"expected ends from -1 to {len(values) - horizon - 1}"
        )
    following = windows(values, horizon)  # (T - horizon + 1, horizon, C)
    return following[ends.start + 1 : ends.start + 1 + ends.step * len(ends) : ends.step]


class WindowDataset(Dataset):
    """Windows of length L from (N, T, C), each known by its index among them.

    A window without a single number is left out; a partly missing one is kept, NaN and all. A batch
    is gathered in one copy: hand ``tspcrep.common.samplers.as_batch`` to a DataLoader as
    ``collate_fn``.

    values: float32 (N, T, C). length: steps L. stride: steps between starts, default 1. rows: the
    part of the time axis to stay within, default all. calendar: float32 (T, K), appended to every
    window as K more channels. Raises UserError where ``rows`` are shorter than a window or hold no
    number.
    """

    def __init__(
        self,
        values: np.ndarray,
        length: int,
        stride: int = 1,
        *,
        rows: slice | None = None,
        calendar: np.ndarray | None = None,
    ):
        _check_at_least_one(length=length, stride=stride)
        if values.ndim != 3:
            raise ValueError(f"values have shape {values.shape}, expected (N, T, C)")
        if calendar is not None and calendar.shape[:-1] != values.shape[1:2]:
            raise ValueError(
                f"calendar has shape {calendar.shape}, expected ({values.shape[1]}, K): "
                "one row a timestamp of values"
            )
        self.length = length
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        self.calendar = None
        if calendar is not None and calendar.shape[1]:
            self.calendar = np.ascontiguousarray(calendar, dtype=np.float32)
        self._starts = self._kept_starts(stride, rows or slice(None))  # (W,), n * T + t

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def channels(self) -> int:
        """Channels of a window: those of the values and of the calendar."""
        extra = 0 if self.calendar is None else self.calendar.shape[1]
        return self.values.shape[2] + extra

    def __getitem__(self, index: int) -> Windows:
        """One window: values (L, C), index ()."""
        values, ids = self.__getitems__([index])
        return Windows(values[0], ids[0])

    def __getitems__(self, indices: Iterable[int] | torch.Tensor) -> Windows:
        """A batch: values (B, L, C), index (B,)."""
        index = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]  # counts from the end too
        starts = self._starts[index]
        batch = _gather(self.values, starts, self.length)  # (B, L, C)
        if self.calendar is not None:
            calendar = _gather(self.calendar, starts % self.values.shape[1], self.length)
            batch = torch.cat([batch, calendar], dim=2)  # (B, L, C + K)
        return Windows(batch, torch.from_numpy(index))

    def fingerprint(self) -> str:
        return fingerprint(self.values, self.calendar, self._starts, self.length)

    def locate(self, index: np.ndarray | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Instance (B,) and first timestamp (B,) of windows, both int64."""
        return np.divmod(self._starts[np.asarray(index)], self.values.shape[1])

    def _kept_starts(self, stride: int, rows: slice) -> np.ndarray:
        instances, steps, _ = self.values.shape
        first, stop, _ = rows.indices(steps)
        _check_fits(stop - first, self.length)
        starts = np.arange(first, stop - self.length + 1, stride)
        seen = ~np.isnan(self.values).all(axis=2)  # (N, T)
        before = np.concatenate([np.zeros((instances, 1), int), seen.cumsum(axis=1)], axis=1)
        kept = before[:, starts + self.length] > before[:, starts]  # (N, W)
        instance, window = np.nonzero(kept)
        if len(instance) == 0:
            raise UserError(
                f"rows {first} to {stop} hold no number, expected at least one: choose other rows"
            )
        return instance * steps + starts[window]


def _gather(table: np.ndarray, starts: np.ndarray, length: int) -> torch.Tensor:
    """table: contiguous (..., C), seen as rows of C. Returns (B, length, C)."""
    channels = table.shape[-1]
    # Rows of a window lie side by side in memory, so a window is one block: about ten times faster
    # to copy than row by row. The view is made here because pickling one would write it out.
    blocks = sliding_window_view(table.reshape(-1), length * channels)[::channels]
    return torch.from_numpy(blocks[starts]).view(len(starts), length, channels)


def _check_at_least_one(**steps: int) -> None:
    for name, value in steps.items():
        if value < 1:
            raise UserError(f"{name} is {value}, expected at least 1 step")


def _check_fits(rows: int, length: int) -> None:
    if rows < length:
        raise UserError(
            f"a window of {length} steps does not fit into {rows} rows: shorten it or add rows"
        )
