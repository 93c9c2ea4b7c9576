"""Every augmentation against textbook loops in float64, and what all of them promise."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from tsrep import augment
from tsrep.augment import (
    ChannelMask,
    Compose,
    ContinuousMask,
    Crop,
    CutOut,
    FrequencyMask,
    Jitter,
    MagnitudeWarp,
    Permutation,
    Scaling,
    Shift,
    TimestampMask,
    TimeWarp,
    WindowSlice,
    WindowWarp,
    kernels,
    take,
)

NOISE = (Jitter, Scaling, Shift, MagnitudeWarp)
MASKS = (CutOut, TimestampMask, ContinuousMask, ChannelMask)
WARPS = (WindowSlice, WindowWarp, Permutation, TimeWarp)
KINDS = (*NOISE, *MASKS, FrequencyMask, *WARPS, Crop)
EVERY = (*(kind() for kind in KINDS), Compose([Crop(), TimeWarp(), Jitter(), CutOut()]))

each = pytest.mark.parametrize("aug", EVERY, ids=lambda aug: type(aug).__name__)
sizes = st.integers(1, 12)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def series(*shape, seed=0, missing=0.0, dtype=torch.float64):
    x = torch.randn(shape, generator=seeded(seed), dtype=dtype)
    return x.masked_fill(torch.rand(shape, generator=seeded(seed + 1)) < missing, torch.nan)


def assert_same_bits(x, y):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x.numpy(), y.numpy())


# What all of them promise


@each
@settings(deadline=None, max_examples=25)
@given(batch=st.integers(0, 5), length=sizes, channels=st.integers(1, 4), seed=st.integers(0, 99))
def test_any_size_works_and_the_input_stays(aug, batch, length, channels, seed):
    x = series(batch, length, channels, seed=seed, missing=0.1, dtype=torch.float32)
    before = x.clone()
    y = aug(x, seeded(seed))
    assert y.dtype == x.dtype
    assert y.shape == (batch, aug.output_length(length), channels)
    assert y.is_contiguous()
    if batch:
        assert y.data_ptr() != x.data_ptr()
    assert_same_bits(x, before)


@each
@settings(deadline=None, max_examples=25)
@given(batch=sizes, length=sizes, channels=st.integers(1, 4), seed=st.integers(0, 99))
def test_strength_zero_is_the_identity(aug, batch, length, channels, seed):
    x = series(batch, length, channels, seed=seed, missing=0.1, dtype=torch.float32)
    assert_same_bits(aug(x, seeded(seed), strength=0.0), x)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_p_is_the_share_of_samples_that_change(kind):
    x = series(4000, 24, 3)
    assert_same_bits(kind(p=0.0)(x, seeded()), x)
    # As many channels and steps as make an unlucky identity rare, and WARPS without one.
    strong = {"ratio": 0.5} if "ratio" in inspect.signature(kind).parameters else {}
    changed = [(kind(p=p, **strong)(x, seeded()) != x).any((1, 2)) for p in (1.0, 0.3)]
    always, sometimes = (part.double().mean().item() for part in changed)
    assert sometimes == pytest.approx(0.3 * always, abs=0.025)
    assert (changed[0] | ~changed[1]).all()  # the same samples would have changed


@each
def test_the_generator_decides_alone(aug):
    x = series(8, 64, 3, dtype=torch.float32)
    first, second = seeded(5), seeded(5)
    torch.manual_seed(1)
    y = aug(x, first)
    torch.manual_seed(2)
    assert_same_bits(aug(x, second), y)
    assert torch.equal(first.get_state(), second.get_state())
    assert not torch.equal(aug(x, first), y)
    torch.manual_seed(5)
    assert_same_bits(aug(x), y)  # without a generator, torch's own


@each
def test_threads_change_nothing(aug, monkeypatch):
    monkeypatch.setattr(kernels, "GRAIN", 1)
    x = series(33, 128, 3, dtype=torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(aug(x, seeded()))
    finally:
        torch.set_num_threads(before)
    assert_same_bits(*found)


@each
def test_a_rank_takes_its_rows_of_the_draw_for_the_global_batch(aug):
    x = series(8, 40, 3)
    params = aug.draw(8, 40, 3, seeded())
    parts = [aug.apply(x[r], take(params, r)) for r in (slice(0, 3), slice(3, 8))]
    assert_same_bits(torch.cat(parts), aug(x, seeded()))
    rows = torch.tensor([6, 1])
    assert_same_bits(aug.apply(x[rows], take(params, rows)), aug(x, seeded())[rows])


@each
def test_with_and_without_a_graph_the_same(aug):
    # Where x needs a gradient torch computes, where not numba: equal to 1e-6.
    x = series(8, 64, 3, missing=0.1, dtype=torch.float32)
    params = aug.draw(8, 64, 3, seeded())
    y = aug.apply(x.clone().requires_grad_(), params)
    assert y.requires_grad
    torch.testing.assert_close(
        y.detach(), aug.apply(x, params), rtol=1e-6, atol=1e-6, equal_nan=True
    )


@each
def test_differentiable_in_x(aug):
    params = aug.draw(2, 9, 2, seeded())
    x = series(2, 9, 2).requires_grad_()
    torch.autograd.gradcheck(lambda x: aug.apply(x, params), x)


@each
def test_half_precision(aug):
    x = series(4, 32, 2, dtype=torch.float32).bfloat16()
    params = aug.draw(4, 32, 2, seeded())
    y = aug.apply(x, params)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), aug.apply(x.float(), params), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("kind", (*NOISE, FrequencyMask))
def test_missing_values_stay_and_spread_nowhere(kind):
    x = series(6, 40, 3, missing=0.2)
    assert torch.equal(kind()(x, seeded()).isnan(), x.isnan())


@pytest.mark.parametrize("kind", WARPS)
def test_time_moves_alike_in_all_channels(kind):
    x = series(6, 50, 1).expand(-1, -1, 4)
    y = kind()(x, seeded())
    assert_same_bits(y, y[:, :, :1].expand(-1, -1, 4))


@pytest.mark.parametrize("kind", (Jitter, Scaling, Shift, MagnitudeWarp))
def test_half_the_strength_goes_half_as_far(kind):
    x = series(6, 50, 3)
    whole, half = (kind()(x, seeded(), strength=s) - x for s in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2, rtol=1e-5, atol=1e-6)


# Each of them, against loops


def test_jitter():
    x = series(50, 100, 4)
    noise = Jitter(sigma=0.3)(x, seeded()) - x
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    flat = noise.flatten().numpy()
    assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize(
    "aug, move, mean",
    [(Scaling(0.2), lambda x, y: y / x, 1), (Shift(0.2), lambda x, y: y - x, 0)],
)
def test_scaling_and_shift(aug, move, mean):
    x = series(3000, 5, 4)
    moved = move(x, aug(x, seeded()))
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))
    assert moved[:, 0].mean().item() == pytest.approx(mean, abs=0.01)
    assert moved[:, 0].std().item() == pytest.approx(0.2, rel=0.03)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(2, 30), knots=st.integers(0, 6), seed=st.integers(0, 99))
def test_magnitude_warp(length, knots, seed):
    x, aug = series(3, length, 2), MagnitudeWarp(0.4, knots)
    (bumps,) = params = aug.draw(3, length, 2, seeded(seed))
    expected = x.clone()
    for b in range(3):
        for c in range(2):
            ends = np.linspace(0, length - 1, knots + 2)
            curve = CubicSpline(ends, 1 + bumps[b, :, c].double().numpy())
            expected[b, :, c] *= torch.from_numpy(curve(np.arange(length)))
    torch.testing.assert_close(aug.apply(x, params), expected)


def test_cut_out():
    x = series(500, 40, 2)
    y = CutOut(0.25, fill=-9.0)(x, seeded())
    firsts = set()
    for b in range(len(x)):
        gone = [t for t in range(40) if (y[b, t] == -9).all()]
        kept = [t for t in range(40) if t not in gone]
        assert gone == list(range(gone[0], gone[0] + 10))
        assert torch.equal(y[b, kept], x[b, kept])
        firsts.add(gone[0])
    assert firsts == set(range(31))


def test_timestamp_mask():
    x = series(400, 50, 3, missing=0.1)
    y = TimestampMask(0.3, fill=7.0)(x, seeded())
    hidden = (y == 7).any(2)
    assert hidden.double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert (y[hidden] == 7).all()  # all channels, gaps too
    torch.testing.assert_close(y[~hidden], x[~hidden], equal_nan=True)
    assert hidden.double().mean(0).std() < 0.05


@pytest.mark.parametrize("windows, ratio", [(5, 0.1), (1, 0.3), (3, 0.001)])
def test_continuous_mask(windows, ratio):
    steps, length = max(int(ratio * 60), 1), 60
    y = ContinuousMask(windows, ratio, fill=torch.nan)(series(2000, length, 2), seeded())
    hidden = y.isnan().all(2)
    assert torch.equal(hidden, y.isnan().any(2))
    assert hidden.sum(1).max() <= windows * steps
    assert hidden.sum(1).min() >= steps
    chance = np.zeros(length)  # that a step lies in one window, counted
    for first in range(length - steps + 1):
        chance[first : first + steps] += 1 / (length - steps + 1)
    share = hidden.double().mean(0)
    np.testing.assert_allclose(share, 1 - (1 - chance) ** windows, atol=0.05)


def test_channel_mask():
    x = series(4000, 3, 7)
    y = ChannelMask(0.2)(x, seeded())
    hidden = (y == 0).all(1)
    assert torch.equal(y, x * ~hidden[:, None])
    assert hidden.double().mean().item() == pytest.approx(0.2, abs=0.01)
    most = (ChannelMask(1.0)(x, seeded()) == 0).all(1)
    assert (most.sum(1) == 6).all()
    assert torch.equal(ChannelMask(1.0)(x[..., :1], seeded()), x[..., :1])


@pytest.mark.parametrize("length", [31, 32])
def test_frequency_mask(length):
    x = series(200, length, 3)
    aug = FrequencyMask(0.3)
    (removed,) = params = aug.draw(200, length, 3, seeded())
    spectrum, found = (np.fft.rfft(part.numpy(), axis=1) for part in (x, aug.apply(x, params)))
    np.testing.assert_allclose(found, np.where(removed, 0, spectrum), atol=1e-12)
    assert removed.double().mean().item() == pytest.approx(0.3, abs=0.01)


def read(x, positions):
    """np.interp per sample and channel."""
    y = np.empty((*positions.shape, x.shape[2]))
    for b in range(x.shape[0]):
        for c in range(x.shape[2]):
            y[b, :, c] = np.interp(positions[b], np.arange(x.shape[1]), x[b, :, c])
    return torch.from_numpy(y)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(2, 40), ratio=st.floats(0.1, 1), strength=st.floats(0, 1))
def test_window_slice(length, ratio, strength):
    x, aug = series(4, length, 2), WindowSlice(ratio)
    _, first, _ = params = aug.draw(4, length, 2, seeded(), strength)
    span = (1 - strength * (1 - ratio)) * (length - 1)
    assert (first >= 0).all()
    assert (first + span <= length - 1 + 1e-9).all()
    positions = np.stack([np.linspace(a, a + span, length) for a in first.flatten().tolist()])
    torch.testing.assert_close(aug.apply(x, params), read(x, positions), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(3, 40), ratio=st.floats(0, 1), seed=st.integers(0, 99))
def test_window_warp(length, ratio, seed):
    x, aug = series(6, length, 2), WindowWarp(ratio, scales=(0.25, 3.0))
    _, sources, slopes = params = aug.draw(6, length, 2, seeded(seed))
    window = min(max(round(ratio * length), 1), length - 1)
    positions = np.empty((6, length))
    for b in range(6):
        begin = sources[b, 1].item()
        scale = (slopes[b, 0] / slopes[b, 1]).item()
        assert min(abs(scale - s) for s in (0.25, 3.0)) < 1e-9
        assert 0 <= begin == round(begin) <= length - 1 - window
        # Time after the window was stretched, and what it was before.
        after = np.array([0, begin, begin + scale * window, length - 1 + (scale - 1) * window])
        before = np.array([0, begin, begin + window, length - 1])
        positions[b] = np.interp(np.linspace(0, after[-1], length), after, before)
    torch.testing.assert_close(aug.apply(x, params), read(x, positions), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(length=st.integers(1, 40), segments=st.integers(1, 9), seed=st.integers(0, 99))
def test_permutation_is_a_bijection_of_equal_segments(length, segments, seed):
    steps = torch.arange(length, dtype=torch.float64).expand(8, -1)[..., None]
    y = Permutation(segments)(steps, seeded(seed))[..., 0]
    assert torch.equal(y.sort(1).values, steps[..., 0])
    for row in y.int().tolist():
        cuts = [0] + [t for t in range(1, length) if row[t] != row[t - 1] + 1] + [length]
        assert len(cuts) - 1 <= segments


def test_permutation_cuts_into_every_number_of_segments_in_every_order():
    steps = torch.arange(12.0).expand(4000, -1)[..., None]
    seen = {tuple(row) for row in Permutation(3)(steps, seeded())[..., 0].int().tolist()}
    halves, thirds = [range(6), range(6, 12)], [range(4), range(4, 8), range(8, 12)]
    orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    expected = {tuple(t for s in order for t in thirds[s]) for order in orders}
    expected.add((*halves[1], *halves[0]))
    assert seen == expected


@settings(deadline=None, max_examples=30)
@given(length=st.integers(2, 40), knots=st.integers(0, 6), sigma=st.floats(0, 2))
def test_time_warp(length, knots, sigma):
    x, aug = series(4, length, 2), TimeWarp(sigma, knots)
    (bumps,) = params = aug.draw(4, length, 2, seeded())
    positions = np.zeros((4, length))
    for b in range(4):
        curve = CubicSpline(
            np.linspace(0, length - 1, knots + 2), 1 + bumps[b, :, 0].double().numpy()
        )
        for t in range(1, length):
            positions[b, t] = positions[b, t - 1] + max(curve(t - 0.5), 0.1)
        positions[b] *= (length - 1) / positions[b, -1]
    y = aug.apply(x, params)
    torch.testing.assert_close(y, read(x, positions), rtol=1e-9, atol=1e-9)
    ramp = torch.arange(length, dtype=torch.float64).expand(4, -1)[..., None]
    assert (aug.apply(ramp, params)[..., 0].diff(dim=1) > 0).all()
    torch.testing.assert_close(y[:, [0, -1]], x[:, [0, -1]], rtol=1e-9, atol=1e-9)


def test_crop():
    x = series(600, 20, 2)
    y = Crop(0.75)(x, seeded())
    assert y.shape == (600, 15, 2)
    firsts = set()
    for b in range(600):
        (first,) = [a for a in range(6) if torch.equal(y[b], x[b, a : a + 15])]
        firsts.add(first)
    assert firsts == set(range(6))
    assert Crop(0.75)(x, seeded(), strength=0.4).shape == (600, 18, 2)
    assert Crop(0.0)(x, seeded()).shape == (600, 1, 2)


# Put together


def test_compose_is_one_after_the_other():
    x, steps = series(5, 40, 3), [Crop(0.5), Compose([WindowWarp(), Scaling()]), TimestampMask()]
    together, generator, y = Compose(steps), seeded(), x
    for step in steps:
        y = step(y, generator, 0.7)
    assert_same_bits(together(x, seeded(), 0.7), y)
    assert together.output_length(40, 0.7) == y.shape[1] == 26
    empty = Compose([])(x)
    assert_same_bits(empty, x)
    assert empty.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_functions_are_the_classes_in_one_call(kind):
    name = "".join("_" * c.isupper() + c.lower() for c in kind.__name__).strip("_")
    function = getattr(augment, name)
    x = series(5, 40, 3)
    y = function(x, generator=seeded(), strength=0.6)
    assert_same_bits(y, kind()(x, seeded(), 0.6))
    first = next(iter(inspect.signature(kind).parameters))
    assert_same_bits(function(x, 1, generator=seeded()), kind(**{first: 1})(x, seeded()))
    assert {"x", "generator", "strength", first} <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: Jitter(-1), "sigma is -1, expected a number of at least 0"),
        (lambda x: Jitter(float("nan")), "sigma is nan, expected a number of at least 0"),
        (lambda x: Scaling(p=1.5), "p is 1.5, expected a number from 0 to 1"),
        (lambda x: CutOut(2), "ratio is 2, expected a number from 0 to 1"),
        (lambda x: CutOut("0.1"), "ratio is '0.1', expected a number from 0 to 1"),
        (lambda x: Crop(-0.1), "size is -0.1, expected a number from 0 to 1"),
        (lambda x: Permutation(0), "segments is 0, expected a whole number of at least 1"),
        (lambda x: Permutation(2.5), "segments is 2.5, expected a whole number of at least 1"),
        (lambda x: WindowWarp(scales=(0.0,)), r"scales are (0.0,), expected one or more numbers"),
        (lambda x: WindowWarp(scales=()), "scales are (), expected one or more numbers above 0"),
        (lambda x: Compose([Jitter]), "expected augmentations, such as Jitter()"),
        (lambda x: Jitter()(x, strength=1.1), "strength is 1.1, expected a number from 0 to 1"),
        (lambda x: Jitter()(x[0]), "x is torch.float64 of shape (6, 2), expected floats (B, T, C)"),
        (lambda x: Jitter()(x.long()), "x is torch.int64 of shape (3, 6, 2), expected floats"),
        (lambda x: Jitter()(x[:, :0]), "shape (3, 0, 2), expected floats (B, T, C) with T >= 1"),
        (lambda x: Jitter().draw(-1, 6, 2), "batch is -1, expected at least 0"),
        (lambda x: Jitter().draw(3, 0, 2), "length is 0, expected at least 1"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call(series(3, 6, 2))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
