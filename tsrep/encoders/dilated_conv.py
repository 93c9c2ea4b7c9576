"""Dilated convolutions over time: the encoder of TS2Vec and, with trend convolutions, of CoST."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError


class DilatedConv(nn.Module):
    """A linear layer, residual blocks of dilated convolutions and, if asked, averaged trend filters.

    ``x (B, T, C) -> embed (B, T, H) -> blocks (B, T, D) -> trend (B, T, D)``

    Block ``i`` has dilation ``kernel_size**i`` rounded to ``2**i``; the last block widens to
    ``dim``. Without ``trend_kernels`` this is TS2Vec's encoder (Yue et al., AAAI 2022, sec. 3.2);
    with ``(1, 2, 4, ..., 128)`` it is CoST's without the seasonal disentangler (Woo et al., ICLR
    2022, sec. 4.1), which AutoTCL uses for forecasting (Zheng et al., ICLR 2024, sec. 4.1).

    Parameters
    ----------
    in_channels : channels C of the input.
    dim : channels D of the representation, 320 in the papers.
    hidden : channels H of the blocks, 64 in the papers.
    depth : blocks before the last. The papers take 10; the default 7 reaches 511 steps, and a
        block whose dilation exceeds the window sees only padding.
    kernel_size : taps of a convolution.
    causal : pad on the left alone, so that step t depends on steps up to t and a series is encoded
        in one pass. The papers' encoders are not causal (zeros on both sides).
    trend_kernels : lengths of the causal trend filters whose outputs are averaged; empty for none.

    A missing value (NaN) is read as 0 after the first layer, as in TS2Vec.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 320,
        hidden: int = 64,
        depth: int = 7,
        kernel_size: int = 3,
        causal: bool = True,
        trend_kernels: tuple[int, ...] = (),
    ):
        super().__init__()
        for name, value in (("in_channels", in_channels), ("dim", dim), ("hidden", hidden)):
            if value < 1:
                raise UserError(f"{name}: found {value}, expected at least 1")
        if depth < 0 or kernel_size < 1 or (kernel_size % 2 == 0 and not causal):
            raise UserError(
                f"depth {depth}, kernel_size {kernel_size}: expected depth >= 0 and an odd kernel "
                "(any kernel when causal)"
            )
        self.in_channels, self.dim, self.hidden = in_channels, dim, hidden
        self.depth, self.kernel_size, self.causal = depth, kernel_size, causal
        self.trend_kernels = tuple(trend_kernels)
        self.input = nn.Linear(in_channels, hidden)
        widths = [hidden] * (depth + 1) + [dim]
        self.blocks = nn.ModuleList(
            Block(a, b, kernel_size, 2**i, causal, last=i == depth)
            for i, (a, b) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.trend = Trend(dim, self.trend_kernels) if self.trend_kernels else None

    @property
    def config(self) -> dict:
        """Keyword arguments that build this encoder again."""
        names = ("in_channels", "dim", "hidden", "depth", "kernel_size", "causal", "trend_kernels")
        return {name: getattr(self, name) for name in names}

    @property
    def receptive_field(self) -> int:
        """Steps of the input, the present one included, on which a causal output depends."""
        blocks = sum(2 * (self.kernel_size - 1) * 2**i for i in range(self.depth + 1))
        return 1 + blocks + max(self.trend_kernels, default=1) - 1

    def embed(self, x: Tensor) -> Tensor:
        """The first hidden layer, (B, T, C) -> (B, T, H), where AutoTCL masks time steps."""
        missing = x.isnan().any(-1, keepdim=True)  # (B, T, 1)
        return self.input(x.nan_to_num()).masked_fill(missing, 0.0)

    def body(self, hidden: Tensor) -> Tensor:
        """The layers after ``embed``, (B, T, H) -> (B, T, D)."""
        y = self.convolve(hidden)
        return y if self.trend is None else self.trend(y)

    def convolve(self, hidden: Tensor) -> Tensor:
        """The blocks alone, (B, T, H) -> (B, T, D)."""
        y = hidden.transpose(1, 2)  # (B, H, T)
        for block in self.blocks:
            y = block(y)
        return y.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.embed(x))


class Block(nn.Module):
    """``y = skip(x) + conv(gelu(conv(gelu(x))))`` on (B, channels, T)."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, dilation: int, causal: bool, last: bool
    ):
        super().__init__()
        reach = (kernel_size - 1) * dilation
        self.padding = (reach, 0) if causal else (reach // 2, reach // 2)
        self.conv1 = nn.Conv1d(inputs, outputs, kernel_size, dilation=dilation)
        self.conv2 = nn.Conv1d(outputs, outputs, kernel_size, dilation=dilation)
        self.skip = nn.Conv1d(inputs, outputs, 1) if last or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.pad(F.gelu(x), self.padding))
        y = self.conv2(F.pad(F.gelu(y), self.padding))
        return self.skip(x) + y


class Trend(nn.Module):
    """The mean of causal convolutions of several lengths, computed as the one that it is.

    ``(1/M) sum_m conv_m(x)`` is linear, so it equals a single causal convolution whose taps are the
    mean of the left-padded kernels. Training multiplies spectra instead of sliding 128 taps of
    320 x 320 weights; ``last`` is the single product that a window's last step needs.
    """

    def __init__(self, dim: int, kernels: tuple[int, ...]):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, k) for k in kernels)
        self.length = max(kernels)

    def taps(self) -> tuple[Tensor, Tensor]:
        """Weights (D, D, K), oldest tap first, and bias (D,) of the one convolution."""
        padded = [F.pad(c.weight, (self.length - c.weight.shape[-1], 0)) for c in self.convs]
        return torch.stack(padded).mean(0), torch.stack([c.bias for c in self.convs]).mean(0)

    def forward(self, y: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        weight, bias = self.taps()
        steps = y.shape[1]
        size = 2 ** math.ceil(math.log2(steps + self.length - 1))
        spectrum = torch.fft.rfft(y.float(), size, dim=1).transpose(0, 1)  # (F, B, D)
        # The flip turns torch's cross-correlation into the convolution that a product means.
        filters = torch.fft.rfft(weight.float().flip(-1), size).permute(2, 1, 0)  # (F, D in, D out)
        product = (spectrum @ filters).transpose(0, 1)  # (B, F, D)
        return torch.fft.irfft(product, size, dim=1)[:, :steps] + bias

    def last(self, y: Tensor) -> Tensor:
        """The output at the last step alone: (B, T, D) -> (B, D)."""
        weight, bias = self.taps()
        recent = y[:, -self.length :]
        return torch.einsum("btd,odt->bo", recent, weight[..., -recent.shape[1] :]) + bias
