"""JSON files of a run, checked against the types that they must have."""

import json
import math
import types
import typing
from pathlib import Path
from typing import Any

from tspcrep.common.errors import UserError

_WHOLE = 2**53  # beyond it, JSON's numbers are no whole ones any more


def read_json(path: Path, form: Any = Any) -> Any:
    """The content of a JSON file of a finished run.

    form : what it must be: ``Any``, ``str``, ``bool``, ``int``, ``float``, ``list[...]``,
        ``tuple[..., ...]``, ``dict[str, ...]``, ``... | None`` or a TypedDict, whose further keys
        are let be. Numbers are finite.

    Raises UserError, one line that names the place, for a file that is missing, damaged or another.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; expected the folder of a finished run; one that was "
            "stopped goes on with --resume"
        ) from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not JSON; expected the folder of a finished run") from None
    check(content, form, str(path))
    return content


def check(value: Any, form: Any, where: str) -> None:
    """Raise UserError, with the place ``where``, if a value read from JSON is not of ``form``."""
    if form is Any:
        return
    origin, inside = typing.get_origin(form), typing.get_args(form)
    if origin in (types.UnionType, typing.Union):
        if value is not None:
            check(value, next(one for one in inside if one is not types.NoneType), where)
    elif typing.is_typeddict(form):
        _of_type(value, dict, where)
        for name, own in typing.get_type_hints(form).items():
            if name in value:
                check(value[name], own, f"{where}: {name}")
            elif name in form.__required_keys__:
                raise UserError(f"{where}: lacks {name}; expected the result of a finished run")
    elif origin is dict:
        _of_type(value, dict, where)
        for name, one in value.items():
            check(one, inside[1], f"{where}: {name}")
    elif origin in (list, tuple):
        _of_type(value, list, where)
        for index, one in enumerate(value):
            check(one, inside[0], f"{where}: {index}")
    elif form is float:
        if not is_number(value):
            raise _wrong(value, "a finite number", where)
    elif form is int:
        if not is_number(value) or isinstance(value, float):
            raise _wrong(value, "a whole number", where)
    else:
        _of_type(value, form, where)


def is_number(value: Any) -> bool:
    """Whether a value read from JSON is a finite number that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _WHOLE


def _of_type(value: Any, form: type, where: str) -> None:
    if not isinstance(value, form):
        words = {dict: "a table", list: "a list", str: "text", bool: "true or false"}
        raise _wrong(value, words[form], where)


def _wrong(value: Any, expected: str, where: str) -> UserError:
    found = repr(value)
    return UserError(
        f"{where}: found {found if len(found) <= 40 else found[:40] + '...'}, expected {expected}; "
        "the file is damaged or was changed by hand"
    )
