"""Readers of tables of series and of labelled sets."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tests.fuzz.mutations import of_gzip, of_text, of_zip
from tests.fuzz.targets import Target
from tsrep.datasets import load, load_any, load_classification
from tsrep.datasets.labelled import read_instances

_STEPS = 60
_RANDOM = np.random.default_rng(0)
_VALUES = _RANDOM.normal(size=(8, 12)).round(3)
_CLASSES = ["a", "b"] * 4


def _table() -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=_STEPS, freq="h")
    values = _RANDOM.normal(size=(2, _STEPS)).round(3)
    return pd.DataFrame({"date": times, "load": values[0], "wind": values[1]})


def _long() -> pd.DataFrame:
    table = _table()
    return pd.concat([table.assign(store="north"), table.assign(store="south")])


def _csv(folder: Path, name: str = "table.csv", table=_table, **options) -> Path:
    table().to_csv(folder / name, index=False, **options)
    return folder / name


def _parquet(folder: Path, index: bool = False) -> Path:
    table = _table().set_index("date") if index else _table()
    table.to_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def _text(folder: Path, name: str, head: str, ends_with: str = ",", other: str = "") -> Path:
    """Rows of values and their class; other: a file beside it with the same."""
    rows = (
        ",".join(map(str, row)) + ends_with + kind
        for row, kind in zip(_VALUES, _CLASSES, strict=True)
    )
    text = head + "\n".join(rows) + "\n"
    for file in filter(None, (name, other)):
        (folder / file).write_text(text)
    return folder / name


def _ucr(folder: Path) -> Path:
    rows = ("\t".join((str(i % 2), *map(str, row))) + "\n" for i, row in enumerate(_VALUES))
    text = "".join(rows)
    for part in ("TRAIN", "TEST"):
        (folder / f"Walk_{part}.tsv").write_text(text)
    return folder / "Walk_TRAIN.tsv"


def _arrays(folder: Path) -> Path:
    np.savez(folder / "walk.npz", X=_VALUES, y=np.array(_CLASSES))
    return folder / "walk.npz"


def _array(folder: Path) -> Path:
    np.save(folder / "walk.npy", _VALUES)
    return folder / "walk.npy"


_TS = "@problemName Walk\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"
_ARFF = "@relation walk\n{}@attribute kind {{a,b}}\n@data\n".format(
    "".join(f"@attribute t{t} numeric\n" for t in range(_VALUES.shape[1]))
)
_WIDE = ",".join(f"t{t}" for t in range(_VALUES.shape[1])) + ",kind\n"

TARGETS = {
    "csv": Target(_csv, load, of_text),
    "csv with decimal commas": Target(partial(_csv, sep=";", decimal=","), load, of_text),
    "csv.gz": Target(partial(_csv, name="table.csv.gz"), load, of_gzip),
    "long csv": Target(partial(_csv, table=_long), load_any, of_text),
    "parquet": Target(_parquet, load),
    "parquet with an index": Target(partial(_parquet, index=True), load),
    "ts": Target(
        partial(_text, name="W_TRAIN.ts", head=_TS, ends_with=":", other="W_TEST.ts"),
        load_classification,
        of_text,
    ),
    "arff": Target(partial(_text, name="w.arff", head=_ARFF), load_classification, of_text),
    "labelled csv": Target(
        partial(_text, name="w.csv", head=_WIDE),
        partial(load_classification, label="kind"),
        of_text,
    ),
    "ucr tsv": Target(_ucr, load_classification, of_text),
    "labelled npz": Target(_arrays, load_classification, of_zip),
    "series npy": Target(_array, read_instances),
}
