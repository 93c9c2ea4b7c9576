"""Batch normalisation of rows, the same on any number of threads and of processes."""

import numpy as np
import torch
from numba import prange
from torch import Tensor, nn

from tspcrep.common.distributed import ranks, total
from tspcrep.common.jit import jit, parallel

_ROWS = 256  # of a chunk: its rows are summed in turn, and then the chunks


class BatchNorm(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` for rows (N, C): the same options, weights and state.

    On a CPU torch gives each of its threads a share of the rows to sum, so the last bits of a
    training depend on their number, and soon all others. Here the shares are fixed, and summed in
    float64. On other devices and for other shapes this is torch's.

    In training, rows are normalised by the moments of those of all processes, so every process
    must call it equally often.
    """

    def forward(self, x: Tensor) -> Tensor:
        plain = self.affine and self.track_running_stats and self.momentum is not None
        if plain and self.training and x.ndim == 2 and ranks()[1] > 1:
            return self._over_ranks(x)
        traced = torch.compiler.is_compiling()  # where numbers are not there to be summed
        if not plain or traced or x.device.type != "cpu" or x.ndim != 2 or len(x) < 2:
            return super().forward(x)
        self._check_channels(x)
        mean, variance = self.running_mean, self.running_var
        if not self.training:
            return _Normalise.apply(x, self.weight, self.bias, mean, variance, self.eps, False)
        mean, variance = torch.from_numpy(_moments(_rows(x, self.weight)))
        self._remember(mean, variance * (len(x) / (len(x) - 1)))
        return _Normalise.apply(x, self.weight, self.bias, mean, variance, self.eps, True)

    def _over_ranks(self, x: Tensor) -> Tensor:
        """The rows (N, C) of this process, normalised by the moments of all."""
        self._check_channels(x)
        rows = x.to(self.weight.dtype)
        count = total(torch.tensor(float(len(x)), dtype=torch.float64, device=x.device))
        mean = total(rows.sum(0, dtype=torch.float64)) / count
        apart = rows - mean.to(rows.dtype)
        variance = total(apart.square().sum(0, dtype=torch.float64)) / count
        self._remember(mean, variance * (count / (count - 1).clamp_min(1)))
        rate = (variance + self.eps).rsqrt().to(rows.dtype)
        return (apart * (rate * self.weight) + self.bias).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running moments, where there are any, towards those of a batch."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None and self.momentum is not None:
                running.lerp_(now.to(running.dtype), self.momentum)

    def _check_channels(self, x: Tensor) -> None:
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"rows have shape {tuple(x.shape)}, expected (N, {self.num_features}) for this "
                "batch normalisation"
            )


class _Normalise(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` (Ioffe and Szegedy, ICML 2015, Alg. 1).

    of_batch : mean and variance are those of x, so that its gradient passes through them too.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, variance, eps, of_batch):
        mean, rate = (t.to(weight.dtype) for t in (mean, (variance.double() + eps).rsqrt()))
        ctx.save_for_backward(x, weight, bias, mean, rate)
        ctx.options = eps, of_batch
        rows = _rows(x, weight)
        out = np.empty_like(rows)
        _affine(rows, mean.numpy(), (weight.detach() * rate).numpy(), bias.detach().numpy(), out)
        return torch.from_numpy(out).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, mean, rate = ctx.saved_tensors
        eps, of_batch = ctx.options
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # by torch's operations, which have further gradients
            if of_batch:
                mean, rate = x.mean(0), (x.var(0, unbiased=False) + eps).rsqrt()
            out = (x - mean) * rate * weight + bias
            inputs = [t for t, need in zip((x, weight, bias), needed, strict=True) if need]
            found = iter(torch.autograd.grad(out, inputs, grad, create_graph=True))
            return *(next(found) if need else None for need in needed), None, None, None, None
        rows, slope = _rows(x, weight), _rows(grad, weight)
        sums = _gradient_sums(rows, slope, mean.numpy(), rate.numpy())
        grad_x = None
        if needed[0]:
            shares = (sums / (len(x) if of_batch else np.inf)).astype(rows.dtype)
            out = np.empty_like(rows)
            scale = (weight.detach() * rate).numpy()
            _gradient(rows, slope, mean.numpy(), rate.numpy(), scale, shares, out)
            grad_x = torch.from_numpy(out).to(x.dtype)
        grad_bias, grad_weight = torch.from_numpy(sums).to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None, None, None, None


def _rows(x: Tensor, weight: Tensor) -> np.ndarray:
    """Contiguous rows in the dtype of the weights, in which 16-bit features are computed."""
    return x.detach().to(weight.dtype).contiguous().numpy()


@parallel
def _moments(x):
    """Mean and variance of columns, (2, C) float64.

    From sums of differences to the first row, which keeps digits where the mean is large (Chan,
    Golub and LeVeque, The American Statistician, 1983).
    """
    count, width = x.shape
    chunks = (count + _ROWS - 1) // _ROWS
    sums = np.zeros((chunks, 2, width))
    for chunk in prange(chunks):
        for i in range(chunk * _ROWS, min((chunk + 1) * _ROWS, count)):
            for c in range(width):
                difference = np.float64(x[i, c]) - np.float64(x[0, c])
                sums[chunk, 0, c] += difference
                sums[chunk, 1, c] += difference * difference
    _add_up(sums)
    moments = np.empty((2, width))
    for c in range(width):
        ahead = sums[0, 0, c] / count
        variance = sums[0, 1, c] / count - ahead * ahead
        moments[0, c] = x[0, c] + ahead
        moments[1, c] = 0.0 if variance < 0 else variance  # so that NaN stays
    return moments


@parallel
def _affine(x, mean, scale, shift, out):
    count, width = x.shape
    for chunk in prange((count + _ROWS - 1) // _ROWS):
        for i in range(chunk * _ROWS, min((chunk + 1) * _ROWS, count)):
            for c in range(width):
                out[i, c] = (x[i, c] - mean[c]) * scale[c] + shift[c]


@parallel
def _gradient_sums(x, g, mean, rate):
    """Sums over rows of g and of g times normalised x, (2, C) float64."""
    count, width = x.shape
    chunks = (count + _ROWS - 1) // _ROWS
    sums = np.zeros((chunks, 2, width))
    for chunk in prange(chunks):
        for i in range(chunk * _ROWS, min((chunk + 1) * _ROWS, count)):
            for c in range(width):
                sums[chunk, 0, c] += g[i, c]
                sums[chunk, 1, c] += g[i, c] * ((x[i, c] - mean[c]) * rate[c])
    _add_up(sums)
    return sums[0]


@parallel
def _gradient(x, g, mean, rate, scale, shares, out):
    count, width = x.shape
    for chunk in prange((count + _ROWS - 1) // _ROWS):
        for i in range(chunk * _ROWS, min((chunk + 1) * _ROWS, count)):
            for c in range(width):
                normalised = (x[i, c] - mean[c]) * rate[c]
                out[i, c] = scale[c] * (g[i, c] - shares[0, c] - normalised * shares[1, c])


@jit
def _add_up(sums):
    """Add the sums of all chunks into those of the first, in order."""
    for chunk in range(1, len(sums)):
        for k in range(sums.shape[1]):
            for c in range(sums.shape[2]):
                sums[0, k, c] += sums[chunk, k, c]
