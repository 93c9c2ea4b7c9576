"""The patch Transformer against loops, and on series that no encoder likes."""

import numpy as np
import pytest
import torch

from tests.tsrep.encoders.encoder_oracle import gelu, weights
from tests.tsrep.encoders.made_encoders import series
from tspcrep.common.errors import UserError
from tsrep.encoders import PatchTransformer
from tsrep.encoders.encoding import encode


def small(channels=1, dtype=torch.float64, **options):
    torch.manual_seed(0)
    sizes = {"dim": 8, "depth": 2, "heads": 2, "tokens": 4, "patch_steps": 5, "filters": 3}
    return PatchTransformer(channels, **(sizes | options)).to(dtype).eval()


def standard(x):
    return (x - x.mean(0)) / x.std(0)


def layer_norm(x, w, name):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return y * w[f"{name}.weight"] + w[f"{name}.bias"]


def vectors(encoder, grid):
    """Vectors of the patches of one series (N P, C) and of the middle layer, (N, D), by loops."""
    w, patch = weights(encoder), encoder.patch_steps
    change = np.vstack([np.zeros((1, grid.shape[1])), np.diff(grid, axis=0)])
    both = np.hstack([standard(grid), standard(change)])  # (N P, 2 C)
    taps = w["convolution.weight"]  # (F, 2 C, 17)
    y, states = np.zeros((encoder.tokens, encoder.dim)), []
    for n in range(encoder.tokens):
        seen = []
        for t in range(n * patch, (n + 1) * patch):
            total = w["convolution.bias"].copy()
            for tap in range(17):
                if 0 <= t + tap - 8 < len(both):
                    total += taps[:, :, tap] @ both[t + tap - 8]
            seen.append(gelu(total))
        pooled = np.concatenate([np.mean(seen, 0), np.max(seen, 0)])
        y[n] = w["shapes.weight"] @ pooled + w["shapes.bias"] + w["positions"][n]
        y[n] += w["values.weight"] @ both[n * patch : (n + 1) * patch].ravel()
    width = encoder.dim // encoder.heads
    for i in range(encoder.depth):
        states.append(y)
        p = {k.removeprefix(f"layers.{i}."): v for k, v in w.items() if f"layers.{i}." in k}
        h = layer_norm(y, p, "norm1")
        q, k, v = np.split(h @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"], 3, 1)
        heads = []
        for a in range(encoder.heads):
            part = slice(a * width, (a + 1) * width)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(width))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
        y = y + np.hstack(heads) @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"]
        inner = gelu(layer_norm(y, p, "norm2") @ p["linear1.weight"].T + p["linear1.bias"])
        y = y + inner @ p["linear2.weight"].T + p["linear2.bias"]
    middle = [*states, y][encoder.depth // 2]
    plain = {"plain.weight": 1.0, "plain.bias": 0.0}
    return layer_norm(y, w, "norm"), layer_norm(middle, plain, "plain")


@pytest.mark.parametrize("channels", [1, 2])
def test_it_equals_loops(channels):
    encoder = small(channels)
    x = series(3, 20, channels, dtype=torch.float64)  # as long as the grid: resized to itself
    for one in x:
        z, middle = vectors(encoder, one.numpy())
        with torch.no_grad():
            pooled, summary = encoder.pooled(one[None])[0], encoder.summary(one[None])[0]
        np.testing.assert_allclose(pooled, [*z.mean(0), *z.max(0)], atol=1e-10)
        grid = one.numpy()
        scale = [np.log(grid.std(0)), np.log(np.diff(grid, axis=0).std(0))]
        scale.append(np.arcsinh(grid.mean(0) / grid.std(0)))
        expected = [z.mean(0), z.max(0), middle.mean(0), middle.max(0), *scale]
        np.testing.assert_allclose(summary, np.concatenate(expected), atol=1e-10)


def test_only_the_scale_sees_level_and_scale():
    encoder, x = small(), series(2, 57, 1, dtype=torch.float64)
    with torch.no_grad():
        a, b = encoder.summary(x), encoder.summary(1000 * x - 7)
    np.testing.assert_allclose(b[:, :32], a[:, :32], atol=1e-9)
    np.testing.assert_allclose(b[:, 32:34] - a[:, 32:34], np.log(1000), atol=1e-9)


def test_shown_patches_alone_are_read():
    encoder, x = small(), series(2, 20, 1, dtype=torch.float64)
    shown = torch.tensor([[0, 3], [2, 1]])
    with torch.no_grad():
        every = torch.arange(4).expand(2, 4)
        torch.testing.assert_close(encoder.pooled(x, every), encoder.pooled(x))
        tokens = encoder.tokenise(encoder.grid(x))
        for row in range(2):
            z = encoder.attend(tokens[row : row + 1, shown[row]])
            found = encoder.pooled(x, shown)[row]
            torch.testing.assert_close(found, torch.cat([z.mean(1), z.amax(1)], -1)[0])


def test_the_scale_of_time_does_not_matter():
    """A series and the same with each step repeated have nearly the same vector."""
    encoder = PatchTransformer(1).eval()
    t = torch.linspace(0, 12, 400)
    x = torch.sin(t + 0.1 * t**2)[None, :, None]
    with torch.no_grad():
        a, b = encoder.pooled(x), encoder.pooled(x.repeat_interleave(3, 1))
        other = encoder.pooled(torch.cos(2 * t)[None, :, None])
    assert (a - b).norm() < 0.5 * (a - other).norm()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, 1, 1)),
        np.full((1, 50, 1), 3.7),
        np.full((1, 50, 1), 1e8),
        np.full((1, 50, 1), np.nan),
        np.array([[[np.nan], [2.0], [np.nan]]]),
        np.array([[[1.0], [2.0]]]),
        np.array([[[-1e30], [1e30], [0.0]]]),
    ],
    ids=["one step", "constant", "large constant", "all NaN", "one value", "two steps", "huge"],
)
def test_poor_series_have_finite_vectors(values):
    encoder = PatchTransformer(1, 16, 1).eval()
    assert np.isfinite(encode(encoder, values, pool=True)).all()
    assert np.isfinite(encode(encoder, values)).all()


def test_constant_series_of_any_level_differ_in_nothing_but_the_level():
    encoder = PatchTransformer(1, 16, 1).eval()
    levels = np.array([0.0, 0.1, -7.3, 1e6, 123456.7])
    found = encode(encoder, np.repeat(levels[:, None], 33, 1)[..., None], pool=True)
    np.testing.assert_allclose(found[:, :-3], np.repeat(found[:1, :-3], 5, 0), atol=1e-6)


def test_a_million_steps_and_three_hundred_channels():
    encoder = PatchTransformer(1, 16, 1).eval()
    long = np.sin(np.arange(1_000_000) / 5000)[None, :, None]
    assert encode(encoder, long, pool=True).shape == (1, 67)
    thinned = encode(encoder, long[:, 49::100], pool=True)
    np.testing.assert_allclose(encode(encoder, long, pool=True)[:, :64], thinned[:, :64], atol=2e-2)
    wide = np.random.default_rng(0).standard_normal((2, 40, 300))
    found = encode(encoder, wide, pool=True, apart=True)
    assert found.shape == (2, 300 * 67)
    one = encode(encoder, wide[..., 123:124], pool=True)
    np.testing.assert_allclose(found[:, 123 * 67 : 124 * 67], one, atol=1e-6)
    with pytest.raises(UserError, match="apart=True reads each channel by itself"):
        encode(encoder, wide)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"dim": 12, "heads": 4}, "multiple of 2 heads"), ({"tokens": 0}, "tokens 0")],
)
def test_options_out_of_range(options, words):
    with pytest.raises(UserError, match=words):
        PatchTransformer(1, **options)


def test_it_is_small():
    assert sum(p.numel() for p in PatchTransformer(1).parameters()) < 1_000_000
