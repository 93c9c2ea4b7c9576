"""A digest changes with the code that a function uses, and with no other."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from tspcrep.common.code_digest import code_digest, modules_of

KIT = {
    "start": "from kit import near\nimport numpy\ndef run(): return near.one()\n",
    "near": "from kit.deep import Deep\ndef one(): return Deep()\n",
    "deep": "class Deep: pass\n",
    "unused": "from kit import start\n",
}


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """Write the package with changes; return the digest of ``kit.start.run``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources change within a second

    def digest(**changed):
        (tmp_path / "kit").mkdir(exist_ok=True)
        for name, text in {"__init__": "", **KIT, **changed}.items():
            (tmp_path / "kit" / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == "kit"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        return code_digest([importlib.import_module("kit.start").run], {"kit"})

    yield digest
    for name in [name for name in sys.modules if name.partition(".")[0] == "kit"]:
        del sys.modules[name]


def test_code_that_a_function_uses_at_any_remove_is_in_the_digest(kit):
    first = kit()
    assert kit() == first
    for name in ("start", "near", "deep"):
        assert kit(**{name: KIT[name] + "# changed\n"}) != first
    assert kit(unused="changed = True\n") == first


def test_modules_are_those_of_the_packages(monkeypatch):
    names = ("kit.start", "kit.near", "other.deep", "kit.unused")
    start, near, deep, unused = modules = [ModuleType(name) for name in names]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
        vars(module)["numpy"] = np
    vars(start)["near"] = near
    vars(near)["Deep"] = type("Deep", (), {"__module__": "other.deep"})
    vars(deep)["start"] = start
    vars(unused)["start"] = start

    def found(*packages):
        return {module.__name__ for module in modules_of("kit.start", packages)}

    assert found("kit") == {"kit.start", "kit.near"}
    assert found("kit", "other") == {"kit.start", "kit.near", "other.deep"}
