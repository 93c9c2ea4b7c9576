"""Every encoder keeps the whole contract of tsrep.encoders.Encoder."""

import copy

import numpy as np
import pytest
import torch

from tests.tsrep.encoders.made_encoders import BOTH_SIDES, CAUSAL, ENCODERS, encoder_of, series
from tests.tsrep.made_series import made_series
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tsrep.contrast.autotcl import AutoTCL
from tsrep.contrast.pretraining import WindowConfig, training_windows
from tsrep.encoders import Encoder
from tsrep.encoders.config import BACKBONES
from tsrep.encoders.encoding import Stream, encode, encode_in_chunks
from tsrep.encoders.files import load_encoder, save_encoder, untrained


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_and_attributes(name):
    encoder = encoder_of(name)
    x = series(2, 29, 3, missing=0.1)
    with torch.no_grad():
        z, again = encoder(x), encoder(x)
        assert torch.equal(z, encoder.body(encoder.embed(x)))
        torch.testing.assert_close(encoder.last(x), z[:, -1], atol=1e-6, rtol=0)
    assert isinstance(encoder, Encoder)
    assert z.shape == (2, 29, encoder.dim) and z.dtype == torch.float32 and z.isfinite().all()
    assert torch.equal(z, again), "an encoder at evaluation draws nothing"
    assert encoder.in_channels == 3 and encoder.causal == (name in CAUSAL)
    assert encoder.window == (7 if "centred" in name else None)
    for stride in (1, 4, encoder.stride):
        with torch.no_grad():
            torch.testing.assert_close(encoder.every(x, stride), z[:, (29 - 1) % stride :: stride])


@pytest.mark.parametrize("name", ENCODERS)
def test_steps_of_a_stride_share_a_vector(name):
    encoder = encoder_of(name)
    z = encoder(series(2, 29, 3)).detach()
    for t in range(28):
        same = torch.equal(z[:, t], z[:, t + 1])
        assert same == ((28 - t) % encoder.stride != 0), t


@pytest.mark.parametrize("name", ENCODERS)
def test_the_level_is_in_the_last_channels_alone(name):
    encoder, network = encoder_of(name, dtype=torch.float64), encoder_of(name).network
    x = series(2, 29, 3, dtype=torch.float64)
    with torch.no_grad():
        moved = (encoder(x + 5) - encoder(x)).abs().amax((0, 1)) > 1e-9
    level = encoder.level_channels
    if level:
        assert moved.tolist() == [False] * (encoder.dim - level) + [True] * level
    assert network.level_channels == 0 and network.network is network
    assert type(encoder.rewrap(network)) is type(encoder)
    seen = encoder.network_input(x)
    with torch.no_grad():
        z = encoder.network(seen)
    torch.testing.assert_close(z, encoder(x)[..., : z.shape[-1]].detach())


@pytest.mark.parametrize("name", CAUSAL)
def test_a_vector_depends_on_its_receptive_field(name):
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(16, 80, 3, dtype=torch.float64).requires_grad_()
    (encoder(x)[:, -1] @ series(encoder.dim, dtype=torch.float64)).sum().backward()
    lags = (x.grad.abs().amax((0, 2)).flip(0) > 1e-18).nonzero()[:, 0]
    reach = min(encoder.receptive_field, 80)
    noise = "trend" in name  # spectra spread rounding errors over all steps
    assert lags.max() == reach - 1 or (noise and lags.max() >= reach - 1)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_stream_remembers_as_much_as_it_says(name):
    encoder, sizes = encoder_of(name), []
    memory = {}
    with torch.no_grad():
        for piece in series(1, 90, 3).split(30, 1):
            encoder(piece, memory)
            sizes.append(sum(t.numel() for t in memory.values()))
    assert (sizes[0] < sizes[1] < sizes[2]) == encoder.memory_grows
    assert (len(set(sizes)) == 1) != encoder.memory_grows


@pytest.mark.parametrize("name", ENCODERS)
def test_encode_and_its_channels_apart(name):
    encoder, one = encoder_of(name), encoder_of(name, channels=1)
    x = series(2, 29, 3, missing=0.1)
    values = x.numpy()
    with torch.no_grad():
        z, by_channel = encoder(x), [one(x[..., c : c + 1]) for c in range(3)]
    np.testing.assert_allclose(encode(encoder, values), z, atol=1e-6)
    np.testing.assert_allclose(encode(encoder, values, apart=True), z, atol=1e-6)
    window = encode(encoder, values, window=9)[:, -1]
    np.testing.assert_allclose(window, encoder(x[:, -9:])[:, -1].detach(), atol=1e-5)
    found = encode(one, values, apart=True)
    np.testing.assert_allclose(found, torch.cat(by_channel, -1), atol=1e-6)
    pooled = encode(one, values, apart=True, pool=True)
    for n, c in np.ndindex(2, 3):
        expected = one.summary(x[n : n + 1, :, c : c + 1])[0].detach()
        if type(one).summary is Encoder.summary:  # the maximum over the steps that are there
            largest = by_channel[c][n, ~np.isnan(values[n, :, c])].amax(0)
            np.testing.assert_allclose(expected, largest, atol=1e-6)
        width = len(expected)
        np.testing.assert_allclose(pooled[n, c * width : (c + 1) * width], expected, atol=1e-6)
    with pytest.raises(UserError, match=r"found shape .*, the channels of the encoder"):
        encode(one, values)


@pytest.mark.parametrize("name", ENCODERS)
def test_it_is_built_again_from_its_file_and_its_config(name, tmp_path):
    encoder, x = encoder_of(name), series(2, 29, 3, missing=0.1)
    save_encoder(tmp_path / "e.safetensors", encoder)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert type(loaded) is type(encoder) and loaded.config == encoder.config
    for attribute in Encoder.__annotations__:
        assert getattr(loaded, attribute) == getattr(encoder, attribute)
    with torch.no_grad():
        z = encoder(x)
        assert torch.equal(loaded(x), z) and not loaded.training
        assert not torch.allclose(untrained(encoder, 1)(x), z)
        assert torch.equal(copy.deepcopy(encoder)(x), z)


@pytest.mark.parametrize("name", ENCODERS)
def test_instances_do_not_meet_and_gradients_are_finite(name):
    encoder = encoder_of(name)
    x = series(3, 20, 3, missing=0.2)
    with torch.no_grad():
        alone = torch.cat([encoder(one[None]) for one in x])
    together = encoder(x)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    together.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())
    assert all(p.grad.any() for n, p in encoder.named_parameters() if n.endswith("weight"))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_series_in_a_batch_of_longer_ones_has_the_vectors_that_it_has_alone(name):
    encoder = encoder_of(name)
    lengths = (29, 1, 6, 7, 12, 18, 23, 24, 28)
    batch = series(len(lengths), 29, 3, missing=0.1)
    for row, length in enumerate(lengths):
        batch[row, length:] = torch.nan
        batch[row, [0, length - 1]] = 1.0  # where a series ends is seen in its values
    steps, vectors = (encode(encoder, batch.numpy(), pool=pool) for pool in (False, True))
    for row, length in enumerate(lengths):
        alone = batch[row : row + 1, :length].numpy()
        pairs = (
            (steps[row, :length], encode(encoder, alone)[0]),
            (vectors[row], encode(encoder, alone, pool=True)[0]),
        )
        for found, expected in pairs:  # relative: rounding depends on the shape of a product
            distance = np.linalg.norm(found - expected, axis=-1)
            assert (distance <= 1e-6 * np.linalg.norm(expected, axis=-1)).all()


@pytest.mark.parametrize("name", CAUSAL)
def test_nothing_leaks_from_the_future(name):
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(2, 30, 3, dtype=torch.float64)
    future = x.clone()
    future[:, 11:] = 1e3
    with torch.no_grad():
        z, other, prefix = encoder(x), encoder(future), encoder(x[:, :11])
    torch.testing.assert_close(other[:, :11], z[:, :11], atol=1e-12, rtol=0)
    torch.testing.assert_close(prefix, z[:, :11], atol=1e-12, rtol=0)
    assert (other[:, 11:] - z[:, 11:]).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize("name", BOTH_SIDES)
def test_what_is_not_causal_sees_both_sides_and_refuses_a_stream(name):
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(1, 30, 3, dtype=torch.float64)
    future = x.clone()
    future[:, 14:] += 1
    with torch.no_grad():
        assert (encoder(future) - encoder(x))[:, 13].abs().max() > 1e-6
    with pytest.raises(ValueError, match="not causal"):
        encoder(x, {})
    with pytest.raises(UserError, match="not causal"):
        Stream(encoder)


@pytest.mark.parametrize("name", CAUSAL)
def test_memory_continues_a_series(name):
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(2, 40, 3, dtype=torch.float64, missing=0.1)
    with torch.no_grad():
        whole, memory = encoder(x), {}
        pieces = [encoder(piece, memory) for piece in x.split([1, 2, 16, 1, 20], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-12, rtol=0)
    chunks = encode_in_chunks(encoder_of(name), x[0].float().numpy(), chunk=7)
    found = np.concatenate([z for _, z in chunks])
    np.testing.assert_allclose(found, whole[0].float(), atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_order_of_steps_counts(name):
    """A set of steps would have the same vectors, in another order; ours depends on the order."""
    encoder = encoder_of(name, dtype=torch.float64)
    x = series(1, 24, 3, dtype=torch.float64)
    swapped = x[:, [*range(10), 11, 10, *range(12, 24)]]
    with torch.no_grad():
        assert (encoder(swapped) - encoder(x))[:, -1].abs().max() > 1e-6


@pytest.mark.parametrize("name", [*BACKBONES, "transformer, patches"])
def test_autotcl_trains_it(name, tmp_path):
    values = made_series(3, rows=400)
    encoder = encoder_of(name)
    before = copy.deepcopy(encoder.state_dict())
    method = AutoTCL(encoder)
    windows = training_windows(values.train, encoder, WindowConfig(48))
    training = Training(epochs=2, max_steps=4, batch_size=4, device="cpu")
    fit(method, windows, training, 0, tmp_path)
    moved = [n for n, t in encoder.state_dict().items() if not torch.equal(t, before[n])]
    assert set(moved) == {n for n, _ in encoder.named_parameters()}
    assert all(t.isfinite().all() for t in encoder.state_dict().values())
