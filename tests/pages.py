"""What README and the site show: fenced blocks, commands, links; and the folder of a reader."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pcrep.encoders.checkpoints import export, res16unet_names
from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.unet import SparseUNet, res16unet
from pcrep.encoders.unet import save_encoder as save_point_encoder
from pcrep.evaluation.segmentation import SEGMENTER, SegmentationConfig, Segmenter, save_segmenter
from tests.pcrep.made_scenes import CLASSES, made_scene
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets import load
from tsrep.encoders import DilatedConv
from tsrep.encoders.files import save_encoder
from tsrep.forecasting.files import FORECASTER_FILE, save_forecaster
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import inputs_of
from tsrep.forecasting.training import LearningConfig, Settings

ROOT = Path(__file__).parents[1]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if not page.is_symlink()),
)
SHELL = "sh"


class Block(NamedTuple):
    """A fenced block; line: of its first line in the page."""

    language: str
    line: int
    text: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
    return [Block(m[1], text[: m.start()].count("\n") + 2, m[2]) for m in found]


def commands(text: str) -> list[list[str]]:
    """The words of each command of a page: of its blocks, and ``tools/`` in running text."""
    lines = [
        line
        for block in blocks(text)
        if block.language == SHELL
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += re.findall(r"`((?:python tools/|tspcrep |make |pip install )[^`]+)`", outside)
    return [shlex.split(line) for line in lines if line.strip()]


def links(text: str) -> list[str]:
    """Targets of links and pictures, without those of other sites."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", outside)
    return [target for target in found if "://" not in target]


def fill(folder: Path) -> None:
    """Files and runs that the pages speak of, small ones, in the folder of a reader."""
    _tables(folder)
    torch.manual_seed(0)
    series = load(folder / "my.csv", target="load")
    save_encoder(
        _place(folder / "runs/load/encoder.safetensors"),
        DilatedConv(1, 8, 4, 2),
        series.scaler,
        series.columns,
    )
    settings = Settings(
        ForecasterConfig(look_back=24, dim=8, heads=2, patch=8),
        ContrastConfig("none"),
        LearningConfig(snapshots=1),
        Training(epochs=1, max_steps=1, batch_size=16, device="cpu"),
    )
    model = fit_forecaster(inputs_of(series), settings, 0, None, (4, 8))
    save_forecaster(_place(folder / "runs/e2e" / FORECASTER_FILE), model)
    _points(folder)


def _tables(folder: Path) -> None:
    rng, rows = np.random.default_rng(0), 300
    date = pd.date_range("2024-01-01", periods=rows, freq="h")
    load = 50 + 10 * np.sin(np.arange(rows) * 2 * np.pi / 24) + rng.normal(size=rows)
    pd.DataFrame({"date": date, "load": load}).to_csv(folder / "my.csv", index=False)
    shops = [
        pd.DataFrame({"id": f"shop {i}", "time": date[:200], "value": rng.normal(10 * i, 1, 200)})
        for i in (1, 2)
    ]
    pd.concat(shops).to_csv(folder / "shops.csv", index=False)


def _points(folder: Path) -> None:
    cloud = made_scene(0)
    rows = np.concatenate([cloud.coords, np.round(255 * cloud.colour)], axis=1)
    head = f"ply\nformat ascii 1.0\nelement vertex {len(rows)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    lines = (" ".join(f"{v:g}" for v in row) for row in rows)
    (folder / "scan.ply").write_text(head + "end_header\n" + "\n".join(lines) + "\n")
    encoder = new_encoder("small")
    encoder.voxel = 0.05
    save_point_encoder(_place(folder / "runs/fac/encoder.safetensors"), encoder)
    segmenter = Segmenter(encoder, 3, SegmentationConfig(voxel=0.05)).eval()
    save_segmenter(_place(folder / "runs/probe" / SEGMENTER), segmenter, CLASSES)
    net = SparseUNet(res16unet("34C"))
    state = export(net, "minkowski-0.4", res16unet_names(net))
    torch.save({"state_dict": state}, folder / "weights.pth")


def _place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
