"""The ridge probe for 13 penalties: one eigendecomposition against 13 fits of scikit-learn.

The problem has the sizes of the ETTh1 protocol: 7,720 train rows, 320 dimensions, targets from 24
(univariate, horizon 24) to 5,040 (7 channels, horizon 720). Embeddings and labels are float64,
in the memory layout that scikit-learn expects.
"""

from collections.abc import Callable, Iterable
from time import perf_counter

import numpy as np
from sklearn.linear_model import Ridge
from suites.table import Row

from tspcrep.common.probes import PENALTIES, Moments, RidgePath

TRAIN, VALID, DIM = 7720, 2160, 320
TARGETS = (24, 168, 720, 168 * 7, 720 * 7)


def rows(targets: Iterable[int] = TARGETS, repeats: int = 3, seed: int = 0) -> list[Row]:
    """Seconds (best of ``repeats``, in turn), their ratio, largest difference of a coefficient.

    Two jobs per number of targets: ``fit``, coefficients for all penalties; ``choose``, those of
    the penalty of least sqrt(MSE) + MAE on validation rows.
    """
    found = []
    for count in targets:
        train, valid = _problem(count, seed)
        jobs = {
            "fit": (lambda t=train: _fit_path(*t), lambda t=train: _fit_separately(*t)),
            "choose": (
                lambda t=train, v=valid: _choose_on_path(*t, *v),
                lambda t=train, v=valid: _choose_separately(*t, *v),
            ),
        }
        for job, (ours, theirs) in jobs.items():
            case = f"ridge/{TRAIN}x{DIM}/{count}-targets/{job}"
            (own_seconds, weights), (seconds, wanted) = _race(ours, theirs, repeats=repeats)
            gap = max(np.abs(a - b).max() for a, b in zip(weights, wanted, strict=True))
            found += [
                Row(case, "ridge-path", "time", own_seconds, "s"),
                Row(case, "sklearn-ridge", "time", seconds, "s"),
                Row(case, "ridge-path", "speedup", seconds / own_seconds, "x"),
                Row(case, "ridge-path", "coefficient_gap", float(gap)),
            ]
    return found


def _fit_path(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    path = RidgePath(Moments.of(x, y))
    return [path.model(alpha).weight for alpha in PENALTIES]


def _fit_separately(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [Ridge(alpha).fit(x, y).coef_.T for alpha in PENALTIES]


def _choose_on_path(x, y, x_valid, y_valid) -> list[np.ndarray]:
    return [RidgePath(Moments.of(x, y)).choose(x_valid, y_valid).weight]


def _choose_separately(x, y, x_valid, y_valid) -> list[np.ndarray]:
    scores = []
    for alpha in PENALTIES:
        error = Ridge(alpha).fit(x, y).predict(x_valid) - y_valid
        scores.append(np.sqrt((error**2).mean()) + np.abs(error).mean())
    return [Ridge(PENALTIES[int(np.argmin(scores))]).fit(x, y).coef_.T]


def _problem(targets: int, seed: int):
    """Embeddings whose variances fall over four decades, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(TRAIN + VALID, DIM)) * np.logspace(0, -2, DIM)
    y = x @ rng.normal(size=(DIM, targets)) / 4 + rng.normal(size=(TRAIN + VALID, targets))
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def _race(*runs: Callable[[], list[np.ndarray]], repeats: int):
    """Best seconds and result of each run; runs alternate, so that other load slows all alike."""
    seconds = [[] for _ in runs]
    for _ in range(repeats):
        found = []
        for run, own in zip(runs, seconds, strict=True):
            start = perf_counter()
            found.append(run())
            own.append(perf_counter() - start)
    return zip(map(min, seconds), found, strict=True)
