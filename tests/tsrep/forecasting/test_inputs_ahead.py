"""Texts and holidays as inputs known ahead, from a file to a forecast."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets.categories import expanded
from tsrep.datasets.holidays import holiday_column
from tsrep.datasets.loading import load_any, with_holidays
from tsrep.forecast import forecast
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import inputs_of
from tsrep.forecasting.training import LearningConfig, Settings

SETTINGS = Settings(
    ForecasterConfig(look_back=14, dim=8, heads=2, patch=7),
    ContrastConfig("none"),
    LearningConfig(snapshots=1),
    Training(epochs=1, max_steps=1, batch_size=16, device="cpu"),
)
AHEAD = 5


def sales(rows=400):
    """A level that a promotion raises by 5; the last rows are to be forecast."""
    rng = np.random.default_rng(0)
    promotion = rng.choice(["none", "leaflet"], rows, p=[0.8, 0.2])
    load = 50 + 0.3 * rng.normal(size=rows).cumsum() + 5 * (promotion == "leaflet")
    load[-AHEAD:] = np.nan
    promotion[-AHEAD:] = ["none", "leaflet", "none", "leaflet", "leaflet"]
    date = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame({"date": date, "promotion": promotion, "load": load})


def test_a_text_that_is_known_ahead_is_followed(tmp_path):
    frame = sales()
    frame.to_csv(tmp_path / "sales.csv", index=False)
    series = load_any(tmp_path / "sales.csv", categories=("promotion",))
    inputs = inputs_of(series, expanded(("promotion",), series.columns))
    assert inputs.names.columns == ("load",)
    model = fit_forecaster(inputs, SETTINGS, 0, None, (AHEAD,))
    ahead = forecast(model, frame.set_index("date"))["load"].to_numpy()
    steps = np.array([0, 1, 0, 1, 1]) * 5
    assert np.ptp(ahead - steps) < 1.5
    with pytest.raises(UserError, match=r"promotion=leaflet.* are known for 2 steps"):
        forecast(model, frame.set_index("date")[:-3], horizon=AHEAD)


def test_holidays_are_known_ahead_without_rows(tmp_path, monkeypatch):
    """By a made package whose only holiday is the tenth of each month."""

    def tenths(country, subdiv, years):
        return [pd.Timestamp(year, month, 10) for year in years for month in range(1, 13)]

    made = SimpleNamespace(country_holidays=tenths)
    monkeypatch.setitem(__import__("sys").modules, "holidays", made)
    frame = sales()[["date", "load"]].dropna()
    quiet = 50 + 0.1 * np.random.default_rng(1).normal(size=len(frame)).cumsum()
    frame["load"] = quiet - 8 * (frame["date"].dt.day == 10)
    frame = frame[: np.flatnonzero(frame["date"].dt.day == 8)[-1]]  # ends on the seventh
    frame.to_csv(tmp_path / "load.csv", index=False)
    series = with_holidays(load_any(tmp_path / "load.csv"), "US")
    inputs = inputs_of(series, (holiday_column("US"),))
    model = fit_forecaster(inputs, SETTINGS, 0, None, (AHEAD,))
    ahead = forecast(model, frame.set_index("date"))["load"]
    assert ahead.index[2].day == 10
    assert ahead.iloc[2] < ahead.drop(ahead.index[2]).min() - 5
