"""tools/embed.py on long tables and labelled sets against vectors of each series alone."""

import numpy as np
import pandas as pd
import pytest

from tests.tools.running import is_one_line
from tsrep import encode, load_encoder

pytestmark = pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")


def embed(tool, data, output, *options):
    arguments = ["--encoder", "series-small", "--data", data, "--output", output, *options]
    return tool("embed", *arguments)


def test_each_series_of_a_long_table(tool, tmp_path):
    rng = np.random.default_rng(0)
    series = {name: rng.normal(5, 3, rows) for name, rows in (("a", 60), ("b", 40))}
    days = pd.date_range("2024-01-01", periods=60)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": days[: len(y)], "y": y})
        for name, y in series.items()
    ]
    pd.concat(parts).to_csv(tmp_path / "long.csv", index=False)
    status, _, stderr = embed(
        tool, tmp_path / "long.csv", tmp_path / "v.parquet", "--own-scale", "--pool"
    )
    assert status == 0, stderr
    found = pd.read_parquet(tmp_path / "v.parquet")
    assert found["id"].tolist() == ["a", "b"]
    assert found["time"].tolist() == [days[59], days[39]]
    encoder = load_encoder("series-small")
    for row, y in zip(found.iloc[:, 2:].to_numpy(float), series.values(), strict=True):
        x = ((y - y.mean()) / y.std()).astype(np.float32)[None, :, None]
        np.testing.assert_allclose(row, encode(encoder, x, pool=True)[0], atol=1e-4)


def test_instances_of_a_labelled_set(tool, tmp_path):
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(6, 50)), list("aabbcc")
    frame = pd.DataFrame(values, columns=[f"t{i}" for i in range(50)]).assign(kind=labels)
    frame.to_csv(tmp_path / "walks.csv", index=False)
    output = tmp_path / "v.parquet"
    options = ["--label", "kind", "--own-scale"]
    status, _, stderr = embed(tool, tmp_path / "walks.csv", output, *options)
    assert status == 0, stderr
    found = pd.read_parquet(output)
    assert found["label"].tolist() == labels and set(found["part"]) == {"all"}
    x = ((values - values.mean()) / values.std()).astype(np.float32)[..., None]
    expected = encode(load_encoder("series-small"), x, pool=True, apart=True)
    np.testing.assert_allclose(found.iloc[:, 2:].to_numpy(float), expected, atol=1e-4)
    status, _, stderr = embed(tool, tmp_path / "walks.csv", output, "--label", "kind")
    is_one_line(status, stderr, "knows no scale", "--own-scale")
