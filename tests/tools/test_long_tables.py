"""A long table through the tools: one encoder over its series, and its vectors and scores."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.tools.running import TINY, frame, is_one_line
from tsrep import load_encoder

pytestmark = pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """The two columns of the usual table as two series, the second 20 hours shorter."""
    path = tmp_path_factory.mktemp("long") / "long.csv"
    table = frame().melt("date", var_name="unique_id", value_name="y")
    late = (table["unique_id"] == "wind") & (table["date"] < "2024-01-01 20:00")
    table[~late].to_csv(path, index=False)
    return path


def test_one_encoder_over_all_series(tool, long, tmp_path):
    folder = tmp_path / "run"
    options = ["--data", long, "--output", folder, "--max-steps", 1, *TINY]
    status, _, stderr = tool("pretrain_autotcl", *options)
    assert status == 0, stderr
    assert load_encoder(folder).columns == ("load", "wind")
    result = json.loads((folder / "result.json").read_text())
    assert np.isfinite(result["average"]["mse"])

    status, _, stderr = tool(
        "embed", "--encoder", folder, "--data", long, "--output", tmp_path / "v.parquet", "--pool"
    )
    assert status == 0, stderr
    frame().to_csv(tmp_path / "wide.csv", index=False)
    wide = ["--encoder", folder, "--data", tmp_path / "wide.csv", "--pool", "--columns", "load"]
    status, _, stderr = tool("embed", *wide, "--output", tmp_path / "w.parquet")
    assert status == 0, stderr
    found, expected = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in "vw")
    assert found["id"].tolist() == ["load", "wind"]
    np.testing.assert_allclose(
        found.iloc[0, 2:].astype(float), expected.iloc[0, 1:].astype(float), atol=1e-5
    )

    again = ["--encoder", folder, "--data", long, "--horizons", 4, "--mode", "probe"]
    status, _, stderr = tool("evaluate", *again, "--output", tmp_path / "again")
    assert status == 0, stderr
    found = json.loads((tmp_path / "again" / "result.json").read_text())
    assert found["average"]["mse"] == pytest.approx(result["average"]["mse"], rel=1e-4)


def test_an_id_that_is_not_there(tool, long, tmp_path):
    options = ["--data", long, "--output", tmp_path / "run", "--id-column", "shop", *TINY]
    status, _, stderr = tool("pretrain_autotcl", *options)
    is_one_line(status, stderr, "no column 'shop'", "date, unique_id, y")
