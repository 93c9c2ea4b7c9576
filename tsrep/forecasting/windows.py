"""Look-back windows of a series and the values that follow, to train and test a forecaster."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError
from tsrep.datasets.series import filled


class ForecastBatch(NamedTuple):
    """past: (B, L, C + E). future: (B, H, C), NaN where there is no label. known: (B, L + H, F), or
    None."""

    past: Tensor
    future: Tensor
    known: Tensor | None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ForecastBatch":
        """The same batch on another device."""
        return ForecastBatch(
            self.past.to(device, non_blocking=non_blocking),
            self.future.to(device, non_blocking=non_blocking),
            None if self.known is None else self.known.to(device, non_blocking=non_blocking),
        )


class ForecastWindows:
    """Windows and the values that follow them, one sample per origin.

    A data set for :func:`tspcrep.common.training.fit`.

    Parameters
    ----------
    values : (T, C), NaN where missing. Windows are filled, labels are not.
    rows : one part of the split. Labels beyond it are NaN, so that one network learns every horizon
        from as many origins as each allows. Windows stay inside too, unless ``before`` lets them
        reach into earlier rows: in validation and test, these are history that a user would have.
    look_back, horizon : L and H, in steps.
    shortest : number of labels inside ``rows`` that an origin must have.
    apart : make each channel a sample of its own, (B, L, 1).
    known : (T, F), known ahead. past : (T, E), known up to the present.
    stride : steps between origins.

    Raises
    ------
    UserError
        ``rows`` are too short for a single sample.
    """

    def __init__(
        self,
        values: np.ndarray,
        rows: slice,
        look_back: int,
        horizon: int,
        *,
        shortest: int = 1,
        before: bool = False,
        apart: bool = False,
        known: np.ndarray | None = None,
        past: np.ndarray | None = None,
        stride: int = 1,
    ):
        first = max(look_back - 1, rows.start + (0 if before else look_back - 1))
        self.starts = np.arange(first, rows.stop - shortest, stride)
        if not len(self.starts):
            raise UserError(
                f"rows {rows.start} to {rows.stop} hold no forecast of {shortest} steps from a "
                f"look-back of {look_back}: shorten one or add rows"
            )
        self.look_back, self.horizon = look_back, horizon
        self.channels = values.shape[1]
        self.apart = self.channels if apart else 1
        inputs = values if past is None else np.concatenate([values, past], axis=1)
        self.past_channels = inputs.shape[1] - self.channels
        self._past = sliding_window_view(filled(inputs).astype(np.float32), look_back, axis=0)
        labels = np.asarray(values[: rows.stop], dtype=np.float32)
        behind = np.full((horizon, self.channels), np.nan, dtype=np.float32)
        self._future = sliding_window_view(np.concatenate([labels, behind]), horizon, axis=0)
        self._known = None
        if known is not None and known.shape[1]:
            table = np.asarray(known[: rows.stop], dtype=np.float32)
            missing = max(0, rows.stop + horizon - len(table))  # never learned from: no labels
            table = np.concatenate([table, np.repeat(table[-1:], missing, axis=0)])
            self._known = sliding_window_view(table, look_back + horizon, axis=0)

    def __len__(self) -> int:
        return len(self.starts) * self.apart

    def fingerprint(self) -> str:
        views = [v for v in (self._past, self._future, self._known) if v is not None]
        values = [part for view in views for part in (view[..., 0], view[-1])]  # each step once
        return fingerprint(*values, self.starts, self.apart)

    def __getitems__(self, indices: Sequence[int]) -> ForecastBatch:
        origin, channel = np.divmod(np.asarray(indices, dtype=np.int64), self.apart)
        starts = self.starts[origin]
        first = starts - self.look_back + 1
        if self.apart > 1:
            past = self._past[first, channel][:, None]  # (B, 1, L)
            if self.past_channels:
                past = np.concatenate([past, self._past[first, self.channels :]], axis=1)
            future = self._future[starts + 1, channel][..., None]
        else:
            past = self._past[first]  # (B, C + E, L)
            future = self._future[starts + 1].transpose(0, 2, 1)
        past = past.transpose(0, 2, 1)
        known = None
        if self._known is not None:
            known = _tensor(self._known[starts - self.look_back + 1].transpose(0, 2, 1))
        return ForecastBatch(_tensor(past), _tensor(future), known)


def evaluation_windows(
    values: np.ndarray, rows: slice, look_back: int, horizons: Sequence[int], **options
) -> ForecastWindows:
    """Windows of all origins of validation or test rows that have the shortest horizon's labels."""
    longest, shortest = max(horizons), min(horizons)
    return ForecastWindows(
        values, rows, look_back, longest, shortest=shortest, before=True, **options
    )


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
