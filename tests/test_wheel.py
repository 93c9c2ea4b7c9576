"""Wheel and sdist: complete, typed, and a command that runs, far from the checkout.

Dependencies are those of this environment; nothing is fetched. ``.ci/wheel`` installs them anew.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (".ci", "common", "docs", "pcrep", "results", "tests", "tools", "tspcrep", "tsrep")
FILES = ("*.md", "*.yml", "*.cff", "LICENSE", "MANIFEST.in", "Makefile", "*.cfg", "*.toml", "*.txt")


def called(*words, cwd, **variables):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONSAFEPATH": "1", **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both, of a copy, so that no folder build/ of the checkout comes in."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "runs")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for path in (path for pattern in FILES for path in ROOT.glob(pattern)):
        shutil.copy(path, source / path.name)
    called("-m", "build", "--no-isolation", "--outdir", folder, source, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel):
    """A folder with what the wheel holds, and an empty one to work in."""
    place = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(place)
    (wheel.parent / "work").mkdir()
    return place


def test_it_holds_every_module_and_all_data(wheel):
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
    for folder, name in (("common", "tspcrep/common"), ("tools", "tspcrep/tools")):
        for path in (ROOT / folder).rglob("*"):
            within = path.relative_to(ROOT / folder).as_posix()
            if path.suffix in (".py", ".toml") and not within.startswith(("suites/", "benchmark")):
                assert f"{name}/{within}" in held, within
    for package in ("tsrep", "pcrep"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in held
    for name in ("tsrep", "pcrep", "tspcrep"):
        assert f"{name}/py.typed" in held
    for name in (
        "tsrep/weights/series-small",
        *(f"pcrep/weights/points-{kind}" for kind in ("aerial", "indoor")),
    ):
        assert {f"{name}.{suffix}" for suffix in ("md", "safetensors")} <= held


def test_the_sdist_has_what_its_tests_read(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    for folder in FOLDERS:
        for path in (built / "source" / folder).rglob("*"):
            within = path.relative_to(built / "source").as_posix()
            assert path.is_dir() or "egg-info" in within or within in held, within
    assert {"tspcrep/common/config.py", "docs/results/archive-cpu2.csv", "Makefile"} <= held
    assert not [name for name in held if "__pycache__" in name]


def test_the_version_is_one(wheel):
    version = re.search(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), flags=re.M)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert wheel.name.startswith(f"tspcrep-{version}-")


def test_its_command_and_its_encoder_work(wheel, site):
    work, place = wheel.parent / "work", {"PYTHONPATH": str(site)}
    overview = called("-m", "tspcrep", "--help", cwd=work, **place)
    assert "tspcrep classify" in overview
    (work / "my.csv").write_text(
        "date,load\n" + "".join(f"2024-01-01 {h:02}:00,{h % 5}\n" for h in range(24))
    )
    arguments = ("--data", "my.csv", "--own-scale", "--pool", "--output", "vectors.parquet")
    called("-m", "tspcrep", "embed", "--encoder", "series-small", *arguments, cwd=work, **place)
    code = (
        "import pandas, tsrep; print(tsrep.__file__, pandas.read_parquet('vectors.parquet').shape)"
    )
    file, shape = called("-c", code, cwd=work, **place).split(maxsplit=1)
    assert file.startswith(str(site)) and shape.strip() == "(1, 516)"
