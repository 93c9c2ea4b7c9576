"""Anomalies of known kind and place, put into clean series."""

from collections.abc import Callable

import numpy as np

from tspcrep.common.errors import UserError

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def inject(
    series: np.ndarray, kind: str, start: int, length: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``series (T,)`` with an anomaly in the steps ``start : start + length``, and its labels (T,).

    kind: one of ``KINDS``, those of Goswami et al., "Unsupervised model selection for time series
    anomaly detection" (ICLR 2023), Section 4, but for mixtures and those that need other series.
    Sizes are in units of the series' deviation. A spike takes one step in the middle of the place.
    """
    if kind not in KINDS:
        raise UserError(f"kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    if not 0 <= start < start + length <= len(series):
        raise ValueError(
            f"steps {start} to {start + length}, expected to lie in a series of {len(series)}"
        )
    found = np.array(series, dtype=np.float64)
    labels = np.zeros(len(found), dtype=bool)
    place = slice(start, start + length)
    if kind == "spike":
        place = slice(start + length // 2, start + length // 2 + 1)
    found[place] = KINDS[kind](found[place], float(found.std()), rng)
    labels[place] = True
    return found, labels


def _spike(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return x + rng.choice([-1, 1]) * rng.uniform(2, 4) * size


def _flip(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return x[::-1]


def _speedup(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Half or twice the speed, from the place's first step."""
    speed = rng.choice([0.5, 2.0])
    steps = np.arange(len(x)) * speed
    return np.interp(steps % len(x), np.arange(len(x)), x)


def _noise(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return x + rng.uniform(0.3, 0.8) * size * rng.normal(size=len(x))


def _cutoff(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return np.full_like(x, rng.choice(x))


def _average(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A moving average over a quarter of the place."""
    width = max(3, len(x) // 4)
    padded = np.pad(x, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _scale(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return x.mean() + (x - x.mean()) * rng.choice([rng.uniform(0.2, 0.5), rng.uniform(1.6, 2.5)])


def _wander(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A line is added."""
    return x + rng.choice([-1, 1]) * rng.uniform(1, 2) * size * np.linspace(0, 1, len(x))


def _upside_down(x: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return 2 * x.mean() - x


KINDS: dict[str, Change] = {
    "spike": _spike,
    "flip": _flip,
    "speedup": _speedup,
    "noise": _noise,
    "cutoff": _cutoff,
    "average": _average,
    "scale": _scale,
    "wander": _wander,
    "upside down": _upside_down,
}
