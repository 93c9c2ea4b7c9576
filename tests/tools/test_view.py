"""tools/view.py where there is no display: a page of the scan, or one line."""

import json
import re
import sys

import numpy as np
import pytest

from tests.tools.running import is_one_line
from tspcrep import command


@pytest.fixture
def scan(tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    rng = np.random.default_rng(0)
    arrays = {"coords": rng.random((500, 3)), "colour": rng.random((500, 3))}
    np.savez(tmp_path / "scan.npz", **arrays, label=rng.choice([-1, 3, 70_000], 500))
    return tmp_path / "scan.npz"


def payload(page):
    found = re.search(r'<script type="application/json">(.*?)</script>', page, flags=re.S)
    return json.loads(found[1])


def test_without_a_display_a_page_is_written_beside_the_scan(scan, tool):
    status, stdout, stderr = tool("view", "--data", scan)
    assert status == 0, stderr
    path = scan.with_name("scan.npz.view.html")
    assert stdout.strip() == str(path)
    page = path.read_text()
    assert "500 points" in page and "http://" not in page and "https://" not in page
    colour, label = payload(page)["views"]
    assert colour["title"] == "Colour" and label["names"] == ["label 3", "label 70000"]


def test_the_command_takes_the_scan_as_its_first_word(scan, tmp_path, monkeypatch, capsys):
    words = ["tspcrep", "view", str(scan), "--output", str(tmp_path / "look.html")]
    monkeypatch.setattr(sys, "argv", words)
    command.main()
    assert capsys.readouterr().out.strip() == words[-1]
    assert (tmp_path / "look.html").stat().st_size > 10_000


def test_what_cannot_be_shown_is_one_line(scan, tmp_path, tool):
    (tmp_path / "bad.ply").write_text("no cloud")
    for options, words in (
        (("--data", tmp_path / "bad.ply"), "bad.ply"),
        (("--data", tmp_path / "none.ply"), "none.ply"),
        (("--data", scan, "--output", tmp_path / "look.png"), "expected a file that ends in .html"),
    ):
        status, _, stderr = tool("view", *options)
        is_one_line(status, stderr, words)


def test_the_viewer_opens_where_there_is_a_display(scan, tool, monkeypatch):
    pytest.importorskip("open3d", reason="open3d is not installed")
    monkeypatch.setenv("DISPLAY", ":0")
    shown = []
    tool("view", "--help")  # imports the tool
    monkeypatch.setattr(sys.modules["view"], "show", shown.append)
    assert tool("view", "--data", scan) == (0, "", "")
    assert [len(cloud) for cloud in shown] == [500]
    assert not list(scan.parent.glob("*.html"))
