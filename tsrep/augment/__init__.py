"""Random changes of batches of series: noise, masks, slices and warps.

    views = Compose([WindowSlice(), MagnitudeWarp(), Jitter(p=0.5)])
    generator = torch.Generator().manual_seed(0)
    view = views(x, generator, strength=0.5)                  # (B, T, C), one draw per sample

    params = views.draw(*x.shape, generator)                  # the same in two steps
    view = views.apply(x, params)
    mine = views.apply(x[8:16], take(params, slice(8, 16)))   # one rank of several

    view = window_warp(x, ratio=0.2, generator=generator)     # one augmentation, in one call

Series are float (B, T, C), NaN where missing, on any device; the result has the dtype and device
of the input and never shares its memory. Parameters are drawn on the host, a row per sample, in
vectorised calls of one ``torch.Generator``. They depend on its state, on (B, T, C) and on the
strength, never on the values, the device or the number of threads: every rank can draw for the
global batch from one seed and keep its rows.

``strength`` in [0, 1] scales every augmentation at once, as AdaInf asks (Wang et al. 2024, "Do
Generated Data Always Help Contrastive Learning?"): 0 is the identity bit for bit, 1 the
augmentation as configured, and in between the same draw changes a sample less. ``p`` is the
probability that a sample is changed at all.

Missing values stay missing where only values change. Slices and warps spread a gap to the places
read between it and a neighbour. Masks overwrite what they hide, a gap too.
"""

import inspect
from collections.abc import Callable

from torch import Tensor

from tsrep.augment.base import Augmentation, Compose, take
from tsrep.augment.places import Crop, Permutation, TimeWarp, WindowSlice, WindowWarp
from tsrep.augment.values import (
    ChannelMask,
    ContinuousMask,
    CutOut,
    FrequencyMask,
    Jitter,
    MagnitudeWarp,
    Scaling,
    Shift,
    TimestampMask,
)


def _function(kind: type[Augmentation]) -> Callable[..., Tensor]:
    def call(x, *settings, generator=None, strength=1.0, **named):
        return kind(*settings, **named)(x, generator, strength)

    call.__doc__ = f"``{kind.__name__}(...)(x, generator, strength)`` in one call: {kind.__doc__}"
    of_call = inspect.signature(kind.__call__).parameters
    of_kind = sorted(inspect.signature(kind).parameters.values(), key=lambda p: p.kind)
    last = [
        of_call[name].replace(kind=of_call[name].KEYWORD_ONLY) for name in ("generator", "strength")
    ]
    vars(call)["__signature__"] = inspect.Signature([of_call["x"], *of_kind, *last])
    return call


jitter = _function(Jitter)
scaling = _function(Scaling)
shift = _function(Shift)
magnitude_warp = _function(MagnitudeWarp)
cut_out = _function(CutOut)
timestamp_mask = _function(TimestampMask)
continuous_mask = _function(ContinuousMask)
channel_mask = _function(ChannelMask)
frequency_mask = _function(FrequencyMask)
window_slice = _function(WindowSlice)
window_warp = _function(WindowWarp)
permutation = _function(Permutation)
time_warp = _function(TimeWarp)
crop = _function(Crop)

__all__ = [
    "Augmentation",
    "ChannelMask",
    "Compose",
    "ContinuousMask",
    "Crop",
    "CutOut",
    "FrequencyMask",
    "Jitter",
    "MagnitudeWarp",
    "Permutation",
    "Scaling",
    "Shift",
    "TimeWarp",
    "TimestampMask",
    "WindowSlice",
    "WindowWarp",
    "channel_mask",
    "continuous_mask",
    "crop",
    "cut_out",
    "frequency_mask",
    "jitter",
    "magnitude_warp",
    "permutation",
    "scaling",
    "shift",
    "take",
    "time_warp",
    "timestamp_mask",
    "window_slice",
    "window_warp",
]
