"""How long a batch takes to augment: ours, tsaug, and loops over samples in numpy.

Everything is drawn anew in every call, and the draw counts. The loops are what people write who
know numpy: one sample at a time, all of its channels and steps at once, reading by two gathers a
sample, which beats ``np.interp`` a channel. tsaug (extra ``bench``) has no window warp and no
permutation; its crop takes one length for the whole batch, and its drift stands for magnitude warp.

Systems take turns, call by call, so that what else the machine does meets all of them alike. Values
are medians and minima over calls: where other programs keep the cores busy, a call on two threads
waits for the slower one, and the minimum says what the code needs.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from suites.table import Row

from tsrep.augment import MagnitudeWarp, Permutation, TimeWarp, WindowSlice, WindowWarp

WARPS = {
    "window_slice": WindowSlice(),
    "window_warp": WindowWarp(),
    "permutation": Permutation(),
    "time_warp": TimeWarp(),
    "magnitude_warp": MagnitudeWarp(),
}


def rows(
    batch: int = 64,
    length: int = 512,
    channels: int = 7,
    calls: int = 200,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Milliseconds a call for each warp and system, and how many times faster ours is.

    batch, length, channels: of the float32 series. calls: of each system. threads: what ours may
    use; all others use one.
    """
    x = torch.randn(batch, length, channels, generator=torch.Generator().manual_seed(0))
    found, before = [], torch.get_num_threads()
    try:
        for name in WARPS:
            case = f"{name}/{batch}x{length}x{channels}"
            found += _compare(case, _systems(name, x, threads), calls)
    finally:
        torch.set_num_threads(before)
    return found


def _compare(case: str, systems: dict[str, Callable], calls: int) -> list[Row]:
    times = {system: [] for system in systems}
    for call in range(calls + 5):
        for system, run in systems.items():
            start = time.perf_counter()
            run()
            if call >= 5:  # the first ones compile and warm up
                times[system].append(1e3 * (time.perf_counter() - start))
    found = []
    for metric, of in (("median", statistics.median), ("minimum", min)):
        values = {system: of(times[system]) for system in systems}
        found += [Row(case, system, metric, value, "ms") for system, value in values.items()]
        rivals = [value for system, value in values.items() if not system.startswith("tsrep")]
        found += [
            Row(case, system, f"speedup_{metric}", min(rivals) / value, "x")
            for system, value in values.items()
            if system.startswith("tsrep")
        ]
    return found


def _systems(name: str, x: torch.Tensor, threads: tuple[int, ...]) -> dict[str, Callable]:
    series, random = x.numpy(), np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)

    def ours(count: int) -> Callable:
        def run():
            torch.set_num_threads(count)
            return WARPS[name](x, generator)

        return run

    systems = {f"tsrep-{count}-threads": ours(count) for count in threads}
    systems["numpy-loop"] = lambda: _LOOPS[name](series, random)
    peer = _tsaug(name, x.shape[1])
    if peer is not None:
        systems[f"tsaug-{version('tsaug')}"] = lambda: peer.augment(series)
    return systems


def _tsaug(name: str, length: int):
    """tsaug's nearest relative of a warp, or None."""
    try:
        version("tsaug")
    except PackageNotFoundError:
        return None
    with warnings.catch_warnings():
        # Its last release, of 2020, imports names that scipy is giving up.
        warnings.simplefilter("ignore", DeprecationWarning)
        import tsaug

    if name == "window_slice":
        return tsaug.Crop(int(0.9 * length), resize=length)
    if name == "time_warp":
        return tsaug.TimeWarp(n_speed_change=5)
    if name == "magnitude_warp":
        return tsaug.Drift(n_drift_points=4, kind="multiplicative")
    return None


def _read(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """One series (T, C) at fractional places (T,)."""
    left = np.minimum(places.astype(np.int64), len(x) - 2)
    weight = (places - left).astype(x.dtype)[:, None]
    before = x[left]
    return before + weight * (x[left + 1] - before)


def _window_slice(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    y, last = np.empty_like(x), x.shape[1] - 1
    for b, series in enumerate(x):
        first = random.uniform(0, 0.1 * last)
        y[b] = _read(series, np.linspace(first, first + 0.9 * last, x.shape[1]))
    return y


def _window_warp(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    y, last = np.empty_like(x), x.shape[1] - 1
    window = round(0.1 * x.shape[1])
    for b, series in enumerate(x):
        begin, scale = random.integers(0, last - window + 1), random.choice((0.5, 2.0))
        end = last + (scale - 1) * window
        after = (0, begin, begin + scale * window, end)
        before = (0, begin, begin + window, last)
        y[b] = _read(series, np.interp(np.linspace(0, end, x.shape[1]), after, before))
    return y


def _permutation(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    y, steps = np.empty_like(x), np.arange(x.shape[1])
    for b, series in enumerate(x):
        segments = np.array_split(steps, random.integers(1, 6))
        order = random.permutation(len(segments))
        y[b] = series[np.concatenate([segments[s] for s in order])]
    return y


def _time_warp(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    y, steps, last = np.empty_like(x), np.arange(x.shape[1]), x.shape[1] - 1
    knots = np.linspace(0, last, 6)
    for b, series in enumerate(x):
        speed = CubicSpline(knots, random.normal(1, 0.2, 6))(steps[:-1] + 0.5)
        walked = np.concatenate([[0], np.cumsum(np.maximum(speed, 0.1))])
        y[b] = _read(series, walked * (last / walked[-1]))
    return y


def _magnitude_warp(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    y, steps = np.empty_like(x), np.arange(x.shape[1])
    knots = np.linspace(0, x.shape[1] - 1, 6)
    for b, series in enumerate(x):
        y[b] = series * CubicSpline(knots, random.normal(1, 0.2, (6, x.shape[2])))(steps)
    return y


_LOOPS = {
    "window_slice": _window_slice,
    "window_warp": _window_warp,
    "permutation": _permutation,
    "time_warp": _time_warp,
    "magnitude_warp": _magnitude_warp,
}
