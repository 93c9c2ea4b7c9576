"""Reports of runs on points, by the tools on two procedural scenes, and what they are made of."""

import base64
import importlib
import io
import itertools
import json
import re
import shutil
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
from tests.accessible import Faults, complaints_of_axe
from tests.browser import CHROMIUM, Browser
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
        (
            *("fac", ("Results", "Classes", "A scene", "Activation maps", "Losses"), 3),
            {"random_encoder_probe"},
        ),
        (
            *("seg", ("Results", "Classes", "Prediction against truth", "Losses"), 2),
            {"frozen", "scratch", "random_encoder_probe"},
        ),
    ],
    ids=["pretraining", "segmentation"],
)
def test_a_run_ends_with_its_page(runs, name, headings, figures, controls):
    page, result = read(runs / name)
    own = "Configuration and environment"
    assert re.findall("<h2>(.*?)</h2>", page) == [*headings, own]
    drawn = [imread(io.BytesIO(base64.b64decode(image))) for image in IMAGE.findall(page)]
    assert len(drawn) == figures
    assert page.count('prefers-color-scheme: dark)" srcset') == 1  # losses; a still is one for both
    assert all(image.shape[1] == 750 and image[..., 3].any() for image in drawn)
    assert result["controls"].keys() == controls
    systems = {result["mode"]: result, **result["controls"]}
    classes = page.split("<h2>Classes</h2>")[1].split("</section>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', classes)
    cells = {row: re.findall("<td>(.*?)</td>", line) for row, line in rows}
    assert cells["mIoU"] == [f"{100 * found['miou']:.1f}" for found in systems.values()]
    for name in result["iou"]:
        values = [found["iou"].get(name) for found in systems.values()]
        assert cells[name] == ["–" if v is None else f"{100 * v:.1f}" for v in values]
    assert f"<dd>{100 * result['miou']:.1f} %</dd>" in page.split("<h2>")[0]
    sources = re.findall(r'<[a-z]+ [^>]*(?:src|href)="(?!data:)([^"]*)"', page.split("<script")[0])
    assert not sources


@pytest.mark.parametrize("name", ["fac", "seg"])
def test_a_page_has_texts_names_and_keys(runs, name):
    read_by_ear = Faults(read(runs / name)[0])
    assert read_by_ear.found == []
    assert read_by_ear.seen >= {"canvas", "pre", ".wide", "img"}


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_axe_finds_nothing_serious(runs, tmp_path):
    with Browser(tmp_path) as browser:
        for name, width, dark in itertools.product(("fac", "seg"), (390, 1400), (False, True)):
            page = runs / name / "report.html"
            assert complaints_of_axe(browser, page, width, dark) == [], (name, width, dark)


def test_a_page_is_small_and_holds_one_script(runs):
    for name, scenes in (("fac", 2), ("seg", 1)):
        page, _ = read(runs / name)
        assert page.count('class="scene"') == scenes and page.count("<script>") == 1
        assert len(page) < 4_000_000


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


def test_what_a_run_lacks_is_said(runs, monkeypatch, tmp_path):
    """The page of a run without its logs and its environment is drawn all the same."""
    shutil.copytree(runs / "seg", tmp_path / "seg")
    for path in [*(tmp_path / "seg").rglob("metrics.jsonl"), tmp_path / "seg" / "env.json"]:
        path.unlink()
    run(monkeypatch, "report", "--run", tmp_path / "seg")
    page, _ = read(tmp_path / "seg")
    lacking = re.findall('<p class="missing">(.*?)</p>', page)
    assert len(lacking) == 2 and "metrics.jsonl" in lacking[0] and "env.json" in lacking[1]


def test_a_run_whose_data_were_moved(runs, monkeypatch, tmp_path, capsys):
    shutil.copytree(runs / "seg", tmp_path / "seg")
    text = (runs / "seg" / "config.toml").read_text()
    gone = str(tmp_path / "gone")
    (tmp_path / "seg" / "config.toml").write_text(text.replace(str(runs / "data"), gone))
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "report", "--run", tmp_path / "seg")
    assert stop.value.code == 2
    assert "say where it is now with --data" in capsys.readouterr().err
    run(monkeypatch, "report", "--run", tmp_path / "seg", "--data", runs / "data")
    assert "Prediction against truth" in read(tmp_path / "seg")[0]


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
