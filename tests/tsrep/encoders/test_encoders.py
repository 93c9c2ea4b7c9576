"""Encoders: equal to loops, causal to the step, exact in their reach, the same on disk."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import tsrep.encoders
from tests.tsrep.encoders import encoder_oracle as oracle
from tests.tsrep.encoders.made_encoders import series
from tspcrep.common.errors import UserError
from tspcrep.common.weights import save_encoder as save_weights
from tsrep.encoders import Centred, DilatedConv, Encoder
from tsrep.encoders.dilated_conv import _Trend
from tsrep.encoders.files import load_encoder, save_encoder

TREND = (1, 2, 4)


def encoder_of(channels=2, dim=5, hidden=4, depth=2, seed=0, dtype=torch.float32, **options):
    torch.manual_seed(seed)
    return DilatedConv(channels, dim, hidden, depth, **options).to(dtype).eval()


# --- DilatedConv --------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    depth=st.integers(0, 3),
    kernel=st.sampled_from([1, 2, 3, 5]),
    causal=st.booleans(),
    trend=st.sampled_from([(), (1,), (2, 3), (1, 2, 4, 8)]),
    steps=st.integers(1, 24),
    missing=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 100),
)
def test_equals_loops(channels, widths, depth, kernel, causal, trend, steps, missing, seed):
    kernel += kernel % 2 == 0 and not causal
    encoder = encoder_of(
        channels,
        *widths,
        depth,
        seed,
        torch.float64,
        kernel_size=kernel,
        causal=causal,
        trend_kernels=trend,
    )
    x = series(2, steps, channels, seed=seed, dtype=torch.float64, missing=missing)
    with torch.no_grad():
        found, last = encoder(x), encoder.last(x)
    expected = np.stack([oracle.dilated_conv(encoder, one) for one in x.numpy()])
    np.testing.assert_allclose(found, expected, atol=1e-11)
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-11)


def test_parameters_are_those_of_the_reference():
    """CoST's network at the sizes of the paper, by the reference's own layer list."""
    count = sum(p.numel() for p in DilatedConv(8, depth=10).parameters())
    linear = 8 * 64 + 64
    inner = 10 * 2 * (3 * 64 * 64 + 64)
    last = (3 * 64 * 320 + 320) + (3 * 320 * 320 + 320) + (64 * 320 + 320)
    assert count == linear + inner + last


def test_the_same_seed_gives_the_same_encoder():
    first, second, other = (encoder_of(seed=s, trend_kernels=TREND) for s in (0, 0, 1))
    x = series(1, 20, 2)
    assert torch.equal(first(x), second(x)) and not torch.allclose(first(x), other(x))


def influence(encoder, steps, at):
    """Output steps that change when input step ``at`` does, in float64."""
    x = series(1, steps, encoder.in_channels, dtype=torch.float64)
    moved = x.clone()
    moved[:, at] += 1
    with torch.no_grad():
        difference = (encoder(moved) - encoder(x)).abs().amax((0, 2))
    return difference


@pytest.mark.parametrize("trend", [(), (3,), TREND])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_receptive_field_is_exact(depth, kernel, trend):
    encoder = encoder_of(depth=depth, dtype=torch.float64, kernel_size=kernel, trend_kernels=trend)
    field = encoder.receptive_field
    steps = 2 * field + 20
    changed = influence(encoder, steps, at=10)
    first, last = 10, 10 + field - 1
    noise = 1e-13 if trend else 0.0  # spectra spread rounding errors over all steps
    assert changed[:first].max() <= noise  # the past does not know the future
    assert changed[last + 1 :].max() <= noise
    assert changed[first] > 1e-4 and changed[last] > max(1e-12, 100 * noise)


@pytest.mark.parametrize("steps", [5, 40])
@pytest.mark.parametrize("trend", [(), TREND])
def test_nothing_leaks_from_the_future(steps, trend):
    """Without spectra not even a rounding error does."""
    encoder = encoder_of(trend_kernels=trend)
    x = series(2, steps, 2)
    future = x.clone()
    future[:, 3:] = 1e3

    def convolved(values):
        return encoder.convolve(encoder.embed(values))[:, :3]

    with torch.no_grad():
        assert torch.equal(convolved(future), convolved(x))
        before, after = encoder(x)[:, :3], encoder(future)[:, :3]
    direct = not trend or steps < 8
    assert torch.equal(before, after) if direct else torch.allclose(before, after, atol=1e-4)


def test_not_causal_is_centred():
    encoder = encoder_of(depth=2, causal=False, dtype=torch.float64)
    changed = influence(encoder, 61, at=30)
    reach = (encoder.receptive_field - 1) // 2
    assert changed[30 - reach] > 0 and changed[30 + reach] > 0
    assert changed[: 30 - reach].max() == changed[30 + reach + 1 :].max() == 0


def test_steps_shift_with_the_series_away_from_its_start():
    encoder = encoder_of(depth=2, dtype=torch.float64)
    x = series(1, 80, 2, dtype=torch.float64)
    with torch.no_grad():
        whole, later = encoder(x), encoder(x[:, 20:])
    inner = encoder.receptive_field - 1
    torch.testing.assert_close(later[:, inner:], whole[:, 20 + inner :])
    assert not torch.allclose(later[:, :inner], whole[:, 20 : 20 + inner])


def test_a_missing_step_hides_all_of_its_channels():
    encoder = encoder_of(channels=3)
    x = series(1, 30, 3)
    one, all_three = x.clone(), x.clone()
    one[:, 10, 1] = torch.nan
    all_three[:, 10] = torch.nan
    found = encoder(one)
    assert found.isfinite().all()
    assert torch.equal(found, encoder(all_three))
    assert not torch.equal(found, encoder(x))
    assert torch.equal(encoder.embed(one)[:, 10], torch.zeros(1, 4))


def test_gradients_are_finite_at_missing_steps():
    encoder = encoder_of(trend_kernels=TREND)
    encoder(series(2, 30, 2, missing=0.3)).sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in encoder.parameters())


@pytest.mark.parametrize("depth", [0, 2])
def test_memory_continues_a_series(depth):
    encoder = encoder_of(depth=depth, trend_kernels=TREND, dtype=torch.float64)
    x = series(2, 50, 2, dtype=torch.float64, missing=0.1)
    with torch.no_grad():
        whole, memory = encoder(x), {}
        pieces = [encoder(piece, memory) for piece in x.split([1, 2, 20, 4, 23], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-12, rtol=0)


def test_memory_does_not_keep_the_series_alive():
    """What a layer remembers of a long chunk is its last steps, not a view of all of them."""
    encoder, memory = encoder_of(trend_kernels=TREND), {}
    with torch.no_grad():
        encoder(series(1, 5000, 2), memory)
    kept = sum(tensor.untyped_storage().nbytes() for tensor in memory.values())
    needed = sum(tensor.numel() * tensor.element_size() for tensor in memory.values())
    assert kept <= 2 * needed


def test_an_encoder_that_is_not_causal_refuses_memory():
    with pytest.raises(ValueError, match="not causal"):
        encoder_of(causal=False)(series(1, 9, 2), {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_channels": 0}, "in_channels: found 0"),
        ({"in_channels": 1, "dim": 0}, "dim: found 0"),
        ({"in_channels": 1, "hidden": -1}, "hidden: found -1"),
        ({"in_channels": 1, "depth": -1}, "depth -1"),
        ({"in_channels": 1, "kernel_size": 0}, "kernel_size 0"),
        ({"in_channels": 1, "kernel_size": 2, "causal": False}, "odd kernel"),
        ({"in_channels": 1, "trend_kernels": (0, 2)}, "trend_kernels"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(UserError, match=words):
        DilatedConv(**options)


# --- Trend --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernels", [(1,), (3,), (1, 2, 4, 8), (5, 2), (1, 2, 4, 8, 16, 32, 64, 128)]
)
@pytest.mark.parametrize("steps", [1, 7, 8, 60])
def test_trend_is_the_mean_of_separate_convolutions(kernels, steps):
    torch.manual_seed(0)
    convs = [nn.Conv1d(3, 3, k, dtype=torch.float64) for k in kernels]
    trend = _Trend(3, kernels).double()
    with torch.no_grad():
        weight, bias = _Trend.merge(convs)
        trend.weight.copy_(weight)
        trend.bias.copy_(bias)
        y = series(2, steps, 3, dtype=torch.float64)
        separate = [
            conv(F.pad(y.transpose(1, 2), (conv.kernel_size[0] - 1, 0))).transpose(1, 2)
            for conv in convs
        ]
        expected = torch.stack(separate).mean(0)
        torch.testing.assert_close(trend(y), expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(trend.last(y), expected[:, -1], atol=1e-12, rtol=0)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 40), steps=st.integers(8, 90), seed=st.integers(0, 50))
def test_spectra_equal_taps(length, steps, seed):
    torch.manual_seed(seed)
    trend = _Trend(4, (length,))
    y = series(2, steps, 4, seed=seed)
    past = F.pad(y.double().transpose(1, 2), (length - 1, 0))
    with torch.no_grad():
        direct = F.conv1d(past, trend.weight.double(), trend.bias.double()).transpose(1, 2)
        torch.testing.assert_close(trend(y).double(), direct, atol=5e-6, rtol=0)


def test_spectra_have_the_gradients_of_taps():
    torch.manual_seed(0)
    trend = _Trend(3, (5,))
    y = series(2, 12, 3).requires_grad_()
    target = series(2, 12, 3, seed=1)
    inputs = (y, trend.weight, trend.bias)
    spectra = torch.autograd.grad((trend(y) * target).sum(), inputs)
    direct = F.conv1d(F.pad(y.transpose(1, 2), (4, 0)), trend.weight, trend.bias).transpose(1, 2)
    taps = torch.autograd.grad((direct * target).sum(), inputs)
    for found, expected in zip(spectra, taps, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_trend_in_half_precision():
    """Transforms run in float32 whatever autocast wants, and the gradient comes back."""
    encoder = encoder_of(trend_kernels=TREND)
    x = series(2, 30, 2)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x)
    half.float().sum().backward()
    torch.testing.assert_close(half.float(), encoder(x), atol=0.05, rtol=0.05)
    assert encoder.trend.weight.grad.isfinite().all()


# --- on disk ------------------------------------------------------------------------------------


def kinds():
    return {
        "ts2vec": encoder_of(causal=False),
        "cost": encoder_of(trend_kernels=TREND),
        "centred": Centred(encoder_of(), window=6).eval(),
    }


FRESH = """
import sys
import numpy as np
from tsrep.encoders import load_encoder
import torch
encoder = load_encoder(sys.argv[1])
assert not encoder.training
with torch.inference_mode():
    np.save(sys.argv[3], encoder(torch.from_numpy(np.load(sys.argv[2]))).numpy())
assert "tspcrep.common.training" not in sys.modules, "loading an encoder needs no trainer"
"""


def test_loads_in_a_fresh_process(tmp_path):
    encoder = Centred(encoder_of(trend_kernels=TREND), window=6).eval()
    x = series(2, 30, 2, missing=0.1)
    np.save(tmp_path / "x.npy", x.numpy())
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    files = [str(tmp_path), str(tmp_path / "x.npy"), str(tmp_path / "z.npy")]
    root = Path(tsrep.__file__).parents[1]
    subprocess.run([sys.executable, "-c", FRESH, *files], cwd=root, check=True)
    with torch.inference_mode():
        np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), encoder(x).numpy())


@pytest.mark.parametrize("name", ["ts2vec", "cost", "centred"])
def test_round_trip(tmp_path, name):
    encoder = kinds()[name]
    save_encoder(tmp_path / "e.safetensors", encoder)
    loaded = load_encoder(tmp_path / "e.safetensors")
    x = series(2, 30, 2)
    assert torch.equal(loaded(x), encoder(x))
    assert type(loaded) is type(encoder) and loaded.config == encoder.config
    for attribute in ("in_channels", "dim", "causal", "receptive_field"):
        assert getattr(loaded, attribute) == getattr(encoder, attribute)


@settings(max_examples=25, deadline=None)
@given(
    dim=st.integers(1, 6),
    depth=st.integers(0, 4),
    causal=st.booleans(),
    kernel=st.sampled_from([1, 3]),
    trend=st.lists(st.integers(1, 5), max_size=3),
)
def test_config_builds_the_encoder_again(dim, depth, causal, kernel, trend):
    first = DilatedConv(2, dim, 3, depth, kernel, causal, tuple(trend))
    second = DilatedConv(**first.config)
    assert second.config == first.config
    shapes = [{n: t.shape for n, t in e.state_dict().items()} for e in (first, second)]
    assert shapes[0] == shapes[1]


def test_save_refuses_what_load_could_not_build(tmp_path):
    class Special(DilatedConv):
        pass

    for encoder in (Identity(2), Special(2, 3, 4, 1), Centred(Special(2, 3, 4, 1))):
        with pytest.raises(TypeError, match=type(encoder.network).__name__):
            save_encoder(tmp_path / "e.safetensors", encoder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("pcrep.SparseUNet", {"encoder": {}}, "holds a 'pcrep.SparseUNet'"),
        ("tsrep.DilatedConv", {}, "header of another version"),
        ("tsrep.DilatedConv", {"encoder": {"in_channels": 2, "colour": 3}}, "header of another"),
        ("tsrep.DilatedConv", {"encoder": {"in_channels": 2, "dim": 7}}, "another model"),
    ],
)
def test_load_refuses(tmp_path, kind, config, words):
    path = tmp_path / "e.safetensors"
    save_weights(path, encoder_of(), kind, config)
    with pytest.raises(UserError, match=words) as caught:
        load_encoder(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


# --- Centred ------------------------------------------------------------------------------------


class Identity(Encoder):
    """Hands its input on: shows what an encoder is given."""

    receptive_field = 1

    def __init__(self, channels):
        super().__init__()
        self.in_channels = self.dim = channels

    def body(self, x, memory=None):
        return x


def parts(z, channels):
    """Inner output, level and value of a Centred output, undoing ``m - x``."""
    inner, offset, value = z.split([z.shape[-1] - 2 * channels, channels, channels], -1)
    return inner, offset + value, value


@settings(max_examples=40, deadline=None)
@given(
    window=st.integers(1, 12),
    steps=st.integers(1, 30),
    channels=st.integers(1, 3),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 50),
)
def test_centred_equals_a_loop(window, steps, channels, missing, offset, seed):
    x = offset + series(2, steps, channels, dtype=torch.float64, missing=missing, seed=seed)
    centred = Centred(Identity(channels), window)
    inner, level, value = parts(centred(x), channels)
    expected = torch.from_numpy(np.stack([oracle.trailing_mean(one, window) for one in x.numpy()]))
    torch.testing.assert_close(centred.level(x), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(inner, x - expected, atol=1e-8, rtol=0, equal_nan=True)
    known = ~x.isnan()
    torch.testing.assert_close(value[known], x[known])
    torch.testing.assert_close(level[known], expected[known], atol=1e-8, rtol=0)
    torch.testing.assert_close(centred.last(x), centred(x)[:, -1], equal_nan=True)


@pytest.mark.parametrize("shift", [-3.0, 100.0])
def test_the_level_passes_by_the_network(shift):
    encoder = Centred(encoder_of(dtype=torch.float64), window=5)
    x = series(2, 40, 2, dtype=torch.float64, missing=0.1)
    before, after = parts(encoder(x), 2), parts(encoder(x + shift), 2)
    torch.testing.assert_close(after[0], before[0])
    level_free = slice(None, -encoder.level_channels)
    torch.testing.assert_close(encoder(x + shift)[..., level_free], encoder(x)[..., level_free])
    known = ~x.isnan()
    torch.testing.assert_close(after[1][known], before[1][known] + shift)
    torch.testing.assert_close(after[2][known], before[2][known] + shift)


def test_centred_at_a_large_level_keeps_its_digits():
    """float32 data around 1e4: the sums run in float64, so the mean is as good as the data."""
    x = 1e4 + series(1, 3000, 1)
    level = Centred(Identity(1), 24).level(x)
    expected = oracle.trailing_mean(x[0].double().numpy(), 24)
    np.testing.assert_allclose(level[0].numpy(), expected, rtol=1e-7)


def test_centred_receptive_field_is_exact():
    encoder = Centred(encoder_of(depth=1, dtype=torch.float64), window=6)
    field = encoder.receptive_field
    changed = influence(encoder, 2 * field + 20, at=10)
    assert changed[:10].max() == 0 and changed[10 + field :].max() < 1e-9
    assert changed[10] > 1e-4 and changed[10 + field - 1] > 1e-6


def test_centred_continues_a_series():
    encoder = Centred(encoder_of(dtype=torch.float64), window=6)
    x = series(2, 50, 2, dtype=torch.float64, missing=0.1)
    with torch.no_grad():
        whole, memory = encoder(x), {}
        pieces = [encoder(piece, memory) for piece in x.split([1, 3, 20, 4, 22], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    assert encoder.dim == whole.shape[-1] == 5 + 2 * 2


def test_centred_is_finite_where_values_are_missing():
    encoder = Centred(encoder_of(), window=4)
    z = encoder(series(2, 30, 2, missing=0.7))
    assert z.isfinite().all()


def test_centred_window_out_of_range():
    with pytest.raises(UserError, match="window: found 0"):
        Centred(encoder_of(), 0)
