"""Contrastive losses: memory and time of ``info_nce``, against bare products and two libraries.

Everything runs forward and backward. Systems take turns and the best of some repeats counts, so
that a busy machine slows all of them. Rows of a GPU come where there is one.
pytorch-metric-learning and lightly are measured where they are installed
(``pip install tspcrep[bench]``).
"""

import contextlib
import ctypes
import multiprocessing
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import torch
from suites.table import Row
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from tspcrep.common.losses import mv_dhel, nt_xent
from tspcrep.common.ops import info_nce, tiled
from tspcrep.common.pairs import Pairs

TEMPERATURE = 0.1


def rows(repeats: int = 5) -> list[Row]:
    few = max(repeats // 2, 1)
    found = [
        *memory(),
        *time_over_products("32768x128", *_pair(32768, 128), repeats=few),
        *few_labels(repeats=few),
        *time_over_products("2048x65536x128/bf16", *_bf16(2048, 65536), repeats=few),
        *time_of_libraries(512, repeats=repeats),
        *time_of_libraries(4096, repeats=8 * repeats),  # short: many rounds cost little
        *many_views(),
    ]
    return found + (on_gpu(repeats=repeats) if torch.cuda.is_available() else [])


def memory(count: int = 32768, dim: int = 128, dense_count: int = 8192) -> list[Row]:
    """Peak memory of a step above inputs and gradients, each in a process of its own."""
    found = []
    for impl, size in (("tiled", count), ("tiled", dense_count), ("dense", dense_count)):
        peak = _peak_in_a_process(impl, size, dim)
        found.append(Row(f"info_nce/{size}x{dim}/cpu", f"info_nce-{impl}", "memory", peak, "MB"))
    return found


def few_labels(count: int = 8192, dim: int = 128, labels: int = 2, repeats: int = 2) -> list[Row]:
    """Memory and time of a supervised step where a row has thousands of positives."""
    case = f"{count}x{dim}/{labels}-labels"
    peak = _peak_in_a_process("tiled", count, dim, labels)
    z = _pair(count, dim)[0]
    return [
        Row(f"info_nce/{case}/cpu", "info_nce-tiled", "memory", peak, "MB"),
        *time_over_products(case, z, z, _labels(count, labels), repeats),
    ]


def _labels(count: int, labels: int | None) -> Pairs | None:
    return None if labels is None else Pairs.labels(torch.arange(count) % labels)


def _peak_in_a_process(*arguments) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, arguments)


def _peak(impl: str, count: int, dim: int, labels: int | None = None) -> float:
    """MB above inputs and gradients, from the kernel's high-water mark of resident memory."""
    a, c = _pair(64, dim)
    _step(a, c, impl, _labels(64, labels))()  # what torch loads once is not the loss's
    a, c = _pair(count, dim)
    if labels is not None:
        c = a
    step = _step(a, c, impl, _labels(count, labels))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before may not hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # start the mark anew
    before = _status("VmRSS")
    step()
    gradients = (1 if c is a else 2) * count * dim * 4 / 1e6
    return _status("VmHWM") - before - gradients


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


def time_over_products(
    name: str, a: Tensor, c: Tensor, pairs: Pairs | None = None, repeats: int = 2
) -> list[Row]:
    """A step against the three matrix products without which there is no exact gradient."""
    jobs = {"info_nce-tiled": _step(a, c, "tiled", pairs), "three-products": _products(a, c)}
    seconds = _race(jobs, repeats)
    case = f"info_nce/{name}/cpu"
    found = [Row(case, name, "time", x, "s") for name, x in seconds.items()]
    ratio = seconds["info_nce-tiled"] / seconds["three-products"]
    return [*found, Row(case, "info_nce-tiled", "time_over_products", ratio, "x")]


def _bf16(batch: int, count: int, dim: int = 128) -> tuple[Tensor, Tensor]:
    a, c = (x.detach().bfloat16() for x in _pair(count, dim))
    return a[:batch].clone().requires_grad_(), c.requires_grad_()


def _products(a: Tensor, c: Tensor) -> Callable[[], None]:
    """Logits and both gradients over tiles as high as the loss's, into memory that lies ready.

    In float32 for rows of 16 bits too, as most CPUs multiply these far more slowly.
    """
    a, c = a.detach().float(), c.detach().float()
    height = max(tiled.TILE_BYTES["cpu"] // (4 * len(c)), 1)
    tile = torch.empty(height, len(c))
    grads = torch.empty_like(a), torch.zeros_like(c)

    def run() -> None:
        for start in range(0, len(a), height):
            rows_ = a[start : start + height]
            logits = torch.mm(rows_, c.T, out=tile[: len(rows_)])
            torch.mm(logits, c, out=grads[0][start : start + height])
            grads[1].addmm_(logits.T, rows_)

    return run


def time_of_libraries(count: int = 4096, dim: int = 128, repeats: int = 5) -> list[Row]:
    """NT-Xent of ``count`` rows in all, two views; every system's value is checked.

    A system that asks for more memory than there is takes infinite time:
    pytorch-metric-learning wants 64 GiB for 4,096 rows.
    """
    first, second = _pair(count // 2, dim)
    losses = {"nt_xent": lambda: nt_xent(first, second, TEMPERATURE), **_libraries(first, second)}
    case, found, expected = f"nt_xent/{count}x{dim}/cpu", [], float(losses["nt_xent"]().detach())
    for name in list(losses):
        try:
            value = float(losses[name]().detach())
        except RuntimeError as error:
            if "allocate" not in str(error):
                raise
            found.append(Row(case, name, "time", float("inf"), "s"))
            del losses[name]
            continue
        if abs(value / expected - 1) > 1e-5:
            raise AssertionError(f"{name} gives {value}, nt_xent {expected}")

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            first.grad = second.grad = None
            loss().backward()

        return run

    seconds = _race({name: step(loss) for name, loss in losses.items()}, repeats)
    found += [Row(case, name, "time", x, "s") for name, x in seconds.items()]
    others = [x for name, x in seconds.items() if name != "nt_xent"]
    if others:
        ratio = seconds["nt_xent"] / min(others)
        found.append(Row(case, "nt_xent", "time_over_faster_library", ratio, "x"))
    return found


def _libraries(first: Tensor, second: Tensor) -> dict[str, Callable[[], Tensor]]:
    found = {}
    with contextlib.suppress(ImportError, PackageNotFoundError):
        from pytorch_metric_learning.losses import NTXentLoss as Metric

        metric, labels = Metric(TEMPERATURE), torch.arange(len(first)).repeat(2)
        name = f"pytorch-metric-learning-{version('pytorch-metric-learning')}"
        found[name] = lambda: metric(torch.cat([first, second]), labels)
    with contextlib.suppress(ImportError, PackageNotFoundError):
        from lightly.loss import NTXentLoss as Lightly

        lightly = Lightly(TEMPERATURE)
        found[f"lightly-{version('lightly')}"] = lambda: lightly(first, second)
    return found


def many_views(views: int = 8, batch: int = 256, dim: int = 128) -> list[Row]:
    """MV-DHEL in float32 from a collapsed start, against float64."""
    generator = torch.Generator().manual_seed(0)
    start = 1 + 1e-3 * torch.randn(views, batch, dim, generator=generator)
    value = float(mv_dhel(start, TEMPERATURE))
    exact = float(mv_dhel(start.double(), TEMPERATURE))
    case = f"mv_dhel/{views}-views/collapsed"
    return [
        Row(case, "mv_dhel", "value", value),
        Row(case, "mv_dhel", "relative_error", abs(value / exact - 1)),
    ]


def on_gpu(count: int = 65536, dim: int = 256, repeats: int = 5) -> list[Row]:
    """Time and memory above the inputs, bf16, against cross-entropy on the full matrix."""
    a, c = (x.to("cuda", torch.bfloat16).detach().requires_grad_() for x in _pair(count, dim))
    target = torch.arange(count, device="cuda")

    def dense(a: Tensor, c: Tensor) -> Tensor:
        return cross_entropy(a @ c.T / TEMPERATURE, target)

    compiled = torch.compile(dense)
    systems = {
        "info_nce-tiled": lambda: info_nce(a, c, None, TEMPERATURE, impl="tiled"),
        "info_nce-triton": lambda: info_nce(a, c, None, TEMPERATURE, impl="triton"),
        "dense": lambda: dense(a, c),
        "dense-compiled": lambda: compiled(a, c),
    }
    case, found = f"info_nce/{count}x{dim}/bf16", []
    for name, loss in systems.items():
        seconds, peak = [], 0.0
        try:
            for _ in range(repeats + 1):  # the first one compiles
                a.grad = c.grad = None
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before, start = torch.cuda.memory_allocated(), perf_counter()
                loss().backward()
                torch.cuda.synchronize()
                seconds.append(perf_counter() - start)
                gradients = sum(x.numel() * x.element_size() for x in (a, c))
                peak = (torch.cuda.max_memory_allocated() - before - gradients) / 1e6
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            found.append(Row(case, name, "memory", float("inf"), "MB"))
            continue
        found.append(Row(case, name, "time", min(seconds[1:]), "s"))
        found.append(Row(case, name, "memory", peak, "MB"))
    return found


def _pair(count: int, dim: int) -> tuple[Tensor, Tensor]:
    """Unit rows of positive pairs, with gradient."""
    generator = torch.Generator().manual_seed(0)
    first = normalize(torch.randn(count, dim, generator=generator), dim=-1)
    second = normalize(first + 0.05 * torch.randn(count, dim, generator=generator), dim=-1)
    return first.requires_grad_(), second.requires_grad_()


def _step(a: Tensor, c: Tensor, impl: str, pairs: Pairs | None = None) -> Callable[[], None]:
    def run() -> None:
        a.grad = c.grad = None
        info_nce(a, c, pairs, TEMPERATURE, impl=impl).backward()

    return run


def _race(jobs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Best seconds of each job; they take turns."""
    seconds = {name: [] for name in jobs}
    for _ in range(repeats + 1):  # the first round warms up
        for name, job in jobs.items():
            start = perf_counter()
            job()
            seconds[name].append(perf_counter() - start)
    return {name: min(x[1:]) for name, x in seconds.items()}
