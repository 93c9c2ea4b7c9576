"""Callables of batches against the vectors and forecasts of each row alone."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tsrep.made_series import made_series
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training
from tsrep import encode, load_encoder
from tsrep.batches import Embedder, Forecast
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets.series import Scaler
from tsrep.encoders import DilatedConv
from tsrep.encoders.files import save_encoder, save_pretrained
from tsrep.forecast import forecast
from tsrep.forecasting.files import FORECASTER_FILE, load_forecaster, save_forecaster
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import inputs_of
from tsrep.forecasting.training import LearningConfig, Settings
from tsrep.sharded import embed_shards

RNG = np.random.default_rng(0)
SHORT_AND_LONG = [RNG.normal(5, 3, n) for n in (40, 64, 57)]


def alone(x):
    """The vector of one series, standardised by itself."""
    x = ((x - x.mean()) / x.std()).astype(np.float32)
    return encode(load_encoder("series-small"), x[None, :, None], pool=True)[0]


def in_spark(function):
    """The wrapper that the page shows for mapInPandas."""

    def frames(batches):
        for batch in batches:
            yield function(pa.Table.from_pandas(batch)).to_pandas()

    return frames


def as_table(rows):
    return pa.table({"id": range(len(rows)), "values": rows})


def as_dict(rows):
    column = np.empty(len(rows), object)
    column[:] = rows
    return {"id": np.arange(len(rows)), "values": column}


@pytest.mark.parametrize("make", [as_table, as_dict])
def test_a_vector_for_each_row(make):
    embed = pickle.loads(pickle.dumps(Embedder("series-small", own_scale=True)))
    found = embed(make(SHORT_AND_LONG))
    assert list(found["id"]) == [0, 1, 2] or found["id"].to_pylist() == [0, 1, 2]
    vectors = found["vector"].to_pylist() if make is as_table else found["vector"]
    expected = np.stack([alone(x) for x in SHORT_AND_LONG])
    np.testing.assert_allclose(np.array(vectors), expected, atol=1e-4)


def test_frames_of_spark():
    frames = [as_table(SHORT_AND_LONG[:1]).to_pandas(), as_table(SHORT_AND_LONG[1:]).to_pandas()]
    found = [*in_spark(Embedder("series-small", own_scale=True))(iter(frames))]
    assert [len(frame) for frame in found] == [1, 2]
    expected = np.stack([alone(x) for x in SHORT_AND_LONG])
    np.testing.assert_allclose(np.stack(pd.concat(found)["vector"]), expected, atol=1e-4)


def test_a_batch_without_rows_has_the_columns_of_others():
    embed, table = Embedder("series-small", own_scale=True), as_table(SHORT_AND_LONG)
    assert embed(table.slice(0, 0)).schema == embed(table).schema


def test_the_scale_of_the_training_and_weights_that_change(tmp_path):
    embed = Embedder(tmp_path)
    values = RNG.normal(size=(3, 30, 2))
    for hidden in (4, 5):
        encoder = DilatedConv(2, 6, hidden, 2)
        scaler = Scaler(np.array([1.0, -2.0]), np.array([2.0, 0.5]))
        save_encoder(tmp_path / "encoder.safetensors", encoder, scaler, ("a", "b"))
        scaled = ((values - [1, -2]) / [2, 0.5]).astype(np.float32)
        expected = encode(encoder, scaled, pool=True)
        np.testing.assert_allclose(embed({"values": values})["vector"], expected, atol=1e-5)
    table = pa.table({"values": values.tolist()})
    assert embed(table.slice(0, 0)).schema == embed(table).schema
    with pytest.raises(UserError, match="found 3 channels, the encoder was trained on 2"):
        embed({"values": RNG.normal(size=(1, 30, 3))})


def test_the_encoder_may_be_a_folder_in_the_form_of_a_hub(tmp_path):
    save_pretrained(load_encoder("series-small"), tmp_path / "hub")
    table = as_table(SHORT_AND_LONG)
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    embedder = Embedder(tmp_path / "hub", own_scale=True)
    assert embed_shards(embedder, tmp_path / "in", tmp_path / "out", processes=1) == 3
    expected = Embedder("series-small", own_scale=True)(table)
    assert pq.read_table(tmp_path / "out" / "a.parquet").equals(expected)


def test_the_pickle_holds_no_weights():
    embed = Embedder("series-small", own_scale=True)
    embed(as_table(SHORT_AND_LONG))
    assert len(pickle.dumps(embed)) < 500


@pytest.mark.parametrize(
    ("embed", "rows", "words"),
    [
        (Embedder("series-small"), SHORT_AND_LONG, "own_scale=True"),
        (Embedder("no-such"), SHORT_AND_LONG, "no-such: no such encoder"),
        (Embedder("series-small", "x"), SHORT_AND_LONG, "no column 'x'"),
        (Embedder("series-small", own_scale=True), [[1.0], [np.nan]], "row 1 .*without a number"),
    ],
)
def test_what_cannot_be_embedded(embed, rows, words):
    with pytest.raises(UserError, match=words):
        embed(as_table(rows))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = Settings(
        ForecasterConfig(look_back=24, dim=8, heads=2, patch=8),
        ContrastConfig("none"),
        LearningConfig(snapshots=1),
        Training(epochs=1, max_steps=1, batch_size=16, device="cpu"),
    )
    model = fit_forecaster(inputs_of(made_series(rows=300)), settings, 0, None, (4, 8))
    save_forecaster(folder / FORECASTER_FILE, model)
    return folder


def test_a_forecast_for_each_row(run):
    rows = [
        (pd.date_range("2024-03-01", periods=n, freq="h").to_numpy(), RNG.normal(size=n))
        for n in (260, 300)
    ]
    batch = pa.table({"time": [t for t, _ in rows], "a": [y for _, y in rows]})
    ahead = pickle.loads(pickle.dumps(Forecast(run, horizon=3, quantiles=(0.2,))))(batch)
    for i, (times, y) in enumerate(rows):
        frame = pd.DataFrame({"a": y}, index=pd.DatetimeIndex(times))
        expected = forecast(load_forecaster(run), frame, 3, (0.2,))
        found = {name: ahead[f"forecast_{name}"][i].as_py() for name in ("time", "a", "a_q0.2")}
        assert [pd.Timestamp(t) for t in found["time"]] == list(expected.index)
        np.testing.assert_allclose(found["a"], expected["a"])
        np.testing.assert_allclose(found["a_q0.2"], expected["a_q0.2"])


def test_what_cannot_be_forecast(run):
    times = pd.date_range("2024-03-01", periods=260, freq="h").to_numpy()
    with pytest.raises(UserError, match="row 0: lists of 250 to 260 steps"):
        Forecast(run)(pa.table({"time": [times], "a": [RNG.normal(size=250)]}))
    with pytest.raises(UserError, match="row 0: history has 5 steps"):
        Forecast(run)(pa.table({"time": [times[:5]], "a": [RNG.normal(size=5)]}))
