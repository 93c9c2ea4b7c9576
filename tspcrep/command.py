"""The command ``tspcrep``: each of its words is a tool, with the options of that tool.

tspcrep pretrain-series --data my_tables/ --output runs/mine
tspcrep forecast --help

A first word that is no option is the value of --data: tspcrep view scan.ply
"""

import importlib
import os
import sys
from pathlib import Path

TOOLS = {
    "pretrain-series": "pretrain_series",
    "pretrain-points": "pretrain_points",
    "pretrain-autotcl": "pretrain_autotcl",
    "pretrain-fac": "pretrain_fac",
    "train-forecaster": "train_forecaster",
    "forecast": "forecast",
    "classify": "classify",
    "embed": "embed",
    "evaluate": "evaluate",
    "segment": "finetune_segmentation",
    "predict": "predict",
    "report": "report",
    "view": "view",
    "plan": "plan",
    "data": "prepare_data",
    "demo": "demo",
}
"""The tool of each word."""


def main() -> None:
    """Run the tool that the first argument names; without one, say which there are."""
    word, *arguments = sys.argv[1:] or ["--help"]
    if word in ("--version", "-V"):
        from tspcrep import __version__

        print(f"tspcrep {__version__}")
    elif word in ("--help", "-h"):
        print(_overview())
    elif word in TOOLS:
        _run(word, arguments)
    else:
        print(f"tspcrep: {word}: no such command; one of {', '.join(TOOLS)}", file=sys.stderr)
        sys.exit(2)


def _run(word: str, arguments: list[str]) -> None:
    # Read when torch is loaded. Threads that spin while they wait make a tool on a busy machine
    # twenty times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from tspcrep.common.config import run_tool
    from tspcrep.common.options import check_options

    name = f"tspcrep {word}"
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--data", *arguments]
    check_options(Path(__file__).with_name("tools") / f"{TOOLS[word]}.py", arguments, name)
    tool = importlib.import_module(f"tspcrep.tools.{TOOLS[word]}")
    run_tool(tool.main, tool.Config, arguments, name, tool.__doc__)


def _overview() -> str:
    import ast

    lines = ["Representation learning for time series and 3D point clouds.", ""]
    for word, module in TOOLS.items():
        file = Path(__file__).with_name("tools") / f"{module}.py"
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        lines.append(f"  tspcrep {word:18}{text.splitlines()[0]}")
    return "\n".join([*lines, "", "tspcrep COMMAND --help has the options."])
