"""A folder of labelled sets, as the UEA/UCR archive is: one file or one folder a set."""

from pathlib import Path

from tspcrep.common.errors import UserError
from tsrep.datasets.loading import load_classification
from tsrep.datasets.series import Panel


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

    See :func:`tsrep.datasets.loading.load_classification`.
    """
    return load_classification(Path(path).expanduser())
