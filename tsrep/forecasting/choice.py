"""The one choice among forecasts: the simplest within one standard error, or a blend of them.

Errors come from blocks of rows that no forecast was fitted on, see
:mod:`tsrep.forecasting.product`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm, t

LEAST_BLOCKS = 3
"""Blocks below which no standard error is worth its name: the simplest candidate is taken."""
HELPS = 0.5
"""Standard errors by which what was learned, or a logarithm, must lower the error."""
BLEND = -1.0
"""Those by which a blend must lower it, less than 0: it is taken unless it raises it. A mean of
forecasts is rarely far off where one of them is. Settled, among .5, 0 and -1, on simulated walks,
autoregressions, lines and seasonal series of 60 to 400 rows, and on train rows of ETT and M4."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen for one horizon.

    shares: of the chosen candidates, by name, of sum 1. settings: by name, the place of the setting
    of least error. errors: mean squared errors by name, simplest first. gaps: their standard errors
    relative to the least. chosen: (N, m, C), forecast less truth of the chosen forecast. residuals:
    (N, m, C), in each block those of what would have been chosen on the other blocks. block: (N,),
    the block of each.
    """

    shares: dict[str, float]
    settings: dict[str, int]
    errors: dict[str, float]
    gaps: dict[str, float]
    chosen: np.ndarray
    residuals: np.ndarray
    block: np.ndarray

    @property
    def error(self) -> float:
        """Mean squared error of the residuals, which that of the best candidate is below."""
        return float(np.nanmean(np.square(self.residuals)))


def choose(
    names: Sequence[str],
    errors: Sequence[np.ndarray],
    block: np.ndarray,
    independent: float | None = None,
    blend: float = BLEND,
) -> Choice:
    """Choose among candidates, simplest first, by their errors in blocks of rows.

    1. Of each candidate, the setting of least error.
    2. Candidates within one standard error of the best survive; it is that of the difference of
       their errors by block. The first of them is the simplest (Breiman et al. 1984, sec. 3.4.3,
       for a difference in place of an error, since errors rise and fall together).
    3. Survivors are blended with shares of least error, none below 0, drawn by the largest of those
       standard errors to equal ones but for the simplest, which has one part in ``independent``
       more. The blend is taken in place of the simplest if, with shares from the other blocks, it
       has less error by ``blend`` standard errors.

    Errors of overlapping windows are alike, so that a few blocks say less than their number: the
    standard error is that of ``independent`` blocks, and as wide as Student's distribution of as
    many differences is at one normal deviation.

    The residuals of a block are those of the choice made on all other blocks: the error of the best
    of many would be too low (Varma and Simon 2006, nested cross-validation).

    names: of the candidates. errors: for each (S settings, N, m, C), forecast less truth, NaN where
    there is none. block: (N,), the block of each origin, rising. independent: number of blocks with
    errors as good as independent, their number by default. blend: see above; where it is less than
    0, a blend may even have a little more error in these blocks.
    """
    cuts = np.flatnonzero(np.diff(block)) + 1
    parts = [np.split(one, cuts, axis=1) for one in errors]  # by candidate and block
    by_setting = [np.stack([mean_squares(p) for p in own], axis=1) for own in parts]  # (S, B)
    count = len(cuts) + 1

    @cache
    def gram(block: int, rows: tuple[tuple[int, int], ...]) -> np.ndarray:
        return _gram(np.stack([parts[k][block][setting] for k, setting in rows]))

    share = min(1.0, (independent or count) / count)
    made = _decide(by_setting, gram, list(range(count)), LEAST_BLOCKS, share, blend)
    chosen = [_errors_of(made, parts, own) for own in range(count)]
    residuals = []
    for own in range(count):
        others = [b for b in range(count) if b != own] or [own]
        decided = _decide(by_setting, gram, others, LEAST_BLOCKS - 1, share, blend)
        residuals.append(_errors_of(decided, parts, own))
    return Choice(
        {name: float(s) for name, s in zip(names, made.shares, strict=True) if s > 0},
        dict(zip(names, made.settings, strict=True)),
        {name: float(e) for name, e in zip(names, made.errors, strict=True)},
        {name: float(g) for name, g in zip(names, made.gaps, strict=True)},
        np.concatenate(chosen),
        np.concatenate(residuals),
        np.asarray(block),
    )


class _Decided(NamedTuple):
    """shares (K,), settings, errors and gaps (K,) of the K candidates."""

    shares: np.ndarray
    settings: list[int]
    errors: np.ndarray
    gaps: np.ndarray


def _decide(
    by_setting: Sequence[np.ndarray],
    gram: Callable[[int, tuple[tuple[int, int], ...]], np.ndarray],
    blocks: list[int],
    least: int,
    independent: float,
    blend: float,
) -> _Decided:
    """The rule of :func:`choose` on some blocks; with fewer than ``least``, the simplest.

    gram: mean products of errors in a block, of candidates in settings. independent: share of the
    blocks.
    """
    settings = [int(found[:, blocks].mean(axis=1).argmin()) for found in by_setting]
    own = np.stack([f[k, blocks] for f, k in zip(by_setting, settings, strict=True)])  # (K, B)
    best = int(own.mean(axis=1).argmin())
    alike = max(1.0, independent * len(blocks))
    gaps = np.array([standard_error(one - own[best], alike) for one in own])
    survivors = np.flatnonzero(own.mean(axis=1) - own[best].mean() <= gaps)
    if len(blocks) < least:
        survivors = survivors[:0]
    simplest = int(survivors[0]) if len(survivors) else 0
    shares = np.eye(len(own))[simplest]
    if len(survivors) > 1:
        doubt = float(gaps[survivors].max())
        rows = tuple((int(k), settings[k]) for k in survivors)
        grams = np.stack([gram(block, rows) for block in blocks])
        others = grams.sum(axis=0) - grams if len(blocks) > 1 else grams
        prior = np.full(len(survivors), (1 - 1 / alike) / len(survivors))
        prior[0] += 1 / alike
        found = [convex_shares(o / max(1, len(blocks) - 1), doubt, prior) for o in others]
        blended = np.array([w @ gram @ w for w, gram in zip(found, grams, strict=True)])
        gained = own[simplest] - blended
        unlike = not np.allclose(grams, grams[:, :1, :1], atol=0)
        if unlike and helps(gained, alike, blend):
            shares = np.zeros(len(own))
            shares[survivors] = convex_shares(grams.mean(axis=0), doubt, prior)
    return _Decided(shares, settings, own.mean(axis=1), gaps)


def _errors_of(decided: _Decided, parts: Sequence[Sequence[np.ndarray]], block: int) -> np.ndarray:
    """Errors (n, m, C) of a decided forecast in a block."""
    used = np.flatnonzero(decided.shares).tolist()
    errors = (decided.shares[k] * parts[k][block][decided.settings[k]] for k in used)
    return sum(errors, np.zeros(()))


def convex_shares(gram: np.ndarray, doubt: float, prior: np.ndarray) -> np.ndarray:
    """Shares w >= 0 of sum 1 with the least ``w' gram w + doubt |w - prior|^2``, gram (K, K).

    gram: mean products of errors. prior: (K,), shares of sum 1 that much doubt ends at.
    """
    scale = np.trace(gram) / len(gram)
    if scale <= 0:
        return prior
    # |w - prior|^2 as a quadratic form, since sum(w) = 1.
    off = np.eye(len(gram)) - prior[:, None]
    # Scaled to sum 1, the non-negative solution of matrix w = 1 is that minimum.
    matrix = gram / scale + doubt / scale * off.T @ off + 1e-6 * np.eye(len(gram))
    values, vectors = np.linalg.eigh(matrix)
    root = (vectors * np.sqrt(values.clip(1e-9))) @ vectors.T
    found, _ = nnls(root, np.linalg.solve(root, np.ones(len(gram))), maxiter=100 * len(gram))
    return found / found.sum()


def _gram(errors: np.ndarray) -> np.ndarray:
    """Mean products (K, K) of errors (K, N, m, C)."""
    rows = errors.reshape(len(errors), -1).astype(np.float64)
    rows = rows[:, ~np.isnan(rows[0])]
    return rows @ rows.T / max(1, rows.shape[1])


def mean_squares(errors: np.ndarray) -> np.ndarray:
    """Mean squared errors (S,) of errors (S, n, m, C); 0 without any truth."""
    squares = np.square(errors, dtype=np.float64)
    return np.nansum(squares, (1, 2, 3)) / np.isfinite(squares).sum((1, 2, 3)).clip(1)


def helps(gained: np.ndarray, independent: float, least: float = HELPS) -> bool:
    """Whether errors fell by more than ``least`` standard errors; gained: (B,), by block."""
    return bool(gained.mean() > least * standard_error(gained, min(independent, len(gained))))


def standard_error(differences: np.ndarray, independent: float) -> float:
    """Of the mean of differences (B,), of which so many are ``independent``; 0 for one.

    Times the ratio of Student's quantile to the normal one, at one deviation.
    """
    if len(differences) < 2:
        return 0.0
    wider = t.ppf(norm.cdf(1), max(1.0, independent - 1))
    return float(wider * differences.std(ddof=1) / np.sqrt(max(1.0, independent)))
