"""A logarithm of channels that are positive and whose changes grow with their level."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

_EVIDENCE = chi2.ppf(0.95, 1) / 2
"""Difference of log-likelihoods beyond which a power leaves its 95 % region (Box and Cox 1964,
sec. 3)."""


@dataclass(frozen=True, eq=False)
class LogScale:
    """v -> (log max(v - zero, least) - mean) / deviation, of some channels of standardised values.

    table: rows zero, least, mean and deviation, (4, C); channels of deviation 0 stay as they are.
    """

    table: np.ndarray

    @classmethod
    def identity(cls, channels: int) -> "LogScale":
        return cls(np.zeros((4, channels), np.float32))

    @property
    def used(self) -> np.ndarray:
        """Which channels (C,) are changed."""
        return self.table[3] > 0

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Values (..., C) on the scale; those below ``least`` above zero are taken for it."""
        found, used = np.array(values, dtype=np.float64), self.used
        zero, least, mean, deviation = self.table[:, used].astype(np.float64)
        logs = np.log(np.maximum(found[..., used] - zero, least))
        found[..., used] = (logs - mean) / deviation
        return found

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`forward`."""
        found, used = np.array(values, dtype=np.float64), self.used
        zero, _, mean, deviation = self.table[:, used].astype(np.float64)
        found[..., used] = np.exp(found[..., used] * deviation + mean) + zero
        return found

    def around(self, forecast: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Quantiles (..., H, C, Q) about a forecast (..., H, C), from those of errors (H, C, Q).

        errors: on the scale; the forecast and what is returned are not. Quantiles keep their place
        under a scale that rises.
        """
        found = self.forward(forecast)[..., None] + errors
        return np.moveaxis(self.inverse(np.moveaxis(found, -1, -2)), -2, -1)


def find_log_scale(values: np.ndarray, zero: np.ndarray, season: int | None = None) -> LogScale:
    """The scale of channels that are positive and more likely by their logarithm.

    The changes over a step, or over a season, are normal of one variance, either those of the
    values or those of their logarithms; the profile likelihoods of the powers 1 and 0 of Box and
    Cox (1964, sec. 3) are compared. Only a gate: rolling origins then choose.

    values: (T, C), standardised, NaN where missing. zero: (C,), where the value of the data is 0.
    season: in steps, 1 for none.
    """
    above = np.asarray(values, dtype=np.float64) - zero
    steps = (1, season) if season and 2 * season <= len(values) else (1,)
    table = LogScale.identity(values.shape[1]).table
    for c, own in enumerate(above.T):
        own = own[np.isfinite(own)]
        if len(own) <= steps[-1] + 2 or own.min() <= 0:
            continue
        if any(_log_is_likelier(own, step) for step in steps):
            logs = np.log(own)
            table[:, c] = zero[c], own.min() / 2, logs.mean(), logs.std()
    return LogScale(table)


def _log_is_likelier(own: np.ndarray, step: int) -> bool:
    moves, logs = own[step:] - own[:-step], np.log(own[step:] / own[:-step])
    if moves.std() <= 0 or logs.std() <= 0:
        return False
    ratio = len(moves) * np.log(moves.std() / logs.std()) - np.log(own[step:]).sum()
    return bool(ratio > _EVIDENCE)
