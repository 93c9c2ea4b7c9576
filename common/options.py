"""A tool's options, checked against its source before what it imports is loaded.

    if __name__ == "__main__":
        check_options(__file__)

at the top of a script tells of a misspelt, missing or unreadable option at once, where the imports
of the script take seconds. Its configuration is read from the syntax trees of the script and of the
modules that it takes the sections from. What cannot be told from there is left to
:func:`tspcrep.common.config.parse`, which has the last word.
"""

import ast
import difflib
import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PACKAGES = ("tsrep", "pcrep", "tspcrep")
_NUMBERS = {"int": int, "float": float, "int | None": int, "float | None": float}


class Option(NamedTuple):
    """A field of the configuration. type: as it is written. required: has no default."""

    name: str
    type: str
    required: bool


def check_options(
    script: str | Path, arguments: list[str] | None = None, name: str | None = None
) -> None:
    """Leave with one line on stderr and status 2 where the arguments cannot be right.

    arguments, name: by default those of this process and of the script.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    wrong = complaint(options_of(Path(script)), arguments)
    if wrong is not None:
        print(f"{name or Path(script).name}: {wrong}", file=sys.stderr)
        sys.exit(2)


def options_of(script: Path) -> list[Option]:
    """The fields of the class ``Config`` of a script, and of the sections in it."""
    return list(_fields(script, "Config"))


def complaint(options: list[Option], arguments: list[str]) -> str | None:
    """What is wrong with the arguments, None where nothing is to be seen."""
    known = {option.name: option for option in options}
    if not known or {"-h", "--help"} & set(arguments):
        return None
    given = set()
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        name = name.removeprefix("--").replace("_", "-")
        if not argument.startswith("--") or name in ("config", ""):
            continue
        if name not in known and name.removeprefix("no-") not in known:
            return _unknown(name, known)
        given.add(name)
        if name in known and not equals:
            value = arguments[at + 1] if at + 1 < len(arguments) else ""
        read = _NUMBERS.get(known[name].type) if name in known else None
        if read is not None and value != "None" and not _reads(read, value):
            return f"--{name}: found {value!r}, expected a number ({read.__name__})"
    missing = [option.name for option in options if option.required and option.name not in given]
    if missing and not any(a == "--config" or a.startswith("--config=") for a in arguments):
        return f"--{missing[0]} is missing: it has no default; see --help"
    return None


def section_hint(name: str) -> str | None:
    """What to write in place of an option with its section, training.max-steps."""
    if "." not in name:
        return None
    return f"--{name}: options have no section in their name: write --{name.rpartition('.')[2]}"


def _unknown(name: str, known: dict[str, Option]) -> str:
    if "." in name and name.rpartition(".")[2] in known:
        return str(section_hint(name))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean --{close[0]}? " if close else ""
    return f"--{name}: no such option: {hint}see --help"


def _reads(read: type, value: str) -> bool:
    try:
        return math.isfinite(read(value))
    except (ValueError, OverflowError):  # nan and inf are no numbers for an option
        return False


def _fields(path: Path, name: str) -> Iterator[Option]:
    """The fields of the dataclass ``name`` that ``path`` defines or imports."""
    found = _class(path, name)
    if found is None:
        return
    path, node = found
    for base in node.bases:
        if isinstance(base, ast.Name):
            yield from _fields(path, base.id)
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        section = field.annotation.id if isinstance(field.annotation, ast.Name) else ""
        if section and _class(path, section) is not None:
            yield from _fields(path, section)
        else:
            option = field.target.id.replace("_", "-")
            yield Option(option, ast.unparse(field.annotation), field.value is None)


def _class(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """The class ``name`` of a file of ours, and the file that defines it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return path, node
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                file = _file(node.module)
                if (alias.asname or alias.name) == name and file is not None:
                    return _class(file, alias.name)
    return None


def _file(module: str) -> Path | None:
    """The file of a module of ours, found without an import of it."""
    top, *below = module.split(".")
    found = importlib.util.find_spec(top) if top in _PACKAGES else None
    if found is None or found.origin is None:
        return None
    place = Path(found.origin).parent.joinpath(*below)
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)
