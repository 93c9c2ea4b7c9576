"""Write report.html into a run folder: results, pictures, losses, configuration.

    python tools/report.py --run runs/etth1
    python tools/report.py --run runs/fac

The training tools (pretrain_autotcl.py, train_forecaster.py, pretrain_fac.py and
finetune_segmentation.py) write it at the end of a run; this tool writes it again.
"""

from dataclasses import dataclass
from pathlib import Path

from tspcrep.common import config as configuration
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.runs import read_json, tool_of
from tspcrep.tools import finetune_segmentation, pretrain_autotcl, pretrain_fac, train_forecaster
from tsrep.forecasting.forecaster import FORECASTER_FILE

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


def main(config: Config) -> None:
    path = config.run / "config.toml"
    if not path.is_file():
        raise UserError(f"{config.run}: holds no config.toml; expected the folder of a run")
    name = tool_of(config.run) or _tool_by_files(config.run)
    if name not in TOOLS:
        raise UserError(f"{config.run}: a run of {name}, expected one of {', '.join(TOOLS)}")
    tool = TOOLS[name]
    print(tool.report(config.run, configuration.load(tool.Config, path)))


def _tool_by_files(run: Path) -> str:
    """The tool of a run folder that does not name it, such as one of version 0.1."""
    task = read_json(run / "result.json").get("task")
    if task == "pretraining":
        return "pretrain_fac"
    if task == "segmentation":
        return "finetune_segmentation"
    return "train_forecaster" if (run / FORECASTER_FILE).exists() else "pretrain_autotcl"


if __name__ == "__main__":
    run_tool(main, Config)
