"""Coverage of prediction intervals on simulated series of known kinds, beside seasonal naive.

Shares of the values of twelve steps ahead that lie in intervals of nominal 90 and 80 %, by thirds
of the horizon; width and squared error relative to those of seasonal naive, whose intervals assume
a random walk of seasons. A seed is another set of series.
"""

from collections.abc import Iterator
from statistics import fmean, pstdev

import numpy as np
from scipy.stats import norm
from suites.table import Row

from tsrep.datasets.series import Split
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.product import fit_product

HORIZON = 12
SERIES = {60: 40, 120: 40, 500: 20, 3000: 8}
"""Number of series of a kind and seed, by rows."""
NOMINAL = (0.9, 0.8)
THIRDS = ("steps 1-4", "steps 5-8", "steps 9-12")


def seasonal(rng: np.random.Generator, rows: int) -> np.ndarray:
    """A trend and a yearly wave of months, with a walk and noise around them."""
    t = np.arange(rows)
    around = 1.5 * rng.normal(size=rows).cumsum() + 2 * rng.normal(size=rows)
    return 100 + 0.3 * t + 15 * np.sin(2 * np.pi * t / 12) + around


def walk(rng: np.random.Generator, rows: int) -> np.ndarray:
    return 100 + rng.normal(size=rows).cumsum()


def autoregression(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Of first order, coefficient .8, from its stationary distribution."""
    x = np.zeros(rows)
    x[0] = rng.normal() / 0.6
    for i in range(1, rows):
        x[i] = 0.8 * x[i - 1] + rng.normal()
    return x


KINDS = {"seasonal": (seasonal, 12), "walk": (walk, 1), "autoregression": (autoregression, 1)}
CASES = tuple(f"{kind}/{rows}-rows" for kind in KINDS for rows in SERIES)


def rows(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Coverage of the product and of the naive forecast, and how they compare."""
    kind, _, length = case.partition("/")
    count = int(length.removesuffix("-rows"))
    found = [_measured(kind, count, seed) for seed in seeds]
    for system in ("product", "naive"):
        for metric in found[0][system]:
            values = [one[system][metric] for one in found]
            yield Row(case, system, metric, fmean(values), "", pstdev(values), len(seeds), "series")


def _measured(kind: str, rows: int, seed: int) -> dict[str, dict[str, float]]:
    make, season = KINDS[kind]
    inside: dict[str, list] = {"product": [], "naive": []}
    width: dict[str, list] = {"product": [], "naive": []}
    square: dict[str, list] = {"product": [], "naive": []}
    for number in range(SERIES[rows]):
        values = make(np.random.default_rng([seed, number]), rows + HORIZON)
        truth = values[rows:]
        for system, forecast in (("product", _product), ("naive", _naive)):
            point, low, high = forecast(values[:rows], season)  # (H,), (H, 2), (H, 2)
            inside[system].append((truth[:, None] >= low) & (truth[:, None] <= high))
            width[system].append(high[:, 0] - low[:, 0])
            square[system].append((truth - point) ** 2)
    found = {}
    for system in inside:
        held = np.mean(inside[system], axis=0)  # (H, 2)
        by_level = zip(NOMINAL, held.mean(axis=0), strict=True)
        by_third = zip(THIRDS, held[:, 0].reshape(3, -1).mean(axis=1), strict=True)
        found[system] = {f"coverage {nominal:.0%}": float(share) for nominal, share in by_level}
        found[system] |= {f"coverage 90%, {steps}": float(share) for steps, share in by_third}
    for name, of in (("width", width), ("mse", square)):
        ratio = np.mean(of["product"]) / np.mean(of["naive"])
        found["product"][f"{name} over naive"] = float(ratio)
    return found


def _product(history: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closed-form forecaster that ``ContrastiveForecaster`` starts from, without vectors."""
    rows, mean, deviation = len(history), history.mean(), history.std()
    values = ((history - mean) / deviation)[:, None].astype(np.float32)
    nothing, calendar = np.zeros((1, rows, 0), np.float32), np.zeros((rows, 0), np.float32)
    start = rows - (HORIZON + rows // 6)  # as ContrastiveForecaster divides them
    split = Split(slice(0, start), slice(start, rows), slice(rows, rows))
    inputs = Inputs(values, nothing, calendar, split, drop=0)
    zero = np.array([-mean / deviation])
    found = fit_product(inputs, (HORIZON,), season if season > 1 else None, zero=zero)[HORIZON]
    ahead = found.product.forecast(inputs)(np.array([rows - 1]))[0]
    tails = [(1 - n) / 2 for n in NOMINAL]
    errors = found.spread.quantiles([*tails, *(1 - t for t in tails)])
    bounds = mean + deviation * found.product.scale.around(ahead, errors)[:, 0]
    return mean + deviation * ahead[:, 0], bounds[:, :2], bounds[:, 2:]


def _naive(history: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seasonal naive: errors grow with the root of the seasons ahead (Hyndman 2021, sec. 5.5)."""
    steps = np.arange(HORIZON)
    point = history[len(history) - season + steps % season]
    size = np.std(history[season:] - history[:-season]) * np.sqrt(steps // season + 1)
    width = size[:, None] * norm.ppf([(1 + n) / 2 for n in NOMINAL])
    return point, point[:, None] - width, point[:, None] + width
