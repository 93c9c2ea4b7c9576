"""Reports of runs on points, by the tools on two procedural scenes, and what they are made of."""

import base64
import importlib
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from pcrep.encoders.encoding import untrained
from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.procedural import CLASSES, procedural
from pcrep.reports.pretraining import _query_point
from tests.pcrep.segmented import segmented
from tspcrep.common.config import run_tool

TOOLS = Path(__file__).parents[3] / "tools"
TINY = ("--max-steps", 2, "--batch-size", 2, "--seeds", 4, "--device", "cpu", "--probe-points", 20)
IMAGE = re.compile(r'<img alt="[^"]*" src="data:image/png;base64,([^"]*)"')


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Pages of a pretraining run and of a segmentation run that starts from it, and the folders."""
    folder = tmp_path_factory.mktemp("points")
    scenes = procedural(2)
    for index, part in enumerate(("learn", "test")):
        cloud = scenes[index].take(np.arange(0, len(scenes[index]), 8))
        (folder / "data" / part).mkdir(parents=True)
        arrays = {"coords": cloud.coords, "colour": cloud.colour, "label": cloud.label}
        np.savez(folder / "data" / part / f"{part}.npz", **arrays, classes=np.array(CLASSES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        run(patch, "pretrain_fac", "--voxel", 0.1, *common(folder, "fac"))
        encoder = ("--encoder", folder / "fac")
        tuned = ("--mode", "finetune")
        run(patch, "finetune_segmentation", *encoder, *tuned, *common(folder, "seg"))
    return folder


def common(folder, name):
    return ("--data", folder / "data", "--output", folder / name, *TINY)


def run(patch, name, *arguments):
    patch.syspath_prepend(str(TOOLS))
    tool = importlib.import_module(name)
    patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    run_tool(tool.main, tool.Config)


def read(folder):
    return (folder / "report.html").read_text(), json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(
    ("name", "headings", "figures", "controls"),
    [
        ("fac", ("Results", "A scene", "Activation maps", "Losses"), 3, {"random_encoder_probe"}),
        (
            *("seg", ("Results", "Prediction against truth", "Losses"), 2),
            {"frozen", "scratch", "random_encoder_probe"},
        ),
    ],
    ids=["pretraining", "segmentation"],
)
def test_a_run_ends_with_its_page(runs, name, headings, figures, controls):
    page, result = read(runs / name)
    own = ["Configuration", "Environment"]
    assert re.findall("<h2>(.*?)</h2>", page) == [*headings, *own]
    drawn = [imread(io.BytesIO(base64.b64decode(image))) for image in IMAGE.findall(page)]
    assert len(drawn) == figures == page.count('prefers-color-scheme: dark)" srcset')
    assert all(image.shape[1] == 750 and image[..., 3].any() for image in drawn)
    assert result["controls"].keys() == controls
    for row, found in {result["mode"]: result, **result["controls"]}.items():
        cells = re.search(f"<tr><td>{row}</td>(.*?)</tr>", page).group(1)
        values = re.findall("<td[^>]*>(.*?)</td>", cells)
        assert values[-2] == f"{100 * found['miou']:.1f}"
        for column, value in zip(result["iou"], values, strict=False):
            assert value == f"{100 * found['iou'][column]:.1f}" if column in found["iou"] else "–"
    best = max(f["miou"] for f in (result, *result["controls"].values()))
    assert f'<td class="best">{100 * best:.1f}</td><td>±' in page
    sources = re.findall(r'<[a-z]+ [^>]*(?:src|href)="(?!data:)([^"]*)"', page.split("<script>")[0])
    assert not sources


def test_scenes_to_turn_share_one_script(runs):
    pytest.importorskip("plotly")
    for name, scenes in (("fac", 2), ("seg", 1)):
        page, _ = read(runs / name)
        assert page.count("Drag to turn") == scenes == page.count("Plotly.newPlot(  ")
        assert 4_000_000 < len(page) < 10_000_000


def test_the_report_tool_draws_either_again(runs, monkeypatch, capsys):
    for name in ("fac", "seg"):
        before, _ = read(runs / name)
        (runs / name / "report.html").unlink()
        run(monkeypatch, "report", "--run", runs / name)
        assert capsys.readouterr().out.strip() == str(runs / name / "report.html")
        after, _ = read(runs / name)
        tables = [re.search("<table>.*?</table>", page, re.S).group() for page in (before, after)]
        assert tables[0] == tables[1]
        assert IMAGE.findall(before)[0] == IMAGE.findall(after)[0]


def test_without_plotly_the_stills_remain(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    before, _ = read(runs / "seg")
    run(monkeypatch, "report", "--run", runs / "seg")
    page, _ = read(runs / "seg")
    assert "pip install 'tspcrep[points]'" in page and "<script>" not in page
    assert IMAGE.findall(page) == IMAGE.findall(before)


def test_the_untrained_encoder_is_the_one_the_run_began_with():
    torch.manual_seed(3)
    expected = SparseUNet(UNetConfig(in_channels=4))
    state = torch.get_rng_state()
    found = untrained(expected, 3)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_query_is_on_the_largest_object_of_both_views():
    cloud = segmented(0)
    query = _query_point(cloud, cloud)
    counts = np.bincount(cloud.segment[cloud.segment >= 4])
    assert cloud.segment[query] == counts.argmax()
    without = cloud.take(cloud.segment != counts.argmax())
    assert cloud.segment[_query_point(cloud, without)] not in (-1, counts.argmax())
    flat = replace(cloud, objectness=np.zeros_like(cloud.objectness))
    assert _query_point(cloud, flat) is None
