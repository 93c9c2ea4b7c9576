"""Configuration as a frozen dataclass, read from a TOML file and the command line.

    @dataclass(frozen=True)
    class Config:
        data: str
        training: Training = Training()

    if __name__ == "__main__":
        run_tool(main, Config)

gives ``tool.py --config FILE.toml --data ETTh1 --epochs 5``: values in the file replace defaults,
and options replace values in the file. Fields of nested dataclasses are in sections of their own in
TOML and have no prefix on the command line. TOML has no null: ``"None"`` means None, as it does on
the command line.
"""

import contextlib
import dataclasses
import io
import math
import os
import re
import sys
import time
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import tomli_w
import tyro

from tspcrep.common.distributed import launched_processes, launched_rank
from tspcrep.common.errors import DataWarning, UserError
from tspcrep.common.interrupts import Terminated, terminated_as_interrupt
from tspcrep.common.options import section_hint

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds in which torchrun ends a process whose sister failed, before it speaks for itself."""


def run_tool(
    main: Callable[[T], None],
    config_class: type[T],
    arguments: list[str] | None = None,
    name: str | None = None,
    description: str | None = None,
) -> None:
    """Parse the arguments into ``config_class`` and call ``main`` with it.

    arguments, name, description: of the tool; by default those of the script that runs, whose
    docstring is its help text.

    An error that the user can correct (``UserError``, an unknown option, a value that does not
    parse) ends as one line on stderr and exit status 2; any other is a bug and keeps its traceback.
    Of several processes that fail alike, the first one says so. A ``DataWarning`` is one line on
    stderr. Ctrl-C and SIGTERM end as one line, too, with status
    130 and 143; a reader of stdout that goes away, such as ``| head``, without a word.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = name or Path(sys.argv[0]).name
    description = description or sys.modules["__main__"].__doc__
    _print_what_a_locale_lacks()
    try:
        with terminated_as_interrupt(), _one_line_for_data():
            main(parse(config_class, arguments, description, name))
            if sys.stdout is not None:
                sys.stdout.flush()
    except UserError as error:
        if launched_rank():
            time.sleep(_PATIENCE)
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        if launched_processes() > 1:  # others fail as soon as we let go of them: be gone by then
            os._exit(2)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        again = "; go on with --resume" if _can_resume(config_class) else ""
        # torchrun sends SIGTERM to the sisters of a process that failed, and says so itself.
        told = launched_processes() > 1 and isinstance(stop, Terminated)
        if not launched_rank() and not told:
            print(f"{name}: stopped{again}", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        sys.exit(141)  # as if SIGPIPE had ended it
    except Exception:
        if launched_processes() > 1:  # most likely another process is gone, and has said why
            time.sleep(_PATIENCE)
        raise


def _print_what_a_locale_lacks() -> None:
    """Under ``LC_ALL=C`` print a name with an accent by an escape, instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
            stream.reconfigure(errors="backslashreplace")


def _can_resume(config_class: type) -> bool:
    return any(field.name == "resume" for field in dataclasses.fields(config_class))


@contextlib.contextmanager
def _one_line_for_data() -> Iterator[None]:
    """Inside, a ``DataWarning`` is printed without the place in the code."""
    show = warnings.showwarning

    def shown(message, category, *place, **more) -> None:
        if issubclass(category, DataWarning):
            print(message, file=sys.stderr)
        else:
            show(message, category, *place, **more)

    warnings.showwarning = shown
    try:
        yield
    finally:
        warnings.showwarning = show


def parse(
    config_class: type[T],
    arguments: list[str],
    description: str | None = None,
    name: str | None = None,
) -> T:
    """Build the configuration from ``arguments`` and the TOML file given by ``--config``.

    description, name: of the tool, for its help.
    """
    arguments, path = _take_config_option(arguments)
    for argument in arguments:
        hint = section_hint(argument.partition("=")[0].removeprefix("--"))
        if argument.startswith("--") and hint is not None:
            raise UserError(hint)
    keywords: dict[str, Any] = {} if path is None else {"default": load(config_class, path)}
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            config = tyro.cli(
                config_class,
                args=arguments,
                prog=name,
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
                **keywords,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(stderr.getvalue())) from None
    _check_values(config)
    return config


def load(config_class: type[T], path: str | Path) -> T:
    """Read a TOML file; required fields may be missing and come from the command line."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: not a TOML file: {error}") from error
    return from_dict(config_class, table, where=str(path), missing=tyro.MISSING)


def from_dict(
    config_class: type[T],
    table: Mapping[str, Any],
    where: str = "config",
    missing: object = dataclasses.MISSING,
    base: T | None = None,
) -> T:
    """Build the dataclass from nested plain values; UserError names a field that does not fit.

    where : prefix of the messages.
    missing : value of required fields that the table lacks; by default they are an error.
    base : instance that provides the values of fields that the table lacks, instead of the class's
        defaults. A nested dataclass starts from the default of the field that holds it.
    """
    hints = typing.get_type_hints(config_class)
    defaults = _defaults(config_class, base)
    unknown = sorted(set(table) - set(defaults))
    if unknown:
        known = ", ".join(defaults)
        raise UserError(f"{where}: unknown field {unknown[0]!r}; the fields are {known}")
    values = {}
    for name, default in defaults.items():
        if name in table:
            found = f"{where}: {name}"
            values[name] = _convert(table[name], hints[name], found, default)
            _check_value(values[name], default, found)
        elif default is not dataclasses.MISSING:
            values[name] = default
        elif missing is dataclasses.MISSING:
            raise UserError(f"{where}: field {name!r} is missing")
        else:
            values[name] = missing
    return config_class(**values)


def to_dict(config: object, base: object | None = None) -> dict[str, Any]:
    """Nested plain values from which :func:`from_dict` rebuilds the configuration.

    A field that is None is left out if that is its default, and is ``"None"`` otherwise.
    """

    def plain(value: Any, default: Any = None) -> Any:
        if dataclasses.is_dataclass(value):
            return to_dict(value, default if type(default) is type(value) else None)
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) or value is None else value

    pairs = ((n, getattr(config, n), d) for n, d in _defaults(type(config), base).items())
    return {n: plain(v, d) for n, v, d in pairs if v is not None or d is not None}


def to_toml(config: object) -> str:
    return tomli_w.dumps(to_dict(config))


def _defaults(config_class: type, base: object | None) -> dict[str, Any]:
    """Default value of each field, from ``base`` if given; MISSING for required fields."""
    found = {}
    for field in dataclasses.fields(config_class):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[field.name] = default if base is None else getattr(base, field.name)
    return found


def _check_values(config: object) -> None:
    """:func:`_check_value` of all fields, also of sections, named as options."""
    for name, default in _defaults(type(config), None).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            _check_values(value)
        else:
            _check_value(value, default, f"--{name.replace('_', '-')}")


def _check_value(value: Any, default: Any, where: str) -> None:
    """UserError for numbers that are none, and for a list without values in place of a default."""
    if isinstance(value, tuple) and not value and default != ():
        raise UserError(
            f"{where}: found an empty list, expected at least one value; leave it out for the "
            "default"
        )
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"{where}: found {number}, expected a finite number")


def _convert(value: Any, hint: Any, where: str, default: Any = None) -> Any:
    """Convert ``value`` to the type of ``hint``; ``default`` is the default of the field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value, where, base=default if type(default) is hint else None)
    if origin in (Union, types.UnionType):
        if value == "None" and type(None) in arguments:
            return None
        for option in arguments:
            with contextlib.suppress(UserError):
                return _convert(value, option, where, default)
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            return tuple(_convert(v, h, where) for v, h in zip(value, inner, strict=True))
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    expected = hint.__name__ if isinstance(hint, type) and origin is None else str(hint)
    raise UserError(f"{where}: found {value!r}, expected {expected}")


def _take_config_option(arguments: list[str]) -> tuple[list[str], str | None]:
    """Split ``--config FILE`` off the other arguments."""
    rest, path = [], None
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--config":
            path = next(remaining, None)
            if path is None:
                raise UserError("--config: found nothing after it, expected a TOML file")
        elif argument.startswith("--config="):
            path = argument.removeprefix("--config=")
        else:
            rest.append(argument)
    return rest, path


def _one_line(box: str) -> str:
    """The message inside the box that tyro draws around an error."""
    lines = [re.sub(r"^[│|\s]+|[│|\s]+$", "", line) for line in box.splitlines()]
    text = [line for line in lines if line and not re.match(r"[╭╰─]|\+-", line)]
    end = next((i for i, line in enumerate(text) if "full helptext" in line), len(text))
    return " ".join(text[:end]) or "the command line could not be read; see --help"
