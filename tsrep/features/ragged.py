"""Panels as scikit-learn's estimators are given them, and series of unequal length unpadded."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_array

from tsrep.datasets.series import warn_of_axes


class SeriesEstimator:
    """scikit-learn's tags of an estimator of series (N, T, C); stands before its ``BaseEstimator``.

    Vectors are float32; with ``random_state=None`` results differ from run to run.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.non_deterministic = getattr(self, "random_state", 0) is None
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def checked_panel(X, estimator, least_steps: int = 1) -> np.ndarray:
    """``X (N, T, C)``, or (N, T) of one channel, as (N, T, C) float64; NaN where missing.

    Raises ValueError for an infinite value, no series, another shape, or fewer steps; ``estimator``
    is named in scikit-learn's messages.
    """
    values = check_array(
        X,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        allow_nd=True,
        estimator=estimator,
        input_name="X",
    )
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[1] < least_steps or values.shape[2] < 1:
        plural = "steps" if least_steps > 1 else "step"
        raise ValueError(
            f"X has shape {np.shape(X)}, expected (N, T, C), or (N, T) for one channel, with "
            f"at least {least_steps} {plural}; n_features=1 is one step"
        )
    warn_of_axes(values)
    return values


def check_channels(values: np.ndarray, fitted: int, estimator) -> None:
    """Raise ValueError if ``values (N, T, C)`` have other channels than were fitted."""
    if values.shape[2] != fitted:
        raise ValueError(
            f"X has {values.shape[2]} channels, but {type(estimator).__name__} was fitted on "
            f"{fitted}"
        )


@dataclass(frozen=True, eq=False)
class Ragged:
    """N series of C channels and their own lengths, one behind the other.

    values: float32 (C, all steps). starts: int64 (N + 1,); series n has the steps ``starts[n] :
    starts[n + 1]``.
    """

    values: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, X) -> "Ragged":
        """From ``X (N, T, C)``, NaN where missing and behind the end.

        A series ends with its last value in any channel. Missing values before are interpolated
        linearly, or take the nearest value; a channel without a value is 0. Raises ValueError for a
        value that single precision cannot hold.
        """
        with np.errstate(over="ignore"):
            X = np.asarray(X, dtype=np.float32)
        if np.isinf(X).any():
            n, t, c = np.argwhere(np.isinf(X))[0]
            raise ValueError(
                f"X is too large at series {n}, step {t}, channel {c}, expected numbers that "
                "single precision holds: change the unit"
            )
        known = ~np.isnan(X)
        steps = X.shape[1]
        last = steps - known.any(axis=2)[:, ::-1].argmax(axis=1)
        lengths = np.where(known.any(axis=(1, 2)), last, 1)
        parts = [
            x[:length].T if k[:length].all() else _interpolated(x[:length], k[:length])
            for x, k, length in zip(X, known, lengths, strict=True)
        ]
        return cls(np.concatenate(parts, axis=1), np.cumsum([0, *lengths]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def channels(self) -> int:
        return len(self.values)

    @property
    def longest(self) -> int:
        return int(np.diff(self.starts).max())

    def differences(self) -> "Ragged":
        """First differences, one step shorter; a series of one step has the difference 0."""
        lengths = np.diff(self.starts)
        parts = [
            np.diff(self.one(n), axis=0).T if steps > 1 else np.zeros((self.channels, 1), "f4")
            for n, steps in enumerate(lengths)
        ]
        return Ragged(np.concatenate(parts, axis=1), np.cumsum([0, *np.maximum(lengths - 1, 1)]))

    def one(self, n: int) -> np.ndarray:
        """Series n, (T_n, C)."""
        return self.values[:, self.starts[n] : self.starts[n + 1]].T


def _interpolated(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(C, T) of ``x (T, C)``."""
    steps = np.arange(len(x))
    return np.stack(
        [
            np.interp(steps, steps[k], column[k]) if k.any() else np.zeros(len(x))
            for column, k in zip(x.T, known.T, strict=True)
        ]
    ).astype(np.float32)
