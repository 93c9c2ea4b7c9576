"""Without an optional library: one line that names the extra, from whatever tool needs it."""

import configparser
import re
import sys
from pathlib import Path

import pytest

from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.unet import save_encoder
from tests.tools.running import contents, is_one_line

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
