"""The dataclass, the TOML file and the command line hold the same configuration."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tspcrep.common.config import from_dict, load, parse, to_dict, to_toml
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class Method:
    """The method's numbers."""

    lr: float = 1e-3
    """Learning rate."""
    steps: int | None = 10
    horizons: tuple[int, ...] = (24, 48)
    scales: tuple[float, ...] = ()
    share: float | None = None
    mask: Literal["all", "none"] = "all"

    def __post_init__(self):
        if self.lr <= 0:
            raise UserError(f"lr: found {self.lr}, expected a number above 0")


@dataclass(frozen=True)
class Config:
    data: str
    root: Path | None = None
    univariate: bool = False
    method: Method = Method()


@dataclass(frozen=True)
class Tool:
    """Has defaults of its own for the method's numbers."""

    data: str = "x"
    method: Method = field(default_factory=lambda: Method(lr=0.5, steps=20))


METHODS = st.builds(
    Method,
    lr=st.floats(1e-9, 10),
    steps=st.none() | st.integers(1, 99),
    horizons=st.lists(st.integers(1, 999), min_size=1).map(tuple),
    mask=st.sampled_from(["all", "none"]),
)


@given(
    st.builds(
        Config,
        data=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
        root=st.none() | st.just(Path("a/b")),
        univariate=st.booleans(),
        method=METHODS,
    )
    | st.builds(Tool, method=METHODS)
)
def test_toml_round_trip(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load(type(config), path) == config
    assert from_dict(type(config), to_dict(config)) == config


def test_command_line_over_file_over_defaults(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text('data = "ETTh1"\n[method]\nlr = 1\nhorizons = [1, 2]\n')
    config = parse(Config, ["--config", str(path), "--lr", "0.5", "--univariate"])
    assert config == Config("ETTh1", None, True, Method(lr=0.5, horizons=(1, 2)))


def test_part_of_a_section_leaves_the_rest_as_the_tool_has_it(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text("[method]\nhorizons = [7]\n")
    assert load(Tool, path).method == Method(lr=0.5, steps=20, horizons=(7,))
    assert parse(Tool, ["--config", str(path), "--steps", "None"]).method.steps is None
    path.write_text('[method]\nsteps = "None"\n')
    assert load(Tool, path).method == Method(lr=0.5, steps=None)


DATA = ("--data", "x")
NOT_FINITE = [
    ("--lr nan", "nan"),
    ("--lr 1e999", "inf"),
    ("--share -inf", "-inf"),
    ("--scales 1 nan", "nan"),
]


def test_an_empty_list_that_is_the_default_may_be_given(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text("data = 'x'\n[method]\nscales = []\n")
    assert parse(Config, ["--data", "x", "--scales"]) == load(Config, path) == Config("x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing.*--data"),
        (["--data", "x", "--nothing"], "Unrecognized.*--nothing"),
        (["--data", "x", "--lr", "abc"], "--lr.*abc"),
        (["--data", "x", "--lr", "-1"], "lr: found -1.0, expected a number above 0"),
        (["--data", "x", "--mask", "some"], "--mask"),
        *(
            ([*DATA, *option.split()], f"{option.split()[0]}: found {value}, expected a finite")
            for option, value in NOT_FINITE
        ),
        ([*DATA, "--horizons"], "--horizons: found an empty list, expected at least one value"),
        (["--config"], "found nothing after it"),
        (["--config", "no/such.toml"], "No such file"),
    ],
)
def test_bad_command_line_is_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        parse(Config, arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data = 3", "data: found 3, expected str"),
        ("dat = 'x'", "unknown field 'dat'; the fields are data, root"),
        ("[method]\nlr = nan", "method: lr: found nan, expected a finite number"),
        ("[method]\nlr = 'a'", "method: lr: found 'a', expected float"),
        ("[method]\nhorizons = [1.5]", "found 1.5, expected int"),
        ("[method]\nshare = -inf", "share: found -inf, expected a finite number"),
        ("[method]\nscales = [1.0, inf]", "scales: found inf, expected a finite number"),
        ("[method]\nhorizons = []", "horizons: found an empty list, expected at least one"),
        ("data = ", "not a TOML file"),
    ],
)
def test_bad_file_names_the_field(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load(Config, path)


TOOL = """
from dataclasses import dataclass
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError

@dataclass(frozen=True)
class Config:
    data: str

def main(config):
    if config.data == "bug":
        raise ZeroDivisionError("ours")
    raise UserError(f"{config.data}: no such file")

if __name__ == "__main__":
    run_tool(main, Config)
"""


def test_user_error_is_one_line_and_status_2_but_a_bug_keeps_its_traceback(tmp_path):
    script = tmp_path / "tool.py"
    script.write_text(TOOL)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
        )

    missing = run("--data", "x.csv")
    assert missing.returncode == 2
    assert missing.stderr == "tool.py: x.csv: no such file\n"
    unknown = run("--dta", "x.csv")
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1
    bug = run("--data", "bug")
    assert bug.returncode == 1 and "Traceback" in bug.stderr
