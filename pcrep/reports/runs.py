"""``report.html`` of a run on point clouds: one file that needs no network."""

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.augment import AugmentConfig, augmented
from pcrep.cloud import Cloud, Scenes
from pcrep.datasets import labelled_split, load_scenes
from pcrep.embedding import principal_colours
from pcrep.encoders.encoding import encode, untrained
from pcrep.encoders.unet import SparseUNet, load_encoder
from pcrep.encoders.voxelize import thin
from pcrep.evaluation import segmentation
from pcrep.evaluation.scores import columns
from pcrep.preparation import prepare
from pcrep.preparation.foreground import foreground
from pcrep.preparation.planes import upright
from pcrep.reports import pictures
from pcrep.reports.pictures import by_number, by_score, panel, still
from pcrep.reports.render import choose_view
from tspcrep.common import pages
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_text
from tspcrep.common.weights import FILE

SEGMENTER = "segmenter.safetensors"
METHODS = {
    "fac": "FAC",
    "pointcontrast": "PointContrast",
    "csc": "Contrastive Scene Contexts",
    "segcontrast": "SegContrast",
}
GREY, WRONG = (0.75, 0.75, 0.75), (0.85, 0.1, 0.15)


def write(folder: Path, config: Any) -> Path:
    """Write ``report.html`` into the finished run ``folder`` and return its path.

    config: of ``tools/pretrain_fac.py`` or ``tools/finetune_segmentation.py``. One scene is read
    again for the pictures: the first to test on, or, without such, the first to learn from. Where
    plotly is missing the page has the still pictures alone. Raises UserError where the folder holds
    no finished run.
    """
    folder = Path(folder)
    result = pages.read_json(folder / "result.json")
    if result["task"] == "pretraining":
        title = f"{METHODS[result['method']]} on {result['data']}"
        drawn, curves = _pretraining(folder, result, config), "."
    else:
        title = f"Segmentation of {result['data']}, {result['mode']}"
        drawn, curves = _segmentation(folder, result, config), result["mode"]
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if "miou" in result:
        parts += results(result)
    parts += drawn
    if curves not in ("linear", "knn"):  # a probe has no losses
        parts += pages.losses(folder, result["seeds"], curves)
    parts += pages.details(folder, config)
    path = folder / "report.html"
    write_text(path, pages.page(title, parts))
    return path


TOLD = {
    "finetune": "<em>finetune</em> starts from the pretrained encoder.",
    "scratch": "",
    "linear": "<em>linear</em> is a logistic regression on frozen features.",
    "knn": "<em>knn</em> asks the nearest neighbours among frozen features.",
}


def results(result: dict[str, Any]) -> list[str]:
    """The table of a summary: a row a system, its columns and the spread of mIoU."""
    systems = {result["mode"]: result, **result["controls"]}
    systems[result["mode"]] = result  # from scratch it is its own control
    values = {name: columns(found) for name, found in systems.items()}
    names = list(values[result["mode"]])
    best = {c: max(row.get(c, 0.0) for row in values.values()) for c in names}
    lines = []
    for name, row in values.items():
        cells = "".join(_cell(row.get(c), best[c]) for c in names)
        spread = f"± {100 * systems[name]['miou_std']:.1f}"
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}<td>{spread}</td></tr>")
    header = "".join(f"<th>{html.escape(c)}</th>" for c in (*names, "mIoU over seeds"))
    labels, scratch = "", ""
    if "scratch" in result["controls"]:
        scratch = (
            "<em>scratch</em> is the same network trained from random weights, on those labels. "
        )
    if "labelled_scenes" in result:
        share = 100 * result["labelled_fraction"]
        labels = f" Scenes with labels: {result['labelled_scenes']}, {share:.3g} % of all labels."
    return [
        "<h2>Results</h2>",
        f'<div class="wide"><table><tr><th>IoU, %</th>{header}</tr>',
        *lines,
        f"</table></div><p>On every point of the test scenes, means over seeds; precision and "
        f"recall are those of the foreground, of points of any thing. The greatest of each "
        f"column is marked. {TOLD[result['mode']]} {scratch}<em>random_encoder_probe</em> is a "
        f"probe of the same network before training.{labels}</p>",
    ]


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return "<td>–</td>"
    marked = ' class="best"' if value == best else ""
    return f"<td{marked}>{100 * value:.1f}</td>"


def _pretraining(folder: Path, result: dict[str, Any], config: Any) -> list[str]:
    encoder = load_encoder(folder / FILE)
    before = untrained(encoder, result["seeds"][0])
    cloud = thin(prepare(_shown(config)[0]), encoder.voxel)
    features = _features(encoder, cloud)
    numbers = pictures.many_colours(int(cloud.segment.max()) + 1)
    score = np.append(cloud.objectness, np.nan)[cloud.segment]
    colourings = {
        **({} if cloud.colour is None else {"Colour": cloud.colour}),
        "Segments": by_number(cloud.segment, numbers),
        "Foreground score": by_score(score),
        "Features": principal_colours(features) / 255,
    }
    view = choose_view(cloud.coords)
    panels = [panel(name, cloud.coords, colours, view) for name, colours in colourings.items()]
    told = (
        f"{cloud.name}: {len(np.unique(cloud.segment))} segments; the foreground score, 0 to 1, "
        "says how much a segment looks like an object; the encoder's features by their first three "
        "principal components"
    )
    return [
        "<h2>A scene</h2>",
        pages.figure(still(panels, score=("foreground score", 0, 1)), told),
        *_to_turn([cloud.coords], {name: [c] for name, c in colourings.items()}, first=True),
        *_activation(encoder, before, cloud, config.pretraining.views.augment),
    ]


def _activation(
    encoder: SparseUNet, before: SparseUNet, cloud: Cloud, config: AugmentConfig
) -> list[str]:
    """Maps of two views by both encoders; the query is a point of the foreground."""
    a, b = (augmented(cloud, config, seed) for seed in (0, 1))
    query = query_point(a, b)
    if query is None:
        return []
    eyes = [choose_view(view.coords) for view in (a, b)]
    panels, colourings = [], {}
    for name, network in (("trained", encoder), ("untrained", before)):
        of_a, of_b = (_features(network, view) for view in (a, b))
        maps = [by_score(pictures.correlation(of_a[query], f)) for f in (of_a, of_b)]
        panels += [
            panel(f"First view, {name}", a.coords, maps[0], eyes[0], query),
            panel(f"Second view, {name}", b.coords, maps[1], eyes[1]),
        ]
        colourings[name.capitalize()] = maps
    told = (
        "Cosine of the features of the circled point with those of every point of both views, by "
        "the trained encoder and by the same before training; below 0 is drawn as 0"
    )
    if a.colour is not None:
        colourings["Colour"] = [a.colour, b.colour]
    return [
        "<h2>Activation maps</h2>",
        pages.figure(still(panels, score=("cosine", 0, 1)), told),
        *_to_turn([a.coords, b.coords], colourings),
    ]


def query_point(a: Cloud, b: Cloud) -> int | None:
    """The row of ``a`` to ask for: in the middle of the largest segment of its foreground.

    Largest by the points that the less complete of two views shows. None where no segment of the
    foreground is in both.
    """
    segments = len(a.objectness)
    shown = [np.bincount(v.segment[foreground(v)], minlength=segments)[:segments] for v in (a, b)]
    common = np.minimum(*shown)
    if not common.any():
        return None
    rows = np.flatnonzero(a.segment == common.argmax())
    own = a.coords[rows]
    return int(rows[np.square(own - np.median(own, 0)).sum(1).argmin()])


def _segmentation(folder: Path, result: dict[str, Any], config: Any) -> list[str]:
    """Prediction against truth, where a whole network was trained."""
    if not (folder / SEGMENTER).exists():
        return []
    segmenter, classes = segmentation.load_segmenter(folder / SEGMENTER)
    scenes = segmentation.with_labels(_shown(config).map(upright), classes)
    cloud = scenes[0]
    predicted = segmenter.predict(cloud)
    colours = pictures.class_colours(len(classes))
    wrong = (predicted != cloud.label) & (cloud.label >= 0)
    colourings = {
        **({} if cloud.colour is None else {"Colour": cloud.colour}),
        "Truth": by_number(cloud.label, colours),
        "Prediction": by_number(predicted, colours),
        "Mistakes": np.where(wrong[:, None], WRONG, GREY),
    }
    kept = thin(replace(cloud, segment=np.arange(len(cloud))), segmenter.voxel).segment
    coords = cloud.coords[kept]
    colourings = {name: values[kept] for name, values in colourings.items()}
    view = choose_view(coords)
    panels = [panel(name, coords, values, view) for name, values in colourings.items()]
    known = max(int((cloud.label >= 0).sum()), 1)
    there = np.union1d(predicted, cloud.label)
    legend = {classes[i]: colours[i] for i in there if i >= 0}
    told = (
        f"{cloud.name}, the first test scene, by the network of seed {result['seeds'][0]}: "
        f"{100 * wrong.sum() / known:.1f} % of its labelled points are wrong, drawn red"
    )
    return [
        "<h2>Prediction against truth</h2>",
        pages.figure(still(panels, legend), told),
        *_to_turn([coords], {name: [c] for name, c in colourings.items()}, first=True),
    ]


def _shown(config: Any) -> Scenes:
    """The scenes that the first is drawn of: to test on where there is a split."""
    try:
        return labelled_split(config.data, config.data_root).test
    except UserError:
        return load_scenes(config.data, config.data_root)


def _features(encoder: SparseUNet, cloud: Cloud) -> np.ndarray:
    features, point_to_voxel = encode(encoder, cloud, encoder.voxel)
    return features[point_to_voxel]


def _to_turn(
    clouds: list[np.ndarray], colourings: dict[str, list[np.ndarray]], first: bool = False
) -> list[str]:
    """The same to turn with the mouse, where plotly is installed.

    first: of the page, which then holds plotly's script.
    """
    try:
        drawn = pictures.turnable(clouds, colourings)
        told = "<p>Drag to turn, scroll to come nearer; the menu picks the colours.</p>"
        return [*([pictures.script()] if first else []), drawn, told]
    except ImportError:
        told = "To turn scenes with the mouse: pip install 'tspcrep[points]', then tools/report.py."
        return [f"<p>{told}</p>"] if first else []
