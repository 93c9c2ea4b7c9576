"""Write report.html into a run folder: results, forecasts, losses, the learned augmentation.

    python tools/report.py --run runs/etth1

A run of tools/pretrain_autotcl.py ends with its report: this is for drawing it again.
"""

from dataclasses import dataclass
from pathlib import Path

import pretrain_autotcl

from common import config as configuration
from common.config import run_tool
from common.errors import UserError
from tsrep import report


@dataclass(frozen=True)
class Config:
    run: Path
    """Folder of a finished run of tools/pretrain_autotcl.py."""


def main(config: Config) -> None:
    path = config.run / "config.toml"
    if not path.is_file():
        raise UserError(f"{config.run}: holds no config.toml; expected the folder of a run")
    of_run = configuration.load(pretrain_autotcl.Config, path)
    print(report.write(config.run, pretrain_autotcl.load_data(of_run), of_run))


if __name__ == "__main__":
    run_tool(main, Config)
