"""The import arrow: tools -> {tsrep, pcrep} -> common -> torch, numpy, and nothing turns round.

Imports are read from the syntax trees, inside functions too, so nothing needs to be installed.
"""

import ast
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "common": {"common"},
    "tspcrep": {"tspcrep", "common", "tools"},
    "tsrep": {"tsrep", "common"},
    "pcrep": {"pcrep", "common"},
    "tools": {"tools", "tsrep", "pcrep", "common"},
}
CORE = "tspcrep.common"  # the name that the folder common/ is imported by
TOOLS = "tspcrep.tools"  # and tools/

# The one file that wraps each heavy optional library, and imports it inside a function. Who wraps
# another one, or moves one, writes the file's name here.
WRAPPED_IN = {
    "open3d": "pcrep/datasets/open3d.py",
    "laspy": "pcrep/datasets/formats/las.py",
    "pye57": "pcrep/datasets/formats/e57.py",
    "sktime": "tsrep/datasets/loading.py",
    "MinkowskiEngine": "pcrep/sparse/engines/minkowski.py",
    "spconv_triton": "pcrep/sparse/engines/triton.py",
    "usearch": "tsrep/mining/search.py",
    "ray": "common/ray_data.py",
    "huggingface_hub": "common/hub.py",
    "holidays": "tsrep/datasets/holidays.py",
}

# Folders whose classes inherit from a heavy library's, which no function can put off. Nothing else
# imports them.
INHERITS_IN = {"sktime": "tsrep/sktime/"}

# Distributions whose import has another name, and what arrives with a declared distribution.
IMPORT_NAMES = {"scikit-learn": "sklearn", "open3d-cpu": "open3d"}
COMES_WITH = {
    "llvmlite": "numba",
    "lazrs": "laspy",
    "requests": "pooch",
    "PIL": "matplotlib",
    "triton": "torch",
    "MinkowskiEngineBackend": "MinkowskiEngine",
}
# Peers that tools/suites measure us against; inside functions, so that a suite runs without them.
BENCHMARKED = {
    "tsaug",
    "pytorch_metric_learning",
    "lightly",
    "open3d",
    "neuralforecast",
    "sktime",
    "pycatch22",
    "stumpy",
    "laspy",
}


class Import(NamedTuple):
    file: str  # relative to the root
    line: int
    name: str  # dotted
    inside_function: bool

    @property
    def top(self):
        """The folder at the top that it leads to, or the library."""
        names = {CORE: "common", TOOLS: "tools"}
        own = [top for name, top in names.items() if f"{self.name}.".startswith(f"{name}.")]
        return own[0] if own else self.name.split(".")[0]

    def __str__(self):
        return f"{self.file}:{self.line} imports {self.name}"


def imports_of(source, file):
    """All imports of a file: statements, and ``import_module`` and ``__import__`` of a literal."""
    package = named(file).removesuffix("/__init__.py").removesuffix(".py").split("/")
    if not file.endswith("__init__.py"):
        package = package[:-1]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    found = []

    def visit(node, inside):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            # ``from package import module`` is an import of the module too.
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            called = called.id if isinstance(called, ast.Name) else called
            if called in ("import_module", "__import__"):
                names = [literal(node.args[0])]
        found.extend(Import(file, node.lineno, name, inside) for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child, inside or isinstance(node, functions))

    visit(ast.parse(source), False)
    return found


def literal(node):
    """The beginning of a name that is written out, such as
    ``f"tspcrep.common.ops.{implementation}"``."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    value = getattr(node, "value", None)
    return value.rstrip(".") if isinstance(value, str) else "?"


def files():
    """Text of each file by its path; in an sdist links to common/ and tools/ are copies of them."""
    copies = tuple(f"{name.replace('.', '/')}/" for name in (CORE, TOOLS))
    paths = [p for top in MAY_IMPORT for p in sorted((ROOT / top).rglob("*.py"))]
    found = {p.relative_to(ROOT).as_posix(): p for p in paths}
    return {f: p.read_text("utf-8") for f, p in found.items() if not f.startswith(copies)}


def named(file):
    """The path of a file by the names that modules are imported by."""
    for folder, name in (("common", CORE), ("tools", TOOLS)):
        file = re.sub(f"^{folder}(?=/)", name.replace(".", "/"), file)
    return file


def modules_of(sources):
    """File of each module. The benchmark is a script, with its suites for neighbours."""
    return {
        re.sub(r"(/__init__)?\.py$", "", named(file)).replace("/", "."): file
        for file in sources
        if not file.startswith(("tools/suites/", "tools/benchmark.py"))
    }


def all_imports(sources):
    return [found for file, source in sources.items() for found in imports_of(source, file)]


def find_cycle(sources):
    """Modules that import each other when they are loaded, as ``[a, b, a]``; [] if there are none.

    ``from package import part`` leads to the part. That the package's ``__init__`` runs on the way
    is no cycle: Python loads a part of a package whose ``__init__`` is still running.
    """
    modules = modules_of(sources)
    edges = {}
    for module, file in modules.items():
        targets = set()
        statements = {}
        for found in imports_of(sources[file], file):
            if not found.inside_function:
                statements.setdefault(found.line, []).append(found.name)
        for names in statements.values():
            parts = [name for name in names if name in modules]
            loaded = [name for name in parts if not covered(name, names, modules)]
            targets.update(loaded)
        edges[module] = targets - {module}
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for target in sorted(edges[module]):
            if cycle := visit(target):
                return cycle
        path.pop()
        done.add(module)
        return []

    return next((cycle for module in edges if (cycle := visit(module))), [])


def covered(package, names, modules):
    """Whether a statement takes nothing from ``package`` but modules in it."""
    taken = [name for name in names if name.startswith(f"{package}.")]
    return bool(taken) and all(name in modules for name in taken)


SOURCES = files()
IMPORTS = all_imports(SOURCES)
MODULES = modules_of(SOURCES)


def test_there_is_something_to_read():
    assert {CORE, "tsrep", "pcrep"} <= set(MODULES)
    assert any(i.file == "common/loop.py" and i.name == "tspcrep.common.samplers" for i in IMPORTS)


def test_the_reader_of_imports_sees_every_form():
    source = """
import torch.nn as nn
from . import tensor
from ..unet import SparseUNet
def late():
    import open3d
    importlib.import_module("MinkowskiEngine.utils")
    importlib.import_module(f"tspcrep.common.ops.{name}")
    __import__("laspy")
class Body:
    import pandas
"""
    found = {i.name: i.inside_function for i in imports_of(source, "pcrep/sparse/conv.py")}
    assert found == {
        "torch.nn": False,
        "pcrep.sparse": False,
        "pcrep.sparse.tensor": False,
        "pcrep.unet": False,
        "pcrep.unet.SparseUNet": False,
        "open3d": True,
        "MinkowskiEngine.utils": True,
        "tspcrep.common.ops": True,
        "laspy": True,
        "pandas": False,
    }
    inside = imports_of("from . import a\nfrom .. import b", "pcrep/sparse/__init__.py")
    assert [i.name for i in inside] == ["pcrep.sparse", "pcrep.sparse.a", "pcrep", "pcrep.b"]


def test_the_arrow():
    """common imports neither domain, the domains never each other, and nobody the tools."""
    wrong = [
        str(found)
        for found in IMPORTS
        if found.top in MAY_IMPORT and found.top not in MAY_IMPORT[found.file.split("/")[0]]
    ]
    assert not wrong, wrong


def test_nobody_imports_the_tests():
    assert not [str(found) for found in IMPORTS if found.top == "tests"]


def is_benchmark_of(found, library):
    return (
        library in BENCHMARKED and found.file.startswith("tools/suites/") and found.inside_function
    )


def inherits(found):
    return found.file.startswith(INHERITS_IN.get(found.top, "/"))


@pytest.mark.parametrize("library", WRAPPED_IN)
def test_a_heavy_library_has_one_file_and_waits_for_a_call(library):
    uses = [found for found in IMPORTS if found.top == library and not inherits(found)]
    uses = [found for found in uses if not is_benchmark_of(found, library)]
    elsewhere = [str(found) for found in uses if found.file != WRAPPED_IN[library]]
    assert not elsewhere, f"only {WRAPPED_IN[library]} may import {library}: {elsewhere}"
    early = [str(found) for found in uses if not found.inside_function]
    assert not early, f"{library} is imported when the module is, expected inside a function"


@pytest.mark.parametrize("folder", INHERITS_IN.values())
def test_nobody_imports_what_inherits_from_a_heavy_library(folder):
    package = folder.rstrip("/").replace("/", ".")
    found = [i for i in IMPORTS if f"{i.name}.".startswith(f"{package}.")]
    assert found
    assert not [str(i) for i in found if not i.file.startswith(folder)]


@pytest.mark.parametrize("library", WRAPPED_IN)
def test_the_file_that_wraps_a_library_exists(library):
    file = WRAPPED_IN[library]
    assert file is None or file in SOURCES


def declared():
    """Import names of what setup.cfg installs: always, and with an extra."""
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")

    def names(text):
        found = re.findall(r"^\s*([A-Za-z][\w.-]*)", text, re.MULTILINE)
        return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in found}

    extras = options["options.extras_require"]
    return names(options["options"]["install_requires"]), {
        n for t in extras for n in names(extras[t])
    }


def test_what_a_module_imports_is_installed_with_the_package():
    always, extras = declared()
    late = extras | set(WRAPPED_IN)
    for names in (always, late):
        names |= {name for name, bearer in COMES_WITH.items() if bearer in names}
    known = set(sys.stdlib_module_names) | set(MAY_IMPORT) | {"suites", "?"}
    for found in IMPORTS:
        allowed = known | always
        if found.file.startswith("tools/"):  # a script sees its neighbours
            allowed = allowed | {Path(file).stem for file in SOURCES if file.startswith("tools/")}
        if found.inside_function or inherits(found):
            allowed = allowed | late
            allowed |= BENCHMARKED if found.file.startswith("tools/suites/") else set()
        assert found.top in allowed, f"{found}: not in install_requires of setup.cfg"


def test_no_import_cycles():
    assert find_cycle(SOURCES) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "import b", "b": "import c", "c": "from a import x"}, "a b c a"),
        ({"a": "import b", "b": "def f():\n import a"}, ""),  # inside a function
        ({"p/__init__": "from p.x import X", "p/x": "from p import y", "p/y": ""}, ""),
        ({"p/__init__": "from p.x import X", "p/x": "from p import X"}, "p p.x p"),
        ({"p/__init__": "", "p/x": "from . import y", "p/y": "from .x import f"}, "p.x p.y p.x"),
        ({"p/__init__": "", "p/x": "import p.y", "p/y": "import p.x as x"}, "p.x p.y p.x"),
    ],
)
def test_the_finder_of_cycles_finds_them(sources, expected):
    assert find_cycle({f"{name}.py": text for name, text in sources.items()}) == expected.split()


BARE = """
import importlib, sys
for library in {heavy}:
    sys.modules[library] = None  # an import of it fails
for module in {modules}:
    importlib.import_module(module)
"""


def test_every_module_imports_without_the_heavy_libraries():
    """But for triton's kernels, which need what torch brings along on Linux alone, and for what
    inherits from a heavy library's classes."""
    modules = [
        m
        for m in MODULES
        if not any(i.top == "triton" for i in IMPORTS if i.file == MODULES[m])
        and not MODULES[m].startswith(tuple(INHERITS_IN.values()))
    ]
    code = BARE.format(heavy=list(WRAPPED_IN), modules=modules)
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["tsrep", "pcrep"])
def test_a_package_is_imported_at_once_and_has_what_it_names(package):
    """Nothing that takes time is loaded before a name is asked for; then each one is there."""
    code = f"""
import sys, {package}
assert not {{"torch", "numpy", "pandas", "numba"}} & set(sys.modules)
assert set({package}.__all__) <= set(dir({package})) and not hasattr({package}, "nothing")
from {package} import *
assert set({package}.__all__) <= set(globals())
assert set({package}.__all__) == set({package}._MODULES)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_setup_lists_every_package():
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    packages = {module for module, file in MODULES.items() if file.endswith("/__init__.py")}
    assert set(options["options"]["packages"].split()) == packages


@pytest.mark.parametrize("foreign", ["common.py", "common/__init__.py"])
def test_an_adopters_own_common_is_not_in_the_way(tmp_path, foreign):
    """Neither from an installation nor from a checkout on the path."""
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("errors = 'theirs'\n")
    code = (
        "import common, pcrep, tsrep, tspcrep; from tspcrep.common.errors import UserError; "
        "assert common.errors == 'theirs' and tspcrep.__version__"
    )
    for path in ([tmp_path], [tmp_path, ROOT]):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
