"""Times as people write them: found by name and shape, read to the right value, and announced."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.tables import read_table

HOURS = pd.date_range("2023-01-01", periods=400, freq="h")
QUARTERS = pd.date_range("1920-01-01", periods=400, freq="QS")
TENS = pd.date_range("2022-01-01", periods=400, freq="10min")
VALUES = 10 + np.sin(np.arange(400) * 2 * np.pi / 24)


def csv(tmp_path, header, rows, name="a.csv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def written(tmp_path, header, times, form):
    return csv(
        tmp_path, header, [f"{form(t)},{v:.3f}" for t, v in zip(times, VALUES, strict=False)]
    )


def seconds(time):
    return int(time.timestamp())


@pytest.mark.parametrize(
    ("name", "times", "form"),
    [
        ("timestamp", HOURS, seconds),
        ("timestamp", HOURS, lambda t: seconds(t) * 1000),
        ("ts_unix", HOURS, lambda t: seconds(t) * 10**6),
        ("time", HOURS, lambda t: seconds(t) * 10**9),
        ("Year", pd.date_range("1600-01-01", periods=400, freq="YS", unit="s"), lambda t: t.year),
        ("DATE", pd.date_range("2022-01-01", periods=400, freq="D"), lambda t: f"{t:%Y%m%d}"),
        ("MESS_DATUM", HOURS, lambda t: f"{t:%Y%m%d%H}"),
        ("when", TENS, lambda t: f"{t:%Y%m%d%H%M}"),
        ("Date", HOURS, lambda t: f"{44927 + seconds(t - HOURS[0] + pd.Timestamp(0)) / 86400:.6f}"),
        ("q", QUARTERS, lambda t: f"{t.year}Q{t.quarter}"),
        ("q", QUARTERS, lambda t: f"Q{t.quarter} {t.year}"),
    ],
)  # fmt: skip
def test_numbers_and_quarters_that_are_times(tmp_path, name, times, form):
    path = written(tmp_path, f"{name},y", times, form)
    for options in ({}, {"time_column": name}):
        with pytest.warns(DataWarning, match=rf"time: column '{name}' \(.*\), \w+") as caught:
            found, frame = read_table(path, **options)
        assert len(caught) == 1 and str(times[-1].year) in str(caught[0].message)
        assert found.to_list() == times.to_list()
        assert list(frame) == ["y"]


def test_numbers_that_look_like_times_are_channels_without_the_name(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        f"{v},{y}"
        for v, y in zip(rng.integers(2e4, 8e4, 50), rng.integers(1900, 2100, 50), strict=True)
    ]
    times, frame = read_table(csv(tmp_path, "load,price", rows))
    assert times.equals(pd.RangeIndex(50)) and list(frame) == ["load", "price"]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["No", "step", "t"])
def test_a_count_of_rows_is_no_channel(tmp_path, name, first):
    path = csv(tmp_path, f"{name},y", [f"{first + i},{v:.3f}" for i, v in enumerate(VALUES)])
    with pytest.warns(DataWarning, match=f"time: column '{name}'"):
        times, frame = read_table(path)
    assert times.equals(pd.RangeIndex(400)) and list(frame) == ["y"]
    rows = [f"{t},{first + i},{v}" for i, (t, v) in enumerate(zip(HOURS, VALUES, strict=True))]
    with pytest.warns(DataWarning, match=rf"left out '{name}' \(a count of rows\)"):
        times, frame = read_table(csv(tmp_path, f"date,{name},y", rows))
    assert times.equals(HOURS.as_unit(times.unit)) and list(frame) == ["y"]


def test_seconds_since_the_start_are_steps_and_gaps_in_them_are_absent_rows(tmp_path):
    kept = np.setdiff1d(np.arange(100), [7, 8, 50])
    path = csv(tmp_path, "time,y", [f"{0.01 * i:.2f},{i}" for i in kept])
    with pytest.warns(DataWarning) as caught:
        times, frame = read_table(path)
    assert times.equals(pd.RangeIndex(100))
    assert np.flatnonzero(frame["y"].isna()).tolist() == [7, 8, 50]
    assert "steps of 0.01" in str(caught[0].message) and "3 of 100" in str(caught[1].message)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("Date;Time;y", "{t:%d/%m/%Y};{t:%H.%M.%S}"),
        ("Date;Time;y", "{t:%d/%m/%Y};{t:%H:%M:%S}"),
        ("Time;Date;y", "{t:%H:%M};{t:%Y-%m-%d}"),
        ("Datum;Uhrzeit;y", "{t:%d.%m.%Y};{t:%H:%M}"),
        ("day;hour;y", "{t:%Y-%m-%d};{t.hour}"),
        ("year;month;day;hour;y", "{t.year};{t.month};{t.day};{t.hour}"),
        ("date;time;y", "{t:%Y-%m-%d};{t:%H%M}"),
    ],
)
def test_a_date_and_a_time_in_their_own_columns(tmp_path, header, form):
    rows = [f"{form.format(t=t)};{v:.3f}" for t, v in zip(HOURS, VALUES, strict=True)]
    path = csv(tmp_path, header, rows)
    columns = header.split(";")[:-1]
    named = columns if columns[0] != "Time" else columns[::-1]
    for options in ({}, {"time_column": named}):
        with pytest.warns(DataWarning, match=r"time: columns '.*' and '.*' \(.*\), hours"):
            times, frame = read_table(path, **options)
        assert times.to_list() == HOURS.to_list()
        assert list(frame) == ["y"]


def test_hours_that_end_at_24(tmp_path):
    rows = [f"{t:%Y-%m-%d},{t.hour + 1},{v}" for t, v in zip(HOURS, VALUES, strict=True)]
    with pytest.warns(DataWarning, match="a date and a time"):
        times, _ = read_table(csv(tmp_path, "date,hour,y", rows))
    assert times.to_list() == (HOURS + pd.Timedelta("1h")).to_list()


@pytest.mark.parametrize(
    ("time_format", "form"),
    [
        ("%d-%b-%y %H:%M", lambda t: f"{t:%d-%b-%y %H:%M}"),
        ("%Y%j%H", lambda t: f"{t:%Y%j%H}"),
        ("s", seconds),
        ("ms", lambda t: seconds(t) * 1000),
        ("excel", lambda t: f"{44927 + seconds(t - HOURS[0] + pd.Timestamp(0)) / 86400:.6f}"),
    ],
)
def test_a_format_overrides(tmp_path, time_format, form):
    path = written(tmp_path, "x,y", HOURS, form)
    with pytest.warns(DataWarning, match="time: column 'x'"):
        times, _ = read_table(path, time_column="x", time_format=time_format)
    assert times.to_list() == HOURS.to_list()
    with pytest.raises(UserError, match="name the column it is of with --time-column"):
        read_table(path, time_format=time_format)
    with pytest.raises(UserError, match=r"row 1 of x is .* not of --time-format '%H'"):
        read_table(path, time_column="x", time_format="%H")


def test_the_newest_first_is_turned_round(tmp_path):
    rows = [f"{t},{v:.3f}" for t, v in zip(HOURS, VALUES, strict=True)]
    expected = read_table(csv(tmp_path, "t,y", rows))
    with pytest.warns(DataWarning, match="the newest row is the first"):
        times, frame = read_table(csv(tmp_path, "t,y", rows[::-1]))
    assert times.equals(expected[0])
    pd.testing.assert_frame_equal(frame, expected[1])


@pytest.mark.parametrize("freq", ["M", "Q", "D", "h"])
def test_periods_of_parquet(tmp_path, freq):
    index = pd.period_range("1990-01-01", periods=50, freq=freq)
    pd.DataFrame({"y": VALUES[:50]}, index=index).to_parquet(tmp_path / "a.parquet")
    times, frame = read_table(tmp_path / "a.parquet")
    assert times.to_list() == index.to_timestamp().to_list()
    assert list(frame) == ["y"]


@pytest.mark.parametrize("form", ["{t:%Y-%m-%d %H:%M}", "{t:%Y-%m-%d %H:%M %Z}"])
def test_a_local_clock_put_back(tmp_path, form):
    local = pd.date_range("2023-10-20", periods=400, freq="h", tz="Europe/Berlin")
    path = written(tmp_path, "ds,y", local, lambda t: form.format(t=t))
    times, frame = read_table(path)
    assert times.to_list() == local.tz_localize(None).to_list()
    assert frame["y"].notna().all() and len(frame) == 400


def test_offsets_that_change(tmp_path):
    local = pd.date_range("2023-10-20", periods=400, freq="h", tz="Europe/Berlin")
    times, _ = read_table(written(tmp_path, "ds,y", local, lambda t: t.isoformat()))
    assert times.to_list() == local.tz_convert("UTC").to_list()


@pytest.mark.parametrize("freq", ["h", "B", "ME", "QS"])
def test_absent_rows_equal_empty_values(tmp_path, freq):
    index = pd.date_range("2000-01-31", periods=300, freq=freq)
    holes = np.random.default_rng(0).choice(np.arange(1, 299), 40, replace=False)
    full = [f"{t},{v:.3f}" for t, v in zip(index, VALUES, strict=False)]
    empty = [row.split(",")[0] + "," if i in holes else row for i, row in enumerate(full)]
    absent = [row for i, row in enumerate(full) if i not in holes]
    expected = read_table(csv(tmp_path, "t,y", empty))
    with pytest.warns(DataWarning, match="40 of 300 .* have no row and are filled in as missing"):
        times, frame = read_table(csv(tmp_path, "t,y", absent))
    assert times.to_list() == expected[0].to_list()
    pd.testing.assert_frame_equal(frame, expected[1])


def test_uneven_times_are_refused_or_resampled(tmp_path):
    rng = np.random.default_rng(0)
    when = HOURS[:300] + pd.to_timedelta(rng.integers(0, 3000, 300), unit="s")
    path = csv(tmp_path, "t,y", [f"{t},{v}" for t, v in zip(when, VALUES, strict=False)])
    with pytest.raises(UserError, match=r"no usual step: row \d+ .* --frequency"):
        read_table(path)
    times, frame = read_table(path, frequency="h")
    assert times.to_list() == HOURS[:300].to_list()
    np.testing.assert_allclose(frame["y"], VALUES[:300])


def test_rows_in_no_order_are_refused(tmp_path):
    rows = [f"{t},1" for t in HOURS[[0, 1, 3, 2, 4]]]
    with pytest.raises(UserError, match=r"row 4 \(2023-01-01 02:00:00\) is earlier than"):
        read_table(csv(tmp_path, "t,y", rows))


def test_a_row_of_units_below_the_header(tmp_path):
    rows = ["UTC,kW", *(f"{t},{v}" for t, v in zip(HOURS, VALUES, strict=True))]
    with pytest.raises(UserError, match=r"row 1 of column 'time' is 'UTC', expected a date"):
        read_table(csv(tmp_path, "time,load", rows))
