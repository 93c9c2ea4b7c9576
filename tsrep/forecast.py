"""Dated frames of forecasts, and tests over several cutoffs.

    model = load_forecaster("runs/load")
    ahead = forecast(model, frame)  # frame: a dated index; the columns that the model reads

    ahead = forecast_all(series, horizon=28)  # a forecaster fitted to these series, in seconds

Rows behind the last one with a value to forecast are the future; from them come the inputs that are
known ahead. Many series have none.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import season
from tsrep.datasets.categories import with_levels
from tsrep.datasets.holidays import country_of, holidays_in
from tsrep.datasets.steps import even_steps, following, told
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.global_model import fit_global, trimmed


def forecast(
    model: SeriesForecaster,
    frame: pd.DataFrame,
    horizon: int | None = None,
    quantiles: Sequence[float] = (0.1, 0.9),
) -> pd.DataFrame:
    """The next steps of each column that the model forecasts, in the data's units.

    Parameters
    ----------
    frame : index of dates, or of steps, that rise; columns by name, others are ignored. Absent rows
        are missing values.
    horizon : H in steps; by default the longest that was fitted, or as far as there are rows with
        inputs known ahead.
    quantiles : in (0, 1); () for none.

    Returns
    -------
    Frame of H rows, dated. Columns: load, load_q0.1, load_q0.9, and so on for each.

    Raises
    ------
    UserError
        A column is missing; a value is infinite; no usual step; the history is too short; the
        horizon is beyond what was fitted or the rows with known inputs.
    """
    table, past = _table(model, frame)
    if horizon is None:
        ahead = len(table) - past
        horizon = max(model.horizons)
        horizon = min(horizon, ahead) if model.names.known and ahead else horizon
    inputs = _inputs(model, table, past, horizon)
    found = model.predict(**inputs)  # (H, C)
    names = model.names.columns
    columns = dict(zip(names, found.T, strict=True))
    if quantiles:
        spread = model.predict_quantiles(quantiles=quantiles, **inputs)  # (H, C, Q)
        for name, levels in zip(names, spread.transpose(1, 2, 0), strict=True):
            columns |= {f"{name}_q{q:g}": level for q, level in zip(quantiles, levels, strict=True)}
    order = [c for name in names for c in (name, *(f"{name}_q{q:g}" for q in quantiles))]
    return pd.DataFrame(columns, index=following(table.index[:past], horizon))[order]


def backtest(
    model: SeriesForecaster, frame: pd.DataFrame, horizon: int | None = None, cutoffs: int = 3
) -> pd.DataFrame:
    """Errors of forecasts from several cutoffs, one horizon apart, the last one before the end.

    The model is not fitted again: it has learned from those cutoffs that lie in the rows it was
    fitted to. At each cutoff it sees earlier rows only, and known inputs of later ones.

    Returns
    -------
    A row for each cutoff and column: cutoff, column, mae, mse, and beside them those of repeating
    the last season, naive_mae, naive_mse (the last value, where the frequency has no season), in
    the data's units; missing values are left out.
    """
    table, past = _table(model, frame)
    horizon = max(model.horizons) if horizon is None else horizon
    first = past - cutoffs * horizon
    if cutoffs < 1 or first < model.look_back:
        raise UserError(
            f"backtest: {cutoffs} cutoffs of horizon {horizon} leave {max(first, 0)} of {past} "
            f"rows before the first, expected at least the {model.look_back} that a forecast reads"
        )
    names, rows = list(model.names.columns), []
    for end in range(first, past, horizon):
        inputs = _inputs(model, table, end, horizon)
        truth = table[names].to_numpy()[end : end + horizon]
        ahead, cutoff = model.predict(**inputs), table.index[end - 1]
        for i, name in enumerate(names):
            naive = _last_season(table[name].iloc[:end].ffill(), horizon)
            rows.append(_errors(cutoff, name, truth[:, i], ahead[:, i], naive))
    return pd.DataFrame(rows)


def forecast_all(
    series: Sequence[pd.Series],
    horizon: int | None = None,
    quantiles: Sequence[float] = (0.1, 0.9),
) -> pd.DataFrame:
    """The next steps of each series, by one forecaster that is fitted to all of them.

    See :func:`tsrep.forecasting.global_model.fit_global`. Each series is forecast from its own last
    value; it may have a few steps only.

    Parameters
    ----------
    series : with names, and dates or numbers of steps that are even; NaN where missing.
    horizon : H in steps; by default a season, or 12 steps, but at most a quarter of most series.
    quantiles : in (0, 1); () for none.

    Returns
    -------
    Frame of H rows for each series: id, time, forecast, q0.1, q0.9.
    """
    model = fit_global(series, _horizon(series, horizon))
    parts, later = [], {}
    for one in map(trimmed, series):
        last = one.index[-1]
        if last not in later:
            later[last] = following(one.index[-1:], model.horizon, model.times)
        columns = {"id": one.name, "time": later[last], "forecast": model.forecast(one)}
        levels = model.quantiles(one, quantiles).T if quantiles else ()
        columns |= {f"q{q:g}": level for q, level in zip(quantiles, levels, strict=True)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def backtest_all(
    series: Sequence[pd.Series], horizon: int | None = None, cutoffs: int = 3
) -> pd.DataFrame:
    """Errors of :func:`forecast_all` from several cutoffs, one horizon apart.

    At each cutoff the forecaster is fitted again, to earlier values alone. A series counts where it
    has values on both sides.

    Returns
    -------
    As :func:`backtest`, ``column`` being the name of the series.

    Raises
    ------
    UserError
        No row is left before the first cutoff.
    """
    horizon = _horizon(series, horizon)
    whole = {one.name: trimmed(one) for one in series}
    times = pd.concat(whole.values()).index.unique().sort_values()
    first, rows = len(times) - cutoffs * horizon, []
    if cutoffs < 1 or first < 2:
        raise UserError(
            f"backtest: {cutoffs} cutoffs of horizon {horizon} leave {max(first, 0)} of "
            f"{len(times)} times before the first, expected at least 2"
        )
    for end in range(first, len(times), horizon):
        cutoff = times[end - 1]
        known = {one.name: one[one.index <= cutoff].ffill() for one in whole.values()}
        ahead = forecast_all([k for k in known.values() if len(k)], horizon, ())
        for name, own in ahead.groupby("id", sort=False):
            truth = whole[name].reindex(own["time"]).to_numpy(np.float64)
            if not np.isnan(truth).all():
                naive = _last_season(known[name], horizon)
                rows.append(_errors(cutoff, name, truth, own["forecast"].to_numpy(), naive))
    return pd.DataFrame(rows)


def _horizon(series: Sequence[pd.Series], horizon: int | None) -> int:
    if horizon is not None:
        return horizon
    longest = max((one.index for one in series), key=len)
    usual = int(np.median([len(one) for one in series]))
    return max(1, min(season(longest) or 12, usual // 4))


def _last_season(past: pd.Series, horizon: int) -> np.ndarray:
    """The last season again and again; the last value where the frequency has no season."""
    period = season(past.index) or 1
    period = period if period <= len(past) else 1
    return past.to_numpy()[len(past) - period + np.arange(horizon) % period]


def _errors(
    cutoff: object, name: str, truth: np.ndarray, ahead: np.ndarray, naive: np.ndarray
) -> dict[str, object]:
    errors, simple = ahead - truth, naive - truth
    return {
        "cutoff": cutoff,
        "column": name,
        "mae": _mean(np.abs(errors)),
        "mse": _mean(errors**2),
        "naive_mae": _mean(np.abs(simple)),
        "naive_mse": _mean(simple**2),
    }


def _mean(errors: np.ndarray) -> float:
    known = errors[~np.isnan(errors)]
    return float(known.mean()) if len(known) else float("nan")


def _table(model: SeriesForecaster, frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The columns that the model reads, on even steps, and the number of rows of the past."""
    names = model.names
    wanted = [*names.columns, *names.known, *names.past]
    frame = with_levels(frame, wanted)
    countries = {name: country for name in names.known if (country := country_of(name))}
    read = [name for name in wanted if name not in countries]
    absent = [name for name in read if name not in frame.columns]
    if absent:
        raise UserError(
            f"the table has no column {absent[0]!r}, expected {', '.join(wanted)}, which the "
            "forecaster was fitted with"
        )
    index = frame.index
    index = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index
    grid = told(even_steps(index, "the table"), "the table")
    table = pd.DataFrame(
        grid.placed(frame[read].to_numpy(np.float64)), index=grid.times, columns=read
    )
    if countries and len(countries) == len(names.known):  # as far ahead as any forecast reaches
        later = following(table.index, max(model.horizons))
        table = pd.concat([table, pd.DataFrame(np.nan, index=later, columns=read)])
    for name, country in countries.items():
        table[name] = holidays_in(table.index, country)
    table = table[wanted]
    held = table[list(names.columns)].notna().any(axis=1).to_numpy()
    if not held.any():
        raise UserError(f"the table holds no value of {', '.join(names.columns)}")
    return table, int(np.flatnonzero(held)[-1]) + 1


def _inputs(model: SeriesForecaster, table: pd.DataFrame, past: int, horizon: int) -> dict:
    """Arguments of ``predict`` from the first ``past`` rows and the known inputs after them."""
    names, history = model.names, table.iloc[:past]
    known = None
    if names.known:
        later = table[list(names.known)].iloc[past : past + horizon]
        bad = later.isna().any(axis=1).to_numpy()
        if len(later) < horizon or bad.any():
            good = int(bad.argmax()) if bad.any() else len(later)
            raise UserError(
                f"{', '.join(names.known)} are known for {good} steps after {history.index[-1]}, "
                f"expected {horizon}: add rows with them, or give a shorter horizon"
            )
        known = table[list(names.known)].iloc[: past + horizon].to_numpy()
    return {
        "history": history[list(names.columns)].to_numpy(),
        "times": history.index,
        "horizon": horizon,
        "known": known,
        "past": history[list(names.past)].to_numpy() if names.past else None,
    }
