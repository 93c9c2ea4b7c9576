"""The wheel as others install it: complete, typed, and a command that runs, far from the checkout.

Dependencies are those of this environment; nothing is fetched.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("common", "tspcrep", "tsrep", "pcrep", "tools")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


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
def wheel(tmp_path_factory):
    """Built from a copy, so that no folder build/ of the checkout comes in."""
    pytest.importorskip("wheel", reason="a wheel is built with setuptools and wheel")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    pip = ("-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps")
    called(*pip, "--no-build-isolation", "-w", folder, source, cwd=folder)
    return next(folder.glob("*.whl"))


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
