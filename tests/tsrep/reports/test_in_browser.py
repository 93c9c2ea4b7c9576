"""The report of a labelled set can be reached and read by all, and asks for nothing elsewhere."""

import pytest
import torch

from tests.accessible import Faults, complaints_of_axe
from tests.browser import CHROMIUM, Browser
from tests.tsrep.reports.sets import CLASSES, labelled_set
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.encoders import DilatedConv
from tsrep.reports.autotcl import write

METRICS = '{"seed": 0, "epoch": 0, "step": 1, "encoder/loss": 1.0, "encoder/alignment": 0.5}'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "seed-0").mkdir()
    (folder / "seed-0" / "metrics.jsonl").write_text(f"{METRICS}\n")
    (folder / "config.toml").write_text('data = "made"')
    (folder / "env.json").write_text('{"device": "cpu", "packages": {"torch": "2"}}')
    panel = labelled_set()
    torch.manual_seed(0)
    encoder, window = DilatedConv(1, 8, 4, 2).eval(), torch.zeros(1, 20, 1)
    return write(folder, CLASSES, panel, encoder, window, AutoTCLConfig())


def test_the_page_has_a_map_and_no_fault(page):
    text = page.read_text()
    assert Faults(text).found == []
    assert "<h2>Embedding map</h2>" in text
    assert text.index("<h2>Results</h2>") < text.index("<h2>Embedding map</h2>")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_axe_finds_nothing_serious(page, tmp_path):
    with Browser(tmp_path) as browser:
        for width in (390, 1400):
            for dark in (False, True):
                assert complaints_of_axe(browser, page, width, dark) == []
                assert not browser.complaints()
