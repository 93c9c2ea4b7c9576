"""Series and labelled panels, ready to learn from: split, standardised, with their calendar.

series = load("ETTh1", univariate=True)       # a named set
series = load("sales.csv", target="revenue")  # any CSV or Parquet file
series = load(frame)                          # a data frame of pandas, polars or Arrow
stores = load_any("stores.csv")               # a long table of several series
panel = load_classification("BasicMotions")   # UEA/UCR, through sktime
"""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import calendar_features, season
from tsrep.datasets.categories import told_apart
from tsrep.datasets.channels import listed, note
from tsrep.datasets.files import column_names, located
from tsrep.datasets.holidays import holiday_column, holidays_in
from tsrep.datasets.labelled import SUFFIXES, Labelled, read_labelled, split_by_class
from tsrep.datasets.named import HOURLY_HORIZONS, NAMED, QUARTER_HOURLY_HORIZONS, NamedSet, find
from tsrep.datasets.panels import panel_files, panel_of, stacked_cells
from tsrep.datasets.series import Collection, Panel, Scaler, Series, Split
from tsrep.datasets.tables import OneSeries, Tables, check_column, read_tables, widened


def load(
    source: Any,
    *,
    target: str | None = None,
    univariate: bool = False,
    columns: Sequence[str] | None = None,
    root: str | Path | None = None,
    **table: Any,
) -> Series:
    """Load a named set, any CSV or Parquet file, or a data frame, as one standardised series.

    source: a name (ETTh1, ETTh2, ETTm1, WTH, mitdb), a path (str or Path), or an eager data frame
    of pandas, polars or Arrow, which is read as a Parquet file of it would be. target: keep only
    this channel. univariate: without ``target``, keep the published target of a named set or the
    last column. columns: keep these channels. root: folder to search for named sets, before
    ``$TSPCREP_DATA`` and the user cache. table: how the file is written, where that is not found by
    itself: ``time_column``, ``time_format``, ``frequency``, ``missing``, ``drop_columns``; see
    ``tables.TableConfig``.

    Named sets have their published split and horizons; a file is split 60/20/20 % in time order.
    Absent rows are filled in as missing. Raises UserError for input that cannot be used, such as a
    table of several series.
    """
    found = load_any(
        source, target=target, univariate=univariate, columns=columns, root=root, **table
    )
    if isinstance(found, Collection):
        raise UserError(
            f"{located(source)[0]} holds {len(found.ids)} series, {found.ids[0]!r} and others, "
            "expected one: choose rows, or load them all with load_any or load_wide"
        )
    return found


def load_any(
    source: Any,
    *,
    target: str | None = None,
    univariate: bool = False,
    columns: Sequence[str] | None = None,
    root: str | Path | None = None,
    categories: Sequence[str] = (),
    **table: Any,
) -> Series | Collection:
    """:func:`load`, or a Collection where the table is long: a row for each series and time.

    ``id_column`` of ``table`` names what tells its series apart; else it is found where timestamps
    repeat. Series that are too short to be split are named and left out. categories: columns that
    may be text, which is then a channel of 0 and 1 for each value, as ``promotion=leaflet``.
    """
    path, frame = located(source)
    named = NAMED.get(str(source)) if frame is None else None
    if named is not None:
        path = find(str(source), root)
    elif frame is None:
        _check_is_path(source)
    if columns is None and named is not None:
        columns = named.channels
    if target is None and univariate and named is not None:
        target = named.target
    if target is not None:
        if columns is not None:
            check_column(target, columns, path)
        columns = (target,)
    if path.suffix in SUFFIXES:
        raise UserError(
            f"{source} is a labelled set, expected a series to forecast: a CSV or Parquet file"
        )
    tables = read_tables(
        path if frame is None else frame,
        columns=columns,
        last=univariate,
        categories=categories,
        **table,
    )
    if len(tables.series) > 1:
        return _collection(path, *tables)
    names, ((_, times, values),) = tables
    if named is not None and len(values) != named.rows:
        raise UserError(
            f"{path} has {len(values)} rows, {source} as published has {named.rows}: "
            f"fetch it again with: python tools/prepare_data.py --names {source}"
        )
    split = _split(len(values), named, path)
    if categories:
        kept = told_apart(names, values[split.train], categories, path)
        names, values = tuple(n for n, k in zip(names, kept, strict=True) if k), values[:, kept]
    scaler = _fit_scaler(values, names, split.train, path)
    period = season(times) if named is None else named.period
    return Series(
        name=path.stem if named is None else str(source),
        values=standardised(values, names, scaler, path),
        times=times,
        calendar=calendar_features(times),
        columns=names,
        split=split,
        scaler=scaler,
        horizons=_fitting_horizons(split, period) if named is None else named.horizons,
        period=period,
    )


def load_wide(source: Any, *, columns: Sequence[str] | None = None, **options: Any) -> Series:
    """:func:`load`, or of a long table one series with a channel for each of its series.

    All stand on common times, NaN where a series has no row. A series without a number in the train
    rows is named and left out; a constant one keeps its unit. columns: as in :func:`load`, or the
    series of a long table to keep.
    """
    path = located(source)[0]
    series = columns if not _are_columns(columns, source) else None
    found = load_any(source, columns=None if series else columns, **options)
    if isinstance(found, Series):
        return found
    parts = [
        OneSeries(one.name, one.times, one.scaler.inverse(one.values[0])) for one in found.series
    ]
    names, ((_, times, values),) = widened(Tables(found.columns, parts), path)
    split = _split(len(times), None, path)
    held = ~np.isnan(values[split.train]).all(axis=0)
    if not held.any():
        raise UserError(f"{path}: no series has a number in the first 60 % of the common times")
    if not held.all():
        left = [name for name, has in zip(names, held, strict=True) if not has]
        note(f"{path}: left out, as they begin behind the train rows: series {listed(left)}")
    names = tuple(name for name, has in zip(names, held, strict=True) if has)
    values = values[:, held]
    if series is not None:
        for name in series:
            check_column(name, names, path)
        values, names = values[:, [names.index(name) for name in series]], tuple(series)
    scaler = Scaler.fit(values[split.train], names, str(path), keep_constant=True)
    return Series(
        name=path.stem,
        values=standardised(values, names, scaler, path),
        times=times,
        calendar=calendar_features(times),
        columns=names,
        split=split,
        scaler=scaler,
        horizons=_fitting_horizons(split, found.period),
        period=found.period,
    )


def with_holidays(series: Series, country: str) -> Series:
    """The series with a last column of the holidays of a country, which is known ahead.

    See :func:`tsrep.datasets.holidays.holidays_in`. Raises UserError where it raises one.
    """
    own = holidays_in(series.times, country)[:, None]
    name = holiday_column(country)
    scaler = Scaler.fit(own[series.split.train], (name,), series.name, keep_constant=True)
    return replace(
        series,
        values=np.concatenate([series.values, scaler.transform(own)[None]], axis=2),
        columns=(*series.columns, name),
        scaler=series.scaler.beside(scaler),
    )


def _collection(path: Path, names: tuple[str, ...], series: Sequence[OneSeries]) -> Collection:
    fit = [len(one.times) >= 3 and _has_numbers(one.values) for one in series]
    usable = [one for one, good in zip(series, fit, strict=True) if good]
    if not usable:
        raise UserError(f"{path} has no series of at least 3 rows with numbers in its train rows")
    left = [one.id for one, good in zip(series, fit, strict=True) if not good]
    if left:
        note(
            f"{path}: left out, with fewer than 3 rows, or no number in a train column: series "
            f"{listed(left)}"
        )
    calendars: dict[int, np.ndarray] = {}  # read_tables shares the times of equal series
    period = season(max((one.times for one in usable), key=len))
    found = []
    for one in usable:
        if id(one.times) not in calendars:
            calendars[id(one.times)] = calendar_features(one.times)
        split = _split(len(one.times), None, path)
        where = f"series {one.id!r} of {path}"
        scaler = Scaler.fit(one.values[split.train], names, where, keep_constant=True)
        found.append(
            Series(
                name=one.id,
                values=standardised(one.values, names, scaler, path),
                times=one.times,
                calendar=calendars[id(one.times)],
                columns=names,
                split=split,
                scaler=scaler,
                horizons=_fitting_horizons(split, period),
                period=period,
            )
        )
    middle = sorted(found, key=lambda one: len(one.times))[len(found) // 2]
    ids = tuple(one.id for one in usable)
    return Collection(path.stem, ids, tuple(found), middle.horizons)


def _are_columns(names: Sequence[str] | None, source: Any) -> bool:
    """Whether ``names`` are columns of a file, not series of a long table; True if in doubt."""
    if not names or (isinstance(source, str) and source in NAMED):
        return True
    known = column_names(source)
    return not known or bool(set(names) & set(known))


def _has_numbers(values: np.ndarray) -> bool:
    """Whether each column has one among the train rows."""
    return not np.isnan(values[: int(len(values) * 0.6)]).all(axis=0).any()


def load_classification(
    name_or_path: str | Path,
    *,
    label: str | None = None,
    root: str | Path | None = None,
    **table: Any,
) -> Panel:
    """Load a labelled set of the UEA or UCR archive, split as published, or one of your own.

    name_or_path: a name, or a folder with ``*_TRAIN.ts`` and ``*_TEST.ts``, or one of these two
    files, all of which need sktime; or a file as in :func:`tsrep.datasets.labelled.read_labelled`,
    which explains label and table. Of a set without split, 70 % of each class are the train part.
    Eight sets ship with sktime (ACSF1, ArrowHead, BasicMotions, GunPoint, ItalyPowerDemand,
    JapaneseVowels, OSULeaf, PLAID). Others are looked for as a folder of their name in ``root``,
    ``$TSPCREP_DATA`` and the user cache, each directly or under ``classification``, and else
    downloaded by sktime into the cache. Raises UserError for what cannot be found or read.
    """
    name, parts = labelled_parts(name_or_path, label=label, root=root, **table)
    if "all" in parts:
        parts = split_by_class(parts["all"])
    return panel_of(name, parts["train"], parts["test"])


def labelled_parts(
    name_or_path: str | Path,
    *,
    label: str | None = None,
    root: str | Path | None = None,
    **table: Any,
) -> tuple[str, dict[str, Labelled]]:
    """The name of a labelled set and its parts, train and test or all, in the data's units.

    Arguments as in :func:`load_classification`.
    """
    path = Path(name_or_path).expanduser()
    if label is not None or (path.suffix not in (".ts", "") and not path.is_dir()):
        _check_is_path(name_or_path)
        name = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
        return name, read_labelled(path, label, **table)
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

    def read(path: Path) -> Labelled:
        try:
            cells, labels = archive.load_from_tsfile(str(path), return_data_type="nested_univ")
            cells = [[np.asarray(cell) for cell in row] for row in cells.to_numpy()]
            return Labelled(stacked_cells(cells), np.asarray(labels).astype(str))
        except (OSError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path} is not a .ts file of labelled series: {reason}") from None

    shipped = Path(archive.__file__).parent / "data"
    files = panel_files(name_or_path, univariate + multivariate, shipped, download, root)
    parts = {part: read(file) for part, file in zip(("train", "test"), files, strict=True)}
    return files[0].name.removesuffix("_TRAIN.ts"), parts


def is_classification(source: str | Path, label: str | None = None) -> bool:
    """Whether ``source`` is a labelled set.

    It is one if it is a name of the UEA/UCR archive, a folder, a file .ts, .arff, .npz or .npy, one
    called NAME_TRAIN or NAME_TEST, or has a column ``label``.
    """
    path = Path(source).expanduser()
    if label is not None:
        return True
    labelled = path.suffix in SUFFIXES or path.stem.endswith(("_TRAIN", "_TEST"))
    if str(source) in NAMED or path.exists():
        return str(source) not in NAMED and (path.is_dir() or labelled)
    if path.suffix:  # of a file that is missing; importing sktime takes seconds
        return labelled
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


def _fit_scaler(values: np.ndarray, names: Sequence[str], train: slice, path: Path) -> Scaler:
    for name, column in zip(names, values.T, strict=True):
        if np.isnan(column).all():
            raise UserError(f"{path}: column {name!r} has no number: leave it out")
    where = f"{path} (train rows 1 to {train.stop})"
    return Scaler.fit(values[train], names, where)


def standardised(
    values: np.ndarray, names: Sequence[str], scaler: Scaler, path: Path
) -> np.ndarray:
    """``values (T, C)`` in the data's units -> (1, T, C).

    Raises UserError for a value that single precision cannot hold, as 1e300.
    """
    with np.errstate(over="ignore"):
        found = scaler.transform(values)
    if np.isinf(found).any():
        row, column = np.argwhere(np.isinf(found))[0]
        raise UserError(
            f"{path}: row {row + 1} of column {names[column]!r} is {values[row, column]:g}, too "
            "far from the train rows to standardise: correct it or leave it empty"
        )
    return found[None]


def _fitting_horizons(split: Split, period: int | None) -> tuple[int, ...]:
    """The usual horizons that leave validation and test at least as many forecasts as steps."""
    longest = min(split.valid.stop - split.valid.start, split.test.stop - split.test.start) // 2
    usual = QUARTER_HOURLY_HORIZONS if period == 96 else HOURLY_HORIZONS
    return tuple(horizon for horizon in usual if horizon <= longest) or (max(1, longest),)
