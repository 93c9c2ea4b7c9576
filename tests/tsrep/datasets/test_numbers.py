"""Numbers as people write them, by whole columns: the value by hand, or one clear line."""

import decimal
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.tables import read_table

DAYS = pd.date_range("2023-01-01", periods=400, freq="D")


def csv(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def german(value, digits=2):
    """1234.5 as 1.234,50."""
    return f"{value:,.{digits}f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def plain(value, digits=2):
    """1234.5 as 1234,50."""
    return f"{value:.{digits}f}".replace(".", ",")


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e7, 1e7), min_size=3, max_size=30),
    separator=st.sampled_from(";\t"),
    form=st.sampled_from([german, plain]),
    first=st.sampled_from(["", "10", "7,5"]),
)
def test_a_decimal_comma_is_decided_from_the_column(
    tmp_path_factory, values, separator, form, first
):
    values = [round(value, 2) for value in values]
    fields = [first, *map(form, values), "3,25"]
    rows = [f"{t:%d.%m.%Y}{separator}{f}" for t, f in zip(DAYS, fields, strict=False)]
    path = csv(tmp_path_factory.mktemp("t"), "\n".join([f"Zeit{separator}Last", *rows]))
    _, frame = read_table(path)
    head = {"": np.nan, "10": 10, "7,5": 7.5}[first]
    np.testing.assert_allclose(frame["Last"], [head, *values, 3.25], rtol=1e-12)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_points_of_thousands_beside_a_decimal_comma(tmp_path, separator):
    """1.234 alone reads as a fraction; the other column tells."""
    rows = [separator.join([f"{t:%d.%m.%Y}", f"1.{234 + i}", f"{i},5"]) for i, t in enumerate(DAYS)]
    path = csv(tmp_path, "\n".join([separator.join(["Zeit", "a", "b"]), *rows]))
    _, frame = read_table(path)
    np.testing.assert_array_equal(frame["a"], 1234 + np.arange(400))
    np.testing.assert_array_equal(frame["b"], np.arange(400) + 0.5)


def test_commas_of_thousands(tmp_path):
    rows = [f'{t},"1,{234 + i}.5","{i + 1},000"' for i, t in enumerate(DAYS)]
    _, frame = read_table(csv(tmp_path, "\n".join(["date,y,z", *rows])))
    np.testing.assert_array_equal(frame["y"], 1234.5 + np.arange(400))
    np.testing.assert_array_equal(frame["z"], 1000 * (1 + np.arange(400)))


def test_percent_signs(tmp_path):
    rows = [f"{t},{i}.5%" for i, t in enumerate(DAYS)]
    _, frame = read_table(csv(tmp_path, "\n".join(["date,y", *rows])))
    np.testing.assert_array_equal(frame["y"], np.arange(400) + 0.5)


@pytest.mark.parametrize("mark", ["?", "-999", "NA", "n/v"])
@pytest.mark.parametrize("parquet", [False, True])
def test_marks_of_missing_values(tmp_path, mark, parquet):
    fields = [mark if i % 50 == 7 else f"{i}.25" for i in range(400)]
    path = csv(
        tmp_path, "\n".join(["date,y", *(f"{t},{f}" for t, f in zip(DAYS, fields, strict=True))])
    )
    if parquet:
        path = tmp_path / "a.parquet"
        pd.DataFrame({"date": DAYS, "y": fields}).to_parquet(path)
    _, frame = read_table(path, missing=(mark,))
    assert np.flatnonzero(frame["y"].isna()).tolist() == list(range(7, 400, 50))
    assert frame["y"][8] == 8.25
    if mark in ("?", "n/v"):
        with pytest.raises(
            UserError, match=rf"row 8 of column 'y' is '{re.escape(mark)}'.* --missing"
        ):
            read_table(path)


def test_columns_of_text_and_dates_are_left_out_with_a_word(tmp_path):
    frame = pd.DataFrame({"date": DAYS, "y": 1.5, "weekday": DAYS.day_name(), "end": DAYS})
    frame.to_csv(tmp_path / "a.csv", index=False)
    match = r"left out 'weekday' \(text, such as 'Sunday'\), 'end' \(text, such as '2023-01-01'\)"
    with pytest.warns(DataWarning, match=match):
        _, found = read_table(tmp_path / "a.csv")
    assert list(found) == ["y"]
    _, found = read_table(tmp_path / "a.csv", drop_columns=("weekday", "end"))
    assert list(found) == ["y"]
    with pytest.raises(UserError, match="row 1 of column 'weekday' is 'Sunday', expected a number"):
        read_table(tmp_path / "a.csv", columns=["weekday"])
    with pytest.raises(UserError, match="no column 'sun': its columns are date, y"):
        read_table(tmp_path / "a.csv", drop_columns=("sun",))


def test_a_table_of_text_alone_says_so(tmp_path):
    frame = pd.DataFrame({"date": DAYS, "weekday": DAYS.day_name()})
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match=r"no channels, expected .*: 'weekday' \(text, such as"):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("row", ["2023-01-01 00:00,10.013", "01.01.2023;10,013;5", "3,4", "3,"])
def test_a_file_without_header_is_refused(tmp_path, row):
    with pytest.raises(UserError, match="numbers in its first row: expected a header"):
        read_table(csv(tmp_path, f"{row}\n{row}\n"))


@pytest.mark.parametrize("header", ["T", "T1,T2", "E,Z", "2020 total,x"])
def test_short_names_are_a_header(tmp_path, header):
    row = ",".join("5" for _ in header.split(","))
    assert list(read_table(csv(tmp_path, f"{header}\n{row}\n3{row[1:]}\n"))[1]) == header.split(",")


def test_blank_rows_and_columns_at_the_end(tmp_path):
    rows = [f"{t:%d/%m/%Y};{plain(i, 1)};{10 * i};" for i, t in enumerate(DAYS)]
    text = "\n".join(["Date;CO(GT);NOx(GT);", *rows, *[";;;"] * 20])
    times, frame = read_table(csv(tmp_path, text + "\n"))
    assert len(times) == 400 and list(frame) == ["CO(GT)", "NOx(GT)"]
    assert frame["NOx(GT)"].tolist() == [10.0 * i for i in range(400)]
    without = "\n".join(["Date;CO(GT);NOx(GT)", *rows])  # separators behind the rows alone
    pd.testing.assert_frame_equal(read_table(csv(tmp_path, without))[1], frame)


def test_types_of_parquet(tmp_path):
    values = np.arange(400) / 4
    frame = pd.DataFrame(
        {
            "d": [day.date() for day in DAYS],
            "decimal": [decimal.Decimal(f"{v:.2f}") for v in values],
            "category": pd.Categorical(values.astype(int)),
            "nullable": pd.array(np.where(values > 50, None, values), dtype="Float64"),
            "flag": values > 30,
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    times, found = read_table(tmp_path / "a.parquet")
    assert times.to_list() == DAYS.to_list()
    np.testing.assert_array_equal(found["decimal"], values)
    np.testing.assert_array_equal(found["category"], values.astype(int))
    np.testing.assert_array_equal(found["nullable"], np.where(values > 50, np.nan, values))
    np.testing.assert_array_equal(found["flag"], values > 30)
