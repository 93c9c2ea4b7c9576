"""Files as people have them: what is read, and the one line for what is not."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets.tables import read_table


def csv(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def refuse(path, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        read_table(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_first_column_of_dates_is_the_time(tmp_path):
    path = csv(tmp_path, "load,when,temp\n1,2020-01-01,5\n2,2020-01-02,6\n")
    times, frame = read_table(path)
    assert times.tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")]
    assert frame.to_dict("list") == {"load": [1.0, 2.0], "temp": [5.0, 6.0]}


def test_a_time_column_can_be_named(tmp_path):
    path = csv(tmp_path, "start,end,x\n2020-01-01,2020-01-02,1\n2020-01-02,2020-01-03,2\n")
    times, frame = read_table(path, time_column="end", columns=["x"])
    assert times[0] == pd.Timestamp("2020-01-02")
    assert list(frame) == ["x"]
    refuse(path, "column 'start' is '2020-01-01'", time_column="end", columns=["start"])


def test_without_dates_rows_are_counted(tmp_path):
    times, frame = read_table(csv(tmp_path, "a,b\n5,1\n3,2\n4,9\n"))
    assert times.equals(pd.RangeIndex(3))
    assert list(frame) == ["a", "b"]


def test_the_nameless_index_that_pandas_writes_is_no_channel(tmp_path):
    pd.DataFrame({"x": [3.0, 1.0, 2.0]}).to_csv(tmp_path / "a.csv")
    times, frame = read_table(tmp_path / "a.csv")
    assert times.equals(pd.RangeIndex(3))
    assert list(frame) == ["x"]


@pytest.mark.parametrize(
    "first, second, step",
    [
        ("2020-01-31T00:00:00", "2020-02-01T00:00:00", "1D"),
        ("1/31/2020 0:00", "2/1/2020 0:00", "1D"),  # month first
        ("31/01/2020", "01/02/2020", "1D"),  # day first: month 31 is none
        ("31.01.2020 23:45", "01.02.2020 00:00", "15min"),
        ("2020-01-31 23:00:00", "2020-02-01", "1h"),  # spreadsheets drop midnight
        ("2020-01-31T00:00:00Z", "2020-01-31T01:00:00Z", "1h"),
        ("2020-10-25T02:30:00+02:00", "2020-10-25T02:30:00+01:00", "1h"),  # end of summer time
        ("1580428800", "1580432400", "1h"),
        ("1580428800000", "1580432400000", "1h"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*since 1970:tspcrep.common.errors.DataWarning")
def test_dates_as_they_are_written(tmp_path, first, second, step):
    times, _ = read_table(csv(tmp_path, f"t,x\n{first},1\n{second},2\n"), time_column="t")
    assert times[1] - times[0] == pd.Timedelta(step)


def test_day_first_dates_that_also_read_month_first_follow_the_even_steps(tmp_path):
    # The first of each month, written day first: month first would give 12 days and a year's gap.
    months = pd.date_range("2019-01-01", periods=26, freq="MS")
    rows = "".join(f"{month:%d/%m/%Y},{i}\n" for i, month in enumerate(months))
    times, _ = read_table(csv(tmp_path, "t,x\n" + rows))
    assert times.tolist() == months.tolist()


def test_a_wall_clock_with_a_zone_is_kept(tmp_path):
    hours = pd.date_range("2020-01-01", periods=3, freq="h", tz="+02:00")
    pd.DataFrame({"t": hours, "x": [1.0, 2, 3]}).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")[0].hour.tolist() == [0, 1, 2]


def test_integer_times_count_steps(tmp_path):
    times, frame = read_table(csv(tmp_path, "t,x\n10,1\n12,2\n14,3\n"), time_column="t")
    assert times.equals(pd.RangeIndex(10, 16, 2))
    assert list(frame) == ["x"]


@pytest.mark.parametrize("index", [False, True])
def test_parquet_equals_csv(tmp_path, index):
    frame = pd.DataFrame(
        {"a": [1, 2, 3], "b": [0.5, None, 2.5], "c": [True, False, True]},
        index=pd.date_range("2020-01-01", periods=3, freq="h", name="date"),
    )
    stored = frame if index else frame.reset_index()
    stored.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    from_parquet, from_csv = read_table(tmp_path / "a.parquet"), read_table(tmp_path / "a.csv")
    assert from_parquet[0].tolist() == from_csv[0].tolist() == frame.index.tolist()
    pd.testing.assert_frame_equal(from_parquet[1], from_csv[1])
    assert from_parquet[1]["c"].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "t;a;b\n2020-01-01;1,5;2\n2020-01-02;2,5;3\n",
        "t;a;b\n2020-01-01;1.5;2\n2020-01-02;2.5;3\n",
        "t\ta\tb\n2020-01-01\t1.5\t2\n2020-01-02\t2.5\t3\n",
        "\ufefft, a, b\r\n2020-01-01, 1.5, 2\r\n2020-01-02, 2.5, 3\r\n",
        '"t","a","b"\n"2020-01-01","1.5","2"\n"2020-01-02","2.5","3"\n',
    ],
)
def test_separators_decimal_commas_marks_and_quotes(tmp_path, text):
    times, frame = read_table(csv(tmp_path, text))
    assert times[1] == pd.Timestamp("2020-01-02")
    assert frame.to_dict("list") == {"a": [1.5, 2.5], "b": [2.0, 3.0]}


def test_a_stream_that_is_damaged_inside(tmp_path):
    """A wrong block in the middle, which the checksum at the end does not come to."""
    whole = bytearray(gzip.compress(b"x\n" + b"1\n" * 5000, mtime=0))
    whole[12:20] = b"\xff" * 8
    (tmp_path / "a.csv.gz").write_bytes(whole)
    with pytest.raises(UserError, match=r"a\.csv\.gz cannot be read"):
        read_table(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("names", [["x"], ["t", "t"], ["t", "x"]])
def test_an_index_named_as_something_else(tmp_path, names):
    index = pd.MultiIndex.from_arrays([[1, 2]] * len(names), names=names)
    pd.DataFrame({"x": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=rf"a\.parquet.*{names[-1]}"):
        read_table(tmp_path / "a.parquet")


def test_gzip_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x\n1\n2\n", mtime=0))
    assert read_table("~/a.csv.gz")[1]["x"].tolist() == [1.0, 2.0]


def test_empty_fields_are_missing_values(tmp_path):
    _, frame = read_table(csv(tmp_path, "a,b\n1,\n,2\nnan,NA\n3,4\n"))
    assert np.isnan(frame.to_numpy()).tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]


HOURS = "t,x\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty: expected a CSV or Parquet file"),
        ("\n\n", "is empty: expected a header"),
        ("t,x\n", "has no rows"),
        (HOURS + "2020-01-01 00:30,3\n", r"row 3 \(2020-01-01 00:30:00\) is earlier than .* row 2"),
        (HOURS + "2020-01-01 01:00,3\n", r"row 3 \(2020-01-01 01:00:00\) repeats that of row 2"),
        (HOURS + ",3\n", "row 3 has no timestamp in 't'"),
        (HOURS + "2020-01-01 02:00,oops\n", "row 3 of column 'x' is 'oops', expected a number"),
        (HOURS + "2020-01-01 02:00,inf\n", "row 3 of column 'x' is infinite"),
        (
            "t,x\n" + "2020-01-01,1\n" * 9 + "soon,3\n" * 4,
            "row 10 of column 't' is 'soon', expected a date",
        ),
        ("x,y,x\n1,2,3\n", "two columns named 'x'"),
        ("1,2\n3,4\n", "numbers in its first row: expected a header"),
        ("t\n2020-01-01\n", "has no channels"),
        ("a,b\n1,2\n3,4,5\n", "not a regular CSV file: .*line 3"),
        ("a,b\n1,2,3\n4,5,6\n", "3 fields in its first row, expected the 2 of its header"),
    ],
)
def test_bad_csv_is_one_line(tmp_path, text, message):
    refuse(csv(tmp_path, text), message)


def test_a_missing_column_lists_the_columns_there_are(tmp_path):
    path = csv(tmp_path, HOURS)
    refuse(path, "no column 'y': its columns are x", columns=["y"])
    refuse(path, "no column 'when': its columns are t, x", time_column="when")
    with pytest.raises(UserError, match="twice"):
        read_table(path, columns=["x", "x"])


@pytest.mark.parametrize(
    "values, message",
    [
        ("5 5 6", r"neither dates nor rising whole numbers at row 2 \(5\)"),
        ("1 2.5 4", r"neither dates nor rising whole numbers at row 2 \(2.5\)"),
        ("a b c", "does not hold times, the first is a"),
        ("1580428800 1580425200 1580432400", "row 2 .* is earlier than that of row 1"),
    ],
)
def test_bad_time_columns_are_one_line(tmp_path, values, message):
    rows = "".join(f"{value},{i}\n" for i, value in enumerate(values.split()))
    refuse(csv(tmp_path, "t,x\n" + rows), message, time_column="t")


def test_missing_files_and_folders(tmp_path):
    refuse(tmp_path / "none.csv", "does not exist")
    refuse(tmp_path, "is a folder: expected a CSV or Parquet file")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.parquet", b"PAR1 and then nothing", "not a readable Parquet file"),
        ("a.parquet", b"a,b\n1,2\n", "not a readable Parquet file"),
        ("a.xlsx", b"PK\x03\x04\x00\x00", "neither a Parquet file nor CSV in UTF-8"),
        ("a.csv", "größe\n1\n".encode("latin-1"), "neither a Parquet file nor CSV in UTF-8"),
        ("a.csv", "x\n1\n".encode("utf-16"), "neither a Parquet file nor CSV in UTF-8"),
        ("a.csv", b"x,y\n" + b"1,2\n" * 20000 + b"\xff,3\n", "nor CSV in UTF-8"),
        ("a.csv.gz", gzip.compress(b"x\n1\n2\n", mtime=0)[:-6], "cannot be read"),
    ],
)
def test_unreadable_files_are_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path / name, message)


@pytest.mark.parametrize("field", ["name", "field_name", "pandas_type", "numpy_type", "metadata"])
def test_parquet_with_damaged_notes_of_pandas(tmp_path, field):
    """pandas keeps types and the index beside the columns, as JSON that it believes."""
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.date_range("2020-01-01", periods=2, name="t"))
    content = frame.to_parquet()
    (tmp_path / "a.parquet").write_bytes(
        content.replace(f'"{field}"'.encode(), f'"{field[:-1]}?"'.encode())
    )
    try:
        _, frame = read_table(tmp_path / "a.parquet")
    except UserError as error:
        assert "not a readable Parquet file" in str(error)
    else:
        assert frame["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "column, message",
    [
        ([[1, 2], [3, 4]], r"'x' \(text, such as '\[1 2\]'"),
        (["one", "two"], r"'x' \(text, such as 'one'\)"),
        (pd.Categorical(["one", "two"]), r"'x' \(text, such as 'one'\)"),
        (pd.to_timedelta([1, 2], unit="h"), r"'x' \(durations\)"),
        (pd.date_range("2020-01-01", periods=2), r"'x' \(dates\)"),
    ],
)
def test_parquet_columns_that_are_no_numbers(tmp_path, column, message):
    times = pd.date_range("2020-01-01", periods=2)
    pd.DataFrame({"t": times, "x": column}).to_parquet(tmp_path / "a.parquet")
    refuse(tmp_path / "a.parquet", f"no channels, expected a column of numbers: {message}")
    refuse(tmp_path / "a.parquet", "column 'x'", columns=["x"])
