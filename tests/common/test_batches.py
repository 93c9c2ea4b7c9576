"""Columns of batches in every form that engines hand on, against plain lists."""

import numpy as np
import pyarrow as pa
import pytest

from tspcrep.common.batches import cells, with_columns
from tspcrep.common.errors import UserError

ROWS = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0], [0.5, 0.0, 1.0]]]
TENSORS = pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(ROWS))


@pytest.mark.parametrize(
    "batch",
    [
        {"x": np.array(ROWS)},
        pa.table({"x": ROWS}),
        pa.table({"x": pa.chunked_array([[ROWS[0]], [ROWS[1]]])}),
        pa.table({"x": pa.array(ROWS, pa.list_(pa.list_(pa.float32(), 3), 2))}),
        pa.table({"x": TENSORS}),
        pa.table({"x": pa.chunked_array([TENSORS.slice(0, 1), TENSORS.slice(1)])}),
        pa.table({"y": [0], "x": [ROWS[0]]}).slice(0, 0),
    ],
)
def test_rows_of_a_column(batch):
    found = cells(batch, "x")
    assert [row.tolist() for row in found] == ROWS[: len(batch["x"])]


def test_lists_of_unequal_length_and_missing_values():
    found = cells(pa.table({"x": [[1.0, None], [3.0]]}), "x")
    np.testing.assert_array_equal(found[0], [1, np.nan])
    np.testing.assert_array_equal(found[1], [3])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([[1.0], None], "row 1 of column 'x': found None"),
        ([1.0, 2.0], "row 0 of column 'x': found 1.0, expected a list"),
        ([[[1.0], [1.0, 2.0]]], "row 0 of column 'x': lists of unequal length"),
    ],
)
def test_what_is_no_column_of_lists(column, words):
    with pytest.raises(UserError, match=words):
        cells(pa.table({"x": column}), "x")
    with pytest.raises(UserError, match=r"no column 'y'.*it has x"):
        cells(pa.table({"x": column}), "y")


@pytest.mark.parametrize("make", [pa.table, dict])
def test_new_columns(make):
    batch = make({"id": np.arange(2)})
    new = {
        "v": np.eye(2, 3),
        "equal": [np.zeros(2), np.ones(2)],
        "ragged": [np.ones(1), np.ones(2)],
    }
    found = with_columns(batch, new)
    for name, values in new.items():
        assert [row.tolist() for row in cells(found, name)] == [row.tolist() for row in values]
    assert type(found) is type(batch)
    with pytest.raises(UserError, match="a column 'v' already"):
        with_columns(found, {"v": np.zeros(2)})
