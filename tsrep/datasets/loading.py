"""Series and labelled panels, ready to learn from: split, standardised, with their calendar.

series = load("ETTh1", univariate=True)       # a named set
series = load("sales.csv", target="revenue")  # any CSV or Parquet file
panel = load_classification("BasicMotions")   # UEA/UCR, through sktime
"""

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import calendar_features, season
from tsrep.datasets.named import HOURLY_HORIZONS, NAMED, QUARTER_HOURLY_HORIZONS, NamedSet, find
from tsrep.datasets.panels import Cells, panel_files, stack_panel
from tsrep.datasets.series import Panel, Scaler, Series, Split
from tsrep.datasets.tables import check_column, read_table


def load(
    source: str | Path,
    *,
    target: str | None = None,
    univariate: bool = False,
    columns: Sequence[str] | None = None,
    time_column: str | None = None,
    root: str | Path | None = None,
) -> Series:
    """Load a named set, or any CSV or Parquet file, as one standardised series.

    source: a name (ETTh1, ETTh2, ETTm1, WTH, mitdb) or a path. target: keep only this channel.
    univariate: without ``target``, keep the published target of a named set or the last column of a
    file. columns: keep these channels. time_column: see ``tables.read_table``. root: folder to
    search for named sets, before ``$TSPCREP_DATA`` and the user cache.

    Named sets have their published split and horizons; a file is split 60/20/20 % in time order,
    and its rows are taken as evenly spaced steps. Raises UserError for input that cannot be used.
    """
    named = NAMED.get(str(source))
    if named is None:
        _check_is_path(source)
    path = Path(source).expanduser() if named is None else find(str(source), root)
    if columns is None and named is not None:
        columns = named.channels
    if target is None and univariate and named is not None:
        target = named.target
    if target is not None:
        if columns is not None:
            check_column(target, columns, path)
        columns = (target,)
    times, frame = read_table(path, columns=columns, last=univariate, time_column=time_column)
    if named is not None and len(frame) != named.rows:
        raise UserError(
            f"{path} has {len(frame)} rows, {source} as published has {named.rows}: "
            f"fetch it again with: python tools/prepare_data.py --names {source}"
        )
    split = _split(len(frame), named, path)
    scaler = _fit_scaler(frame, split.train, path)
    values = standardised(frame, scaler, path)  # (1, T, C)
    period = season(times) if named is None else named.period
    return Series(
        name=path.stem if named is None else str(source),
        values=values,
        times=times,
        calendar=calendar_features(times),
        columns=tuple(frame.columns),
        split=split,
        scaler=scaler,
        horizons=_fitting_horizons(split, period) if named is None else named.horizons,
        period=period,
    )


def load_classification(name_or_path: str | Path, *, root: str | Path | None = None) -> Panel:
    """Load a labelled set of the UEA/UCR archive, split as published. Needs sktime.

    name_or_path: a name, or a folder with ``*_TRAIN.ts`` and ``*_TEST.ts``, or one of these two
    files. Eight sets ship with sktime (ACSF1, ArrowHead, BasicMotions, GunPoint, ItalyPowerDemand,
    JapaneseVowels, OSULeaf, PLAID). Others are looked for as a folder of their name in ``root``,
    ``$TSPCREP_DATA`` and the user cache, each directly or under ``classification``, and else
    downloaded by sktime into the cache. Raises UserError for what cannot be found or read.
    """
    try:
        import sktime.datasets as archive
        from sktime.datasets.tsc_dataset_names import multivariate, univariate
    except ImportError:
        raise UserError(
            f"{name_or_path}: classification sets are read by sktime, which is not installed: "
            "pip install 'tspcrep[series]'"
        ) from None

    def download(name: str, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on mirrors, while it goes on to the next
            archive.load_UCR_UEA_dataset(name, split="train", extract_path=str(folder))

    def read(path: Path) -> tuple[Cells, Sequence[str]]:
        try:
            cells, labels = archive.load_from_tsfile(str(path), return_data_type="nested_univ")
            return [[np.asarray(cell) for cell in row] for row in cells.to_numpy()], labels
        except (OSError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path} is not a .ts file of labelled series: {reason}") from None

    shipped = Path(archive.__file__).parent / "data"
    files = panel_files(name_or_path, univariate + multivariate, shipped, download, root)
    return stack_panel(files[0].name.removesuffix("_TRAIN.ts"), read(files[0]), read(files[1]))


def is_classification(source: str | Path) -> bool:
    """Whether ``source`` is a labelled set: a name of the UEA/UCR archive, a folder, a .ts file."""
    path = Path(source).expanduser()
    if str(source) in NAMED or path.exists():
        return str(source) not in NAMED and (path.is_dir() or path.suffix == ".ts")
    if path.suffix:  # of a file that is missing; importing sktime takes seconds
        return path.suffix == ".ts"
    try:
        from sktime.datasets.tsc_dataset_names import multivariate, univariate
    except ImportError:
        return False
    return str(source) in univariate + multivariate


def _check_is_path(source: str | Path) -> None:
    """Raise UserError for what is neither a named set nor an existing path."""
    text = str(source)
    if Path(text).expanduser().exists():
        return
    close = difflib.get_close_matches(text.lower(), [name.lower() for name in NAMED], n=1)
    hint = next((f"did you mean {name}? " for name in NAMED if name.lower() in close), "")
    raise UserError(
        f"{text} does not exist: {hint}expected a CSV or Parquet file or one of {', '.join(NAMED)}"
    )


def _split(rows: int, named: NamedSet | None, path: Path) -> Split:
    if named is not None and named.counts is not None:
        train, valid, test = named.counts
        ends = train, train + valid, train + valid + test
    else:
        ends = int(rows * 0.6), int(rows * 0.8), rows
    if not 0 < ends[0] < ends[1] < ends[2]:
        raise UserError(f"{path} has {rows} rows, expected at least 3: train, validation, test")
    return Split(slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2]))


def _fit_scaler(frame: pd.DataFrame, train: slice, path: Path) -> Scaler:
    for name in frame.columns:
        if frame[name].isna().all():
            raise UserError(f"{path}: column {name!r} has no number: leave it out")
    where = f"{path} (train rows 1 to {train.stop})"
    return Scaler.fit(frame.to_numpy()[train], list(frame.columns), where)


def standardised(frame: pd.DataFrame, scaler: Scaler, path: Path) -> np.ndarray:
    """(1, T, C). Raises UserError for a value that single precision cannot hold, as 1e300."""
    with np.errstate(over="ignore"):
        values = scaler.transform(frame.to_numpy())
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise UserError(
            f"{path}: row {row + 1} of column {frame.columns[column]!r} is "
            f"{frame.iat[row, column]:g}, too far from the train rows to standardise: "
            "correct it or leave it empty"
        )
    return values[None]


def _fitting_horizons(split: Split, period: int | None) -> tuple[int, ...]:
    """The usual horizons that leave validation and test at least as many forecasts as steps."""
    longest = min(split.valid.stop - split.valid.start, split.test.stop - split.test.start) // 2
    usual = QUARTER_HOURLY_HORIZONS if period == 96 else HOURLY_HORIZONS
    return tuple(horizon for horizon in usual if horizon <= longest) or (max(1, longest),)
