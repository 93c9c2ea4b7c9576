"""The sparse engines: parity, time and memory against MinkowskiEngine, Open3D and each other.

Each system runs in its own process with the same number of threads; systems take turns, and the
best run counts. Times are wall time and processor time of the calling thread, since other load on
the machine inflates wall time, the more so with more threads.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from suites.files import data_file
from suites.table import RESULTS, Row
from suites.timing import Cost, Time, best, peak, race, ratios
from torch import Tensor

from pcrep.datasets import load_points
from pcrep.encoders.encoding import encode, new_encoder
from pcrep.encoders.unet import SparseUNet, UNetConfig, res16unet
from pcrep.encoders.voxelize import voxelize
from pcrep.sparse import Conv, SparseTensor

ME = "minkowskiengine-0.5.4"
ROOM = "points/s3dis_room/s3dis_room.npz"
LAS = "points/aerial/autzen_trim.las"
SCANS = {
    "s3dis-2cm": (ROOM, 0.02),
    "mosd-5mm": ("points/mosd/learn0.pcd", 0.005),
    "ign-50cm": ("points/ign_lidar/tile_77050_627755.laz", 0.5),
}
NETWORKS = {"small": UNetConfig(), "14A": res16unet("14A"), "34C": res16unet("34C")}
SHEETS = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def cases() -> list[str]:
    """What is measured one after the other, so that a benchmark that is stopped can go on."""
    found = ["parity", "convolution", "voxelisation", *NETWORKS, *SCANS, "las", "scaling"]
    return [*found, "gpu"] if torch.cuda.is_available() else found


def rows(case: str, threads: tuple[int, ...] = (1, 2), rounds: int = 2) -> list[Row]:
    """The rows of one of :func:`cases`.

    threads: numbers of threads to measure with. rounds: turns of each system. Needs
    ``$TSPCREP_DATA`` for the S3DIS room, MinkowskiEngine and Open3D.
    """
    once = {
        "parity": _parity,
        "las": lambda: las_to_features(rounds),
        "scaling": lambda: scaling(max(threads)),
        "gpu": on_gpu,
    }
    if case in once:
        return once[case]()
    found = []
    for count in threads:
        if case in NETWORKS:
            found += training(case, count, rounds)
        elif case in SCANS:
            for channels in (32, 96):
                found += on_scan(case, channels, count, rounds)
        else:
            measure = {"convolution": convolution, "voxelisation": _voxelisation}[case]
            found += measure(count, rounds)
    return found


def room() -> Tensor:
    """Points (321015, 3) of the S3DIS room, metres."""
    return torch.from_numpy(np.load(data_file(ROOM))["xyz"])


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
    times = race(_convolve, systems, threads, rounds)
    return ratios(f"subm3/67k/32x32/{threads}-threads", times, "sparse-numba")


def on_scan(scan: str, channels: int, threads: int, rounds: int) -> list[Row]:
    """The 3 x 3 x 3 convolution on a scan, and its weight gradient beside a dense product."""
    systems = {"sparse-numba": ("numba", scan, channels), ME: ("modules", scan, channels)}
    case = f"subm3/{scan}/{channels}x{channels}/{threads}-threads"
    found = ratios(case, race(_convolve_scan, systems, threads, rounds), "sparse-numba")
    speeds = race(_weight_gradient, {"sparse-numba": (scan, channels)}, threads, rounds)
    share = speeds["sparse-numba"]
    return [*found, Row(case, "sparse-numba", "weight_gradient_of_gemm", share.wall, "fraction")]


def las_to_features(rounds: int) -> list[Row]:
    """110,000 points of an aerial scan, from the file to features of the small U-Net, one core."""
    times = race(_las_to_features, {"sparse-numba": ()}, 1, rounds)
    return ratios("las-to-features/110000-points/2m/1-threads", times, "sparse-numba")


def training(network: str, threads: int, rounds: int) -> list[Row]:
    """A training step of a SparseUNet on the S3DIS room at 5 cm: time and memory."""
    systems = {"sparse-numba": ("numba", network), ME: ("minkowski", network)}
    times = race(_train, systems, threads, rounds)
    case = f"unet-{network}/s3dis-5cm/{threads}-threads"
    found = ratios(case, times, "sparse-numba")
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
        times = race(_voxelise, systems, threads, rounds)
        case = f"voxelise/321015-points/{round(size * 100)}cm/{threads}-threads"
        found += ratios(case, times, "sparse-numba")
    return found


def scaling(threads: int) -> list[Row]:
    """Scaling with voxels: map, forward and backward on sheets of 10^4 to 10^6, with a plot."""
    found = []
    for count in SHEETS:
        times = race(_convolve_sheet, {"sparse-numba": (count,)}, threads, 1)
        t, case = times["sparse-numba"], f"scaling/{count}/32x32/{threads}-threads"
        found += ratios(case, times, "sparse-numba")
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

        found.append(best(step, 10))
        numbers.append([p.grad.clone() for p in net.parameters()])
    equal = all(torch.equal(a, b) for a, b in zip(numbers[0], numbers[1], strict=True))
    case = f"unet-14A/{voxels}-voxels/fp16"
    times = {"sparse-triton": Time(*map(min, *found[:2])), "sparse-torch": found[2]}
    return [
        *ratios(case, times, "sparse-triton"),
        Row(case, "sparse-triton", "bit_equal", float(equal)),
    ]


def _sheet(count: int) -> Tensor:
    """About ``count`` voxels (N, 4) of a wavy surface, some with negative coordinates."""
    side = int(count**0.5)
    x, y = (v.flatten() - side // 2 for v in np.mgrid[:side, :side])
    z = np.floor(8 * np.sin(x / 17) + 8 * np.cos(y / 23))
    return torch.from_numpy(np.stack([0 * x, x, y, z], 1).astype(np.int32))


def _convolve(system: str) -> Time:
    return _pass(system, voxelize(room(), 0.043).coordinates, 32, 12)


def _convolve_scan(system: str, scan: str, channels: int) -> Time:
    return _pass(system, _scan(scan), channels, 8)


def _scan(name: str) -> Tensor:
    """Voxels (N, 4) of a real scan, in the order of its points."""
    file, size = SCANS[name]
    points = room().numpy() if file == ROOM else load_points(data_file(file)).coords
    return voxelize(torch.from_numpy((points - points.min(0)).astype(np.float32)), size).coordinates


def _pass(system: str, coordinates: Tensor, channels: int, repeats: int) -> Time:
    torch.manual_seed(0)
    make = _their_convolution if system == "modules" else _our_convolution
    return best(make(coordinates, channels), repeats)


def _weight_gradient(scan: str, channels: int) -> Time:
    """Time of a dense product of as many multiplications over that of ours, of wall and of busy.

    Both take turns, so that other load on the machine hits both; the worst round counts.
    """
    coordinates = _scan(scan)
    conv, one = Conv(channels, channels), Conv(1, 1)
    torch.nn.init.ones_(one.weight)
    ones = SparseTensor(coordinates, torch.ones(len(coordinates), 1), engine="numba")
    with torch.no_grad():
        pairs = int(one(ones).features.double().sum())
    x = ones.map(lambda f: torch.randn(len(f), channels))
    y = conv(x).features
    g, dense = torch.randn_like(y), torch.rand(2048, 2048)
    ours, theirs = [], []

    def least(times: list[Time]) -> Time:
        return Time(*map(min, *times))

    for _ in range(5):
        ours.append(best(lambda: torch.autograd.grad(y, conv.weight, g, retain_graph=True), 2))
        theirs.append(best(lambda: torch.mm(dense, dense), 2))
    work = pairs * channels**2 / 2048**3
    return Time(*(work * a / b for a, b in zip(least(theirs), least(ours), strict=True)))


def _las_to_features() -> Time:
    torch.manual_seed(0)
    encoder = new_encoder("small").eval()
    return best(lambda: encode(encoder, load_points(data_file(LAS)), 2.0), 5)


def _our_convolution(coordinates: Tensor, channels: int = 32) -> Callable[[], None]:
    conv, g = Conv(channels, channels), torch.randn(len(coordinates), channels)
    x = torch.randn(len(coordinates), channels, requires_grad=True)

    def step() -> None:
        x.grad = conv.weight.grad = None
        conv(SparseTensor(coordinates, x, engine="numba")).features.backward(g)

    return step


def _their_convolution(coordinates: Tensor, channels: int) -> Callable[[], None]:
    """A convolution with MinkowskiEngine's own tensor and module."""
    from pcrep.sparse.engines.minkowski import load

    me = load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conv = me.MinkowskiConvolution(channels, channels, kernel_size=3, dimension=3)
    g = torch.randn(len(coordinates), channels)
    x = torch.randn(len(coordinates), channels, requires_grad=True)

    def step() -> None:
        x.grad = conv.kernel.grad = None
        conv(me.SparseTensor(x, coordinates)).F.backward(g)

    return step


def _train(engine: str, network: str) -> Cost:
    torch.manual_seed(0)
    coordinates = voxelize(room(), 0.05).coordinates
    features = torch.rand(len(coordinates), 3)
    net = SparseUNet(NETWORKS[network])

    def step() -> None:
        for p in net.parameters():
            p.grad = None
        net(SparseTensor(coordinates, features, engine=engine)).features.square().mean().backward()

    return Cost(*best(step, 6 if network == "small" else 3), peak(step))


def _voxelise(system: str, size: float) -> Time:
    points = room()
    if system == "ours":
        return best(lambda: voxelize(points, size), 20)
    if system == "minkowski":
        from pcrep.sparse.engines.minkowski import load

        quantize = load().utils.sparse_quantize
        return best(
            lambda: quantize(
                points, return_index=True, return_inverse=True, quantization_size=size
            ),
            20,
        )
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.numpy()))
    return best(lambda: cloud.voxel_down_sample(size), 20)


def _convolve_sheet(count: int) -> Time:
    return best(_our_convolution(_sheet(count)), 5)


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
