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

from tspcrep.common.config import load, run_tool
from tspcrep.common.training import Training

ROOMS = Path(__file__).parent / "configs" / "fac-procedural.toml"


@dataclass(frozen=True)
class Config:
    output: Path = Path("runs/demo")
    """Folder of the runs. A demo that was stopped goes on, a finished one is shown again."""
    max_steps: int | None = None
    """Steps of each training, in place of 100 of AutoTCL, 400 of FAC and 200 of fine-tuning."""


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
            training=of_length(Training(epochs=20, max_steps=100), config.max_steps),
        )
    )


def segment_rooms(config: Config) -> None:
    print("\nFAC on 32 procedural rooms without labels; a linear probe on 8 others with labels")
    rooms = load(pretrain_fac.Config, ROOMS)
    pretrain_fac.main(
        replace(
            rooms,
            data="procedural",
            output=config.output / "fac",
            seeds=(0,),
            resume=True,
            training=of_length(rooms.training, config.max_steps),
        )
    )
    print("\nFine-tuned on 2 labelled rooms, beside the same network from scratch")
    tuned = finetune_segmentation.Config(
        data="procedural",
        output=config.output / "segmentation",
        encoder=config.output / "fac",
        labelled_scenes=2,
        seeds=(0,),
        resume=True,
    )
    training = of_length(tuned.training, config.max_steps)
    finetune_segmentation.main(replace(tuned, training=training))


def of_length(training: Training, steps: int | None) -> Training:
    """On the CPU, where all that is needed is there; of so many steps, or as long as it is."""
    return replace(training, device="cpu", max_steps=steps or training.max_steps)


if __name__ == "__main__":
    run_tool(main, Config)
