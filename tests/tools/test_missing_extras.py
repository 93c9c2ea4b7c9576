"""Without an optional library: one line that names the extra, from whatever tool needs it."""

import configparser
import re
import sys
from pathlib import Path

import pytest

from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.unet import save_encoder
from tests.tools.running import contents, is_one_line
from tspcrep.common import loggers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("library", "extra", "tool_name", "data"),
    [
        ("laspy", "points", "embed", "scan.las"),
        ("laspy", "points", "embed", "scan.laz"),
        ("pye57", "e57", "embed", "scan.e57"),
        ("sktime", "series", "classify", "GunPoint"),
        ("sktime", "series", "evaluate", "GunPoint.ts"),
    ],
)
def test_the_extra_is_named(tool, tmp_path, monkeypatch, library, extra, tool_name, data):
    encoder = new_encoder("small")
    encoder.voxel = 0.05
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    (tmp_path / "scan.las").write_bytes(b"LASF" + bytes(400))
    (tmp_path / "scan.laz").write_bytes(b"LASF" + bytes(400))
    (tmp_path / "scan.e57").write_bytes(b"ASTM-E57" + bytes(400))
    (tmp_path / "GunPoint.ts").write_text("@data\n")
    named = tool_name == "embed"
    options = ["--encoder", tmp_path if named else "series-small"]
    options += ["--output", tmp_path / "out.npz"] if named else []
    monkeypatch.setitem(sys.modules, library, None)
    path = tmp_path / data if "." in data else data
    before = contents(tmp_path)
    status, _, stderr = tool(tool_name, "--data", path, *options)
    is_one_line(status, stderr, f"{tool_name}.py: ", f"pip install 'tspcrep[{extra}]'")
    assert contents(tmp_path) == before


def test_every_extra_that_a_message_names_exists():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = set(setup["options.extras_require"])
    named = {
        extra
        for folder in ("common", "tsrep", "pcrep", "tools", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md")
        for extra in re.findall(r"(?:tspcrep|\.)\[(\w+)\]'", path.read_text("utf-8"))
    }
    assert {"series", "points", "e57", "search"} <= named <= known


TRAINED = [
    path.stem
    for path in sorted((ROOT / "tools").glob("*.py"))
    if "    training: Training" in path.read_text("utf-8")
    and "    run = Run(" in path.read_text("utf-8")
]


@pytest.mark.parametrize("tool_name", TRAINED)
def test_a_logger_that_is_not_installed_is_found_before_the_run_begins(
    tool, tmp_path, monkeypatch, tool_name
):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    options = ["--data", tmp_path / "nothing", "--output", tmp_path / "run"]
    status, _, stderr = tool(tool_name, *options, "--logger", "tensorboard")
    is_one_line(status, stderr, "--logger tensorboard", "pip install 'tspcrep[tensorboard]'")
    assert not (tmp_path / "run").exists()


def test_all_tools_that_train_are_among_these():
    assert {"pretrain_autotcl", "pretrain_fac", "pretrain_points", "train_forecaster"} < {*TRAINED}
