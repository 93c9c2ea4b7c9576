"""README and the site keep their word: snippets run, commands are ours, links lead somewhere."""

import configparser
import importlib
import re
import sys

import matplotlib
import pytest

from tests.pages import PAGES, ROOT, SHELL, blocks, commands, fill, links
from tspcrep.command import TOOLS
from tspcrep.common.config import parse
from tspcrep.common.options import complaint, options_of

BY_PAGE = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
SNIPPETS = [
    name
    for name, text in BY_PAGE.items()
    if any(block.language == "python" for block in blocks(text))
]
MAKE = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder of a reader who has done what the pages say before their snippets."""
    folder = tmp_path_factory.mktemp("reader")
    fill(folder)
    return folder


def test_readme_is_short_and_every_block_says_its_language():
    assert BY_PAGE["README.md"].count("\n") <= 120
    known = {SHELL, "python", "toml", "bibtex"}
    for name, text in BY_PAGE.items():
        found = {block.language for block in blocks(text)}
        assert found <= known, (name, found)
    assert len(SNIPPETS) >= 8


@pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")
@pytest.mark.parametrize("page", SNIPPETS)
def test_snippets_of_a_page_run_in_their_order(page, reader, monkeypatch):
    if "sktime" in BY_PAGE[page]:
        pytest.importorskip("sktime", reason="the page shows sktime")
    monkeypatch.chdir(reader)
    matplotlib.use("Agg")
    names = {"__name__": "page"}
    for block in blocks(BY_PAGE[page]):
        if block.language == "python":
            source = "\n" * (block.line - 1) + block.text  # so that a traceback has its line
            exec(compile(source, str(ROOT / page), "exec"), names)


@pytest.mark.parametrize("page", [name for name, text in BY_PAGE.items() if commands(text)])
def test_commands_are_ours_and_their_options_are_read(page, monkeypatch):
    for words in commands(BY_PAGE[page]):
        try:
            check_command(words, monkeypatch)
        except BaseException as error:
            raise AssertionError(f"{page}: {' '.join(words)}: {error}") from error


def check_command(words, monkeypatch):
    """Raise where a command could not run: no such tool, option, value, target or extra."""
    if words[0] == "make":
        assert set(words[1:]) <= set(MAKE), f"no such target; the Makefile has {MAKE}"
    elif words[:2] == ["pip", "install"]:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        extras = re.findall(r"\[(.*)\]", words[-1])
        known = setup["options.extras_require"]
        assert all(name in known for some in extras for name in some.split(","))
    else:
        tool, arguments = tool_of(words)
        file = ROOT / "tools" / f"{tool}.py"
        if arguments and not {"--help", "--version"} & set(arguments):
            wrong = complaint(options_of(file), arguments) if tool != "benchmark" else None
            assert wrong is None, wrong
            monkeypatch.chdir(ROOT)  # where a path of --config is looked for
            monkeypatch.syspath_prepend(str(ROOT / "tools"))
            module = importlib.import_module(
                tool if tool == "benchmark" else f"tspcrep.tools.{tool}"
            )
            parse(module.Config, arguments, "", tool)


def tool_of(words):
    """The tool that a command starts, and what it gives it."""
    if words[0] == "tspcrep":
        return (TOOLS[words[1]], words[2:]) if words[1] in TOOLS else ("embed", words[1:])
    assert words[0] in ("python", "torchrun"), "expected tspcrep, python, torchrun, make or pip"
    script = next(word for word in words if word.startswith("tools/"))
    assert (ROOT / script).is_file(), f"{script} does not exist"
    return script.removeprefix("tools/").removesuffix(".py"), words[words.index(script) + 1 :]


@pytest.mark.parametrize("page", BY_PAGE)
def test_links_lead_to_files_and_headings(page):
    for target in links(BY_PAGE[page]):
        file, _, heading = target.partition("#")
        place = (ROOT / page).parent / file if file else ROOT / page
        assert place.exists(), f"{page} links {target}"
        if heading and place.suffix == ".md" and "." not in heading:
            titles = re.findall(r"^#+ (.*)$", place.read_text("utf-8"), flags=re.M)
            anchors = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
            assert heading in anchors, f"{page} links {target}; there are {sorted(anchors)}"


def test_every_page_is_in_the_menu_and_every_module_of_the_reference_exists():
    menu = (ROOT / "mkdocs.yml").read_text()
    for name, text in BY_PAGE.items():
        if name.startswith("docs/"):
            assert f": {name.removeprefix('docs/')}" in menu, name
        for module in re.findall(r"^::: (\S+)$", text, flags=re.M):
            assert importlib.import_module(module).__doc__, module


def test_a_docstring_as_markdown(monkeypatch):
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    as_markdown = importlib.import_module("docstrings").as_markdown
    text = "Sum of :func:`~a.b`.\n\nParameters\n----------\nx : (N,),\n    in metres.\ny, z : more."
    text += "\n\nLast words: none.\n\nRaises\n------\nUserError\n    Never."
    assert as_markdown(text) == (
        "Sum of `a.b`.\n\n**Parameters**\n\n\n- `x`: (N,),\n    in metres.\n\n- `y, z`: more."
        "\n\nLast words: none.\n\n**Raises**\n\nUserError\n    Never."
    )


def test_a_wrong_command_is_seen(monkeypatch):
    for line in (
        "tspcrep embedd --data x",
        "tspcrep embed --encodr x --data y --output z",
        "python tools/nothing.py",
        "make tea",
        "pip install '.[nothing]'",
        "ls",
    ):
        words = line.replace("'", "").split()
        with pytest.raises((AssertionError, KeyError, SystemExit, ValueError)):
            check_command(words, monkeypatch)
    assert "page" not in sys.modules
