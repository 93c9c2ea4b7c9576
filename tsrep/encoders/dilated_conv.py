"""Dilated convolutions over time: the encoder of TS2Vec and, with trend convolutions, of CoST."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory, blocks_that_reach, embed_known, with_past
from tsrep.encoders.resizing import known_span


class DilatedConv(Encoder):
    """A linear layer, residual blocks of dilated convolutions and, optionally, trend filters.

    ``x (B, T, C) -> embed (B, T, H) -> blocks (B, T, D) -> trend (B, T, D)``

    Block ``i`` has dilation ``2**i``; the last block widens to ``dim``. Without ``trend_kernels``
    this is TS2Vec's encoder (Yue et al., AAAI 2022, sec. 3.2); with ``(1, 2, 4, ..., 128)`` it is
    CoST's without the seasonal disentangler (Woo et al., ICLR 2022, sec. 4.1), which AutoTCL uses
    for forecasting (Zheng et al., ICLR 2024, sec. 4.1).

    Parameters
    ----------
    in_channels : channels C of the input.
    dim : channels D of the representation, 320 in the papers.
    hidden : channels H of the blocks, 64 in the papers.
    depth : blocks before the last. The papers take 10; the default 7 reaches 511 steps, and a
        block whose dilation exceeds the window sees only padding.
    kernel_size : taps of a convolution.
    causal : pad on the left only, so that step t depends on steps up to t and a series is encoded
        in one pass. The papers' encoders are not causal (zeros on both sides).
    trend_kernels : lengths of the causal trend filters whose outputs are averaged; empty for none.

    A missing value (NaN) is read as 0 after the first layer, as in TS2Vec. If not causal, missing
    steps around a series stay 0 in every layer, so padding changes none of its vectors.

    ``forward(x, memory)`` continues the series that ``memory`` (an empty dict at its start)
    remembers: encoding a series in pieces equals encoding it whole.
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
        if min(trend_kernels, default=1) < 1:
            raise UserError(f"trend_kernels: found {trend_kernels}, expected lengths of at least 1")
        self.in_channels, self.dim, self.hidden = in_channels, dim, hidden
        self.depth, self.kernel_size, self.causal = depth, kernel_size, causal
        self.trend_kernels = tuple(trend_kernels)
        blocks = sum(2 * (kernel_size - 1) * 2**i for i in range(depth + 1))
        self.receptive_field = blocks + max(self.trend_kernels, default=1)
        self.input = nn.Linear(in_channels, hidden)
        widths = [hidden] * (depth + 1) + [dim]
        self.blocks = nn.ModuleList(
            _Block(a, b, kernel_size, 2**i, causal, last=i == depth)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.trend = _Trend(dim, self.trend_kernels) if self.trend_kernels else None

    @classmethod
    def default_depth(cls, reach: int) -> int:
        return blocks_that_reach(reach) - 1

    def embed(self, x: Tensor) -> Tensor:
        """The first hidden layer, (B, T, C) -> (B, T, H), where AutoTCL masks time steps."""
        return embed_known(self.input, x)

    def body(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """The layers after ``embed``, (B, T, H) -> (B, T, D)."""
        y = self.convolve(hidden, memory)
        return y if self.trend is None else self.trend(y, memory)

    def convolve(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """The blocks without trend filters, (B, T, H) -> (B, T, D)."""
        inside = None if self.causal else _inside(hidden)
        y = hidden.transpose(1, 2)  # (B, H, T)
        for block in self.blocks:
            y = block(y, memory, inside)
        return y.transpose(1, 2)

    def last(self, x: Tensor) -> Tensor:
        """The vector of the last step only: (B, T, C) -> (B, D)."""
        y = self.convolve(self.embed(x))
        return y[:, -1] if self.trend is None else self.trend.last(y)


def _inside(hidden: Tensor) -> Tensor | None:
    """1 from the first known step of a series to its last, else 0: (B, 1, T); None for 1 alone.

    What is outside stays 0 before every convolution, as beyond the ends of a series by itself.
    """
    first, last = known_span(hidden.ne(0).any(-1))
    steps = torch.arange(hidden.shape[1], device=hidden.device)
    inside = (steps >= first[:, None]) & (steps <= last[:, None])
    return None if inside.all() else inside[:, None].to(hidden.dtype)


class _Block(nn.Module):
    """``y = skip(x) + conv(gelu(conv(gelu(x))))`` on (B, channels, T)."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, dilation: int, causal: bool, last: bool
    ):
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.causal = causal
        self.conv1 = nn.Conv1d(inputs, outputs, kernel_size, dilation=dilation)
        self.conv2 = nn.Conv1d(outputs, outputs, kernel_size, dilation=dilation)
        self.skip = nn.Conv1d(inputs, outputs, 1) if last or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, memory: Memory | None, inside: Tensor | None) -> Tensor:
        y = self.conv1(self._pad(F.gelu(x), self.conv1, memory, inside))
        y = self.conv2(self._pad(F.gelu(y), self.conv2, memory, inside))
        return self.skip(x) + y

    def _pad(
        self, x: Tensor, conv: nn.Conv1d, memory: Memory | None, inside: Tensor | None
    ) -> Tensor:
        if inside is not None:
            x = x * inside
        if self.causal:
            return with_past(x, self.reach, conv, memory)
        if memory is not None:
            raise ValueError("an encoder that is not causal cannot continue a stream")
        return F.pad(x, (self.reach // 2, self.reach // 2))


class _Trend(nn.Module):
    """The mean of causal convolutions of several lengths, stored as one convolution.

    ``(1/M) sum_m conv_m(x)`` is linear in x, so it equals a single causal convolution whose taps
    are the mean of the left-padded kernels (``merge``). Long series are convolved by FFT instead of
    up to 128 taps of 320 x 320 weights; the last step of a window is one product.
    """

    def __init__(self, dim: int, kernels: tuple[int, ...]):
        super().__init__()
        merged = self.merge([nn.Conv1d(dim, dim, k) for k in kernels])
        self.weight, self.bias = (nn.Parameter(t.detach()) for t in merged)  # (D, D, K), (D,)
        self.length = max(kernels)

    @staticmethod
    def merge(convs: list[nn.Conv1d]) -> tuple[Tensor, Tensor]:
        """Weight (D, D, K), oldest tap first, and bias (D,) of the mean of causal convolutions."""
        length = max(conv.kernel_size[0] for conv in convs)
        padded = [F.pad(conv.weight, (length - conv.kernel_size[0], 0)) for conv in convs]
        biases: list[Tensor] = [conv.get_parameter("bias") for conv in convs]
        return torch.stack(padded).mean(0), torch.stack(biases).mean(0)

    def forward(self, y: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        steps = y.shape[1]
        past = with_past(y.transpose(1, 2), self.length - 1, self, memory)  # (B, D, K - 1 + T)
        if steps < 8:  # a stream's few steps are not worth a transform of the weights
            return F.conv1d(past, self.weight, self.bias).transpose(1, 2)
        size = 1 << (past.shape[-1] - 1).bit_length()
        dtype = torch.promote_types(past.dtype, torch.float32)  # no transforms in half precision
        spectrum = torch.fft.rfft(past.to(dtype), size).permute(2, 0, 1)  # (F, B, D)
        # The flip turns torch's cross-correlation into the convolution that a product means.
        filters = torch.fft.rfft(self.weight.to(dtype).flip(-1), size).permute(2, 1, 0)
        product = (spectrum @ filters).permute(1, 0, 2)  # (B, F, D); F x (D in, D out) filters
        wrapped = torch.fft.irfft(product, size, dim=1)
        return wrapped[:, self.length - 1 : self.length - 1 + steps] + self.bias

    def last(self, y: Tensor) -> Tensor:
        """The output at the last step only: (B, T, D) -> (B, D)."""
        recent = y[:, -self.length :]
        weight = self.weight[..., -recent.shape[1] :]
        return torch.einsum("btd,odt->bo", recent, weight) + self.bias
