"""Forecast errors of a representation, beside the same encoder untrained and the controls.

Penalties, look-backs, blends and scales are chosen on validation rows, never on test rows.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Series, check_length, filled
from tsrep.encoders.encoding import encode
from tsrep.evaluation.tables import Scores, scores
from tsrep.forecasting.baselines import DROP, LOOK_BACKS, controls
from tsrep.forecasting.probe import Inputs, probe
from tsrep.forecasting.protocol import Forecast, evaluate
from tsrep.forecasting.ridge import OFF, linear_look_back, product

HISTORY = DROP + min(LOOK_BACKS)
"""Number of train rows that the readouts need, besides the horizon."""


def readout_inputs(
    encoder: nn.Module, series: Series, window: int | None = None
) -> tuple[Inputs, float]:
    """Encode every step of a series: inputs of the readouts, and the seconds that it took.

    An encoder of one channel reads each channel by itself; vectors of an encoder of C channels are
    shared by all channels. ``window``: see :func:`tsrep.encoders.encoding.encode`.
    """
    values = series.values[0, : series.split.test.stop]  # (T, C)
    started = time.perf_counter()
    rows = np.concatenate(encoder.apart(values[None]))  # (C, T, 1), or (1, T, C)
    vectors = encode(encoder, rows, window=window)  # (C, T, D), or (1, T, D)
    seconds = time.perf_counter() - started
    calendar = series.calendar[: len(values)]
    if calendar.shape[1]:
        calendar = second_harmonics(calendar).astype(np.float32)
    level = encoder.level_channels
    train = series.split.train
    whole = window or encoder.receptive_field  # earlier rows have a padded context
    drop = min(max(DROP, whole), (train.stop - train.start) // 4)
    inputs = Inputs(filled(values).astype(np.float32), vectors, calendar, series.split, level, drop)
    return inputs, seconds


def _fit_readouts(
    inputs: Inputs, series: Series, horizons: Sequence[int]
) -> dict[str, dict[int, Forecast]]:
    """Forecasts of both readouts, ``product`` and ``probe``, by horizon."""
    return {
        "product": product(inputs, horizons, linear_look_back(series)),
        "probe": probe(inputs, horizons),
    }


def without_representation(
    inputs: Inputs, series: Series, horizons: Sequence[int]
) -> dict[int, Forecast]:
    """Forecasts of the product by horizon, with its representation scaled to almost nothing."""
    return product(inputs, horizons, linear_look_back(series), (OFF,))


def check_horizons(series: Series, horizons: Sequence[int], look_back: int = 0) -> tuple[int, ...]:
    """Return the horizons; UserError if the series is too short to train and test on them."""
    if min(horizons) < 1:
        raise UserError(f"horizons: found {min(horizons)}, expected at least 1 step")
    check_length(series, max(look_back, HISTORY), max(horizons))
    return tuple(horizons)


def forecasting(
    trained: nn.Module,
    untrained: nn.Module,
    series: Series,
    horizons: Sequence[int] | None = None,
    window: int | None = None,
) -> dict[str, Any]:
    """Test errors of a trained encoder, and of the same encoder before training.

    Returns ``{"product": Scores, "probe": Scores, "no_representation": Scores, "untrained":
    {"product": ..., "probe": ...}, "validation": .., "timing": {"encode_s", "probe_s"}}``, errors
    in standardised units. ``validation`` is the average MSE of the product on validation rows, by
    which to choose among seeds.
    """
    horizons = tuple(horizons or series.horizons)
    found: dict[str, Any] = {"untrained": {}}
    for encoder, into in ((trained, found), (untrained, found["untrained"])):
        inputs, encode_s = readout_inputs(encoder, series, window)
        started = time.perf_counter()
        fitted = _fit_readouts(inputs, series, horizons)
        for name, by_horizon in fitted.items():
            into[name] = score(by_horizon, series)
        if encoder is trained:
            linear = without_representation(inputs, series, horizons)
            into["no_representation"] = score(linear, series)
            on_validation = score(fitted["product"], series, series.split.valid)
            found["validation"] = on_validation["average"]["mse"]
            timing = {"encode_s": encode_s, "probe_s": time.perf_counter() - started}
    return {**found, "timing": timing}


def score(by_horizon: dict[int, Forecast], series: Series, rows: slice | None = None) -> Scores:
    """Errors of forecasts by horizon on ``rows`` (default: test), and their averages."""
    values = series.values[0, : series.split.test.stop]
    rows = rows or series.split.test
    return scores({h: evaluate(f, values, rows, h) for h, f in by_horizon.items()})


def series_controls(series: Series) -> dict[str, Callable[[int], Forecast]]:
    """The controls of a series, see :func:`tsrep.forecasting.baselines.controls`."""
    stop = series.split.test.stop
    calendar = series.calendar[:stop]
    return controls(series.values[0, :stop], series.split, period=series.period, calendar=calendar)


def control_scores(series: Series, horizons: Sequence[int] | None = None) -> dict[str, Scores]:
    """Test errors of the controls of a series, by name."""
    horizons = tuple(horizons or series.horizons)
    bar = tqdm(series_controls(series).items(), desc="controls", delay=2, leave=False)
    return {name: score({h: fit(h) for h in horizons}, series) for name, fit in bar}
