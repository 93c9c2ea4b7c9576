"""AutoTCL in two minutes: pretrain on an electrocardiogram, forecast it, draw a report.

    python tools/demo.py
    python tools/demo.py --output runs/another-demo

Works offline: the series ships inside sktime.
"""

from dataclasses import dataclass
from pathlib import Path

import pretrain_autotcl

from common.config import run_tool
from common.training import Training


@dataclass(frozen=True)
class Config:
    output: Path = Path("runs/demo")
    """Folder of the run. A demo that was stopped goes on, a finished one is shown again."""
    max_steps: int = 100
    """Training steps."""


def main(config: Config) -> None:
    print("AutoTCL on mitdb: 20 s of electrocardiogram at 360 Hz, forecast 24 to 192 steps ahead")
    pretrain_autotcl.main(
        pretrain_autotcl.Config(
            data="mitdb",
            output=config.output,
            univariate=True,
            horizons=(24, 96, 192),
            seeds=(0,),
            resume=True,
            training=Training(epochs=20, max_steps=config.max_steps, device="cpu"),
        )
    )


if __name__ == "__main__":
    run_tool(main, Config)
