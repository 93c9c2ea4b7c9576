"""What it takes to segment a large scan from the air, and whether the file comes back whole.

A made LAZ of ten million points, 10 a square metre, goes through ``tools/predict.py`` in a process
of its own, with an untrained segmenter: the work of a trained one. Of a small LAS, the seconds
until its labels are on disk, after the imports and before the picture, by the encoder that ships.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median, pstdev

import numpy as np
import torch
from suites.table import Row

from pcrep.encoders.unet import SparseUNet, UNetConfig, load_encoder
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter, save_segmenter

CASES = {"1000000-points": 10**6, "10000000-points": 10**7, "labels": 10**5}
CLASSES = ("ground", "vegetation", "building", "water", "bridge deck")
DENSITY = 10.0
VOXEL = 0.5
LAS, PREDICT = "tile.laz", Path(__file__).resolve().parents[1] / "predict.py"
NAME, RUNS = "points-aerial", 5
TIMED = """
import resource, sys, time
from pathlib import Path
from tspcrep.tools import predict
def stop(*_):
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - started, used.ru_utime + used.ru_stime - before
    print(*seconds, used.ru_maxrss / 1e3, file=sys.stderr)
    sys.exit()
predict.draw = stop
used = resource.getrusage(resource.RUSAGE_SELF)
started, before = time.perf_counter(), used.ru_utime + used.ru_stime
segmenter, data, output = map(Path, sys.argv[1:])
predict.main(predict.Config(segmenter, data, output))
"""


def rows(case: str) -> Iterator[Row]:
    """Processor seconds, peak memory, and the share of fields of points that come back equal."""
    if case == "labels":
        yield from _labels(CASES[case])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / LAS, CASES[case])
        _segmenter(folder / "segmenter.safetensors")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        options = ["--segmenter", folder / "segmenter.safetensors", "--data", folder / LAS]
        command = [sys.executable, PREDICT, *options, "--output", folder / "out"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        yield Row(f"predict/{case}", "predict.py", "cpu", seconds, "s")
        yield Row(f"predict/{case}", "predict.py", "memory", after.ru_maxrss / 1e3, "MB")
        (found,) = (folder / "out").rglob("*.laz")
        yield Row(f"predict/{case}", "predict.py", "equal fields", _equal(folder / LAS, found))


def _labels(count: int) -> Iterator[Row]:
    """Medians over processes; one before them compiles what later ones find on disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "tile.las", count)
        segmenter = Segmenter(load_encoder(NAME), len(CLASSES))
        save_segmenter(folder / "segmenter.safetensors", segmenter, CLASSES)
        found = []
        for number in range(1 + RUNS):
            paths = (folder / "segmenter.safetensors", folder / "tile.las", folder / f"out{number}")
            command = [sys.executable, "-W", "ignore", "-c", TIMED, *paths]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append([float(word) for word in done.stderr.split()[-3:]])
    for place, (metric, unit) in enumerate((("clock", "s"), ("cpu", "s"), ("memory", "MB"))):
        values = [numbers[place] for numbers in found[1:]]
        spread = (pstdev(values), RUNS, "processes")
        yield Row(f"labels/{count}-points", NAME, metric, median(values), unit, *spread)


def _write(path: Path, count: int) -> None:
    """Hills with blocks and bushes on them, in national coordinates."""
    import laspy

    rng, side = np.random.default_rng(0), np.sqrt(count / DENSITY)
    x, y = rng.uniform(0, side, (2, count))
    z = 5 * np.sin(x / 60) + 3 * np.cos(y / 45)
    z += 8 * ((x % 70 < 18) & (y % 55 < 14)) + rng.exponential(2, count) * (x % 37 < 6)
    file = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    file.header.offsets, file.header.scales = [600_000, 6_000_000, 0], [0.01] * 3
    file.x, file.y, file.z = x + 600_000, y + 6_000_000, z + 100
    for name in ("intensity", "red", "green", "blue"):
        file[name] = rng.integers(0, 65536, count, dtype=np.uint16)
    file.gps_time = np.arange(count, dtype=float)
    file.write(path)


def _segmenter(path: Path) -> None:
    torch.manual_seed(0)
    encoder = SparseUNet(UNetConfig(in_channels=4))
    save_segmenter(path, Segmenter(encoder, len(CLASSES), SegmentationConfig(voxel=VOXEL)), CLASSES)


def _equal(source: Path, found: Path) -> float:
    """Share of the source's dimensions, but the classification, that are equal in all points."""
    import laspy

    before, after = laspy.read(source), laspy.read(found)
    names = [n for n in before.point_format.dimension_names if n != "classification"]
    same = [np.array_equal(before[name], after[name]) for name in names]
    return float(np.mean(same)) if len(before) == len(after) else 0.0
