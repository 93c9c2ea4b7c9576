"""What a representation is worth: forecasts and classification, always beside the controls.

Nothing is chosen on test rows: penalties, look-backs, blends and scales see validation alone.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Any, Literal

import numpy as np
from torch import nn

from common.classifiers import linear_probe, svm_probe
from tsrep import readout
from tsrep.baselines import DROP, Forecast, Score, controls, evaluate, filled, second_harmonics
from tsrep.encoding import encode
from tsrep.series import Panel, Series

Readout = Literal["product", "probe"]
Scores = dict[str, Any]
"""``{"horizons": {"24": {"mse": .., "mae": ..}}, "average": {"mse": .., "mae": ..}}``"""


def readout_inputs(
    encoder: nn.Module, series: Series, window: int | None = None
) -> tuple[readout.Inputs, float]:
    """Vectors of every step of a series, and the seconds that encoding took.

    An encoder of one channel encodes each channel by itself; an encoder of C channels gives vectors
    that all channels share. ``window``: see :func:`tsrep.encoding.encode`.
    """
    values = series.values[0, : series.split.test.stop]  # (T, C)
    started = time.perf_counter()
    if encoder.in_channels == 1:
        vectors = encode(encoder, values.T[..., None], window=window)  # (C, T, D)
    else:
        vectors = encode(encoder, values[None], window=window)  # (1, T, D)
    seconds = time.perf_counter() - started
    calendar = series.calendar[: len(values)]
    if calendar.shape[1]:
        calendar = second_harmonics(calendar).astype(np.float32)
    level = getattr(encoder, "level_channels", 0)
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
    """The fitted forecasts of both readouts, and of the product without its representation."""
    look_back = linear_look_back(series)
    return {
        "product": readout.product(inputs, horizons, look_back),
        "probe": readout.probe(inputs, horizons),
        "no_representation": readout.product(inputs, horizons, look_back, (readout.OFF,)),
    }


def linear_look_back(series: Series) -> int:
    """Lags of the linear path: two weeks of hours, or seven seasons where those are longer."""
    longest = max(1, (series.split.train.stop - series.split.train.start) // 8)
    return min(max(336, 7 * (series.period or 0)), longest)


def forecasting(
    trained: nn.Module,
    untrained: nn.Module,
    series: Series,
    horizons: Sequence[int] | None = None,
    window: int | None = None,
) -> dict[str, Any]:
    """Test errors of a trained encoder, and of the same encoder before training.

    Returns ``{"product": Scores, "probe": Scores, "no_representation": Scores, "untrained":
    {"product": ..., "probe": ...}, "timing": {"encode_s", "probe_s"}}``, errors in standardised
    units.
    """
    horizons = tuple(horizons or series.horizons)
    found: dict[str, Any] = {"untrained": {}}
    for encoder, into in ((trained, found), (untrained, found["untrained"])):
        inputs, encode_s = readout_inputs(encoder, series, window)
        started = time.perf_counter()
        for name, by_horizon in forecasts(inputs, series, horizons).items():
            into[name] = score(by_horizon, series)
        if encoder is trained:
            timing = {"encode_s": encode_s, "probe_s": time.perf_counter() - started}
    del found["untrained"]["no_representation"]
    return {**found, "timing": timing}


def score(by_horizon: dict[int, Forecast], series: Series) -> Scores:
    """Test errors of a forecast for each horizon, and their average."""
    values = series.values[0, : series.split.test.stop]
    return scores({h: evaluate(f, values, series.split.test, h) for h, f in by_horizon.items()})


def control_scores(series: Series, horizons: Sequence[int] | None = None) -> dict[str, Scores]:
    """Errors of the controls that need no encoder, see :func:`tsrep.baselines.controls`."""
    found = controls(
        series.values[0, : series.split.test.stop],
        series.split,
        tuple(horizons or series.horizons),
        period=series.period,
        calendar=series.calendar[: series.split.test.stop],
    )
    return {name: scores(by_horizon) for name, by_horizon in found.items()}


def scores(by_horizon: dict[int, Score]) -> Scores:
    errors = {str(h): {"mse": s.mse, "mae": s.mae} for h, s in by_horizon.items()}
    average = {m: fmean(e[m] for e in errors.values()) for m in ("mse", "mae")}
    return {"horizons": errors, "average": average}


def summary(
    series: Series,
    seeds: Sequence[int],
    results: Sequence[dict[str, Any]],
    fixed: dict[str, Scores],
) -> dict[str, Any]:
    """``result.json``: means and standard deviations over seeds, beside the controls.

    The forecast at the top level is the product's; ``probe`` is the papers' protocol. Among the
    controls, ``random_encoder`` is the encoder before training and ``no_representation`` the
    product's linear path alone.
    """

    def over_seeds(pick: Callable[[dict[str, Any]], Scores]) -> Scores:
        return mean_scores([pick(result) for result in results])

    return {
        "task": "forecasting",
        "data": series.name,
        "mode": "univariate" if series.channels == 1 else "multivariate",
        "seeds": list(seeds),
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
        "timing": {
            name: fmean(result["timing"][name] for result in results)
            for name in results[0]["timing"]
        },
    }


def mean_scores(found: Sequence[Scores]) -> Scores:
    """Means over seeds, with the standard deviation of the average MSE."""
    horizons = {
        h: {m: fmean(s["horizons"][h][m] for s in found) for m in ("mse", "mae")}
        for h in found[0]["horizons"]
    }
    average = {m: fmean(s["average"][m] for s in found) for m in ("mse", "mae")}
    average["mse_std"] = pstdev(s["average"]["mse"] for s in found)
    return {"horizons": horizons, "average": average}


def table(result: dict[str, Any]) -> str:
    """The summary as text: MSE by horizon, the best of each column marked."""
    rows = {
        "product": result,
        "probe": result["probe"],
        "random encoder, product": result["controls"]["random_encoder"],
        "random encoder, probe": result["controls"]["random_encoder"]["probe"],
        **{name: s for name, s in result["controls"].items() if name != "random_encoder"},
    }
    horizons = list(result["horizons"])
    columns = {h: {name: s["horizons"][h]["mse"] for name, s in rows.items()} for h in horizons}
    columns["average"] = {name: s["average"]["mse"] for name, s in rows.items()}
    columns["MAE"] = {name: s["average"]["mae"] for name, s in rows.items()}
    lines = [f"{'MSE':<24}" + "".join(f"{c:>10}" for c in columns)]
    for name, s in rows.items():
        cells = [
            f"{v[name]:>9.4f}" + ("*" if v[name] == min(v.values()) else " ")
            for v in columns.values()
        ]
        spread = s["average"].get("mse_std")
        lines.append(f"{name:<24}" + "".join(cells) + (f"  +- {spread:.4f}" if spread else ""))
    return "\n".join(lines)


def classification(encoder: nn.Module, panel: Panel) -> dict[str, float]:
    """Test accuracy of the RBF-SVM of the papers and of a linear probe, on pooled vectors."""
    train, test = (encode(encoder, x, pool=True) for x in (panel.train, panel.test))
    return {
        name: probe(train, panel.train_labels).accuracy(test, panel.test_labels)
        for name, probe in (("svm", svm_probe), ("linear", linear_probe))
    }
