"""Named series: their sources, and their splits in the literature."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from tspcrep.common import datafiles
from tspcrep.common.errors import UserError

HOURLY_HORIZONS = (24, 48, 168, 336, 720)
QUARTER_HOURLY_HORIZONS = (24, 48, 96, 288, 672)

_ETT = (
    "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/"
    "1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/"
)
# The Informer authors' own copy sits behind an unstable drive link. This repository (MIT) holds the
# same bytes, and a commit does not move.
_WTH = (
    "https://raw.githubusercontent.com/xun468/Time-GNN/"
    "95e785a7a1804931e8943b86143349552cb05d44/datasets/"
)


@dataclass(frozen=True)
class NamedSet:
    """A published series and its protocol.

    target: the channel of the univariate task. rows: length of the file. counts: rows of train,
    validation and test (None: 60/20/20 %). period: season in steps. url: folder that holds ``file``
    ("" for a set that ships inside a package). sha256: digest of the file ("" for the same).
    channels: the columns to read (None: all but the time column).
    """

    file: str
    target: str
    rows: int
    horizons: tuple[int, ...]
    period: int
    counts: tuple[int, int, int] | None = None
    url: str = ""
    sha256: str = ""
    licence: str = ""
    channels: tuple[str, ...] | None = None


NAMED = {
    "ETTh1": NamedSet(
        file="ETTh1.csv",
        target="OT",
        rows=17420,
        horizons=HOURLY_HORIZONS,
        period=24,
        counts=(8640, 2880, 2880),
        url=_ETT,
        sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        licence="CC BY-ND 4.0",
    ),
    "ETTh2": NamedSet(
        file="ETTh2.csv",
        target="OT",
        rows=17420,
        horizons=HOURLY_HORIZONS,
        period=24,
        counts=(8640, 2880, 2880),
        url=_ETT,
        sha256="a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        licence="CC BY-ND 4.0",
    ),
    "ETTm1": NamedSet(
        file="ETTm1.csv",
        target="OT",
        rows=69680,
        horizons=QUARTER_HOURLY_HORIZONS,
        period=96,
        counts=(34560, 11520, 11520),
        url=_ETT,
        sha256="6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
        licence="CC BY-ND 4.0",
    ),
    "WTH": NamedSet(
        file="WTH.csv",
        target="WetBulbCelsius",
        rows=35064,
        horizons=HOURLY_HORIZONS,
        period=24,
        url=_WTH,
        sha256="153fead3ea2a83dc5c4127d3994af6b167322f6f5e292c99491f43a2caf14cd4",
        licence="MIT (of a NOAA record)",
    ),
    # 20.8 s of electrocardiogram at 360 Hz. The autocorrelation peaks at 296 steps: one heart beat.
    # The file's second column labels anomalies, which is no signal.
    "mitdb": NamedSet(
        file="mitdb.csv",
        target="data",
        rows=7500,
        horizons=HOURLY_HORIZONS,
        period=296,
        licence="ODC-By 1.0, ships with sktime",
        channels=("data",),
    ),
}


def find(name: str, root: str | Path | None = None) -> Path:
    """Path of a named set's file.

    Looked for in ``root``, then ``$TSPCREP_DATA``, then the user cache, each directly or in its
    ``series`` subfolder. Raises UserError, naming all three, where none has it.
    """
    named = NAMED[name]
    if not named.url:
        return _shipped_with_sktime(name)
    remedy = f"download it with: python tools/prepare_data.py --names {name}"
    return datafiles.find(name, named.file, "series", root, remedy)


def _shipped_with_sktime(name: str) -> Path:
    # find_spec reads no code of sktime, whose import takes seconds.
    spec = importlib.util.find_spec("sktime")
    if spec is None or spec.origin is None:
        raise UserError(f"{name} ships inside sktime: pip install 'tspcrep[series]'")
    path = Path(spec.origin).parent / "datasets" / "data" / name / NAMED[name].file
    if not path.is_file():
        raise UserError(f"this sktime does not ship {name}: pip install 'sktime>=1.0'")
    return path
