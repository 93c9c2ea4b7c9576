"""Write report.html into a run folder: results, pictures, losses, configuration.

    python tools/report.py --run runs/etth1
    python tools/report.py --run runs/fac

Runs of tools/pretrain_autotcl.py, tools/pretrain_fac.py and tools/finetune_segmentation.py end with
their report: this is for drawing it again.
"""

from dataclasses import dataclass
from pathlib import Path

import finetune_segmentation
import pretrain_autotcl
import pretrain_fac

import tsrep.reports.autotcl
from tspcrep.common import config as configuration
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.pages import read_json

POINTS = {"pretraining": pretrain_fac, "segmentation": finetune_segmentation}


@dataclass(frozen=True)
class Config:
    run: Path
    """Folder of a finished run."""


def main(config: Config) -> None:
    path = config.run / "config.toml"
    if not path.is_file():
        raise UserError(f"{config.run}: holds no config.toml; expected the folder of a run")
    task = read_json(config.run / "result.json").get("task")
    if task in POINTS:
        print(POINTS[task].report(config.run, configuration.load(POINTS[task].Config, path)))
    else:
        of_run = configuration.load(pretrain_autotcl.Config, path)
        print(tsrep.reports.autotcl.write(config.run, pretrain_autotcl.load_data(of_run), of_run))


if __name__ == "__main__":
    run_tool(main, Config)
