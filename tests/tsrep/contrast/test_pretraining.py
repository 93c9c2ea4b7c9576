"""From data to training windows, and encoders that remember their data."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tsrep
from tests.tsrep.made_series import made_series, panel_of, with_other_test_rows
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
from tsrep.contrast.pretraining import WindowConfig, train_encoder, training_windows
from tsrep.encoders import Centred, DilatedConv
from tsrep.encoders.config import EncoderConfig
from tsrep.encoders.encoding import encode, encode_in_chunks
from tsrep.encoders.files import load_encoder, save_encoder, untrained


@pytest.mark.parametrize("channels, expected", [("independent", 1), ("joint", 3)])
def test_build(channels, expected):
    encoder = EncoderConfig(dim=8, hidden=4, depth=2, channels=channels).build(made_series(3))
    assert isinstance(encoder, Centred) and encoder.window == 7 * 24
    assert encoder.in_channels == expected and encoder.network.dim == 8
    plain = EncoderConfig(level_window=0, channels=channels).build(panel_of(3))
    assert isinstance(plain, DilatedConv) and plain.network is plain
    assert EncoderConfig().build(panel_of()).window == 168  # a panel has no season


def test_bad_options():
    with pytest.raises(UserError, match="'both'"):
        EncoderConfig(channels="both")
    with pytest.raises(UserError, match="stride 0"):
        WindowConfig(stride=0)


def test_training_windows_are_what_the_network_sees_in_a_whole_series():
    series = made_series(2)
    encoder = EncoderConfig(dim=6, hidden=4, depth=1).build(series).eval()
    data = training_windows(series.train, encoder, WindowConfig(length=40, stride=7))
    batch = data.__getitems__(range(len(data))).values
    instance, first = data.locate(np.arange(len(data)))
    assert batch.shape[1:] == (40, 1) and set(instance) == {0, 1}
    assert first.max() + 40 <= series.split.train.stop
    for x, c, t in zip(batch, instance, first, strict=True):
        values = series.values[0, :, c].astype(np.float64)
        level = [values[max(0, s - 167) : s + 1].mean() for s in range(t, t + 40)]
        np.testing.assert_allclose(x[:, 0], values[t : t + 40] - level, atol=1e-5)


def test_training_windows_do_not_see_validation_or_test():
    series = made_series()
    encoder = EncoderConfig().build(series)
    windows = [
        training_windows(s.train, encoder, WindowConfig(64)).values
        for s in (series, with_other_test_rows(series))
    ]
    np.testing.assert_array_equal(*windows)


@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_windows_of_a_panel(channels):
    panel = panel_of()
    encoder = EncoderConfig(level_window=0, channels=channels).build(panel)
    data = training_windows(panel.train, encoder, WindowConfig(length=512))
    values = data.__getitems__(range(len(data))).values.numpy()
    if channels == "joint":
        np.testing.assert_array_equal(values, panel.train)
    else:
        np.testing.assert_array_equal(values[:20, :, 0], panel.train[..., 0])
        np.testing.assert_array_equal(values[20:, :, 0], panel.train[..., 1])


@pytest.mark.parametrize("level_window", [0, 24])
def test_train_encoder_is_the_running_mean_of_autotcl(tmp_path, level_window):
    series, settings = made_series(rows=400), AutoTCLConfig(temperature=0.5)
    training = Training(epochs=9, max_steps=3, batch_size=4, device="cpu")

    def drawn():
        torch.manual_seed(0)
        config = EncoderConfig(dim=6, hidden=4, depth=1, level_window=level_window)
        encoder = config.build(series)
        return encoder, training_windows(series.train, encoder, WindowConfig(48))

    encoder, windows = drawn()
    trained = train_encoder(encoder, windows, settings, training, 1, tmp_path)
    encoder, windows = drawn()
    method = AutoTCL(encoder.network, settings)
    fit(method, windows, training, 1, None)
    assert type(trained) is type(encoder) and trained.window == encoder.window
    for name, weight in method.averaged.module.state_dict().items():
        assert torch.equal(trained.network.state_dict()[name], weight)
    assert (tmp_path / "checkpoint.pt").exists()


def test_an_encoder_remembers_scale_and_columns_of_its_series(tmp_path):
    series = made_series(2)
    encoder = EncoderConfig(dim=6, hidden=4, depth=1).build(series)
    save_encoder(tmp_path / "e.safetensors", encoder, series.scaler, series.columns)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.columns == ("a", "b")
    np.testing.assert_array_equal(loaded.scaler.mean, series.scaler.mean)
    np.testing.assert_array_equal(loaded.scaler.std, series.scaler.std)
    save_encoder(tmp_path / "e.safetensors", encoder)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.columns == () and loaded.scaler is None


def test_untrained_is_drawn_anew_and_leaves_the_generator_alone():
    encoder = EncoderConfig(dim=6, hidden=4, depth=1).build(made_series())
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = untrained(encoder), untrained(encoder)
    assert torch.equal(torch.rand(1), expected)
    assert first.config == encoder.config
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
        if name.endswith("weight"):
            assert not torch.equal(weight, encoder.state_dict()[name])


@pytest.mark.parametrize("causal, window", [(True, None), (True, 9), (False, 9), (False, None)])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_equal_the_whole(causal, window, chunk):
    torch.manual_seed(0)
    encoder = DilatedConv(2, 5, 4, 2, causal=causal).eval()
    values = made_series(2, rows=60).values[0]
    values[10:12] = np.nan
    parts = list(encode_in_chunks(encoder, values, window=window, chunk=chunk))
    assert [t for rows, _ in parts for t in range(rows.start, rows.stop)] == list(range(60))
    expected = encode(encoder, values[None], window=window)[0]
    np.testing.assert_allclose(np.concatenate([z for _, z in parts]), expected, atol=1e-5)


def test_what_the_package_exports():
    code = "from tsrep import AutoTCL, AutoTCLConfig, Stream, encode, load, load_encoder"
    root = Path(tsrep.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
