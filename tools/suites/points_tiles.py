"""The encoder of airborne scans that ships on six real tiles: frozen, and trained on their labels.

Tiles of IGN's LiDAR HD; ground, vegetation of any height and buildings. Nothing was chosen on them.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev
from tempfile import TemporaryDirectory

from suites.files import data_file
from suites.table import Row

from pcrep.cloud import Scenes, keep
from pcrep.datasets import Reading, load_scenes
from pcrep.encoders.encoding import untrained
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder
from pcrep.evaluation import scores
from pcrep.preparation.planes import upright
from tspcrep.tools import finetune_segmentation

CASE = "tiles"
NAME = "points-aerial"
FOLDER = "points/ign_lidar"
MAP = "2 ground\n3 vegetation\n4 vegetation\n5 vegetation\n6 building\n1 none\n64 none\n"
COUNTS, MODES = (1, 5), ("frozen", "full", "scratch")
TRAINED = 3
"""Folds that networks are trained from scratch for; frozen features have all six."""


def cases() -> list[str]:
    return [f"{CASE}-{labelled}/{mode}" for labelled in COUNTS for mode in MODES]


def rows(case: str) -> Iterator[Row]:
    """mIoU over the points of the other tiles, of one labelled tile or of all but one."""
    count, _, mode = case.removeprefix(f"{CASE}-").partition("/")
    labelled, encoder = int(count), load_encoder(NAME)
    tiles = read(encoder.inputs)
    numbers = range(len(tiles))
    folds = [[n] if labelled == 1 else [m for m in numbers if m != n] for n in numbers]
    if mode == "frozen":
        for system, network in ((NAME, encoder), (f"{NAME}-untrained", untrained(encoder, 0))):
            found = [scores.probe(network, *_parts(tiles, fold)) for fold in folds]
            yield from _rows(labelled, system, found)
        return
    found = [
        _trained(mode, encoder, *_parts(tiles, fold), seed)
        for seed, fold in enumerate(folds[:TRAINED])
    ]
    yield from _rows(labelled, "scratch" if mode == "scratch" else f"{NAME}-{mode}", found)


def read(inputs: tuple[str, ...]) -> Scenes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "map"
        path.write_text(MAP)
        found = load_scenes(data_file(FOLDER), reading=Reading(label_map=str(path)))
        found = keep(found.map(upright).map(partial(completed, names=inputs)))
        list(found)  # read while the map is there
        return found


def _parts(tiles: Scenes, labelled: list[int]) -> tuple[Scenes, Scenes]:
    others = [n for n in range(len(tiles)) if n not in labelled]
    return tiles.subset(labelled), tiles.subset(others)


def _trained(mode: str, encoder: SparseUNet, learn: Scenes, test: Scenes, seed: int) -> dict:
    """Scores of a training as tools/finetune_segmentation.py does it, from scratch or not."""
    with TemporaryDirectory() as folder:
        config = finetune_segmentation.Config(data=FOLDER, output=Path(folder))
        network = untrained(encoder, seed) if mode == "scratch" else encoder
        segmenter, _ = finetune_segmentation.fitted(
            config, learn, network, seed, config.output, mode
        )
        return scores.score(test, segmenter.predict)


def _rows(labelled: int, system: str, found: list[dict]) -> Iterator[Row]:
    """The mean over folds, and its spread, of all classes and of each."""
    case = f"ign/{CASE}-{labelled}"
    values = {"miou": [fold["miou"] for fold in found]}
    values |= {name: [fold["iou"][name] for fold in found] for name in found[0]["iou"]}
    for name, each in values.items():
        spread = (fmean(each), "", pstdev(each), len(each), "labelled tiles, of one encoder")
        yield Row(
            case if name == "miou" else f"{case}/{name}",
            system,
            "miou" if name == "miou" else "iou",
            *spread,
        )
