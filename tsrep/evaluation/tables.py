"""Summarise the results of several seeds as ``result.json``, and print a summary as a table."""

from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Any, Literal

from tsrep.datasets.series import Series
from tsrep.evaluation.classification import PROBES
from tsrep.forecasting.protocol import Score

Scores = dict[str, Any]
"""``{"horizons": {"24": {"mse": .., "mae": ..}}, "average": {"mse": .., "mae": ..}}``"""

Readout = Literal["product", "probe"]


def scores(by_horizon: dict[int, Score]) -> Scores:
    """Errors by horizon, and their averages over horizons."""
    errors = {str(h): {"mse": s.mse, "mae": s.mae} for h, s in by_horizon.items()}
    average = {m: fmean(e[m] for e in errors.values()) for m in ("mse", "mae")}
    return {"horizons": errors, "average": average}


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


def forecaster_summary(
    series: Series,
    seeds: Sequence[int],
    results: Sequence[dict[str, Any]],
    fixed: dict[str, Scores],
) -> dict[str, Any]:
    """Contents of ``result.json`` for a forecaster, in the form of :func:`summary`.

    Among the controls, ``linear_path`` is the product without its network, and ``random_encoder`` a
    ridge on the vectors of the untrained network. ``coverage`` is the share of test values between
    the .1 and .9 quantiles, by horizon.
    """
    parts = {"linear_path", "random_encoder"} & results[0].keys()
    shares = [result["coverage"] for result in results]
    return {
        "task": "forecasting",
        "data": series.name,
        "mode": "univariate" if series.channels == 1 else "multivariate",
        "seeds": list(seeds),
        **_mean_scores([result["forecast"] for result in results]),
        "coverage": {h: fmean(share[h] for share in shares) for h in shares[0]},
        "controls": {
            **fixed,
            **{name: _mean_scores([r[name] for r in results]) for name in sorted(parts)},
        },
        "timing": {
            name: fmean(result["timing"][name] for result in results)
            for name in results[0]["timing"]
        },
    }


def _mean_scores(found: Sequence[Scores]) -> Scores:
    """Means over seeds, with the standard deviation of the average MSE."""
    horizons = {
        h: {m: fmean(s["horizons"][h][m] for s in found) for m in ("mse", "mae")}
        for h in found[0]["horizons"]
    }
    average = {m: fmean(s["average"][m] for s in found) for m in ("mse", "mae")}
    average["mse_std"] = pstdev(s["average"]["mse"] for s in found)
    return {"horizons": horizons, "average": average}


def table(result: dict[str, Any], mode: Readout | None = None) -> str:
    """A summary as text: one row per system, the best number of each column marked.

    mode: show only this readout and the controls.
    """
    columns = table_columns(result, mode)
    names = list(next(iter(columns.values())))
    what = "MSE" if result["task"] == "forecasting" else "accuracy"
    lines = [f"{what:<24}" + "".join(f"{c:>10}" for c in columns)]
    for name in names:
        cells = [
            f"{v[name]:>9.4f}" + ("*" if v[name] == best(result, v) else " ")
            for v in columns.values()
        ]
        spread = spreads(result).get(name)
        lines.append(f"{name:<24}" + "".join(cells) + (f"  +- {spread:.4f}" if spread else ""))
    return "\n".join(lines)


def table_columns(
    result: dict[str, Any], mode: Readout | None = None
) -> dict[str, dict[str, float]]:
    """Numbers ``{column: {system: number}}`` of a summary, in the order to show."""
    if result["task"] == "classification":
        systems = {"autotcl": result["accuracy"], **result["controls"]}
        return {probe: {n: s[probe] for n, s in systems.items()} for probe in PROBES}
    hidden = {"product": "probe", "probe": "product"}.get(mode, "none of them")
    rows = {n: s for n, s in _forecasting_rows(result).items() if not n.endswith(hidden)}
    columns = {
        h: {name: s["horizons"][h]["mse"] for name, s in rows.items()}
        for h in next(iter(rows.values()))["horizons"]
    }
    columns["average"] = {name: s["average"]["mse"] for name, s in rows.items()}
    columns["MAE"] = {name: s["average"]["mae"] for name, s in rows.items()}
    return columns


def best(result: dict[str, Any], column: dict[str, float]) -> float:
    """The best number of a column: the least error or the greatest accuracy."""
    return (min if result["task"] == "forecasting" else max)(column.values())


def spreads(result: dict[str, Any]) -> dict[str, float]:
    """Standard deviations over seeds of the average MSE, or of the SVM's accuracy, by system."""
    if result["task"] == "classification":
        systems = {"autotcl": result["accuracy"], **result["controls"]}
        return {name: s.get("svm_std", 0.0) for name, s in systems.items()}
    rows = _forecasting_rows(result)
    return {name: s["average"].get("mse_std", 0.0) for name, s in rows.items()}


def _forecasting_rows(result: dict[str, Any]) -> dict[str, Scores]:
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


def best_seed(seeds: Sequence[int], results: Sequence[dict[str, Any]]) -> int:
    """The seed of least validation error, or of greatest cross-validated accuracy."""
    classifies = "accuracy" in results[0]
    key = [(-1 if classifies else 1) * result["validation"] for result in results]
    return seeds[key.index(min(key))]
