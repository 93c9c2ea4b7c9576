"""The one choice among forecasts: the simplest within one standard error, or a blend that helps.

Errors come from blocks of rows that no forecast was fitted on, see
:mod:`tsrep.forecasting.product`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

LEAST_BLOCKS = 3
"""Blocks below which no standard error is worth its name: the simplest candidate is taken."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen for one horizon.

    shares: of the chosen candidates, by name, of sum 1. settings: by name, the place of the setting
    of least error. errors: mean squared errors by name, simplest first. gaps: their standard errors
    relative to the least. residuals: (N, m, C), forecast less truth of the chosen forecast, out of
    its block: where it is a blend, its shares were found on the other blocks.
    """

    shares: dict[str, float]
    settings: dict[str, int]
    errors: dict[str, float]
    gaps: dict[str, float]
    residuals: np.ndarray

    @property
    def error(self) -> float:
        """Mean squared error of the chosen forecast."""
        return float(np.nanmean(np.square(self.residuals)))


def choose(names: Sequence[str], errors: Sequence[np.ndarray], block: np.ndarray) -> Choice:
    """Choose among candidates, simplest first, by their errors in blocks of rows.

    1. Of each candidate, the setting of least error.
    2. Candidates within one standard error of the best survive; it is that of the difference of
       their errors by block. The first of them is the simplest (Breiman et al. 1984, sec. 3.4.3,
       for a difference in place of an error, since errors rise and fall together).
    3. Survivors are blended with shares of least error, none below 0, drawn to equal ones by the
       largest of those standard errors. The blend is taken in place of the simplest if, with shares
       from the other blocks, it has less error.

    names: of the candidates. errors: for each (S settings, N, m, C), forecast less truth, NaN where
    there is none. block: (N,), the block of each origin, rising.
    """
    cuts = np.flatnonzero(np.diff(block)) + 1
    by_setting = [_by_block(one, cuts) for one in errors]  # (S, B)
    settings = [int(found.mean(axis=1).argmin()) for found in by_setting]
    own = np.stack([found[k] for found, k in zip(by_setting, settings, strict=True)])  # (K, B)
    found = np.stack([one[k] for one, k in zip(errors, settings, strict=True)])  # (K, N, m, C)
    best = int(own.mean(axis=1).argmin())
    gaps = np.array([_standard_error(one - own[best]) for one in own])
    survivors = np.flatnonzero(own.mean(axis=1) - own[best].mean() <= gaps)
    if own.shape[1] < LEAST_BLOCKS:
        survivors = survivors[:0]
    simplest = int(survivors[0]) if len(survivors) else 0
    shares, residuals = np.eye(len(own))[simplest], found[simplest]
    if len(survivors) > 1:
        doubt = float(gaps[survivors].max())
        blend, blended = _blend(found[survivors], cuts, doubt)
        gain = own[simplest] - _by_block(blended[None], cuts)[0]
        if gain.mean() > 0:
            shares, residuals = np.zeros(len(own)), blended
            shares[survivors] = blend
    return Choice(
        {name: float(s) for name, s in zip(names, shares, strict=True) if s > 0},
        dict(zip(names, settings, strict=True)),
        {name: float(e) for name, e in zip(names, own.mean(axis=1), strict=True)},
        {name: float(g) for name, g in zip(names, gaps, strict=True)},
        residuals,
    )


def convex_shares(gram: np.ndarray, doubt: float) -> np.ndarray:
    """Shares w >= 0 of sum 1 with the least ``w' gram w + doubt |w|^2``, gram (K, K) of errors.

    The more the errors are in doubt, the more equal the shares.
    """
    # Scaled to sum 1, the non-negative solution of gram w = 1 is that minimum.
    scale = np.trace(gram) / len(gram)
    if scale <= 0:
        return np.full(len(gram), 1 / len(gram))
    values, vectors = np.linalg.eigh(gram / scale + (doubt / scale + 1e-6) * np.eye(len(gram)))
    root = (vectors * np.sqrt(values.clip(1e-9))) @ vectors.T
    found, _ = nnls(root, np.linalg.solve(root, np.ones(len(gram))), maxiter=100 * len(gram))
    return found / found.sum()


def _blend(errors: np.ndarray, cuts: np.ndarray, doubt: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares from all blocks, and errors (N, m, C) with shares from all blocks but the own."""
    parts = np.split(errors, cuts, axis=1)
    grams = np.stack([_gram(part) for part in parts])
    total = grams.sum(axis=0)
    blended = [
        np.tensordot(convex_shares((total - gram) / (len(grams) - 1), doubt), part, axes=1)
        for gram, part in zip(grams, parts, strict=True)
    ]
    return convex_shares(total / len(grams), doubt), np.concatenate(blended)


def _gram(errors: np.ndarray) -> np.ndarray:
    """Mean products (K, K) of errors (K, N, m, C)."""
    rows = errors.reshape(len(errors), -1).astype(np.float64)
    rows = rows[:, ~np.isnan(rows[0])]
    return rows @ rows.T / max(1, rows.shape[1])


def _by_block(errors: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Mean squared errors (S, B) of errors (S, N, m, C); a block without any truth has 0."""
    squares = np.square(errors, dtype=np.float64)
    parts = np.split(squares, cuts, axis=1)
    found = [np.nansum(p, (1, 2, 3)) / np.isfinite(p).sum((1, 2, 3)).clip(1) for p in parts]
    return np.stack(found, axis=1)


def _standard_error(differences: np.ndarray) -> float:
    """Of the mean of differences (B,); 0 for one."""
    count = len(differences)
    return float(differences.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
