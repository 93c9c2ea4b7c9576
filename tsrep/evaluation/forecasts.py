"""Forecast errors of a representation, beside the same encoder untrained and the controls.

Penalties, look-backs, blends and scales are chosen on validation rows, never on test rows.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Series, check_length, filled
from tsrep.encoders.base import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import untrained
from tsrep.evaluation.tables import Columns, Readout, Task, mean_timing
from tsrep.forecasting.baselines import DROP, controls
from tsrep.forecasting.probe import Inputs, probe
from tsrep.forecasting.product import fit_product, product, without_vectors
from tsrep.forecasting.protocol import Forecast, evaluate

Scores = dict[str, Any]
"""``{"horizons": {"24": {"mse": .., "mae": ..}}, "average": {"mse": .., "mae": ..}}``"""

INTERVALS = ("coverage", "width", "crps")
"""Scores of the intervals of a forecaster, each by horizon."""
LOOKING_AHEAD = 201
"""Steps of the window of an encoder that is not causal (TS2Vec, CoST, AutoTCL)."""

HISTORY = 8
"""Number of train rows that the readouts need, besides the horizon."""


def readout_inputs(
    encoder: Encoder, series: Series, window: int | None = None
) -> tuple[Inputs, float]:
    """Encode every step of a series: inputs of the readouts, and the seconds that it took.

    An encoder of one channel reads each channel by itself; vectors of an encoder of C channels are
    shared by all channels. ``window``: see :func:`tsrep.encoders.encoding.encode`; an encoder that
    looks ahead always has one, by default the papers' 201 steps, or it would see what is forecast.
    """
    if window is None and not encoder.causal:
        window = LOOKING_AHEAD
    values = series.values[0, : series.split.test.stop]  # (T, C)
    started = time.perf_counter()
    rows = np.concatenate(encoder.apart(values[None]))  # (C, T, 1), or (1, T, C)
    vectors = encode(encoder, rows, window=window)  # (C, T, D), or (1, T, D)
    seconds = time.perf_counter() - started
    calendar = second_harmonics(series.calendar[: len(values)]).astype(np.float32)
    level = encoder.level_channels
    train = series.split.train
    whole = window or encoder.receptive_field  # earlier rows have a padded context
    drop = int(min(max(DROP, whole), (train.stop - train.start) // 4))
    complete = filled(values).astype(np.float32)
    inputs = Inputs(complete, vectors, calendar, series.split, level, drop, ~np.isnan(values))
    return inputs, seconds


def without_representation(
    inputs: Inputs, series: Series, horizons: Sequence[int]
) -> dict[int, Forecast]:
    """Forecasts of the product by horizon, chosen among those without the representation."""
    return product(without_vectors(inputs), horizons, series.period, series.scaler.zero)


def check_horizons(series: Series, horizons: Sequence[int], look_back: int = 0) -> tuple[int, ...]:
    """Return the horizons; UserError if the series is too short to train and test on them."""
    if min(horizons) < 1:
        raise UserError(f"horizons: found {min(horizons)}, expected at least 1 step")
    check_length(series, max(look_back, HISTORY), max(horizons))
    return tuple(horizons)


def forecasting(
    trained: Encoder,
    untrained: Encoder,
    series: Series,
    horizons: Sequence[int] | None = None,
    window: int | None = None,
) -> dict[str, Any]:
    """Test errors of a trained encoder, and of the same encoder before training.

    Returns ``{"product": Scores, "probe": Scores, "no_representation": Scores, "untrained":
    {"product": ..., "probe": ...}, "validation": .., "timing": {"encode_s", "probe_s"}}``, errors
    in standardised units. ``validation`` is the average MSE of the product on rows that it was not
    fitted on, by which to choose among seeds.
    """
    horizons = tuple(horizons or series.horizons)
    found: dict[str, Any] = {"untrained": {}}
    for encoder, into in ((trained, found), (untrained, found["untrained"])):
        inputs, encode_s = readout_inputs(encoder, series, window)
        started = time.perf_counter()
        fitted = fit_product(inputs, horizons, series.period, zero=series.scaler.zero)
        into["product"] = score({h: f.product.forecast(inputs) for h, f in fitted.items()}, series)
        into["probe"] = score(probe(inputs, horizons), series)
        if encoder is trained:
            linear = without_representation(inputs, series, horizons)
            into["no_representation"] = score(linear, series)
            found["choices"] = {str(h): f.table() for h, f in fitted.items()}
            found["validation"] = fmean(f.error for f in fitted.values())
            timing = {"encode_s": encode_s, "probe_s": time.perf_counter() - started}
    return {**found, "timing": timing}


def score(by_horizon: dict[int, Forecast], series: Series, rows: slice | None = None) -> Scores:
    """Errors of forecasts by horizon on ``rows`` (default: test), and their averages."""
    values = series.values[0, : series.split.test.stop]
    rows = rows or series.split.test
    found = {str(h): evaluate(f, values, rows, h) for h, f in by_horizon.items()}
    errors = {h: {"mse": s.mse, "mae": s.mae} for h, s in found.items()}
    average = {m: fmean(e[m] for e in errors.values()) for m in ("mse", "mae")}
    return {"horizons": errors, "average": average}


def series_controls(series: Series) -> dict[str, Callable[[int], Forecast]]:
    """The controls of a series, see :func:`tsrep.forecasting.baselines.controls`."""
    stop = series.split.test.stop
    calendar, period = series.calendar[:stop], series.period
    if period and period > series.split.test.start:  # no season before the first forecast
        period = None
    return controls(series.values[0, :stop], series.split, period=period, calendar=calendar)


def control_scores(series: Series, horizons: Sequence[int] | None = None) -> dict[str, Scores]:
    """Test errors of the controls of a series, by name."""
    horizons = tuple(horizons or series.horizons)
    bar = tqdm(series_controls(series).items(), desc="controls", delay=2, leave=False)
    return {name: score({h: fit(h) for h in horizons}, series) for name, fit in bar}


def summary(
    series: Series,
    seeds: Sequence[int],
    results: Sequence[dict[str, Any]],
    fixed: dict[str, Scores],
) -> dict[str, Any]:
    """Contents of ``result.json``: means and standard deviations over seeds, and the controls.

    The top level holds the errors of the product, ``probe`` those of the papers' protocol. Among
    the controls, ``random_encoder`` is the encoder before training, and ``no_representation`` the
    linear path of the product alone. fixed: the controls that need no encoder.
    """

    def over_seeds(pick: Callable[[dict[str, Any]], Scores]) -> Scores:
        return _mean_scores([pick(result) for result in results])

    return {
        **_head(series, seeds),
        **over_seeds(lambda r: r["product"]),
        "probe": over_seeds(lambda r: r["probe"]),
        "controls": {
            **fixed,
            "no_representation": over_seeds(lambda r: r["no_representation"]),
            "random_encoder": {
                **over_seeds(lambda r: r["untrained"]["product"]),
                "probe": over_seeds(lambda r: r["untrained"]["probe"]),
            },
        },
        "timing": mean_timing(results),
    }


def forecaster_summary(
    series: Series,
    seeds: Sequence[int],
    results: Sequence[dict[str, Any]],
    fixed: dict[str, Scores],
) -> dict[str, Any]:
    """Contents of ``result.json`` for a forecaster, in the form of :func:`summary`.

    Among the controls, ``linear_path`` is the product without its network, and ``random_encoder`` a
    ridge on the vectors of the untrained network: both read inputs known ahead, ``fixed`` read the
    series alone. ``coverage`` is the share of test values between the .1 and .9 quantiles,
    ``width`` how far these lie apart and ``crps`` that of nine quantiles, by horizon. ``choices``,
    by horizon, are those of the first seed: the shares of what was chosen, and the errors of all
    candidates.
    """
    parts = {"linear_path", "random_encoder"} & results[0].keys()
    return {
        **_head(series, seeds),
        **_mean_scores([result["forecast"] for result in results]),
        **{
            name: {h: fmean(result[name][h] for result in results) for h in results[0][name]}
            for name in measured_intervals(results[0])
        },
        "choices": results[0].get("choices", {}),
        "controls": {
            **fixed,
            **{name: _mean_scores([r[name] for r in results]) for name in sorted(parts)},
        },
        "timing": mean_timing(results),
    }


def interval_table(result: dict[str, Any]) -> str:
    """How good the intervals of a forecaster are, as text, in the form of the table above it."""
    measured = measured_intervals(result)
    horizons = list(result[measured[0]])
    lines = [f"{'intervals, .1 to .9':<24}" + "".join(f"{h:>10}" for h in horizons)]
    for name in measured:
        lines.append(f"{name:<24}" + "".join(f"{result[name][h]:>9.4f} " for h in horizons))
    return "\n".join(lines)


def measured_intervals(result: dict[str, Any]) -> list[str]:
    """The ``INTERVALS`` that a result holds; of an older run it is the coverage alone."""
    return [name for name in INTERVALS if name in result]


def _head(series: Series, seeds: Sequence[int]) -> dict[str, Any]:
    mode = "univariate" if series.channels == 1 else "multivariate"
    return {"task": "forecasting", "data": series.name, "mode": mode, "seeds": list(seeds)}


def _mean_scores(found: Sequence[Scores]) -> Scores:
    """Means over seeds, with the standard deviation of the average MSE."""
    horizons = {
        h: {m: fmean(s["horizons"][h][m] for s in found) for m in ("mse", "mae")}
        for h in found[0]["horizons"]
    }
    average = {m: fmean(s["average"][m] for s in found) for m in ("mse", "mae")}
    average["mse_std"] = pstdev(s["average"]["mse"] for s in found)
    return {"horizons": horizons, "average": average}


def _rows(result: dict[str, Any]) -> dict[str, Scores]:
    controls = result["controls"]
    if "probe" not in result:  # of a forecaster
        return {"forecaster": result, **controls}
    random = controls["random_encoder"]
    rows = {
        "product": result,
        "probe": result["probe"],
        "random encoder, product": random,
        "random encoder, probe": random["probe"],
    }
    return {**rows, **{name: s for name, s in controls.items() if name != "random_encoder"}}


def _columns(result: dict[str, Any], mode: Readout | None = None) -> Columns:
    hidden = {"product": "probe", "probe": "product"}.get(mode or "", "none of them")
    rows = {n: s for n, s in _rows(result).items() if not n.endswith(hidden)}
    columns = {
        h: {name: s["horizons"][h]["mse"] for name, s in rows.items()}
        for h in next(iter(rows.values()))["horizons"]
    }
    columns["average"] = {name: s["average"]["mse"] for name, s in rows.items()}
    columns["MAE"] = {name: s["average"]["mae"] for name, s in rows.items()}
    return columns


def _evaluate(
    encoder: Encoder,
    series: Series,
    horizons: Sequence[int] | None = None,
    window: int | None = None,
) -> dict[str, Any]:
    horizons = check_horizons(series, horizons or series.horizons)
    found = forecasting(encoder, untrained(encoder), series, horizons, window)
    return summary(series, [0], [found], control_scores(series, horizons))


FORECASTING = Task(
    name="forecasting",
    measure="MSE",
    heading="MSE by horizon",
    numbers="Test errors in standardised units",
    best=min,
    reads=Series,
    evaluate=_evaluate,
    columns=_columns,
    spreads=lambda result: {n: s["average"].get("mse_std", 0.0) for n, s in _rows(result).items()},
    options=("horizons", "window"),
)
