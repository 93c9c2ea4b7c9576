"""A digest of the code that functions use, to name what was computed with it."""

import hashlib
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType


def code_digest(functions: Sequence[Callable], packages: Collection[str]) -> bytes:
    """Digest (20 bytes) of the names of functions or classes, and of the code that they use.

    That is the source of their modules and of all modules of ``packages`` (top-level names) whose
    modules, functions or classes these use, at any remove. What is imported within a function is
    not seen.
    """
    names = [f"{f.__module__}.{f.__qualname__}" for f in functions]
    digest = hashlib.blake2b("\n".join(names).encode(), digest_size=20)
    found: set[ModuleType] = set()
    for function in functions:
        modules_of(function.__module__, packages, found)
    for module in sorted(found, key=lambda module: module.__name__):
        if module.__file__ is not None:
            digest.update(Path(module.__file__).read_bytes())
    return digest.digest()


def modules_of(
    name: str, packages: Collection[str], found: set[ModuleType] | None = None
) -> set[ModuleType]:
    """The module, and those of ``packages`` whose modules, functions or classes it uses."""
    found, module = found if found is not None else set(), sys.modules[name]
    if module not in found:
        found.add(module)
        for value in vars(module).values():
            home = getattr(value, "__module__", "")  # which need not be a string
            of = value.__name__ if isinstance(value, ModuleType) else str(home)
            if of in sys.modules and of.partition(".")[0] in packages:
                modules_of(of, packages, found)
    return found
