"""The usual step of timestamps against pandas' ranges with rows taken out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import UserError
from tsrep.datasets.steps import even_steps, following, resampled, usual_step

FREQUENCIES = {
    "s": "seconds",
    "30s": "30 seconds",
    "15min": "15 minutes",
    "h": "hours",
    "6h": "6 hours",
    "D": "days",
    "B": "business days",
    "W": "weeks",
    "MS": "months",
    "ME": "months",
    "BMS": "months",
    "BME": "months",
    "QS": "quarters",
    "QE": "quarters",
    "YS": "years",
    "YE": "years",
    "2MS": "2 months",
}


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_the_step_of_a_range_is_found(freq):
    whole = pd.date_range("2019-03-04 00:00", periods=60, freq=freq)
    grid = even_steps(whole, "x")
    assert (grid.step, grid.absent) == (FREQUENCIES[freq], 0)
    assert grid.times.equals(whole)
    later = pd.date_range(whole[-1], periods=25, freq=freq)[1:]
    expected = later.to_list()
    if freq in ("BMS", "BME"):  # their day is that of most months
        assert (following(whole, 24).to_period("M") == later.to_period("M")).all()
    else:
        assert following(whole, 24).to_list() == expected


@settings(deadline=None)
@given(
    freq=st.sampled_from(sorted(FREQUENCIES)),
    start=st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2030-01-01")),
    holes=st.sets(st.integers(1, 98), max_size=30),
    unit=st.sampled_from(["s", "us", "ns"]),
)
def test_absent_rows_get_their_places(freq, start, holes, unit):
    start = pd.Timestamp(start).floor("h")
    whole = pd.date_range(start, periods=100, freq=freq).as_unit(unit)
    kept = np.setdiff1d(np.arange(100), sorted(holes))
    values = np.arange(100.0)[:, None]
    grid = even_steps(whole[kept], "x")
    assert grid.places.tolist() == kept.tolist()
    assert grid.step == FREQUENCIES[freq]
    assert grid.absent == len(holes)
    expected = values.copy()
    expected[sorted(holes)] = np.nan
    np.testing.assert_array_equal(grid.placed(values[kept]), expected)
    if freq not in ("BMS", "BME"):
        assert grid.times.to_list() == whole.to_list()
    assert grid.times[kept].equals(whole[kept])


@settings(deadline=None)
@given(
    step=st.integers(1, 50),
    start=st.integers(-1000, 1000),
    holes=st.sets(st.integers(1, 58), max_size=18),
)
def test_counts_of_steps(step, start, holes):
    kept = np.setdiff1d(np.arange(60), sorted(holes))
    grid = even_steps(pd.Index(start + step * kept), "x")
    assert grid.times.equals(pd.RangeIndex(start, start + 60 * step, step))
    assert grid.places.tolist() == kept.tolist()
    assert following(grid.times, 3).tolist() == [start + step * i for i in (60, 61, 62)]


def test_the_days_of_a_week_that_are_never_there_are_no_gap():
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    kept = days[days.dayofweek.isin([6, 0, 1, 2, 3])]  # Sunday to Thursday
    grid = even_steps(kept.delete([17, 40]), "x")
    assert (grid.step, grid.absent) == ("days (5 a week)", 2)
    assert grid.times.equals(kept)


def zone(rows, freq, start="2023-10-20", name="Europe/Berlin"):
    return pd.date_range(start, periods=rows, freq=freq, tz=name)


@pytest.mark.parametrize("freq", ["15min", "30min", "h", "3h"])
@pytest.mark.parametrize("start", ["2023-10-20", "2023-03-20"])
def test_a_zone_has_even_steps_through_a_change_of_the_clock(freq, start):
    whole = zone(1000, freq, start)
    grid = even_steps(whole.delete([5, 6, 700]), "x")
    assert grid.absent == 3
    assert grid.times.to_list() == whole.to_list()


@pytest.mark.parametrize("freq", ["D", "B", "MS"])
def test_days_of_a_zone_have_23_or_25_hours(freq):
    whole = zone(300, freq)
    grid = even_steps(whole.delete([5, 70]), "x")
    assert grid.absent == 2
    assert grid.times.to_list() == whole.to_list()
    assert following(whole[:200], 50).to_list() == whole[200:250].to_list()


@pytest.mark.parametrize("freq", ["15min", "h"])
def test_a_local_clock_that_was_put_back_has_even_steps(freq):
    """Over a year, so that it is put forth as well."""
    wall = zone(24000, freq).tz_localize(None)
    assert not wall.is_monotonic_increasing or not wall.is_unique
    grid = even_steps(wall, "x")
    assert grid.absent == 0
    assert grid.times.equals(wall)
    whole = even_steps(wall.delete([1000, 12000]), "x")
    assert whole.absent == 2
    assert whole.times.equals(wall)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (pd.date_range("2024-01-01", periods=9, freq="h").insert(4, pd.Timestamp(2024, 1, 1, 3, 7)),
         r"no usual step: row 5 \(2024-01-01 03:07:00\) follows 2024-01-01 03:00:00"),
        (pd.DatetimeIndex(np.sort(np.random.default_rng(0).integers(0, 10**9, 50)).astype("M8[s]")),
         "no usual step"),
        (pd.Index([1, 3, 4, 10]), r"no usual step|have no row"),
        (pd.Index([0, 1, 2, 3, 100]), "96 of 101 steps between 0 and 100 have no row"),
    ],
)  # fmt: skip
def test_uneven_times_are_refused_in_one_line(times, message):
    with pytest.raises(UserError, match=message) as caught:
        even_steps(times, "a.csv")
    assert "\n" not in str(caught.value) and "--frequency" in str(caught.value)
    assert str(caught.value).startswith("a.csv: ")


@pytest.mark.parametrize(("first", "second"), [("h", "15min"), ("15min", "h"), ("D", "2D")])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_frequency_that_changes_midway_is_refused(first, second, share):
    rows = int(200 * share)
    head = pd.date_range("2024-01-01", periods=rows, freq=first)
    tail = pd.date_range(head[-1], periods=200 - rows, freq=second)[1:]
    times = head.append(tail)
    with pytest.raises(UserError, match=r"the step changes at row|no usual step|have no row"):
        even_steps(times, "x")


def test_resampling_is_the_mean_of_each_step():
    rng = np.random.default_rng(0)
    times = pd.DatetimeIndex(np.sort(rng.integers(0, 86400 * 3, 500)).astype("M8[s]"))
    values = rng.normal(size=(500, 2))
    found, frame = resampled(times, pd.DataFrame(values), "h")
    hours = times.floor("h")
    for hour, row in zip(found, frame.to_numpy(), strict=True):
        inside = values[hours == hour]
        expected = inside.mean(axis=0) if len(inside) else [np.nan, np.nan]
        np.testing.assert_allclose(row, expected)
    assert usual_step(found).name == "hours"
    with pytest.raises(UserError, match="frequency 'hourly' cannot be used"):
        resampled(times, pd.DataFrame(values), "hourly")
    with pytest.raises(UserError, match="no dates"):
        resampled(pd.RangeIndex(500), pd.DataFrame(values), "h")


def test_one_row_and_two():
    assert even_steps(pd.DatetimeIndex(["2024-01-01"]), "x").places.tolist() == [0]
    assert even_steps(pd.Index([7]), "x").times.equals(pd.RangeIndex(7, 8))
    assert even_steps(pd.DatetimeIndex(["2024-01-01", "2024-01-03"]), "x").step == "2 days"
    with pytest.raises(UserError, match="found 1 timestamps, expected at least 2"):
        following(pd.DatetimeIndex(["2024-01-01"]), 3)


@pytest.mark.parametrize("freq", ["h", "B", "MS", "ME", "QE", "W-WED", "15min"])
def test_one_time_is_followed_by_the_step_of_longer_ones(freq):
    whole = pd.date_range("2024-01-31", periods=60, freq=freq)
    for at in (10, 49):  # before the first of the longer ones, and behind their last
        found = following(whole[at : at + 1], 5, whole[20:45])
        assert found.to_list() == whole[at + 1 : at + 6].to_list()
