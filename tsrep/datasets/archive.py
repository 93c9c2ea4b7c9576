"""A folder of labelled sets, as the UEA/UCR archive is: one file or one folder a set."""

import zipfile
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.datasets.loading import load_classification
from tsrep.datasets.panels import panel_of
from tsrep.datasets.series import Panel

_ARRAYS = ("train", "train_labels", "test", "test_labels")


def archive_sets(folder: str | Path) -> dict[str, Path]:
    """Paths of the sets in ``folder`` by name, sorted: ``NAME.npz``, or ``NAME/`` with .ts files.

    Raises UserError if there is none.
    """
    folder = Path(folder).expanduser()
    found = {path.stem: path for path in folder.glob("*.npz")}
    found |= {path.parent.name: path.parent for path in folder.glob("*/*_TRAIN.ts")}
    if not found:
        raise UserError(
            f"{folder} holds no set, expected files NAME.npz or folders NAME with NAME_TRAIN.ts "
            "and NAME_TEST.ts"
        )
    return dict(sorted(found.items()))


def load_set(path: str | Path) -> Panel:
    """A labelled set, split as published, from a ``.npz`` or a folder of ``.ts`` files.

    The arrays of a ``.npz`` are train and test, (N, T) or (N, T, C), NaN where missing and behind
    the end of shorter series, and train_labels and test_labels (N,), numbers or text. Raises
    UserError for anything else; nothing is unpickled.
    """
    path = Path(path).expanduser()
    if path.suffix != ".npz":
        return load_classification(path)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            parts = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is not a set of labelled series ({reason}), expected a .npz with the arrays "
            f"{', '.join(_ARRAYS)}"
        ) from None
    values = [_panel(parts[name], f"{name} of {path}") for name in ("train", "test")]
    labels = [np.char.mod("%s", parts[f"{name}_labels"]) for name in ("train", "test")]
    for name, x, y in zip(("train", "test"), values, labels, strict=True):
        if y.shape != x.shape[:1]:
            raise UserError(
                f"{path}: {name} has {len(x)} series and labels of shape {y.shape}, expected one "
                "label a series"
            )
    return panel_of(path.stem, (values[0], labels[0]), (values[1], labels[1]))


def _panel(values: np.ndarray, what: str) -> np.ndarray:
    """(N, T, C) float64."""
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise UserError(
            f"{what} has shape {values.shape} of {values.dtype}, expected numbers (N, T) or "
            "(N, T, C)"
        )
    return values.astype(np.float64)
