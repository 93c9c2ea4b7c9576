"""Named sets and files against hand-computed splits, scales and calendars."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets import Scaler, check_length, load
from tsrep.datasets.named import NAMED

DATA = os.environ.get("TSPCREP_DATA")
needs_data = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="$TSPCREP_DATA is not set: no real series here"),
]


@pytest.fixture(autouse=True)
def no_data_of_this_machine(monkeypatch, tmp_path):
    """No test finds a named set by accident."""
    monkeypatch.delenv("TSPCREP_DATA", raising=False)
    monkeypatch.setattr("tspcrep.common.datafiles.cache_folder", lambda: tmp_path / "cache")


def write(path, rows=10, start="2020-01-01", freq="h", **columns):
    table = {"date": pd.date_range(start, periods=rows, freq=freq).strftime("%Y-%m-%d %H:%M:%S")}
    pd.DataFrame({**table, **columns}).to_csv(path, index=False)
    return path


def test_a_file_is_split_60_20_20_and_scaled_on_train_alone(tmp_path):
    # Train rows 1..6: mean 3.5, population variance 35/12. Later rows must not matter.
    path = write(tmp_path / "sales.csv", load=[1, 2, 3, 4, 5, 6, 100, 200, 300, 400])
    series = load(path)
    assert series.name == "sales"
    assert series.columns == ("load",)
    assert series.channels == 1
    assert (series.split.train, series.split.valid) == (slice(0, 6), slice(6, 8))
    assert series.split.test == slice(8, 10)
    assert series.scaler.mean.tolist() == [3.5]
    assert series.scaler.std[0] == pytest.approx((35 / 12) ** 0.5, rel=1e-15)
    assert series.values.dtype == np.float32
    assert series.values.shape == (1, 10, 1)
    assert series.values[0, 9, 0] == pytest.approx((400 - 3.5) / (35 / 12) ** 0.5, rel=1e-6)
    assert series.times[3] == pd.Timestamp("2020-01-01 03:00")


def test_changing_later_rows_changes_neither_scale_nor_train_values(tmp_path):
    head = [1.0, 5, 2, 8, 3, 9]
    one = load(write(tmp_path / "a.csv", x=[*head, 1, 2, 3, 4]))
    other = load(write(tmp_path / "b.csv", x=[*head, -70, 5e6, 0, 1]))
    assert one.scaler.mean == other.scaler.mean
    assert one.scaler.std == other.scaler.std
    np.testing.assert_array_equal(one.values[0, :6], other.values[0, :6])


def test_missing_values_stay_nan_and_out_of_the_scale(tmp_path):
    series = load(write(tmp_path / "a.csv", x=[1, None, 3, None, None, 5, 7, None, 9, 10]))
    assert np.isnan(series.values[0, :, 0]).nonzero()[0].tolist() == [1, 3, 4, 7]
    assert series.scaler.mean.tolist() == [3.0]
    assert series.scaler.std[0] == pytest.approx((8 / 3) ** 0.5)


def test_target_univariate_and_columns_choose_channels(tmp_path):
    ramp = list(range(10))
    path = write(tmp_path / "a.csv", a=ramp, b=ramp, c=ramp)
    assert load(path).columns == ("a", "b", "c")
    assert load(path, columns=("c", "a")).columns == ("c", "a")
    assert load(path, univariate=True).columns == ("c",)
    assert load(path, target="b").columns == ("b",)
    assert load(path, target="b", univariate=True).columns == ("b",)
    assert load(path, columns=("a", "b"), univariate=True).columns == ("b",)
    with pytest.raises(UserError, match=r"no column 'c': its columns are a, b$"):
        load(path, columns=("a", "b"), target="c")


def test_unused_columns_may_hold_anything(tmp_path):
    path = write(tmp_path / "a.csv", note=["text"] * 10, flat=[1] * 10, a=range(10))
    for choice in ({"columns": ("a",)}, {"target": "a"}, {"univariate": True}):
        assert load(path, **choice).columns == ("a",)


def test_scaler_inverts_and_refuses_other_channels():
    values = np.random.default_rng(0).normal(5, 3, (50, 3))
    scaler = Scaler.fit(values)
    np.testing.assert_allclose(scaler.transform(values).std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(scaler.inverse(scaler.transform(values)), values, rtol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(4, 1\), expected \(\.\.\., 3\)"):
        scaler.inverse(np.zeros((4, 1)))


@pytest.mark.parametrize("level", [0.0, 0.1, -1e9, 1e-200])
@pytest.mark.parametrize("rows", [6, 1000])
def test_what_rounding_leaves_of_a_constant_is_no_deviation(level, rows):
    """Such a channel is refused or keeps its unit; one that varies is scaled."""
    values = np.full((rows, 2), level)
    values[::2, 0] = np.nextafter(level, np.inf)
    values[:, 1] = 10 + np.arange(rows) % 2
    with pytest.raises(UserError, match="channel 0 of values is constant"):
        Scaler.fit(values)
    scaler = Scaler.fit(values, keep_constant=True)
    np.testing.assert_allclose(scaler.std, [1, 0.5])
    later = scaler.transform(np.array([[level + 1e-9, 11]]))
    np.testing.assert_allclose(later, [[level + 1e-9 - level, 1]], atol=1e-9 + 1e-15 * abs(level))


@pytest.mark.parametrize("share", [1e-11, 1e-3])
def test_a_small_deviation_on_a_large_level_is_one(share):
    values = 5.0 * (1 + share * np.array([[-1.0], [1.0]] * 50))
    for keep in (False, True):
        np.testing.assert_allclose(Scaler.fit(values, keep_constant=keep).std, 5 * share, rtol=1e-3)


def test_hourly_calendar_by_hand(tmp_path):
    # 2020 is a leap year, 1 January a Wednesday (day 2 from Monday).
    series = load(write(tmp_path / "a.csv", rows=30, start="2020-01-01", x=range(30)))
    assert series.calendar.shape == (30, 6)
    assert series.calendar.dtype == np.float32
    row = 6  # 06:00
    turns = [6 / 24, (2 + 6 / 24) / 7, (6 / 24) / 366]
    expected = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
    np.testing.assert_allclose(series.calendar[row], expected, atol=1e-6)


@pytest.mark.parametrize(
    "freq, features, period",
    [
        ("s", 8, None),
        ("5min", 6, 288),
        ("15min", 6, 96),
        ("h", 6, 24),
        ("D", 4, 7),
        ("W", 2, 52),
        ("MS", 2, 12),
        ("QS", 2, 4),
        ("YS", 0, None),
    ],
)
def test_calendar_and_season_fit_the_frequency(tmp_path, freq, features, period):
    series = load(write(tmp_path / "a.csv", rows=40, freq=freq, x=range(40), start="2021-01-01"))
    assert series.calendar.shape == (40, features)
    assert series.period == period
    assert np.abs(series.calendar).max(initial=0) <= 1


def test_default_horizons_are_those_that_fit(tmp_path):
    long = load(write(tmp_path / "a.csv", rows=2000, x=np.arange(2000.0)))
    assert long.horizons == (24, 48, 168)  # 400 rows of test: 336 would leave 64 forecasts
    short = load(write(tmp_path / "b.csv", x=range(10)))
    assert short.horizons == (1,)
    quarter = load(write(tmp_path / "c.csv", rows=2000, freq="15min", x=np.arange(2000.0)))
    assert quarter.horizons == (24, 48, 96)


@pytest.mark.parametrize(
    "name, shape, ends, target, calendar",
    [
        ("ETTh1", (1, 17420, 7), (8640, 11520, 14400), "OT", 6),
        ("ETTh2", (1, 17420, 7), (8640, 11520, 14400), "OT", 6),
        ("ETTm1", (1, 69680, 7), (34560, 46080, 57600), "OT", 6),
        ("WTH", (1, 35064, 12), (21038, 28051, 35064), "WetBulbCelsius", 6),
    ],
)
class TestPublished:
    pytestmark = needs_data

    def test_shape_split_and_target(self, name, shape, ends, target, calendar):
        series = load(name, root=DATA)
        assert series.values.shape == shape
        split = series.split
        assert (split.train.stop, split.valid.stop, split.test.stop) == ends
        assert (split.train.start, split.valid.start, split.test.start) == (0, *ends[:2])
        assert series.calendar.shape == (shape[1], calendar)
        assert load(name, root=DATA, univariate=True).columns == (target,)
        longest = 672 if name == "ETTm1" else 720
        assert series.horizons[-1] == longest
        assert series.period == (96 if name == "ETTm1" else 24)

    def test_scale_equals_a_plain_computation(self, name, shape, ends, target, calendar):
        series = load(name, root=DATA)
        lines = Path(DATA, "series", f"{name}.csv").read_text().splitlines()[1 : ends[0] + 1]
        train = np.array([[float(field) for field in line.split(",")[1:]] for line in lines])
        np.testing.assert_allclose(series.scaler.mean, train.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(series.scaler.std, train.std(axis=0), rtol=1e-12)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="$TSPCREP_DATA is not set: no real series here")
def test_us_dates_of_wth_are_read_month_first():
    times = load("WTH", root=DATA, univariate=True).times
    assert times[0] == pd.Timestamp(2010, 1, 1)
    assert times[-1] == pd.Timestamp(2013, 12, 31, 23)
    assert (np.diff(times) == np.timedelta64(1, "h")).all()


def test_mitdb_ships_with_sktime():
    pytest.importorskip("sktime", reason="sktime, which holds mitdb, is not installed")
    series = load("mitdb")
    assert series.values.shape == (1, 7500, 1)
    assert isinstance(series.times, pd.RangeIndex)
    assert series.calendar.shape == (7500, 0)
    signal = series.values[0, :, 0] - series.values.mean()
    lags = range(200, 400)
    peak = max(lags, key=lambda lag: float(signal[:-lag] @ signal[lag:]))
    assert peak == series.period  # one heart beat


def test_mitdb_without_sktime_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[series\]'"):
        load("mitdb")


def named_file(path, rows=NAMED["ETTh1"].rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, rows=rows, OT=np.arange(rows) + 0.5)


def test_named_sets_are_searched_in_order_directly_or_under_series(tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_DATA", str(tmp_path / "env"))
    named_file(tmp_path / "cache" / "series" / "ETTh1.csv")
    assert load("ETTh1").name == "ETTh1"
    # A broken file further up the order is found first.
    named_file(tmp_path / "env" / "ETTh1.csv", rows=7)
    with pytest.raises(UserError, match=r"env.ETTh1.csv has 7 rows, .* has 17420"):
        load("ETTh1")
    named_file(tmp_path / "root" / "series" / "ETTh1.csv", rows=8)
    with pytest.raises(UserError, match=r"root.series.ETTh1.csv has 8 rows"):
        load("ETTh1", root=tmp_path / "root")


def test_a_missing_named_set_names_all_three_places_and_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_DATA", str(tmp_path / "env"))
    with pytest.raises(UserError) as caught:
        load("WTH", root=tmp_path / "root")
    message = str(caught.value)
    for part in ("root", "env", "cache"):
        assert str(tmp_path / part) in message
    assert "python tools/prepare_data.py --names WTH" in message
    assert "\n" not in message


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(UserError, match="etth1 does not exist: did you mean ETTh1"):
        load("etth1")
    with pytest.raises(UserError, match=r"expected a CSV or Parquet file or one of ETTh1, .*mitdb"):
        load("no/such/file.csv")


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"flat": [2.5] * 6 + [1, 2, 3, 4]}, r"channel 'flat' .*rows 1 to 6.* is constant \(2.5"),
        ({"void": [None] * 10}, "column 'void' has no number"),
        ({"late": [None] * 6 + [1, 2, 3, 4]}, "channel 'late' .*rows 1 to 6.* has no number"),
        ({"huge": [1e300, -1e300, *range(8)]}, "channel 'huge' .*whose variance is no number"),
        ({"mark": [*range(9), -1.7e308]}, "row 10 of column 'mark' is -1.7e"),
    ],
)
def test_channels_that_cannot_be_standardised_are_named(tmp_path, columns, message):
    path = write(tmp_path / "a.csv", good=range(10), **columns)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_too_few_rows_to_split(tmp_path):
    with pytest.raises(UserError, match="has 2 rows, expected at least 3"):
        load(write(tmp_path / "a.csv", rows=2, x=range(2)))


def test_check_length_says_both_lengths(tmp_path):
    series = load(write(tmp_path / "a.csv", rows=100, x=range(100)))  # 60 / 20 / 20
    check_length(series, look_back=41, horizon=19)
    with pytest.raises(UserError, match=r"has 100 rows, .*look-back 201 [+] horizon 24 = 225 rows"):
        check_length(series, look_back=201, horizon=24)
    with pytest.raises(UserError, match=r"train part of a has 60 .*50 [+] horizon 19 = 69 rows"):
        check_length(series, look_back=50, horizon=19)
    with pytest.raises(UserError, match=r"valid part of a has 20 .*horizon 20 [+] 1 = 21 rows"):
        check_length(series, look_back=20, horizon=20)


def test_loading_a_series_does_not_import_sktime(tmp_path):
    program = (
        "import sys, tsrep.datasets as d; d.load(sys.argv[1]); assert 'sktime' not in sys.modules"
    )
    path = write(tmp_path / "a.csv", x=range(10))
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program, str(path)]) == 0
