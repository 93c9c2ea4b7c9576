"""Write report.html into a run folder: results, pictures, losses, configuration.

    python tools/report.py --run runs/etth1
    python tools/report.py --run runs/fac

The training tools (pretrain_autotcl.py, train_forecaster.py, pretrain_fac.py and
finetune_segmentation.py) write it at the end of a run; this tool writes it again.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from tspcrep.common import config as configuration
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.runs import tool_of
from tspcrep.common.typed_json import read_json
from tspcrep.tools import finetune_segmentation, pretrain_autotcl, pretrain_fac, train_forecaster

TOOLS = {
    "pretrain_autotcl": pretrain_autotcl,
    "train_forecaster": train_forecaster,
    "pretrain_fac": pretrain_fac,
    "finetune_segmentation": finetune_segmentation,
}


@dataclass(frozen=True)
class Config:
    run: Path
    """Folder of a finished run."""
    data: str | None = None
    """Where the data of the run are now, if they were moved; by default where they were."""


class _Task(TypedDict):
    task: str


class _Result(_Task, total=False):
    probe: dict


def main(config: Config) -> None:
    path = config.run / "config.toml"
    if not path.is_file():
        raise UserError(f"{config.run}: holds no config.toml; expected the folder of a run")
    name = tool_of(config.run) or _tool_by_result(config.run)
    if name not in TOOLS:
        raise UserError(f"{config.run}: a run of {name}, expected one of {', '.join(TOOLS)}")
    tool = TOOLS[name]
    own = configuration.load(tool.Config, path)
    if config.data is not None:
        own = replace(own, data=config.data)
    if not isinstance(own.data, str):
        raise UserError(f"{path}: lacks data, expected the configuration of a run; give --data")
    try:
        print(tool.report(config.run, own))
    except UserError as error:
        moved = config.data is None and own.data in str(error) and not Path(own.data).exists()
        raise UserError(f"{error}; say where it is now with --data") if moved else error from None


def _tool_by_result(run: Path) -> str:
    """The tool of a run folder that does not name it, such as one of version 0.1."""
    result = read_json(run / "result.json", _Result)
    task = result["task"]
    if task == "pretraining":
        return "pretrain_fac"
    if task == "segmentation":
        return "finetune_segmentation"
    forecaster = task == "forecasting" and "probe" not in result
    return "train_forecaster" if forecaster else "pretrain_autotcl"


if __name__ == "__main__":
    run_tool(main, Config)
