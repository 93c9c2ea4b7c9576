"""Both packages in a few minutes: a series is forecast, rooms are segmented, with tables.

    python tools/demo.py
    python tools/demo.py --output runs/another-demo

Works offline: the series ships inside sktime, and the rooms are made here.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import finetune_segmentation
import pretrain_autotcl
import pretrain_fac

from common.config import load, run_tool
from common.training import Training

ROOMS = Path(__file__).parent / "configs" / "fac-procedural.toml"


@dataclass(frozen=True)
class Config:
    output: Path = Path("runs/demo")
    """Folder of the runs. A demo that was stopped goes on, a finished one is shown again."""
    max_steps: int = 100
    """Steps of each training."""


def main(config: Config) -> None:
    forecast_an_electrocardiogram(config)
    segment_rooms(config)


def forecast_an_electrocardiogram(config: Config) -> None:
    print("AutoTCL on mitdb: 20 s of electrocardiogram at 360 Hz, forecast 24 to 192 steps ahead")
    pretrain_autotcl.main(
        pretrain_autotcl.Config(
            data="mitdb",
            output=config.output / "series",
            univariate=True,
            horizons=(24, 96, 192),
            seeds=(0,),
            resume=True,
            training=Training(epochs=20, max_steps=config.max_steps, device="cpu"),
        )
    )


def segment_rooms(config: Config) -> None:
    training = Training(epochs=1_000_000, max_steps=config.max_steps, batch_size=4, device="cpu")
    print("\nFAC on 32 procedural rooms without labels; a linear probe on 8 others with labels")
    pretrain_fac.main(
        replace(
            load(pretrain_fac.Config, ROOMS),
            data="procedural",
            output=config.output / "fac",
            seeds=(0,),
            resume=True,
            training=training,
        )
    )
    print("\nFine-tuned on 2 labelled rooms, beside the same network from scratch")
    finetune_segmentation.main(
        finetune_segmentation.Config(
            data="procedural",
            output=config.output / "segmentation",
            encoder=config.output / "fac",
            labelled_scenes=2,
            seeds=(0,),
            resume=True,
            training=training,
        )
    )


if __name__ == "__main__":
    run_tool(main, Config)
