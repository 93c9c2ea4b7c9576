"""Segment new scans of any size, and write classes back into the format that they came in.

    python tools/predict.py --segmenter runs/seg --data tile.laz --output predicted/
    python tools/predict.py --segmenter runs/probe --data scans/ --output predicted/ --colours

The segmenter is of tools/finetune_segmentation.py: fine-tuned, or a linear probe. It knows its
voxels, inputs and classes, and takes scans as they are. Large scans are cut into tiles that
overlap. Each output has the points, order and fields of its scan and, beside them, label (an index
into classes.txt) and confidence: in LAS and LAZ as extra dimensions and classification, in PLY,
PCD, NPZ and text as fields; of KITTI's .bin a .label file is written. A classification and a .label
hold the numbers of the files that the segmenter learnt from, where they are SemanticKITTI's or came
with a --label-map: label_map.txt then has them, in the form of that option. Without, a
classification has the codes of the ASPRS, where the classes have its names. A folder keeps its
subfolders. What is written already is passed over, so that a run that was stopped goes on with the
same command. picture.png shows the first scan.
"""

import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pooch
from tqdm import tqdm

from pcrep.cloud import Cloud
from pcrep.datasets import Reading, load_points
from pcrep.datasets.folders import clouds_below
from pcrep.datasets.formats import find_format, las
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.records import CHUNK
from pcrep.datasets.writing import class_numbers, target_of, write_fields
from pcrep.evaluation.segmentation import SEGMENTER
from pcrep.large_scans import predict_file
from pcrep.prediction import Prediction, SegmentationPipeline
from pcrep.preparation.planes import upright
from pcrep.reports.scenes import page
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.palette import class_colours
from tspcrep.common.runs import write_atomically, write_json, write_text
from tspcrep.common.typed_json import read_json

MOST = 60_000_000
"""Points of a scan in memory; larger ones are read from disk, as LAS or LAZ."""
DRAWN = 300_000
"""Points in the picture."""


@dataclass(frozen=True)
class Config:
    segmenter: Path
    """A run folder of tools/finetune_segmentation.py, or its segmenter.safetensors."""
    data: Path
    """A scan, or a folder of scans."""
    output: Path
    """Folder to write to, another one than that of the scans."""
    colours: bool = False
    """Colour points by their class in place of their own colours."""
    device: str = "cpu"
    """Device of the network, such as cpu or cuda."""
    tile: int = 400_000
    """Points of a tile, without those around it; fewer take less memory."""
    reading: Reading = Reading()


def main(config: Config) -> None:
    if config.reading.density is not None:
        raise UserError(
            "--density: samples points that are in no file, and classes are written back "
            "to those of the files: leave it out"
        )
    pipeline = SegmentationPipeline.load(config.segmenter, config.tile)
    pipeline.segmenter.to(config.device)
    scans, others = find_scans(config)
    begin(config, pipeline)
    for path, reason in others.items():
        print(f"left out: {path} {reason}", file=sys.stderr)
    counts: Counter[str] = Counter()
    failed: list[tuple[Path, UserError]] = []
    one = len(scans) == 1
    for source, target in tqdm(scans.items(), desc="predict", unit="scan", delay=2, disable=one):
        if target.exists():
            counts["there already"] += 1
            continue
        try:
            found = predict(config, pipeline, source, target, one)
        except UserError as error:  # of one scan among many
            if one:
                raise
            failed.append((source, error))
            continue
        counts["predicted"] += 1
        counts.update(found)
    for _, missed in failed:
        print(f"left out: {missed}", file=sys.stderr)
    for name, count in counts.items():
        print(f"{name:<24}{count:>12,}")
    print(config.output)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(scans)} scans could not be predicted, first {failed[0][0]}; "
            "mend or remove them and run the same command again"
        )


def find_scans(config: Config) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Where each scan is written to, and why other files are none.

    Raises UserError where there is no scan, or no place for one.
    """
    others: dict[Path, str] = {}
    data, output = config.data, config.output
    if not data.exists():
        raise UserError(f"{data}: no such file or folder, expected scans")
    if output.resolve() in (data.resolve(), data.resolve().parent):
        raise UserError(f"--output {output}: holds the scans, expected another folder")
    if output.is_file():
        raise UserError(f"--output {output}: is a file, expected a folder")
    if data.is_file():
        scans = {data: output / data.name}
    else:
        paths, others = clouds_below(data)
        inside = [path for path in paths if output.resolve() not in path.resolve().parents]
        scans = {path: output / path.relative_to(data) for path in inside}
    if not scans:
        raise UserError(f"{data}: holds no point clouds, expected scans to predict")
    targets = {}
    for source, target in scans.items():
        try:
            targets[source] = target_of(source, target)
        except UserError as error:
            if len(scans) == 1:
                raise
            others[source] = str(error).removeprefix(f"{source}: ")
    twice = [target for target, count in Counter(targets.values()).items() if count > 1]
    if twice:
        both = [str(source) for source, target in targets.items() if target == twice[0]]
        raise UserError(f"{' and '.join(both)}: would both be written to {twice[0]}; rename one")
    return targets, others


def begin(config: Config, pipeline: SegmentationPipeline) -> None:
    """Write what the predictions of the folder are of; UserError where it holds others."""
    path = config.segmenter / SEGMENTER if config.segmenter.is_dir() else config.segmenter
    reading = {name: str(value) for name, value in asdict(config.reading).items()}
    made = {"segmenter": pooch.file_hash(path), "colours": config.colours, "reading": reading}
    note = config.output / "predict.json"
    try:
        if note.exists():
            if read_json(note) != made:
                raise UserError(
                    f"{config.output}: holds predictions of another segmenter or with other "
                    "options; give another --output"
                )
            return
        write_json(note, made)
        write_text(config.output / "classes.txt", "\n".join(pipeline.classes) + "\n")
        write_label_map(config.output / "label_map.txt", pipeline)
    except OSError as error:
        raise UserError(f"{config.output} cannot be written: {error.strerror or error}") from None


def write_label_map(path: Path, pipeline: SegmentationPipeline) -> None:
    """The numbers of the classes in the files that were learnt from, where they are known."""
    numbers, classes = pipeline.segmenter.numbers, pipeline.classes
    if len(numbers) == len(classes):
        none = [] if 0 in numbers else ["0 none"]
        lines = [*none, *(f"{n} {name}" for n, name in zip(numbers, classes, strict=True))]
        write_text(path, "\n".join(lines) + "\n")
        print(f"a classification or .label has the numbers of {path}")


def predict(
    config: Config, pipeline: SegmentationPipeline, source: Path, target: Path, bar: bool
) -> dict[str, int]:
    """Predict one scan, write it, and count the points of each class.

    The points of a large LAS are on disk meanwhile, others in memory.
    """
    if find_format(source) is las.FORMAT and las.point_count(source) > MOST:
        if config.reading.columns:
            raise UserError(f"{source}: LAS names its columns itself: leave --columns out")
        with tempfile.TemporaryDirectory(prefix=".points-", dir=config.output) as folder:
            found = predict_file(pipeline, source, Path(folder), config.reading.unit, bar)
            write(config, pipeline, source, target, found, None, Path(folder))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the picture shows some of the points
                draw(config, load_points(source, DRAWN, config.reading), found)
            return counted(found)
    cloud = read_whole(config, source)
    found = pipeline(cloud, bar)
    write(config, pipeline, source, target, found, cloud.rows())
    draw(config, replace(cloud, row=None), found)
    return counted(found)


def counted(found: Prediction) -> dict[str, int]:
    """Points of each class."""
    count = np.zeros(len(found.classes), np.int64)
    for i in range(0, len(found.label), CHUNK):
        count += np.bincount(found.label[i : i + CHUNK], minlength=len(found.classes))
    return dict(zip(found.classes, count.tolist(), strict=True))


def write(
    config: Config,
    pipeline: SegmentationPipeline,
    source: Path,
    target: Path,
    found: Prediction,
    row: np.ndarray | None,
    folder: Path | None = None,
) -> None:
    """Write the classes into a copy of the scan.

    row : of each point in it, or None for all. folder : for arrays that should not be in memory.
    """
    colours = (255 * class_colours(len(found.classes))).round().astype(np.uint8)
    fields = Fields(
        found.label,
        found.confidence,
        row,
        class_numbers(target, found.classes, pipeline.segmenter.numbers),
        painted(found.label, colours, folder) if config.colours else None,
        config.reading.names(),
    )
    write_fields(source, target, fields)


def painted(label: np.ndarray, colours: np.ndarray, folder: Path | None) -> np.ndarray:
    """Colours (N, 3) uint8 of points by their classes, on disk where a folder is given."""
    if folder is None:
        return colours[label]
    found = np.lib.format.open_memmap(folder / "colour.npy", "w+", np.uint8, (len(label), 3))
    for i in range(0, len(label), CHUNK):
        found[i : i + CHUNK] = colours[label[i : i + CHUNK]]
    return found


def draw(config: Config, cloud: Cloud, found: Prediction) -> None:
    """A picture of the first scan. cloud : some of its points, with their rows, or all."""
    picture = config.output / "picture.png"
    if not picture.exists():
        some = np.arange(len(cloud))[:: 1 + len(cloud) // DRAWN]
        seen = replace(cloud, label=found.label[cloud.rows()]).take(some)
        image = page([replace(upright(seen), name=Path(cloud.name).name)], found.classes)
        write_atomically(picture, lambda file: file.write(image))


def read_whole(config: Config, source: Path) -> Cloud:
    """All points of a scan. Raises UserError where they are more than are read at once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?s).*: one in every")
        try:
            return load_points(source, MOST, config.reading)
        except UserWarning as warning:
            told = str(warning).partition(": one in every")[0]
            raise UserError(f"{told}: save it as LAS or cut it into tiles, one file each") from None


if __name__ == "__main__":
    run_tool(main, Config)
