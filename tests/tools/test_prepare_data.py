"""Downloads from a server on this machine: whole, wrong, truncated, refused."""

import gc
import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pcrep.datasets import labelled_split, mosd
from tspcrep.common.errors import UserError
from tsrep.datasets.named import NamedSet

SCRIPT = Path(__file__).parents[2] / "tools" / "prepare_data.py"
# pooch leaves a failed response to the garbage collector. It runs inside the test that made it, so
# that no other test is blamed.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SETS = ("ETTh1", "ETTh2", "ETTm1", "WTH", "mosd")
CONTENT = b"date,x\n2020-01-01,1\n" * 500


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The script as a module, with one small series to fetch instead of the published ones."""
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prepare_data", module)
    spec.loader.exec_module(module)
    small = NamedSet(
        file="Small.csv",
        target="x",
        rows=500,
        horizons=(24,),
        period=24,
        url="http://127.0.0.1:9/nowhere/",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="none",
    )
    monkeypatch.setattr(module, "FETCHED", {"Small": module.series(small)})
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("TSPCREP_DATA_URL", raising=False)
    yield module
    gc.collect()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kind = self.path.split("/")[1]
        self.server.requests.append(self.path)
        if kind == "missing":
            self.send_error(404)
            return
        body = b"another file" if kind == "wrong" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "truncated" else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_download_fills_the_cache_and_prints_what_is_there(tool, server, tmp_path, capsys):
    config = tool.Config(names=("Small",), url=f"{server.url}/whole/")
    tool.main(config)
    path = tmp_path / "cache" / "series" / "Small.csv"
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == ["cache/series/Small.csv"]
    output = capsys.readouterr()
    assert "100%" in output.err  # the progress bar
    header, row = output.out.splitlines()
    assert header.split() == ["data", "holds", "size", "licence", "state", "path"]
    assert row.split() == f"Small 500 rows 0.0 MB none downloaded {path}".split()
    tool.main(config)
    assert "intact" in capsys.readouterr().out
    assert server.requests == ["/whole/Small.csv"]  # once


def test_the_environment_names_the_source(tool, server, tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_DATA_URL", f"{server.url}/whole")
    tool.main(tool.Config(names=("Small",), data_root=tmp_path / "root"))
    assert files(tmp_path) == ["root/series/Small.csv"]


def test_a_file_directly_in_the_root_is_enough(tool, tmp_path, capsys):
    (tmp_path / "Small.csv").write_bytes(CONTENT)
    tool.main(tool.Config(names=("Small",), data_root=tmp_path))
    assert "intact" in capsys.readouterr().out
    assert files(tmp_path) == ["Small.csv"]


@pytest.mark.parametrize(
    "kind, message",
    [
        ("wrong", "what came is not the published file"),
        ("truncated", "broke off before the file was whole"),
        ("missing", "404"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_what_was_there(
    tool, server, tmp_path, kind, message
):
    old = tmp_path / "cache" / "series" / "Small.csv"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"older")
    with pytest.raises(UserError, match=message) as caught:
        tool.main(tool.Config(names=("Small",), url=f"{server.url}/{kind}"))
    assert f"{server.url}/{kind}/Small.csv" in str(caught.value)
    assert "--from-dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == ["cache/series/Small.csv"]
    assert old.read_bytes() == b"older"


def test_no_server_and_no_such_protocol(tool, tmp_path):
    with pytest.raises(UserError, match=r"127.0.0.1:9/nowhere/Small.csv: no connection"):
        tool.main(tool.Config(names=("Small",)))
    with pytest.raises(UserError, match="Unrecognized URL protocol"):
        tool.main(tool.Config(names=("Small",), url="gopher://example.org"))
    assert files(tmp_path) == []


def test_a_different_file_is_replaced(tool, server, tmp_path):
    old = tmp_path / "cache" / "series" / "Small.csv"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"older")
    tool.main(tool.Config(names=("Small",), url=f"{server.url}/whole"))
    assert old.read_bytes() == CONTENT


@pytest.mark.parametrize("folder", ["", "series"])
def test_from_dir_copies_and_verifies(tool, tmp_path, folder, capsys):
    source = tmp_path / "downloads" / folder
    source.mkdir(parents=True)
    (source / "Small.csv").write_bytes(CONTENT)
    config = tool.Config(names=("Small",), from_dir=tmp_path / "downloads")
    tool.main(config)
    assert (tmp_path / "cache" / "series" / "Small.csv").read_bytes() == CONTENT
    assert "copied" in capsys.readouterr().out


def test_from_dir_with_another_file_or_none(tool, tmp_path):
    source = tmp_path / "downloads"
    source.mkdir()
    config = tool.Config(names=("Small",), from_dir=source)
    with pytest.raises(UserError, match=r"has no Small.csv, there or under series/"):
        tool.main(config)
    (source / "Small.csv").write_bytes(b"another")
    with pytest.raises(UserError, match=r"is not the published Small.csv: its sha256 is"):
        tool.main(config)
    assert files(tmp_path) == ["downloads/Small.csv"]


def test_a_root_that_cannot_be_a_folder(tool, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        tool.main(tool.Config(names=("Small",), data_root=tmp_path / "file"))


def test_the_command_line_ends_user_errors_with_status_2():
    run = subprocess.run(
        [sys.executable, SCRIPT, "--names", "ETTh3"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 2
    assert run.stdout == ""
    expected = "no data 'ETTh3' to fetch: expected ETTh1, ETTh2, ETTm1, WTH, mosd"
    assert run.stderr == f"prepare_data.py: {expected}\n"


def test_a_set_of_several_files(tool, server, tmp_path, monkeypatch, capsys):
    digest = hashlib.sha256(CONTENT).hexdigest()
    scenes = [tool.File(f"set/a{i}.pcd", digest, f"learn/a{i}.pcd") for i in range(3)]
    published = tool._Published("points", "3 scenes", "research", f"{server.url}/whole", (*scenes,))
    monkeypatch.setattr(tool, "FETCHED", {"Set": published})
    (tmp_path / "cache" / "points" / "set").mkdir(parents=True)
    (tmp_path / "cache" / "points" / "set" / "a1.pcd").write_bytes(CONTENT)
    tool.main(tool.Config(names=("Set",)))
    assert server.requests == ["/whole/learn/a0.pcd", "/whole/learn/a2.pcd"]
    assert files(tmp_path) == [f"cache/points/set/a{i}.pcd" for i in range(3)]
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[3:] == [
        "0.0",
        "MB",
        "research",
        "downloaded",
        str(tmp_path / "cache/points/set"),
    ]


@pytest.mark.data
@pytest.mark.skipif("TSPCREP_DATA" not in os.environ, reason="$TSPCREP_DATA is not set")
def test_the_published_digests_are_those_of_the_real_files(tmp_path):
    data = os.environ["TSPCREP_DATA"]
    run = subprocess.run(
        [sys.executable, SCRIPT, "--from-dir", data, "--data-root", tmp_path, "--names", *SETS],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    found = files(tmp_path)
    assert len(found) == 53
    assert found[:49] == sorted(f"points/mosd/{name}" for name in mosd.SHA256)
    assert found[49:] == [f"series/{name}.csv" for name in SETS[:-1]]
    assert len(labelled_split("mosd", tmp_path).learn) == 28
