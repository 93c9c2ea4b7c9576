"""The triton engine: what a CPU can say about it, and the rest where there is a GPU.

On a CPU the operators of spconv-triton are stood in for by loops that follow their documentation;
the calls are checked against the real signatures where the package is installed.
"""

import inspect
from types import SimpleNamespace

import pytest
import torch

from pcrep.sparse import Conv, ConvTranspose, SparseTensor
from pcrep.sparse.engines import Geometry, create
from pcrep.sparse.engines.torch import Torch
from pcrep.sparse.engines.triton import Triton, _Visits
from tests.pcrep.clouds import close, cloud, features

ops = pytest.importorskip("spconv_triton.pytorch.ops", reason="spconv-triton is not installed")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def product(features, krsc, table):
    """out[o] = sum_k features[table[k, o]] @ krsc[:, k]^T."""
    out = features.new_zeros(table.shape[1], krsc.shape[0])
    for k, row in enumerate(table):
        there = row >= 0
        out[there] += features[row[there].long()] @ krsc[:, k].T
    return out


def flat(krsc):
    return krsc.reshape(krsc.shape[0], -1, krsc.shape[-1])


def implicit_gemm(*args, **kwargs):
    call = inspect.signature(ops.implicit_gemm).bind(*args, **kwargs).arguments
    masks, order = call["pair_mask_fwd_splits"], call["mask_argsort_fwd_splits"]
    assert len(masks) == len(order) == len(call["masks"])
    assert call["pair_fwd"].is_contiguous() and call["pair_fwd"].dtype == torch.int32
    return product(call["features"], flat(call["filters"]), call["pair_fwd"]), None, -1


def implicit_gemm_backward(*args, **kwargs):
    call = inspect.signature(ops.implicit_gemm_backward).bind(*args, **kwargs).arguments
    x, g, w = call["features"], call["grad_output"], flat(call["filters"])
    grad_w = torch.zeros_like(w)
    for k, row in enumerate(call["pair_fwd"]):
        there = row >= 0
        grad_w[:, k] = g[there].T @ x[row[there].long()]
    grad_x = product(g, w.permute(2, 1, 0), call["pair_bwd"])
    return grad_x, grad_w.reshape(call["filters"].shape)


@pytest.mark.parametrize("kernel, stride", [(1, 2), (2, 2), (3, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("swap", [False, True])
def test_calls_on_a_cpu(kernel, stride, swap):
    coordinates, ones, strides = cloud(kernel), (1,) * 3, (stride,) * 3
    engine, reference = Triton(), Torch()
    engine._ops = SimpleNamespace(
        implicit_gemm=implicit_gemm, implicit_gemm_backward=implicit_gemm_backward
    )
    outputs = coordinates if stride == 1 else reference.downsample(coordinates, ones, strides)
    geometry = Geometry((kernel,) * 3, ones, strides, ones)
    ours = engine.kernel_map(geometry, coordinates, outputs)
    theirs = reference.kernel_map(geometry, coordinates, outputs)
    if swap:
        ours, theirs = ours.swapped(), theirs.swapped()
    rows = outputs if swap else coordinates
    weight = torch.randn(kernel**3, 4, 5, requires_grad=True)
    results = []
    for e, m in ((engine, ours), (reference, theirs)):
        x = features(rows, 4, torch.float32)
        y = e.convolve(x, weight, m)
        g = torch.arange(y.numel()).view_as(y) % 7 - 3.0
        results.append((y, *torch.autograd.grad(y, (x, weight), g)))
    for found, expected in zip(*results, strict=True):
        close(found, expected, 1e-5)


def test_visits_group_rows_with_the_same_taps():
    table = torch.full((32, 3), -1, dtype=torch.int32)
    table[[31, 0, 1], [0, 1, 1]] = 0
    visits = _Visits.of(table)
    assert visits.argsort[0].tolist() == [2, 1, 0]
    assert visits.masks[0].flatten().tolist() == [0, 3, -(2**31)]  # bit 31 is the sign
    assert _Visits.of(table.repeat(2, 1)).masks == []  # more taps than bits


def test_on_a_cpu_it_says_where_it_computes():
    with pytest.raises(ValueError, match=r"engine .triton. computes on cuda, found .* cpu"):
        create("triton", "cpu")


@gpu
@pytest.mark.parametrize(
    "dtype, relative", [(torch.float32, 1e-4), (torch.float16, 2e-2), (torch.bfloat16, 5e-2)]
)
def test_parity_and_bit_equal_runs(dtype, relative):
    coordinates = cloud(1, points=20_000, extent=40)
    torch.manual_seed(0)
    net = torch.nn.Sequential(Conv(16, 32), Conv(32, 32, 2, 2), ConvTranspose(32, 16, 2, 2))
    results = []
    for engine, device in (("numba", "cpu"), ("triton", "cuda"), ("triton", "cuda")):
        net.to(device).zero_grad()
        x = features(coordinates, 16, torch.float32).detach().to(device).requires_grad_()
        with torch.autocast(device, dtype, enabled=device == "cuda" and dtype != torch.float32):
            y = net(SparseTensor(coordinates.to(device), x, engine=engine)).features
        y.float().square().mean().backward()
        results.append([t.float().cpu() for t in (y.detach(), x.grad, net[0].weight.grad)])
    for found, again, expected in zip(results[1], results[2], results[0], strict=True):
        assert torch.equal(found, again)
        close(found, expected, relative)
