"""The triton engine: what a CPU can say about it, and the rest where there is a GPU.

On a CPU the operators of spconv-triton are stood in for by loops that follow their documentation;
the calls are checked against the real signatures where the package is installed.
"""

import inspect
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from pcrep.sparse import Conv, ConvTranspose, SparseTensor
from pcrep.sparse.engines import Geometry, create
from pcrep.sparse.engines.torch import Torch
from pcrep.sparse.engines.triton import Triton, _Visits, fitting
from tests.pcrep.clouds import close, cloud, features

ops = pytest.importorskip("spconv_triton.pytorch.ops", reason="spconv-triton is not installed")
gemm = pytest.importorskip("spconv_triton.pytorch._impl.gemm")
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


def conv_backward_weight(*args, **kwargs):
    call = inspect.signature(gemm.conv_backward_weight).bind(*args, **kwargs).arguments
    x, g = call["features"], call["grad_out"]
    grad = x.new_zeros(call["weight_shape_krsc"])
    for k, row in enumerate(call["pair_fwd"]):
        there = row >= 0
        grad[:, k] = g[there].T @ x[row[there].long()]
    return grad


def on_loops() -> Triton:
    """The engine, with the package's operators stood in for."""
    engine = Triton()
    engine._ops = SimpleNamespace(implicit_gemm=implicit_gemm)
    engine._gemm = SimpleNamespace(
        conv_backward_weight=conv_backward_weight,
        _gather_gemm_kernel=SimpleNamespace(early_config_prune=None),
        _dweight_masked_kernel=SimpleNamespace(early_config_prune=None),
    )
    return engine


def maps(kernel, stride, swap=False):
    """An engine on loops and the reference, each with its kernel map, and the input's rows."""
    coordinates = cloud(kernel)
    engine, reference = on_loops(), Torch()
    ones, strides = (1,) * 3, (stride,) * 3
    outputs = coordinates if stride == 1 else reference.downsample(coordinates, ones, strides)
    geometry = Geometry((kernel,) * 3, ones, strides, ones)
    pairs = [(e, e.kernel_map(geometry, coordinates, outputs)) for e in (engine, reference)]
    if swap:
        pairs = [(e, m.swapped()) for e, m in pairs]
    return pairs, outputs if swap else coordinates


@pytest.mark.parametrize("kernel, stride", [(1, 2), (2, 2), (3, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("swap", [False, True])
def test_calls_on_a_cpu(kernel, stride, swap):
    pairs, rows = maps(kernel, stride, swap)
    weight = torch.randn(kernel**3, 4, 5, requires_grad=True)
    results = []
    for engine, kernel_map in pairs:
        x = features(rows, 4, torch.float32)
        y = engine.convolve(x, weight, kernel_map)
        g = torch.arange(y.numel()).view_as(y) % 7 - 3.0
        first = torch.autograd.grad(y, (x, weight), g, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum() + first[1].sum(), (x, weight))
        results.append((y, *first, *second))
    for found, expected in zip(*results, strict=True):
        close(found, expected, 1e-5)


def test_only_the_gradients_that_are_needed_are_computed():
    ((engine, kernel_map), _), rows = maps(3, 1)
    called = []
    for place, name in ((engine._ops, "implicit_gemm"), (engine._gemm, "conv_backward_weight")):
        call = getattr(place, name)
        setattr(place, name, lambda *a, _c=call, _n=name, **k: (called.append(_n), _c(*a, **k))[1])
    x, weight = features(rows, 4, torch.float32), torch.randn(27, 4, 5, requires_grad=True)
    engine.convolve(x.detach(), weight, kernel_map).sum().backward()
    assert called == ["implicit_gemm", "conv_backward_weight"]
    called.clear()
    engine.convolve(x, weight.detach(), kernel_map).sum().backward()
    assert called == ["implicit_gemm", "implicit_gemm"]


TF32 = """
import torch
from pcrep.sparse.engines.triton import Triton

engine = Triton()
kernel = engine._gemm._gather_gemm_kernel

def check(expected):
    for before in (False, True):
        engine._switches.SPCONV_ALLOW_TF32 = kernel.early_config_prune = before
        try:
            with engine._settings():
                assert engine._switches.SPCONV_ALLOW_TF32 is expected
                assert callable(kernel.early_config_prune)
                raise KeyError
        except KeyError:
            pass
        assert engine._switches.SPCONV_ALLOW_TF32 is kernel.early_config_prune is before

matmul = torch.backends.cuda.matmul
check(False)
matmul.allow_tf32 = True
check(True)
torch.set_float32_matmul_precision("highest")
check(False)
torch.set_float32_matmul_precision("high")
check(True)
if hasattr(torch.backends, "fp32_precision"):  # torch 2.9; from here on allow_tf32 raises
    matmul.fp32_precision = "ieee"
    check(False)
    matmul.fp32_precision = "tf32"
    check(True)
    matmul.fp32_precision, torch.backends.fp32_precision = "none", "tf32"
    check(True)
"""


def test_tf32_is_torchs_and_the_packages_settings_are_put_back():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TF32], capture_output=True, text=True, check=False
    )  # a process of its own: torch refuses to go back to the old setting
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("widths", [(16, 16), (32, 64), (64, 64), (96, 96), (4, 16), (256, 384)])
@pytest.mark.parametrize("kernel, names", [
    ("_gather_gemm_kernel", ("N_dim", "R_dim")), ("_dweight_masked_kernel", ("K_dim", "C_dim"))
])  # fmt: skip
def test_the_tuner_has_few_candidates_that_fit(widths, kernel, names):
    configs = getattr(gemm, kernel).configs
    chosen = fitting(configs, dict(zip(names, widths, strict=True)), M=7)
    assert len(chosen) <= 6 < len(configs) and set(map(id, chosen)) <= set(map(id, configs))

    def padded(config):
        sides = [config.kwargs[f"BLOCK_{name[0]}"] for name in names]
        return math.prod(-(-w // side) * side for w, side in zip(widths, sides, strict=True))

    assert padded(chosen[0]) == min(map(padded, configs))


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


REAL = """
import torch
from spconv_triton.pytorch._impl import gemm
from pcrep.sparse.engines import Geometry
from pcrep.sparse.engines.torch import Torch
from pcrep.sparse.engines.triton import Triton
from tests.pcrep.clouds import close, cloud, features

class OnGPU(torch.Tensor):
    is_cuda = True  # which the package asks for

for kernel in (gemm._gather_gemm_kernel, gemm._dweight_masked_kernel):
    kernel.configs = kernel.configs[:1]  # nothing to time
gemm._multiprocessor_count = lambda device: 16

coordinates, engine, reference = cloud(1, 40, 1, 3), Triton(), Torch()
one, two = (1,) * 3, (2,) * 3
cells = reference.downsample(coordinates, one, two)
for geometry in (Geometry((3,) * 3, one, one, one), Geometry(two, one, two, one)):
    outputs = coordinates if geometry.outputs == one else cells
    ours, theirs = (e.kernel_map(geometry, coordinates, outputs) for e in (engine, reference))
    for ours, theirs, rows in ((ours, theirs, coordinates),
                               (ours.swapped(), theirs.swapped(), outputs)):
        x = features(rows, 16, torch.float32)
        weight = torch.randn(len(geometry.offsets()), 16, 32, requires_grad=True)
        y = reference.convolve(x, weight, theirs)
        g = torch.randn(y.shape)
        y.backward(g)
        x = x.detach().as_subclass(OnGPU)
        close(engine.product(x, weight.detach(), ours).as_subclass(torch.Tensor), y.detach(), 1e-5)
        close(engine.outer(x, g, ours).as_subclass(torch.Tensor), weight.grad, 1e-5)
"""


def test_the_real_kernels_in_tritons_interpreter():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REAL],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
