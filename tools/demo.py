"""Both packages in a few minutes: series are classified and forecast, rooms are segmented.

    python tools/demo.py
    python tools/demo.py --output runs/another-demo

Works offline: the series ship inside sktime, the rooms are made here.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from tspcrep.common.config import run_tool
from tspcrep.common.training import Training
from tspcrep.common.typed_json import read_json
from tspcrep.tools import finetune_segmentation, pretrain_autotcl
from tsrep import load_encoder
from tsrep.datasets import load_classification
from tsrep.encoders.files import untrained
from tsrep.evaluation.archive import Features, accuracy, features_of
from tsrep.features import RandomConvolutions
from tsrep.features.ridge_classifier import RidgeClassifier
from tsrep.sklearn import PretrainedEncoder

LABELLED_SETS = ("ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf")
"""The sets of one channel and equal lengths that sktime ships."""
LABELS, DRAWS = 5, 5
CLICKS = 20
"""Labelled points of a room; each labels the segment that it hits."""


@dataclass(frozen=True)
class Config:
    output: Path = Path("runs/demo")
    """Folder of the runs. A demo that was stopped goes on, a finished one is shown again."""
    max_steps: int | None = None
    """Steps of each training, in place of 100 of AutoTCL and 200 of fine-tuning."""


def main(config: Config) -> None:
    classify_with_few_labels()
    forecast_an_electrocardiogram(config)
    segment_rooms(config)


def classify_with_few_labels() -> None:
    print(f"Accuracy of a ridge at {LABELS} labels of each class, mean of {DRAWS} draws, on the")
    print("vectors of series-small, which learnt from synthetic series alone, and of two controls")
    shipped = load_encoder("series-small")
    features: dict[str, Features] = {
        "series-small": PretrainedEncoder(shipped),
        "untrained": PretrainedEncoder(untrained(shipped, seed=0)),
        "random convolutions": RandomConvolutions(random_state=0),
    }
    print(f"{'':18}" + "".join(f"{name:>21}" for name in features))
    rows = []
    for name in LABELLED_SETS:
        panel = load_classification(name)
        scores = []
        for part in features.values():
            train, test, _ = features_of(part, panel)
            draws = [
                accuracy(RidgeClassifier, [train], [test], panel, LABELS, seed)
                for seed in range(DRAWS)
            ]
            scores.append(sum(draws) / DRAWS)
        rows.append(scores)
        print(f"{name:18}" + "".join(f"{score:21.3f}" for score in scores))
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    print(f"{'mean':18}" + "".join(f"{mean:21.3f}" for mean in means))
    gain, apart = (100 * (means[0] - control) for control in means[1:])
    print(f"pretraining: {gain:+.1f} points; against random convolutions: {apart:+.1f} points\n")


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
    print(
        f"\npoints-indoor, which learnt from made rooms without labels, tuned on {CLICKS} clicked"
    )
    print("points in each of 2 others, beside frozen, the same network from scratch, and untrained")
    tuned = finetune_segmentation.Config(
        data="procedural",
        output=config.output / "segmentation",
        encoder=Path("points-indoor"),
        mode="finetune",
        labelled_scenes=2,
        labelled_points=str(CLICKS),
        seeds=(0,),
        resume=True,
    )
    training = of_length(tuned.training, config.max_steps)
    finetune_segmentation.main(replace(tuned, training=training))
    result = read_json(tuned.output / "result.json")
    gain = 100 * (result["miou"] - result["controls"]["scratch"]["miou"])
    print(f"pretraining: {gain:+.1f} points of mIoU against training from scratch")


def of_length(training: Training, steps: int | None) -> Training:
    """On the CPU, where all that is needed is there; of so many steps, or as long as it is."""
    return replace(training, device="cpu", max_steps=steps or training.max_steps)


if __name__ == "__main__":
    run_tool(main, Config)
