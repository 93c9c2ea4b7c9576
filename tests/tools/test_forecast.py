"""tools/forecast.py: dated forecasts against the forecaster's own, and what cannot be forecast."""

import numpy as np
import pandas as pd
import pytest

from tests.tools.running import contents, is_one_line
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets import load, load_wide
from tsrep.forecast import backtest, forecast
from tsrep.forecasting.files import FORECASTER_FILE, load_forecaster, save_forecaster
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.global_model import fit_global
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import inputs_of
from tsrep.forecasting.training import LearningConfig, Settings

SETTINGS = Settings(
    ForecasterConfig(look_back=24, dim=8, heads=2, patch=8),
    ContrastConfig("none"),
    LearningConfig(snapshots=1),
    Training(epochs=1, max_steps=1, batch_size=16, device="cpu"),
)


def hourly(rows=300):
    """A load that follows the price of the same hour, which is known six hours longer."""
    rng = np.random.default_rng(0)
    price = rng.normal(size=rows)
    load = 50 + 10 * np.sin(np.arange(rows) * 2 * np.pi / 24) - 5 * price
    load[-6:] = np.nan
    date = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"note": "text", "price": price, "date": date, "load": load})


def long(lengths=(200, 200, 150)):
    """Series that end together but for the last, which ends 5 hours before."""
    rng, parts = np.random.default_rng(0), []
    for i, rows in enumerate(lengths):
        end = pd.Timestamp("2024-02-01") - pd.Timedelta(hours=5 * (i == 2))
        ds = pd.date_range(end=end, periods=rows, freq="h")
        y = 10 * i + np.sin(ds.hour * 2 * np.pi / 24) + 0.1 * rng.normal(size=rows)
        parts.append(pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "y": y}))
    return pd.concat(parts)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of two forecasters, with their tables: one series with a known input, a long one."""
    folder = tmp_path_factory.mktemp("runs")
    hourly().to_csv(folder / "one.csv", index=False)
    long().to_csv(folder / "long.csv", index=False)
    data = {
        "one": inputs_of(load(folder / "one.csv", columns=("load", "price")), known=("price",)),
    }
    with pytest.warns(match="3 series, told apart"):
        data["long"] = inputs_of(load_wide(folder / "long.csv"))
    for name, inputs in data.items():
        (folder / name).mkdir()
        model = fit_forecaster(inputs, SETTINGS, 0, None, (3, 6))
        save_forecaster(folder / name / FORECASTER_FILE, model)
    return folder


def call(tool, runs, name, output, *options):
    data = runs / f"{name}.csv"
    return tool("forecast", "--run", runs / name, "--data", data, "--output", output, *options)


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_dated_forecast_with_intervals_and_known_inputs(tool, runs, tmp_path, suffix):
    output = tmp_path / f"ahead.{suffix}"
    status, stdout, stderr = call(tool, runs, "one", output, "--quantiles", 0.05, 0.95)
    assert status == 0, stderr
    assert stdout.strip() == str(output)
    found = (
        pd.read_csv(output, parse_dates=["time"]) if suffix == "csv" else pd.read_parquet(output)
    )
    assert list(found) == ["time", "load", "load_q0.05", "load_q0.95"]
    table = hourly()
    assert found["time"].to_list() == table["date"].iloc[-6:].to_list()
    model = load_forecaster(runs / "one")
    history = table[["load"]].to_numpy()[:-6]
    inputs = {"times": table["date"].iloc[:-6], "known": table[["price"]].to_numpy()}
    expected = model.predict(history, **inputs)
    np.testing.assert_allclose(found["load"], expected[:, 0])
    spread = model.predict_quantiles(history, (0.05, 0.95), **inputs)[:, 0]
    np.testing.assert_allclose(found[["load_q0.05", "load_q0.95"]], spread)


def test_a_frame_in_and_a_frame_out(runs):
    model, table = load_forecaster(runs / "one"), hourly().set_index("date")
    found = forecast(model, table, horizon=4, quantiles=())
    assert list(found) == ["load"] and found.index.equals(table.index[-6:-2].as_unit("us"))
    other = table.assign(price=table["price"].where(table["load"].notna(), 3.0))
    assert not np.allclose(forecast(model, other, 4, ()), found)


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
def test_each_series_of_a_long_table_from_its_own_end(tool, runs, tmp_path):
    status, _, stderr = call(tool, runs, "long", tmp_path / "ahead.csv", "--horizon", 4)
    assert status == 0, stderr
    found = pd.read_csv(tmp_path / "ahead.csv", parse_dates=["time"])
    assert list(found) == ["id", "time", "forecast", "q0.1", "q0.9"]
    assert found["id"].to_list() == ["s0"] * 4 + ["s1"] * 4 + ["s2"] * 4
    table = long()
    for name, part in found.groupby("id"):
        end = table.loc[table["unique_id"] == name, "ds"].max()
        assert part["time"].to_list() == [end + pd.Timedelta(hours=h) for h in (1, 2, 3, 4)]
        level = table.loc[table["unique_id"] == name, "y"].mean()
        assert np.abs(part["forecast"] - level).max() < 2.5
    cut = table[
        (table["unique_id"] != "s2") & (table["ds"] <= "2024-01-31 19:00")
        | (table["unique_id"] == "s2")
    ]
    cut.to_csv(tmp_path / "cut.csv", index=False)
    status, _, stderr = tool(
        "forecast", "--run", runs / "long", "--data", tmp_path / "cut.csv",
        "--output", tmp_path / "cut.parquet", "--horizon", 4,
    )  # fmt: skip
    assert status == 0, stderr
    again = pd.read_parquet(tmp_path / "cut.parquet")
    np.testing.assert_allclose(again["forecast"][8:], found["forecast"][8:], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
def test_a_backtest_against_forecasts_by_hand(tool, runs, tmp_path):
    output = tmp_path / "errors.csv"
    status, stdout, stderr = call(tool, runs, "one", output, "--backtest", 3, "--horizon", 5)
    assert status == 0, stderr
    found = pd.read_csv(output, parse_dates=["cutoff"])
    model, table = load_forecaster(runs / "one"), hourly()
    rows = 294
    for k, row in found.iterrows():
        end = rows - 5 * (3 - k)
        assert row["cutoff"] == table["date"][end - 1]
        history, truth = table[["load"]].to_numpy()[:end], table["load"].to_numpy()[end : end + 5]
        known = table[["price"]].to_numpy()[: end + 5]
        ahead = model.predict(history, table["date"][:end], 5, known)[:, 0]
        assert row["mae"] == pytest.approx(np.abs(ahead - truth).mean())
        assert row["mse"] == pytest.approx(np.square(ahead - truth).mean())
        naive = table["load"].to_numpy()[end - 24 : end - 19]
        assert row["naive_mae"] == pytest.approx(np.abs(naive - truth).mean())
    assert "mean" in stdout and "naive_mae" in stdout and "was not fitted again" in stdout
    with pytest.raises(ValueError, match="cutoffs of horizon 6 leave 0 of 294 rows"):
        backtest(model, table.set_index("date"), cutoffs=99)


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda t: t, ["--horizon", "7"], ["known for 6 steps", "expected 7"]),
        (lambda t: t.iloc[:-2], ["--horizon", "6"], ["price", "known for 4 steps", "expected 6"]),
        (lambda t: t.iloc[:-6], [], ["price", "known for 0 steps"]),
        (lambda t: t.drop(columns="price"), [], ["no column 'price'", "note, load"]),
        (lambda t: t.iloc[-20:], [], ["14 steps", "expected at least"]),
        (lambda t: t.assign(load=np.nan), [], ["no value of load"]),
        (lambda t: t, ["--output", "x.txt"], [".csv or .parquet"]),
        (lambda t: t, ["--backtest", "-1"], ["backtest"]),
        (lambda t: t, ["--quantiles", "1.5"], ["quantiles"]),
    ],
)
def test_what_cannot_be_forecast(tool, runs, tmp_path, change, options, words):
    change(hourly()).to_csv(tmp_path / "new.csv", index=False)
    before = contents(tmp_path)
    arguments = ["--run", runs / "one", "--data", tmp_path / "new.csv"]
    status, _, stderr = tool("forecast", *arguments, "--output", tmp_path / "o.csv", *options)
    is_one_line(status, stderr, "forecast.py: ", *words)
    assert contents(tmp_path) == before


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
def test_one_command_forecasts_each_series_of_a_long_table(tool, tmp_path):
    new = long((5, 5, 8)).replace({"unique_id": "s"}, "n", regex=True)
    table = pd.concat([long((200, 300, 150)), new])
    table.to_csv(tmp_path / "long.csv", index=False)
    options = ["--data", tmp_path / "long.csv", "--output", tmp_path / "ahead.parquet"]
    status, stdout, stderr = tool("forecast", *options, "--horizon", 4, "--quantiles", 0.05, 0.95)
    assert status == 0, stderr
    assert stdout.strip() == str(tmp_path / "ahead.parquet")
    found = pd.read_parquet(tmp_path / "ahead.parquet")
    assert list(found) == ["id", "time", "forecast", "q0.05", "q0.95"]
    names = ["s0", "s1", "s2", "n0", "n1", "n2"]
    assert found["id"].to_list() == [name for name in names for _ in range(4)]
    series = [
        pd.Series(part["y"].to_numpy(), pd.DatetimeIndex(part["ds"]), name=name)
        for name, part in table.groupby("unique_id", sort=False)
    ]
    model = fit_global(series, 4)
    for one in series:
        part = found[found["id"] == one.name]
        end = one.index[-1]
        assert part["time"].to_list() == [end + pd.Timedelta(hours=h) for h in (1, 2, 3, 4)]
        np.testing.assert_allclose(part["forecast"], model.forecast(one))
        spread = model.quantiles(one, (0.05, 0.95))
        np.testing.assert_allclose(part[["q0.05", "q0.95"]], spread)


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
def test_a_table_without_a_run(tool, tmp_path):
    """Each numeric column, from its own end; a season by default."""
    hourly().to_csv(tmp_path / "one.csv", index=False)
    output = tmp_path / "ahead.csv"
    status, _, stderr = tool("forecast", "--data", tmp_path / "one.csv", "--output", output)
    assert status == 0, stderr
    found = pd.read_csv(output, parse_dates=["time"]).set_index("time")
    columns = [f"{c}{q}" for c in ("price", "load") for q in ("", "_q0.1", "_q0.9")]
    assert sorted(found) == sorted(columns)
    ends = {name: found[name].dropna().index for name in ("price", "load")}
    date = hourly()["date"]
    assert ends["load"][0] == date.iloc[-6] and ends["price"][0] > date.iloc[-1]
    assert all(len(index) == 24 for index in ends.values())


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
def test_a_backtest_without_a_run_is_fitted_again_at_each_cutoff(tool, tmp_path):
    table = long()
    table.to_csv(tmp_path / "long.csv", index=False)
    options = ["--data", tmp_path / "long.csv", "--output", tmp_path / "errors.csv"]
    status, stdout, stderr = tool("forecast", *options, "--backtest", 2, "--horizon", 6)
    assert status == 0, stderr
    assert "fitted again at each cutoff" in stdout
    found = pd.read_csv(tmp_path / "errors.csv", parse_dates=["cutoff"])
    end = table["ds"].max()
    assert found["cutoff"].unique().tolist() == [end - pd.Timedelta(hours=h) for h in (12, 6)]
    series = [
        pd.Series(part["y"].to_numpy(), pd.DatetimeIndex(part["ds"]), name=name)
        for name, part in table.groupby("unique_id", sort=False)
    ]
    for cutoff, part in found.groupby("cutoff"):
        model = fit_global([one[:cutoff] for one in series], 6)
        for one, row in zip(series, part.itertuples(), strict=True):
            truth = one[cutoff:].iloc[1:7]
            ahead = model.forecast(one[:cutoff])[: len(truth)]
            assert row.column == one.name
            assert row.mae == pytest.approx(np.abs(ahead - truth).mean())
            past = one[:cutoff].to_numpy()
            naive = past[-24 : -24 + len(truth)]
            assert row.naive_mse == pytest.approx(np.square(naive - truth).mean())


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--horizon", "0"], ["horizon: found 0"]),
        (["--backtest", "80"], ["80 cutoffs of horizon 24 leave 0 of 200 times"]),
        (["--quantiles", "2"], ["quantiles"]),
    ],
)
def test_what_cannot_be_forecast_without_a_run(tool, tmp_path, options, words):
    long().to_csv(tmp_path / "long.csv", index=False)
    before = contents(tmp_path)
    arguments = ["--data", tmp_path / "long.csv", "--output", tmp_path / "o.csv"]
    status, _, stderr = tool("forecast", *arguments, *options)
    is_one_line(status, stderr, "forecast.py: ", *words)
    assert contents(tmp_path) == before
