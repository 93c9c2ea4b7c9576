"""Dilated convolutions by plain loops over steps, taps and channels in float64."""

import numpy as np
from scipy.special import erf


def weights(module):
    return {name: t.detach().double().numpy() for name, t in module.state_dict().items()}


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def convolve(x, weight, bias, dilation, causal):
    """x (T, in), weight (out, in, taps): step t sees t - reach .. t, or t -/+ reach / 2."""
    steps, taps = len(x), weight.shape[2]
    reach = (taps - 1) * dilation
    first = -reach if causal else -(reach // 2)
    y = np.zeros((steps, len(weight)))
    for t in range(steps):
        for tap in range(taps):
            source = t + first + tap * dilation
            if 0 <= source < steps:
                y[t] += weight[:, :, tap] @ x[source]
        y[t] += bias
    return y


def dilated_conv(encoder, x):
    """The output (T, D) of a DilatedConv on one series x (T, C)."""
    w = weights(encoder)
    missing = np.isnan(x).any(-1)
    y = np.nan_to_num(x) @ w["input.weight"].T + w["input.bias"]
    y[missing] = 0
    inside = np.ones((len(x), 1))
    if not encoder.causal:  # missing steps around a series stay 0 in every layer
        known = np.flatnonzero(~missing) if not missing.all() else [0]
        inside[: known[0]] = inside[known[-1] + 1 :] = 0
    for i in range(encoder.depth + 1):
        conv1, conv2 = (
            (w[f"blocks.{i}.{name}.weight"], w[f"blocks.{i}.{name}.bias"])
            for name in ("conv1", "conv2")
        )
        inner = convolve(gelu(y) * inside, *conv1, 2**i, encoder.causal)
        inner = convolve(gelu(inner) * inside, *conv2, 2**i, encoder.causal)
        if f"blocks.{i}.skip.weight" in w:
            y = y @ w[f"blocks.{i}.skip.weight"][:, :, 0].T + w[f"blocks.{i}.skip.bias"]
        y = y + inner
    if encoder.trend is not None:
        y = convolve(y, w["trend.weight"], w["trend.bias"], 1, causal=True)
    return y


def trailing_mean(x, window):
    """(T, C): the mean of the known among the last ``window`` values; 0 where none is known."""
    level = np.zeros(x.shape)
    for t in range(len(x)):
        for c in range(x.shape[1]):
            known = [v for v in x[max(0, t - window + 1) : t + 1, c] if not np.isnan(v)]
            level[t, c] = sum(known) / len(known) if known else 0.0
    return level
