"""encode: one pass, windows, chunks and a stream are one function; what is saved is counted."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tspcrep.common.errors import UserError
from tsrep.encoders import Centred, DilatedConv, Encoder, Transformer, encoding
from tsrep.encoders.encoding import Stream, encode

TREND = (1, 2, 4)


def encoder_of(name, channels=2, depth=1):
    torch.manual_seed(0)
    if name == "centred":
        return Centred(DilatedConv(channels, 5, 4, depth), window=6).eval()
    options = {"ts2vec": {"causal": False}, "causal": {}, "cost": {"trend_kernels": TREND}}
    return DilatedConv(channels, 5, 4, depth, **options[name]).eval()


CAUSAL = ["causal", "cost", "centred"]


def series(*shape, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    x[rng.random(shape) < missing] = np.nan
    return x


def forward(encoder, values):
    with torch.no_grad():
        return encoder(torch.from_numpy(values)).numpy()


class Contract(Encoder):
    """No more than a subclass must say."""

    def __init__(self, channels=2, causal=True):
        super().__init__()
        self.in_channels, self.dim, self.causal = channels, 4, causal
        self.conv = nn.Conv1d(channels, 4, 3)

    def body(self, x, memory=None):
        left = 2 if self.causal else 1
        return self.conv(F.pad(x.nan_to_num().transpose(1, 2), (left, 2 - left))).transpose(1, 2)


# --- whole series -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ts2vec", *CAUSAL])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_whole_series_are_one_forward_pass(name, batch_size):
    encoder, values = encoder_of(name), series(5, 30, 2, missing=0.1)
    found = encode(encoder, values, batch_size=batch_size)
    assert found.dtype == np.float32 and found.shape == (5, 30, encoder.dim)
    np.testing.assert_allclose(found, forward(encoder, values), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(CAUSAL),
    chunk=st.integers(1, 60),
    steps=st.integers(1, 60),
    seed=st.integers(0, 20),
)
def test_chunks_equal_the_whole(name, chunk, steps, seed):
    encoder, values = encoder_of(name), series(3, steps, 2, seed=seed, missing=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK", chunk)
        found = encode(encoder, values)
    np.testing.assert_allclose(found, forward(encoder, values), atol=2e-6)


def test_an_encoder_that_is_not_causal_sees_the_whole_in_spite_of_chunks(monkeypatch):
    encoder, values = encoder_of("ts2vec"), series(2, 50, 2)
    monkeypatch.setattr(encoding, "CHUNK", 8)
    np.testing.assert_allclose(encode(encoder, values), forward(encoder, values), atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_any_encoder_with_the_contract(causal):
    encoder, values = Contract(causal=causal), series(2, 20, 2)
    np.testing.assert_allclose(encode(encoder, values), forward(encoder, values), atol=1e-6)
    windowed = encode(encoder, values, window=5)
    for t in range(4, 20):
        expected = forward(encoder, values[:, t - 4 : t + 1])[:, -1]
        np.testing.assert_allclose(windowed[:, t], expected, atol=1e-6)


@pytest.mark.parametrize("was_training", [True, False])
def test_the_encoder_is_handed_back_as_it_was(was_training):
    encoder = Transformer(2, 8, 1, 2, dropout=0.9).train(was_training)
    values = series(2, 9, 2)
    expected = forward(copy.deepcopy(encoder).eval(), values)  # no dropout while encoding
    np.testing.assert_array_equal(encode(encoder, values), expected)
    assert encoder.training == was_training


def test_values_in_other_forms():
    encoder, values = encoder_of("causal"), series(2, 20, 2)
    expected = encode(encoder, values)
    frozen = values.copy()
    frozen.setflags(write=False)
    for other in (values.astype(np.float64), frozen, values.tolist(), np.asfortranarray(values)):
        np.testing.assert_allclose(encode(encoder, other), expected, atol=1e-6)


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ts2vec", *CAUSAL])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_windows_equal_encoding_each_again(name, batch_size):
    """Step by step, missing values before the first: what the papers' code does."""
    encoder, values, window = encoder_of(name), series(2, 25, 2, missing=0.1), 11
    found = encode(encoder, values, window=window, batch_size=batch_size)
    assert found.shape == (2, 25, encoder.dim)
    for t in range(25):
        seen = values[:, max(0, t - window + 1) : t + 1]
        before = np.full((2, window - seen.shape[1], 2), np.nan, np.float32)
        expected = forward(encoder, np.concatenate([before, seen], 1))[:, -1]
        np.testing.assert_allclose(found[:, t], expected, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("more", [0, 1, 9])
def test_one_pass_equals_windows_that_cover_the_receptive_field(name, more):
    """From step ``receptive_field - 1`` on. Before, they differ: the pass pads each layer with
    zeros, a window holds missing steps whose activations are the layers' biases."""
    encoder = encoder_of(name)
    field = encoder.receptive_field
    values = series(2, field + 20, 2)
    once, windowed = encode(encoder, values), encode(encoder, values, window=field + more)
    np.testing.assert_allclose(once[:, field - 1 :], windowed[:, field - 1 :], atol=1e-5)
    inner = slice(None, 5)  # the level beside it is a mean over what is there, in both
    for t in range(1, field // 2):
        assert np.abs(once[:, t, inner] - windowed[:, t, inner]).max() > 1e-5


@pytest.mark.parametrize("name", ["causal", "cost"])
def test_a_shorter_window_is_another_function(name):
    encoder = encoder_of(name)
    field = encoder.receptive_field
    values = 3 * series(2, field + 20, 2)
    once, windowed = encode(encoder, values), encode(encoder, values, window=field // 2)
    assert np.abs(once - windowed)[:, field:].max() > 1e-3


def multiply_adds(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


def test_windowed_encoding_saves_38_times_the_multiply_adds():
    """At the sizes of the reference, which convolves all 201 steps with each of eight filters."""
    kernels = tuple(2**i for i in range(8))
    encoder = DilatedConv(8, 320, 64, 10, causal=False, trend_kernels=kernels)
    convs = [nn.Conv1d(320, 320, k) for k in kernels]
    x = torch.zeros(1, 201, 8)

    def reference():
        y = encoder.convolve(encoder.embed(x)).transpose(1, 2)
        padded = [F.pad(y, (conv.kernel_size[0] - 1, 0)) for conv in convs]
        return torch.stack([c(p) for c, p in zip(convs, padded, strict=True)]).mean(0)[..., -1]

    theirs, ours = multiply_adds(reference), multiply_adds(lambda: encoder.last(x))
    blocks = 8 * 64 + 10 * 2 * 3 * 64**2 + 3 * 64 * 320 + 3 * 320**2 + 64 * 320
    assert theirs == 201 * (blocks + 255 * 320**2)
    assert ours == 201 * blocks + 128 * 320**2
    assert 37.5 < theirs / ours < 39.5


def test_the_reference_and_the_merged_filter_are_the_same_numbers():
    torch.manual_seed(0)
    kernels = (1, 2, 4, 8)
    encoder = DilatedConv(2, 6, 4, 2, causal=False, trend_kernels=kernels).double()
    convs = [nn.Conv1d(6, 6, k, dtype=torch.float64) for k in kernels]
    with torch.no_grad():
        for own, merged in zip(
            (encoder.trend.weight, encoder.trend.bias), encoder.trend.merge(convs), strict=True
        ):
            own.copy_(merged)
        x = torch.from_numpy(series(3, 21, 2).astype(np.float64))
        y = encoder.convolve(encoder.embed(x)).transpose(1, 2)
        separate = [conv(F.pad(y, (conv.kernel_size[0] - 1, 0))) for conv in convs]
        expected = torch.stack(separate).mean(0)[..., -1]
        torch.testing.assert_close(encoder.last(x), expected, atol=1e-12, rtol=0)


# --- one vector an instance ---------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 7])
def test_pooling_is_the_maximum_over_the_steps_that_are_there(window):
    encoder, values = encoder_of("ts2vec"), series(4, 20, 2)
    values[1, 12:] = np.nan  # a shorter instance
    values[2, 3:9] = np.nan  # a gap
    values[3, :, 0] = np.nan  # one channel alone is missing: its steps count
    steps = encode(encoder, values, window=window)
    found = encode(encoder, values, window=window, pool=True)
    assert found.shape == (4, 5)
    for row in range(4):
        there = [t for t in range(20) if not np.isnan(values[row, t]).all()]
        expected = [max(steps[row, t, d] for t in there) for d in range(5)]
        np.testing.assert_array_equal(found[row], expected)


def test_pooling_a_causal_encoder_ignores_how_long_the_padding_is():
    encoder, values = encoder_of("cost"), series(3, 20, 2)
    padded = np.concatenate([values, np.full((3, 30, 2), np.nan, np.float32)], 1)
    np.testing.assert_allclose(
        encode(encoder, padded, pool=True), encode(encoder, values, pool=True), atol=1e-5
    )


def test_pooling_an_instance_without_values_is_finite():
    values = series(2, 10, 2)
    values[1] = np.nan
    assert np.isfinite(encode(encoder_of("cost"), values, pool=True)).all()


# --- a stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAUSAL)
def test_a_stream_sample_by_sample_equals_encoding(name):
    encoder, values = encoder_of(name, depth=2), series(1, 60, 2, missing=0.1)
    stream = Stream(encoder)
    vectors = [stream.push(values[0, t : t + 1]) for t in range(60)]
    assert all(vector.shape == (1, encoder.dim) for vector in vectors)
    np.testing.assert_allclose(np.concatenate(vectors), encode(encoder, values)[0], atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(CAUSAL), cuts=st.lists(st.integers(0, 50), max_size=6))
def test_a_stream_in_pieces_of_any_size(name, cuts):
    encoder, values = encoder_of(name), series(1, 50, 2, seed=1, missing=0.1)
    stream = Stream(encoder)
    pieces = [p for p in np.split(values[0], sorted(cuts)) if len(p)]
    found = np.concatenate([stream.push(piece) for piece in pieces])
    np.testing.assert_allclose(found, encode(encoder, values)[0], atol=2e-6)


def test_a_stream_costs_the_same_at_each_sample():
    encoder, values = encoder_of("centred"), series(40, 2)
    stream = Stream(encoder)
    costs, sizes = [], []
    for t in range(40):
        costs.append(multiply_adds(lambda t=t: stream.push(values[t : t + 1])))
        sizes.append(sum(x.untyped_storage().nbytes() for x in stream.memory.values()))
    assert len(set(costs)) == len(set(sizes)) == 1 and costs[0] > 0


def test_two_streams_do_not_mix():
    encoder = encoder_of("cost")
    values = series(2, 20, 2)
    streams = Stream(encoder), Stream(encoder)
    found = np.stack(
        [
            np.stack([s.push(v[t : t + 1])[0] for s, v in zip(streams, values, strict=True)])
            for t in range(20)
        ],
        1,
    )
    np.testing.assert_allclose(found, encode(encoder, values), atol=2e-6)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 9, 3), (9, 2), (9,), (1, 2, 9, 2)])
def test_values_of_another_shape(shape):
    with pytest.raises(UserError, match=r"values: found shape .*2\), the channels of the encoder"):
        encode(encoder_of("causal"), np.zeros(shape, np.float32))


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_of_no_step(window):
    with pytest.raises(UserError, match=f"window: found {window}, expected at least 1 step"):
        encode(encoder_of("causal"), series(1, 9, 2), window=window)


def test_a_stream_needs_a_causal_encoder():
    with pytest.raises(UserError, match="not causal"):
        Stream(encoder_of("ts2vec"))


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 1, 2)])
def test_samples_of_another_shape(shape):
    with pytest.raises(UserError, match=r"samples: found shape .*expected \(steps, 2\)"):
        Stream(encoder_of("causal")).push(np.zeros(shape, np.float32))
