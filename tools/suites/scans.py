"""What it takes to segment a large scan from the air, and whether the file comes back whole.

A made LAZ of ten million points, 10 a square metre, goes through ``tools/predict.py`` in a process
of its own, with an untrained segmenter: the work of a trained one.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from suites.table import Row

from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter, save_segmenter

CASES = {"1000000-points": 10**6, "10000000-points": 10**7}
CLASSES = ("ground", "vegetation", "building", "water", "bridge deck")
DENSITY = 10.0
VOXEL = 0.5
LAS, PREDICT = "tile.laz", Path(__file__).resolve().parents[1] / "predict.py"


def rows(case: str) -> Iterator[Row]:
    """Processor seconds, peak memory, and the share of fields of points that come back equal."""
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
