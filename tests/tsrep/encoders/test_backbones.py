"""Backbones are built by one rule; Transformer, TCN and LSTM equal loops in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.tsrep.encoders.encoder_oracle import convolve, gelu, weights
from tests.tsrep.encoders.made_encoders import encoder_of, series
from tests.tsrep.made_series import made_series
from tspcrep.common.errors import UserError
from tsrep.encoders import LSTM, TCN, Centred, DilatedConv, Transformer
from tsrep.encoders.config import BACKBONES, EncoderConfig, build_backbone
from tsrep.forecasting.network import ForecasterConfig
from tsrep.sklearn.encoder import build_encoder


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("channels, expected", [("independent", 1), ("joint", 3)])
def test_the_configuration_builds_it(kind, channels, expected):
    config = EncoderConfig(kind, dim=16, channels=channels)
    encoder = config.build(made_series(3))
    assert isinstance(encoder, Centred) and type(encoder.encoder) is BACKBONES[kind]
    assert encoder.in_channels == expected and encoder.encoder.dim == 16
    assert encoder(torch.zeros(1, 30, expected)).shape == (1, 30, 16 + 2 * expected)
    deep = EncoderConfig(kind, dim=16, depth=3).network(5)
    assert deep.in_channels == 5 and deep.depth == 3


@pytest.mark.parametrize("reach", [1, 4, 5, 96, 252, 253, 336, 508, 509, 512])
@pytest.mark.parametrize("name", ["dilated", "tcn"])
def test_convolutions_are_the_fewest_that_look_back_so_far(name, reach):
    built = build_backbone(name, 1, 4, reach=reach, hidden=4)
    blocks = len(built.blocks)
    assert built.receptive_field - 1 == 4 * (2**blocks - 1) >= reach
    assert blocks == 1 or 4 * (2 ** (blocks - 1) - 1) < reach


def test_one_name_is_one_network_from_every_door():
    """Same reach and width, same network, whoever asks; sizes counted by hand."""
    by_tool = EncoderConfig("tcn", dim=64).network(1)
    by_sklearn = build_encoder("tcn", 1, 64, None, 508, causal=True, level_window=0, seed=0)
    by_forecaster = ForecasterConfig("tcn", look_back=508, dim=64).encoder(1)
    size = (1 * 64 + 64) + 7 * 2 * (3 * 64 * 64 + 64)
    for network in (by_tool, by_sklearn, by_forecaster):
        assert network.config == by_tool.config and network.receptive_field == 509
        assert sum(p.numel() for p in network.parameters()) == size
    deep = (
        ForecasterConfig("lstm", look_back=508).encoder(1),
        EncoderConfig("lstm", dim=64).network(1),
    )
    assert deep[0].config == deep[1].config


def test_an_unknown_network_is_named():
    for build in (EncoderConfig, lambda n: build_backbone(n, 1, 8, reach=9)):
        with pytest.raises(UserError, match="found 'rnn', expected one of dilated, transformer"):
            build("rnn")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "tcn", "causal": False}, "'tcn' looks back only"),
        ({"kind": "lstm", "causal": False}, "'lstm' looks back only"),
        ({"kind": "transformer", "trend_kernels": (1, 2)}, "no trend filters"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(UserError, match=words):
        EncoderConfig(**options)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Transformer(0), "in_channels 0"),
        (lambda: Transformer(1, dim=12, heads=4), "multiple of 2 heads"),
        (lambda: Transformer(1, depth=-1), "depth -1"),
        (lambda: Transformer(1, patch=4, stride=5, causal=False), "stride 5"),
        (lambda: Transformer(1, patch=0, causal=False), "patch 0"),
        (lambda: Transformer(1, patch=4, stride=2), "stride 2"),
        (lambda: Transformer(1, dropout=1.0), "dropout: found 1.0"),
        (lambda: TCN(1, kernel=0), "kernel 0"),
        (lambda: TCN(1, depth=-1), "depth -1"),
        (lambda: LSTM(1, depth=0), "depth 0"),
        (lambda: LSTM(0), "in_channels 0"),
    ],
)
def test_options_out_of_range(build, words):
    with pytest.raises(UserError, match=words):
        build()


@pytest.mark.parametrize(
    ("encoder", "published"),
    [
        (Transformer(7, 128, 5, 8), 655e3),
        (DilatedConv(7, 320, 64, depth=10), 637e3),  # what the paper calls a TCN
        (TCN(7, 102, 10), 637e3),
        (LSTM(7, 128, 5), 660e3),
    ],
    ids=["transformer", "dilated", "tcn", "lstm"],
)
def test_sizes_of_the_paper(encoder, published):
    count = sum(p.numel() for p in encoder.parameters())
    assert abs(count / published - 1) < 0.02


# --- Transformer --------------------------------------------------------------------------------


def norm(x, weight, bias):
    mean, variance = x.mean(), x.var()
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def turned(x, position):
    """Pairs of neighbours turned by ``position`` radians, at falling speeds, as 2 x 2 matrices."""
    y = np.zeros_like(x)
    for i in range(0, len(x), 2):
        angle = position * 10000.0 ** (-i / len(x))
        cos, sin = np.cos(angle), np.sin(angle)
        y[i : i + 2] = np.array([[cos, -sin], [sin, cos]]) @ x[i : i + 2]
    return y


def transformer(encoder, x):
    """The output (T, D) of a Transformer on one series x (T, C), by loops over tokens."""
    known = np.flatnonzero(~np.isnan(x).any(1))
    if not encoder.causal and (padding := len(x) - 1 - max(known, default=0)):
        alone = transformer(encoder, x[: len(x) - padding])  # and then its last vector
        return np.pad(alone, ((0, padding), (0, 0)), mode="edge")
    w, steps = weights(encoder), len(x)
    seen = np.zeros((steps, x.shape[1] + 1))
    for t in range(steps):
        if not np.isnan(x[t]).any():
            seen[t] = [*x[t], 1.0]
    count = -(-steps // encoder.stride)
    ends = [steps - 1 - (count - 1 - n) * encoder.stride for n in range(count)]
    y, known = np.zeros((count, encoder.dim)), np.zeros(count, bool)
    taps = w["input.weight"].reshape(encoder.dim, x.shape[1] + 1, encoder.patch)
    for n, end in enumerate(ends):
        for tap in range(encoder.patch):
            t = end - encoder.patch + 1 + tap
            if t >= 0:
                y[n] += taps[:, :, tap] @ seen[t]
                known[n] |= seen[t, -1] > 0
    heads, width = encoder.heads, encoder.dim // encoder.heads
    for i in range(encoder.depth):
        p = {k.removeprefix(f"layers.{i}."): v for k, v in w.items() if f"layers.{i}." in k}
        q, k, v = np.zeros((3, count, heads, width))
        for n in range(count):
            normed = norm(y[n], p["norm1.weight"], p["norm1.bias"])
            parts = (p["qkv.weight"] @ normed + p["qkv.bias"]).reshape(3, heads, width)
            for h in range(heads):
                q[n, h], k[n, h] = turned(parts[0, h], n), turned(parts[1, h], n)
                v[n, h] = parts[2, h]
        attended = np.zeros((count, heads, width))
        for n in range(count):
            others = [m for m in range(n + 1 if encoder.causal else count) if known[m] or m == n]
            for h in range(heads):
                scores = np.array([q[n, h] @ k[m, h] / np.sqrt(width) for m in others])
                shares = np.exp(scores - scores.max())
                for m, share in zip(others, shares / shares.sum(), strict=True):
                    attended[n, h] += share * v[m, h]
        for n in range(count):
            y[n] += p["out.weight"] @ attended[n].ravel() + p["out.bias"]
            inner = p["up.weight"] @ norm(y[n], p["norm2.weight"], p["norm2.bias"]) + p["up.bias"]
            y[n] += p["down.weight"] @ gelu(inner) + p["down.bias"]
    y = np.stack([norm(row, w["norm.weight"], w["norm.bias"]) for row in y])
    return np.stack([y[next(n for n in range(count) if ends[n] >= t)] for t in range(steps)])


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 3),
    depth=st.integers(0, 2),
    patch=st.sampled_from([(1, None), (3, None), (4, 2), (3, 1)]),
    causal=st.booleans(),
    steps=st.integers(1, 14),
    missing=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 100),
)
def test_transformer_equals_loops(channels, depth, patch, causal, steps, missing, seed):
    length, stride = patch
    torch.manual_seed(seed)
    stride = 1 if causal else stride
    encoder = Transformer(channels, 8, depth, 2, length, stride, causal=causal).double().eval()
    for p in encoder.parameters():  # norms and biases too
        nn.init.normal_(p, std=0.5)
    x = series(2, steps, channels, seed=seed, dtype=torch.float64, missing=missing)
    with torch.no_grad():
        found = encoder(x)
    expected = np.stack([transformer(encoder, one) for one in x.numpy()])
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_transformer_layer_equals_torch():
    """Without positions it is torch's own pre-norm layer."""
    torch.manual_seed(0)
    encoder = Transformer(2, 8, 2, 2, causal=False, positions=False).double().eval()
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    norms = nn.LayerNorm(8, dtype=torch.float64)
    reference = nn.TransformerEncoder(layer, 2, norms, enable_nested_tensor=False).eval()
    own = encoder.state_dict()
    names = {"in_proj_": "qkv.", "out_proj": "out", "linear1": "up", "linear2": "down"}
    state = {}
    for name, value in reference.state_dict().items():
        source = name.replace("self_attn.", "")
        for theirs, ours in names.items():
            source = source.replace(theirs, ours)
        assert own[source].shape == value.shape
        state[name] = own[source]
    reference.load_state_dict(state)
    x = series(2, 15, 2, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), reference(encoder.input(encoder.embed(x))))


def test_without_positions_a_transformer_reads_a_set():
    torch.manual_seed(0)
    encoder = Transformer(3, 8, 2, 2, causal=False, positions=False).double().eval()
    x = series(2, 24, 3, dtype=torch.float64)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x[:, order]), encoder(x)[:, order])


def test_a_transformer_over_one_layer_sees_distances_not_positions():
    """Rotary positions: with the past cut off, the same steps have the same vectors."""
    torch.manual_seed(0)
    encoder = Transformer(2, 8, 1, 2).double().eval()
    x = series(1, 30, 2, dtype=torch.float64)
    hidden = torch.cat([torch.full((1, 11, 2), torch.nan), x], 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(hidden)[:, 11:], encoder(x))


@pytest.mark.parametrize("name", ["transformer, both sides", "transformer, patches"])
def test_missing_steps_behind_the_end_change_nothing(name):
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(2, 24, 3, dtype=torch.float64)
    longer = torch.cat([x, torch.full((2, 12, 3), torch.nan)], 1)  # 12: whole patches
    with torch.no_grad():
        torch.testing.assert_close(encoder(longer)[:, :24], encoder(x))


@pytest.mark.parametrize("steps", [3, 23, 24])
@pytest.mark.parametrize("name", ["transformer, patches", "transformer, overlapping"])
def test_patches_are_the_vectors_of_their_last_steps(name, steps):
    encoder = encoder_of(name)
    x = series(2, steps, 3)
    with torch.no_grad():
        z, patches = encoder(x), encoder.every(x, encoder.stride)
    assert torch.equal(patches, z[:, (steps - 1) % encoder.stride :: encoder.stride])


def test_dropout_only_in_training():
    encoder = Transformer(2, 8, 1, 2, dropout=0.5)
    x = series(2, 12, 2)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


# --- TCN and LSTM -------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.integers(1, 4), depth=st.integers(0, 3), steps=st.integers(1, 20), seed=st.integers()
)
def test_tcn_equals_loops(kernel, depth, steps, seed):
    torch.manual_seed(seed % 1000)
    encoder = TCN(2, 3, depth, kernel).double().eval()
    x = series(1, steps, 2, seed=seed % 1000, dtype=torch.float64, missing=0.1)
    w, one = weights(encoder), x[0].numpy()
    y = np.nan_to_num(one) @ w["input.weight"].T + w["input.bias"]
    y[np.isnan(one).any(-1)] = 0
    for i in range(depth):
        inner = y
        for j in range(2):
            taps = (w[f"blocks.{i}.convs.{j}.weight"], w[f"blocks.{i}.convs.{j}.bias"])
            inner = np.maximum(convolve(inner, *taps, 2**i, causal=True), 0)
        y = np.maximum(y + inner, 0)
    np.testing.assert_allclose(encoder(x)[0].detach(), y, atol=1e-11)


@settings(max_examples=10, deadline=None)
@given(depth=st.integers(1, 3), steps=st.integers(1, 12), seed=st.integers(0, 100))
def test_lstm_equals_loops(depth, steps, seed):
    """Gates in the order of torch's documentation: input, forget, cell, output."""
    torch.manual_seed(seed)
    encoder = LSTM(2, 3, depth).double().eval()
    x = series(1, steps, 2, seed=seed, dtype=torch.float64, missing=0.1)
    w, one = weights(encoder), x[0].numpy()
    y = np.nan_to_num(one) @ w["input.weight"].T + w["input.bias"]
    y[np.isnan(one).any(-1)] = 0
    for i in range(depth):
        h, c, outputs = np.zeros(3), np.zeros(3), []
        for step in y:
            gates = w[f"lstm.weight_ih_l{i}"] @ step + w[f"lstm.bias_ih_l{i}"]
            gates = (gates + w[f"lstm.weight_hh_l{i}"] @ h + w[f"lstm.bias_hh_l{i}"]).reshape(4, 3)
            enter, keep, out = 1 / (1 + np.exp(-gates[[0, 1, 3]]))
            c = keep * c + enter * np.tanh(gates[2])
            h = out * np.tanh(c)
            outputs.append(h)
        y = np.stack(outputs)
    np.testing.assert_allclose(encoder(x)[0].detach(), y, atol=1e-11)


def reach(encoder, steps):
    """Lags of the input with a gradient from the last output in any of a batch, by autograd."""
    x = series(64, steps, encoder.in_channels, dtype=torch.float64).requires_grad_()
    weight = series(encoder.dim, seed=1, dtype=torch.float64)
    (encoder(x)[:, -1] @ weight).sum().backward()
    return (x.grad.abs().amax((0, 2)).flip(0) > 0).nonzero()[:, 0]


@pytest.mark.parametrize("kernel, depth", [(1, 2), (2, 3), (3, 1), (3, 3)])
def test_receptive_field_of_a_tcn_is_exact(kernel, depth):
    torch.manual_seed(0)
    encoder = TCN(2, 16, depth, kernel).double().eval()
    lags = reach(encoder, encoder.receptive_field + 10)
    assert lags.max() == encoder.receptive_field - 1


@pytest.mark.parametrize("encoder", [LSTM(2, 8, 2), Transformer(2, 8, 1, 2)], ids=["lstm", "trf"])
def test_an_infinite_receptive_field_sees_the_first_step(encoder):
    assert encoder.receptive_field == float("inf")
    assert reach(encoder.double().eval(), 50).tolist() == list(range(50))
