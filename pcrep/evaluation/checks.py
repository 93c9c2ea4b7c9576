"""What scenes must have for a run, looked at before anything is prepared or trained."""

import warnings
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from pcrep.cloud import Scenes, keep
from pcrep.datasets import Split
from pcrep.encoders.inputs import lacking
from pcrep.encoders.voxelize import check_extent
from pcrep.evaluation.segmentation import with_labels
from pcrep.preparation.planes import upright
from pcrep.preparation.spacing import fitting_voxel, spacing
from tspcrep.common.errors import DataWarning, UserError

_FARTHEST = 1.0  # metres between points


def read_through(scenes: Scenes, voxel: float, inputs: Sequence[str]) -> None:
    """Read each scene once.

    Warns of how many lack an input of the network, which is then 0, and of voxels so small that
    hardly two points share one. Raises UserError where one cannot be read, has a label outside the
    classes, or is so large that its unit is suspect.
    """
    lost: Counter[str] = Counter()
    for index, cloud in enumerate(
        tqdm(scenes, desc="check scenes", unit="scene", delay=2, leave=False)
    ):
        check_extent(cloud, voxel)
        lost.update(lacking(cloud, inputs))
        if index == 0 and (apart := spacing(cloud.coords)) > voxel:
            warnings.warn(
                f"{cloud.name}: points lie {apart:.2g} m apart: hardly two share a voxel of "
                f"{voxel:g} m; --voxel {fitting_voxel(apart)} would fit",
                DataWarning,
                stacklevel=2,
            )
    for name, count in lost.items():
        warnings.warn(
            f"{scenes.name}: {count} of {len(scenes)} scenes have no {name}, which the network "
            "reads: taken for 0 there",
            DataWarning,
            stacklevel=2,
        )


def voxel_of(scenes: Scenes) -> float | None:
    """The voxel size in metres that fits the first scene, which is said in a warning.

    None where its points do not tell. Raises UserError where they lie so far apart that the unit
    is suspect.
    """
    apart = spacing(scenes[0].coords)
    if apart > _FARTHEST:
        raise UserError(
            f"{scenes[0].name or scenes.names[0]}: points lie {apart:.3g} m apart, expected at "
            f"most {_FARTHEST:g} m: is the unit the metre? --unit 0.001 reads millimetres, --voxel "
            "sets the voxel size whatever the distance"
        )
    voxel = fitting_voxel(apart)
    if voxel is not None:
        warnings.warn(
            f"{scenes.name}: no voxel size is given or stored: takes {voxel:g} m, four times the "
            f"distance between the points of {scenes.names[0]}; --voxel sets another",
            DataWarning,
            stacklevel=2,
        )
    return voxel


def labelled_parts(split: Split) -> Split | None:
    """The split with its labelled parts upright and checked; None where no scene has labels.

    Warns in that case. Raises UserError where only some scenes have labels, or a scene to test on
    has a class that none to learn from has.
    """
    learn, test = (keep(part.map(upright)) for part in (split.learn, split.test))
    bar = tqdm(desc="read labels", total=len(learn) + len(test), unit="scene", delay=2, leave=False)
    with bar:
        known = [_has_labels(cloud, bar) for part in (learn, test) for cloud in part]
    if not any(known):
        warnings.warn(
            f"{split.learn.name}: no scene has labels, so nothing is scored; expected a label for "
            "each point, see pcrep.datasets.load_points for how a format keeps them",
            DataWarning,
            stacklevel=2,
        )
        return None
    learn = with_labels(learn)
    test = with_labels(test, learn.classes)
    for part in (learn, test):
        for _ in part:  # raises for what is wrong
            pass
    return Split(learn, test, split.unlabelled)


def _has_labels(cloud, bar: tqdm) -> bool:
    bar.update()
    return cloud.label is not None
