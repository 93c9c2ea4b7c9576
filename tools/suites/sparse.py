"""The sparse engines: parity, time and memory against MinkowskiEngine, Open3D and each other.

Each system runs in its own process with the same number of threads; systems take turns, and the
best run counts. Times are wall time and processor time of the calling thread, since other load on
the machine inflates wall time, the more so with more threads.
"""

import ctypes
import gc
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from suites.table import RESULTS, Row
from torch import Tensor

from pcrep.encoders.unet import SparseUNet, UNetConfig, res16unet
from pcrep.encoders.voxelize import voxelize
from pcrep.sparse import Conv, SparseTensor
from tspcrep.common.errors import UserError

ME = "minkowskiengine-0.5.4"
ROOM = "points/s3dis_room/s3dis_room.npz"
NETWORKS = {"small": UNetConfig(), "14A": res16unet("14A")}
SHEETS = (10_000, 30_000, 100_000, 300_000, 1_000_000)


class Time(NamedTuple):
    """Milliseconds of the fastest run.

    wall : elapsed time. busy : processor time of the calling thread, an estimate of wall time on an
    idle machine, since the thread takes part in all parallel work and does not spin.
    """

    wall: float
    busy: float


class _Cost(NamedTuple):
    """A :class:`Time`, and peak memory in MB."""

    wall: float
    busy: float
    peak: float


def rows(threads: tuple[int, ...] = (1, 2), rounds: int = 2) -> list[Row]:
    """All rows that this machine can measure.

    threads: numbers of threads to measure with. rounds: turns of each system. Needs
    ``$TSPCREP_DATA`` for the S3DIS room, MinkowskiEngine and Open3D.
    """
    found = _parity()
    for count in threads:
        found += [*convolution(count, rounds), *_voxelisation(count, rounds)]
        for network in NETWORKS:
            found += training(network, count, rounds)
    found += scaling(max(threads))
    return found + (on_gpu() if torch.cuda.is_available() else [])


def room() -> Tensor:
    """Points (321015, 3) of the S3DIS room, metres."""
    root = os.environ.get("TSPCREP_DATA")
    path = Path(root or ".") / ROOM
    if not path.is_file():
        raise UserError(f"{path}: no such file; set TSPCREP_DATA to the folder that holds {ROOM}")
    return torch.from_numpy(np.load(path)["xyz"])


def _parity() -> list[Row]:
    """Largest relative difference of a U-Net's output and gradients, over the S3DIS room.

    Gradients are compared in float64 only: in float32, rounding decides the side of a ReLU whose
    input is almost 0. The tests compare every module in both.
    """
    voxels = voxelize(room(), 0.2).coordinates
    found = []
    for dtype in (torch.float32, torch.float64):
        numbers = {}
        for engine in ("numba", "minkowski"):
            torch.manual_seed(0)
            net = SparseUNet().to(dtype)
            x = torch.rand(len(voxels), 3, dtype=dtype, requires_grad=True)
            y = net(SparseTensor(voxels, x, engine=engine)).features
            y.square().mean().backward()
            numbers[engine] = [y.detach(), x.grad, *(p.grad for p in net.parameters())]
        name = f"parity/unet-small/{str(dtype).removeprefix('torch.')}"
        output, *gradients = zip(numbers["numba"], numbers["minkowski"], strict=True)
        found.append(Row(f"{name}/output", "sparse-numba", "error", _worst([output])))
        if dtype == torch.float64:
            found.append(Row(f"{name}/gradients", "sparse-numba", "error", _worst(gradients)))
    return found


def _worst(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """The largest difference, over the largest expected value."""
    scale = max(float(expected.abs().max()) for _, expected in pairs)
    return max(float((found - expected).abs().max()) for found, expected in pairs) / scale


def convolution(threads: int, rounds: int) -> list[Row]:
    """Map, forward and backward of one 3 x 3 x 3 convolution, 32 -> 32, on 67,709 voxels."""
    systems = {"sparse-numba": ("numba",), ME: ("modules",)}
    times = _race(_convolve, systems, threads, rounds)
    return _ratios(f"subm3/67k/32x32/{threads}-threads", times, "sparse-numba")


def training(network: str, threads: int, rounds: int) -> list[Row]:
    """A training step of a SparseUNet on the S3DIS room at 5 cm: time and memory."""
    systems = {"sparse-numba": ("numba", network), ME: ("minkowski", network)}
    times = _race(_train, systems, threads, rounds)
    case = f"unet-{network}/s3dis-5cm/{threads}-threads"
    found = _ratios(case, times, "sparse-numba")
    return found + [Row(case, name, "memory", t.peak, "MB") for name, t in times.items()]


def _voxelisation(threads: int, rounds: int) -> list[Row]:
    """Voxelisation of 321,015 points, with the maps in both directions."""
    found = []
    for size in (0.02, 0.05):
        systems = {
            "sparse-numba": ("ours", size),
            ME: ("minkowski", size),
            "open3d": ("open3d", size),
        }
        times = _race(_voxelise, systems, threads, rounds)
        case = f"voxelise/321015-points/{round(size * 100)}cm/{threads}-threads"
        found += _ratios(case, times, "sparse-numba")
    return found


def scaling(threads: int) -> list[Row]:
    """Scaling with voxels: map, forward and backward on sheets of 10^4 to 10^6, with a plot."""
    found = []
    for count in SHEETS:
        times = _race(_sheet, {"sparse-numba": (count,)}, threads, 1)
        t, case = times["sparse-numba"], f"scaling/{count}/32x32/{threads}-threads"
        found += _ratios(case, times, "sparse-numba")
        found.append(Row(case, "sparse-numba", "busy_per_voxel", 1e6 * t.busy / count, "ns"))
    _plot(SHEETS, [row.value for row in found if row.metric == "busy"])
    return found


def on_gpu(voxels: int = 200_000) -> list[Row]:
    """A training step of Res16UNet14A in 16 bits on the triton engine, twice, and on torch."""
    found, numbers = [], []
    coordinates = _sheet(voxels).cuda()
    for engine in ("triton", "triton", "torch"):
        torch.manual_seed(0)
        net = SparseUNet(NETWORKS["14A"]).cuda()
        features = torch.rand(len(coordinates), 3, device="cuda")

        def step(net=net, features=features, engine=engine) -> None:
            net.zero_grad()
            with torch.autocast("cuda", torch.float16):
                y = net(SparseTensor(coordinates, features, engine=engine)).features
            y.float().square().mean().backward()
            torch.cuda.synchronize()

        found.append(_best(step, 10))
        numbers.append([p.grad.clone() for p in net.parameters()])
    equal = all(torch.equal(a, b) for a, b in zip(numbers[0], numbers[1], strict=True))
    case = f"unet-14A/{voxels}-voxels/fp16"
    times = {"sparse-triton": Time(*map(min, *found[:2])), "sparse-torch": found[2]}
    return [
        *_ratios(case, times, "sparse-triton"),
        Row(case, "sparse-triton", "bit_equal", float(equal)),
    ]


def _sheet(count: int) -> Tensor:
    """About ``count`` voxels (N, 4) of a wavy surface, some with negative coordinates."""
    side = int(count**0.5)
    x, y = (v.flatten() - side // 2 for v in np.mgrid[:side, :side])
    z = np.floor(8 * np.sin(x / 17) + 8 * np.cos(y / 23))
    return torch.from_numpy(np.stack([0 * x, x, y, z], 1).astype(np.int32))


def _convolve(system: str) -> Time:
    torch.manual_seed(0)
    coordinates = voxelize(room(), 0.043).coordinates
    if system == "modules":
        return _best(_their_convolution(coordinates), 12)
    return _best(_our_convolution(coordinates), 12)


def _our_convolution(coordinates: Tensor) -> Callable[[], None]:
    conv, g = Conv(32, 32), torch.randn(len(coordinates), 32)
    x = torch.randn(len(coordinates), 32, requires_grad=True)

    def step() -> None:
        x.grad = conv.weight.grad = None
        conv(SparseTensor(coordinates, x, engine="numba")).features.backward(g)

    return step


def _their_convolution(coordinates: Tensor) -> Callable[[], None]:
    """A convolution with MinkowskiEngine's own tensor and module."""
    from pcrep.sparse.engines.minkowski import load

    me = load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conv = me.MinkowskiConvolution(32, 32, kernel_size=3, dimension=3)
    g = torch.randn(len(coordinates), 32)
    x = torch.randn(len(coordinates), 32, requires_grad=True)

    def step() -> None:
        x.grad = conv.kernel.grad = None
        conv(me.SparseTensor(x, coordinates)).F.backward(g)

    return step


def _train(engine: str, network: str) -> _Cost:
    torch.manual_seed(0)
    coordinates = voxelize(room(), 0.05).coordinates
    features = torch.rand(len(coordinates), 3)
    net = SparseUNet(NETWORKS[network])

    def step() -> None:
        for p in net.parameters():
            p.grad = None
        net(SparseTensor(coordinates, features, engine=engine)).features.square().mean().backward()

    return _Cost(*_best(step, 6 if network == "small" else 3), _peak(step))


def _voxelise(system: str, size: float) -> Time:
    points = room()
    if system == "ours":
        return _best(lambda: voxelize(points, size), 20)
    if system == "minkowski":
        from pcrep.sparse.engines.minkowski import load

        quantize = load().utils.sparse_quantize
        return _best(
            lambda: quantize(
                points, return_index=True, return_inverse=True, quantization_size=size
            ),
            20,
        )
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.numpy()))
    return _best(lambda: cloud.voxel_down_sample(size), 20)


def _sheet(count: int) -> Time:
    return _best(_our_convolution(_sheet(count)), 5)


def _best(job: Callable[[], object], repeats: int) -> Time:
    """The fastest of ``repeats`` runs, after a warm-up run that compiles."""
    job()
    walls, busy = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.thread_time()
        job()
        walls.append(time.perf_counter() - start[0])
        busy.append(time.thread_time() - start[1])
    return Time(1e3 * min(walls), 1e3 * min(busy))


def _peak(job: Callable[[], object]) -> float:
    """Peak resident memory of a run above that of the process before it, MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before may not hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # start the high-water mark anew
    before = _status("VmRSS")
    job()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


def _race(job: Callable, systems: dict[str, tuple], threads: int, rounds: int) -> dict:
    """The best of ``rounds`` turns of each system, each in a fresh process."""
    best: dict = {}
    # Threads that wait leave the core to others: on a shared machine nothing else can be measured.
    variables = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    with _environment(**variables):
        for _ in range(rounds):
            for name, arguments in systems.items():
                with multiprocessing.get_context("spawn").Pool(1, _settle, (threads,)) as pool:
                    found = pool.apply(job, arguments)
                best[name] = type(found)(*map(min, best.get(name, found), found))
    return best


def _settle(threads: int) -> None:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ratios(case: str, times: dict[str, Time], ours: str) -> list[Row]:
    """Rows of the times, and of the speed-up of ours over each other system."""
    found = []
    for name, t in times.items():
        found += [Row(case, name, "wall", t.wall, "ms"), Row(case, name, "busy", t.busy, "ms")]
        if name != ours:
            found += [
                Row(case, ours, f"wall_times_faster_than_{name}", t.wall / times[ours].wall, "x"),
                Row(case, ours, f"busy_times_faster_than_{name}", t.busy / times[ours].busy, "x"),
            ]
    return found


def _plot(voxels: tuple[int, ...], milliseconds: list[float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    axes.loglog(voxels, milliseconds, "o-", label="map + forward + backward")
    line = [milliseconds[0] * n / voxels[0] for n in voxels]
    axes.loglog(voxels, line, "--", color="grey", label="linear")
    axes.set(
        xlabel="voxels",
        ylabel="ms of the calling thread",
        title="3 x 3 x 3 convolution, 32 to 32 channels, CPU",
    )
    axes.legend()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "sparse-scaling.png", dpi=120)
    pyplot.close(figure)
