"""What a representation is worth: forecasts and classification, always beside the controls.

Nothing is chosen on test rows: penalties, look-backs, blends and scales see validation alone.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Series, check_length, filled
from tsrep.encoders.encoding import encode
from tsrep.evaluation.tables import Scores, scores
from tsrep.forecasting import probe as readout
from tsrep.forecasting import ridge as closed_form
from tsrep.forecasting.baselines import DROP, LOOK_BACKS, controls
from tsrep.forecasting.protocol import Forecast, evaluate
from tsrep.forecasting.ridge import linear_look_back

HISTORY = DROP + min(LOOK_BACKS)
"""Train rows that the readouts need beside the horizon."""


def readout_inputs(
    encoder: nn.Module, series: Series, window: int | None = None
) -> tuple[readout.Inputs, float]:
    """Vectors of every step of a series, and the seconds that encoding took.

    An encoder of one channel encodes each channel by itself; an encoder of C channels gives vectors
    that all channels share. ``window``: see :func:`tsrep.encoders.encoding.encode`.
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
    whole = window or encoder.receptive_field  # rows before have a context that is padded
    drop = min(max(DROP, whole), (train.stop - train.start) // 4)
    inputs = readout.Inputs(
        filled(values).astype(np.float32), vectors, calendar, series.split, level, drop
    )
    return inputs, seconds


def forecasts(
    inputs: readout.Inputs, series: Series, horizons: Sequence[int]
) -> dict[str, dict[int, Forecast]]:
    """The fitted forecasts of both readouts."""
    return {
        "product": closed_form.product(inputs, horizons, linear_look_back(series)),
        "probe": readout.probe(inputs, horizons),
    }


def linear_path(
    inputs: readout.Inputs, series: Series, horizons: Sequence[int]
) -> dict[int, Forecast]:
    """The fitted product without its representation."""
    return closed_form.product(inputs, horizons, linear_look_back(series), (closed_form.OFF,))


def check_horizons(series: Series, horizons: Sequence[int], look_back: int = 0) -> tuple[int, ...]:
    """The horizons; raises UserError where the series is too short to learn and test them on."""
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
    in standardised units. ``validation`` is the product's average MSE on validation rows, by which
    to choose among seeds.
    """
    horizons = tuple(horizons or series.horizons)
    found: dict[str, Any] = {"untrained": {}}
    for encoder, into in ((trained, found), (untrained, found["untrained"])):
        inputs, encode_s = readout_inputs(encoder, series, window)
        started = time.perf_counter()
        fitted = forecasts(inputs, series, horizons)
        for name, by_horizon in fitted.items():
            into[name] = score(by_horizon, series)
        if encoder is trained:
            into["no_representation"] = score(linear_path(inputs, series, horizons), series)
            on_validation = score(fitted["product"], series, series.split.valid)
            found["validation"] = on_validation["average"]["mse"]
            timing = {"encode_s": encode_s, "probe_s": time.perf_counter() - started}
    return {**found, "timing": timing}


def score(by_horizon: dict[int, Forecast], series: Series, rows: slice | None = None) -> Scores:
    """Errors of a forecast for each horizon on ``rows`` (default: test), and their average."""
    values = series.values[0, : series.split.test.stop]
    rows = rows or series.split.test
    return scores({h: evaluate(f, values, rows, h) for h, f in by_horizon.items()})


def control_scores(series: Series, horizons: Sequence[int] | None = None) -> dict[str, Scores]:
    """Errors of the controls that need no encoder, see
    :func:`tsrep.forecasting.baselines.controls`."""
    found = controls(
        series.values[0, : series.split.test.stop],
        series.split,
        tuple(horizons or series.horizons),
        period=series.period,
        calendar=series.calendar[: series.split.test.stop],
    )
    return {name: scores(by_horizon) for name, by_horizon in found.items()}
