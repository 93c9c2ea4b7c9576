"""tools/report.py on runs that are damaged or moved: one line, or a page that says so."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from tests.tools.running import is_one_line
from tspcrep.common.errors import UserError
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.reports.autotcl import learned_view

OLD = Path(__file__).parents[1] / "data" / "version-0.1"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of two runs to damage; their data, tiny.csv, stands beside them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("run", ["autotcl", "forecaster"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.toml", b"\xff\xfe", ["config.toml", "TOML"]),
        ("config.toml", b"data = [", ["config.toml", "TOML"]),
        ("config.toml", b"output = 'x'", ["config.toml", "lacks data"]),
        ("config.toml", b"data = 3\noutput = 'x'", ["config.toml", "data"]),
        ("env.json", b'{"tool": "embed"}', ["embed", "expected one of"]),
        ("result.json", b'{"task": []}', ["result.json", "task"]),
        ("result.json", b"[]", ["result.json", "expected a table"]),
        ("result.json", b'{"task": "forecasting"', ["result.json", "not JSON"]),
        ("result.json", None, ["result.json", "--resume"]),
        ("config.toml", None, ["config.toml"]),
    ],
)
def test_a_damaged_file_is_one_line(tool, copied, run, name, content, words):
    path = copied / run / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    status, _, stderr = tool("report", "--run", run)
    is_one_line(status, stderr, *words)
    assert not (copied / run / "report.html").exists()


@pytest.mark.parametrize("run", ["autotcl", "forecaster"])
def test_weights_that_are_cut_short_or_gone(tool, copied, run):
    (weights,) = (copied / run).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    status, _, stderr = tool("report", "--run", run)
    is_one_line(status, stderr, weights.name)
    weights.unlink()
    status, _, stderr = tool("report", "--run", run)
    is_one_line(status, stderr, weights.name)


def test_an_environment_of_any_json_says_no_tool(tool, copied):
    """The tool is told by the result, which lacks the rest here."""
    (copied / "autotcl" / "result.json").write_text('{"task": "forecasting", "probe": {}}')
    for content in ("[]", '{"tool": []}', '{"tool": {}}', "3", "null", "{"):
        (copied / "autotcl" / "env.json").write_text(content)
        status, _, stderr = tool("report", "--run", "autotcl")
        is_one_line(status, stderr, "result.json", "lacks")


def test_data_that_were_moved(tool, copied):
    (copied / "tiny.csv").rename(copied / "moved.csv")
    status, _, stderr = tool("report", "--run", "autotcl")
    is_one_line(status, stderr, "tiny.csv", "say where it is now with --data")
    status, _, stderr = tool("report", "--run", "autotcl", "--data", "gone.csv")
    is_one_line(status, stderr, "gone.csv")
    for path in (copied / "autotcl").rglob("*.jsonl"):
        path.write_bytes(path.read_bytes() + b'{"step": 9, "x/los')
    (copied / "autotcl" / "env.json").write_text('{"packages": [], "tool": 3}')
    config = copied / "autotcl" / "config.toml"
    learned = re.sub(r'augmentation = "\w+"', 'augmentation = "parametric"', config.read_text())
    config.write_text(learned)
    status, _, stderr = tool("report", "--run", "autotcl", "--data", "moved.csv")
    assert status == 0, stderr
    page = (copied / "autotcl" / "report.html").read_text()
    lacking = re.findall('<p class="missing">Missing: (.*?)</p>', page)
    assert any("checkpoint" in told for told in lacking)
    assert any("metrics.jsonl" in told for told in lacking)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"PK\x03\x04", {"method": {}}, {}, {"method": {"augmentation.x": torch.ones(1)}}],
    ids=["gone", "empty", "half", "nothing", "other", "foreign"],
)
def test_a_checkpoint_without_the_augmentation_is_one_line(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match="checkpoint") as found:
        learned_view(path, torch.zeros(1, 32, 1), AutoTCLConfig())
    assert "\n" not in str(found.value)


def test_names_of_columns_and_of_systems_make_no_markup(tool, copied):
    name = "<script>x</script>"
    table = (copied / "tiny.csv").read_text()
    first = table.splitlines()[0].split(",")[1]
    (copied / "tiny.csv").write_text(table.replace(first, name, 1))
    config = copied / "forecaster" / "config.toml"
    config.write_text(config.read_text().replace(f'"{first}"', f'"{name}"'))
    result = json.loads((copied / "forecaster" / "result.json").read_text())
    result["data"] = result["mode"] = name
    result["controls"][name] = result["controls"]["persistence"]
    (copied / "forecaster" / "result.json").write_text(json.dumps(result))
    status, _, stderr = tool("report", "--run", "forecaster")
    assert status in (0, 2) and "Traceback" not in stderr
    if status == 0:
        page = (copied / "forecaster" / "report.html").read_text()
        assert name not in page and page.count("&lt;script&gt;x&lt;/script&gt;") >= 3
