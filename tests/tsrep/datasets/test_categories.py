"""Columns of text as columns of 0 and 1, against pandas, and what cannot be one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.categories import expanded, indicators, sources, with_levels
from tsrep.datasets.loading import load_any
from tsrep.datasets.tables import read_tables

PATH = Path("table.csv")


def table(tmp_path, levels=("none", "leaflet", "none", "", "radio")):
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=40, freq="D"),
            "promotion": np.resize(np.array(levels), 40),
            "sales": np.arange(40.0),
        }
    )
    frame.to_csv(tmp_path / "sales.csv", index=False)
    return tmp_path / "sales.csv"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["a", "b", "c=d", None, ""]), min_size=1, max_size=30))
def test_indicators_are_the_dummies_of_pandas(values):
    column = pd.Series(values, name="x", dtype=object)
    found = indicators(column, (), PATH)
    held = column.replace("", None)
    expected = pd.get_dummies(held, prefix="x", prefix_sep="=").astype(float)
    expected[held.isna()] = np.nan
    assert list(found) == list(expected.columns)
    for name, own in found.items():
        np.testing.assert_array_equal(own, expected[name])


def test_a_table_has_a_column_for_each_value_where_it_is_asked_for(tmp_path):
    path = table(tmp_path)
    names = ("promotion=leaflet", "promotion=none", "promotion=radio")
    found = read_tables(path, columns=("sales", "promotion"), categories=("promotion", "sales"))
    assert found.columns == ("sales", *names)
    np.testing.assert_array_equal(found.series[0].values[:5, 2], [1, 0, 1, np.nan, 0])
    assert set(read_tables(path, categories=("promotion",)).columns) == {"sales", *names}
    with pytest.warns(DataWarning, match="left out 'promotion'"):
        assert read_tables(path).columns == ("sales",)
    assert expanded(("promotion", "sales"), found.columns) == (*names, "sales")
    assert sources(("sales", "promotion=none"), ("promotion", "sales")) == ("promotion",)


def test_a_value_that_train_rows_are_without_is_left_out(tmp_path):
    path = table(tmp_path)
    frame = pd.read_csv(path)
    frame.loc[38, "promotion"] = "television"
    frame.to_csv(path, index=False)
    with pytest.warns(DataWarning, match="no or no other value: promotion=television"):
        found = load_any(path, categories=("promotion",))
    assert "promotion=television" not in found.columns and "promotion=radio" in found.columns


def test_texts_of_a_table_to_forecast_are_read_as_fitted():
    names = ["sales", "x=a", "x=b"]
    frame = pd.DataFrame({"sales": [1.0, 2, 3], "x": ["a", "c", None]})
    with pytest.warns(DataWarning, match="without x=c"):
        found = with_levels(frame, names)
    np.testing.assert_array_equal(found["x=a"], [1, 0, np.nan])
    np.testing.assert_array_equal(found["x=b"], [0, 0, np.nan])


def test_free_text_is_no_category():
    column = pd.Series([f"remark {k}" for k in range(60)], name="note")
    with pytest.raises(UserError, match=r"'note' holds 60 different texts.*expected at most 50"):
        indicators(column, (), PATH)
