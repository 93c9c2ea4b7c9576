"""Labelled sets in people's own files against the arrays that they were written from."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets import is_classification, load, load_classification
from tsrep.datasets.labelled import read_instances, read_labelled

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(12, 9)).round(4)
LABELS = np.array(list("abc") * 4)


def wide():
    frame = pd.DataFrame(VALUES, columns=[f"t{i}" for i in range(9)])
    frame.insert(0, "activity", LABELS)
    return frame


def long(lengths, channels=2):
    """Series of these lengths and their values, with a row for each series and time."""
    parts, expected = [], np.full((len(lengths), max(lengths), channels), np.nan)
    for i, rows in enumerate(lengths):
        values = RNG.normal(size=(rows, channels)).round(4)
        expected[i, :rows] = values
        part = pd.DataFrame(values, columns=[f"c{k}" for k in range(channels)])
        part.insert(0, "when", pd.date_range("2024-01-01", periods=rows, freq="min"))
        parts.append(part.assign(walk=f"w{i}", activity=LABELS[i]))
    return pd.concat(parts, ignore_index=True), expected


@pytest.mark.parametrize("suffix", ["csv", "parquet", "de.csv"])
def test_one_row_a_series(tmp_path, suffix):
    path = tmp_path / f"walks.{suffix}"
    if suffix == "parquet":
        wide().to_parquet(path)
    else:
        options = {"sep": ";", "decimal": ","} if suffix == "de.csv" else {}
        wide().to_csv(path, index=False, **options)
    found = read_labelled(path, "activity")["all"]
    np.testing.assert_array_equal(found.values[..., 0], VALUES)
    assert found.labels.tolist() == LABELS.tolist()
    assert is_classification(path, "activity") and not is_classification(path)


@pytest.mark.parametrize("named", ["unique_id", "walk"])
def test_a_row_for_each_series_and_time(tmp_path, named):
    table, expected = long((9, 5, 7, 9))
    table = table.rename(columns={"walk": named}).sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "walks.csv", index=False)
    found = read_labelled(tmp_path / "walks.csv", "activity", id_column=named)["all"]
    order = [int(name[1:]) for name in pd.unique(table[named])]
    np.testing.assert_allclose(found.values, expected[order], atol=1e-7)
    assert found.labels.tolist() == LABELS[order].tolist()
    again = read_labelled(tmp_path / "walks.csv", "activity")["all"]
    np.testing.assert_array_equal(again.values, found.values)
    table.loc[table.index[0], "activity"] = "z"
    table.to_csv(tmp_path / "walks.csv", index=False)
    with pytest.raises(UserError, match=r"series 'w\d' has the classes .* expected one"):
        read_labelled(tmp_path / "walks.csv", "activity")


@pytest.mark.parametrize("suffix", ["tsv", "arff", "csv"])
def test_a_train_and_a_test_file(tmp_path, suffix):
    for part, rows in (("TRAIN", slice(0, 6)), ("TEST", slice(6, 12))):
        path = tmp_path / f"Beef_{part}.{suffix}"
        values, labels = VALUES[rows], LABELS[rows]
        if suffix == "csv":
            wide()[rows].to_csv(path, index=False)
        elif suffix == "tsv":
            lines = (
                "\t".join([str(ord(y) - 96), *map(str, x)])
                for x, y in zip(values, labels, strict=True)
            )
            path.write_text("\n".join(lines))
        else:
            names = [f"@attribute t{i} numeric" for i in range(9)]
            head = ["@relation Beef", *names, "@attribute target {a,b,c}", "@data"]
            lines = (",".join([*map(str, x), y]) for x, y in zip(values, labels, strict=True))
            path.write_text("\n".join([*head, *lines]))
    label = "activity" if suffix == "csv" else None
    for part in ("TRAIN", "TEST"):
        panel = load_classification(tmp_path / f"Beef_{part}.{suffix}", label=label)
        assert panel.name == "Beef"
        assert panel.classes == (("1", "2", "3") if suffix == "tsv" else ("a", "b", "c"))
        raw = panel.scaler.inverse(panel.test)[..., 0]
        np.testing.assert_allclose(raw, VALUES[6:], atol=1e-5)
        assert panel.test_labels.tolist() == [0, 1, 2] * 2
    (tmp_path / f"Beef_TEST.{suffix}").unlink()
    with pytest.raises(UserError, match=r"Beef_TEST\.\w+ does not exist: expected a train and"):
        load_classification(tmp_path / f"Beef_TRAIN.{suffix}", label=label)


def test_series_of_unequal_length_in_a_tsv(tmp_path):
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"A_{part}.tsv").write_text("1\t0.5\t1.5\t2\n2\t3\t4\tNaN\n")
    found = read_labelled(tmp_path / "A_TRAIN.tsv")
    np.testing.assert_array_equal(found["test"].values[1, :, 0], [3, 4, np.nan])
    assert found["train"].labels.tolist() == ["1", "2"]


def test_arrays(tmp_path):
    values = VALUES.reshape(12, 3, 3)
    np.save(tmp_path / "x.npy", values)
    np.save(tmp_path / "y.npy", LABELS)
    np.savez(tmp_path / "both.npz", X=values, y=LABELS)
    for source, label in (("x.npy", str(tmp_path / "y.npy")), ("both.npz", None)):
        found = read_labelled(tmp_path / source, label)["all"]
        np.testing.assert_array_equal(found.values, values)
        assert found.labels.tolist() == LABELS.tolist()
        assert is_classification(tmp_path / source)
    with pytest.raises(UserError, match=r"holds no classes: give the .npy file of them"):
        read_labelled(tmp_path / "x.npy")
    np.save(tmp_path / "bad.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(UserError, match="expected an array of numbers or text"):
        read_labelled(tmp_path / "bad.npy", str(tmp_path / "y.npy"))
    with pytest.raises(UserError, match=r"12 series and labels of shape \(12, 9\)"):
        np.save(tmp_path / "z.npy", VALUES)
        read_labelled(tmp_path / "x.npy", str(tmp_path / "z.npy"))


def test_a_set_without_split_has_seven_tenths_of_each_class_in_train(tmp_path):
    wide().to_csv(tmp_path / "walks.csv", index=False)
    panel = load_classification(tmp_path / "walks.csv", label="activity")
    assert sorted(panel.train_labels) == [0] * 3 + [1] * 3 + [2] * 3
    assert sorted(panel.test_labels) == [0, 1, 2]
    raw = [panel.scaler.inverse(x)[..., 0] for x in (panel.train, panel.test)]
    found = np.concatenate(raw)
    order = np.lexsort(found.T)
    np.testing.assert_allclose(found[order], VALUES[np.lexsort(VALUES.T)], atol=1e-5)
    labels = np.concatenate([panel.train_labels, panel.test_labels])[order]
    expected = [ord(y) - 97 for y in LABELS[np.lexsort(VALUES.T)]]
    assert labels.tolist() == expected
    lonely = wide().iloc[:3]
    lonely.to_csv(tmp_path / "walks.csv", index=False)
    with pytest.raises(UserError, match="each class has one series"):
        load_classification(tmp_path / "walks.csv", label="activity")


def test_a_series_where_classes_are_wanted_and_the_other_way_round(tmp_path):
    wide().to_csv(tmp_path / "walks.csv", index=False)
    with pytest.raises(UserError, match="is a table: name the column of its classes with --label"):
        load_classification(tmp_path / "walks.csv")
    with pytest.raises(UserError, match="no column 'class': its columns are activity, t0"):
        load_classification(tmp_path / "walks.csv", label="class")
    (tmp_path / "A_TRAIN.ts").write_text("@data\n")
    np.savez(tmp_path / "a.npz", X=VALUES, y=LABELS)
    for name in ("A_TRAIN.ts", "a.npz"):
        with pytest.raises(UserError, match="is a labelled set, expected a series to forecast"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("A_TRAIN.tsv", "1\ta\tb\n", "is not a .tsv of the UCR archive"),
        ("A_TRAIN.tsv", "1\n2\n", "has one column, expected a class and the steps"),
        ("A.arff", "nothing", "is not ARFF of labelled series"),
        ("A.arff", "@relation a\n@attribute x numeric\n@data\n1\n", "the class as the last attr"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    (tmp_path / name.replace("TRAIN", "TEST")).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_labelled(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_new_series_are_read_as_labelled_ones_are(tmp_path, suffix):
    """One row a series, and long with unequal lengths; with and without the column of classes."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 12))
    wide = pd.DataFrame(values, columns=[f"t{i}" for i in range(12)]).assign(kind=list("abcab"))
    lengths = [7, 4, 9]
    parts = [
        pd.DataFrame({"id": f"s{k}", "time": pd.date_range("2024", periods=n), "kind": "a"})
        .assign(u=rng.normal(size=n), v=rng.normal(size=n))
        for k, n in enumerate(lengths)
    ]  # fmt: skip
    for name, frame, ids in (("wide", wide, [1, 2, 3, 4, 5]), ("long", pd.concat(parts), None)):
        path = tmp_path / f"{name}.{suffix}"
        for table, label in ((frame, "kind"), (frame.drop(columns="kind"), None)):
            save = table.to_csv if suffix == "csv" else table.to_parquet
            save(path, index=False)
            names, found = read_instances(path, label)
            if label:
                labelled = read_labelled(path, label)["all"].values
            np.testing.assert_array_equal(found, labelled)
            assert names == (ids or ["s0", "s1", "s2"])
    np.testing.assert_array_equal((~np.isnan(found[..., 0])).sum(axis=1), lengths)
    np.save(tmp_path / "new.npy", values)
    names, found = read_instances(tmp_path / "new.npy")
    np.testing.assert_array_equal(found[..., 0], values)
    assert names == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["id", "unique_id", "Station"])
@pytest.mark.parametrize("ids", [[11, 12, 13, 14], list("wxyz")])
def test_what_names_the_rows_is_no_step(tmp_path, name, ids):
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3)).add_prefix("t").assign(kind=list("aabb"))
    frame.assign(**{name: ids}).to_csv(tmp_path / "named.csv", index=False)
    found = read_labelled(tmp_path / "named.csv", "kind")["all"].values
    np.testing.assert_array_equal(found[..., 0], np.arange(12.0).reshape(4, 3))
    assert read_instances(tmp_path / "named.csv", "kind")[0] == ids
    frame.assign(store=[1, 1, 2, 2]).to_csv(tmp_path / "step.csv", index=False)
    assert read_labelled(tmp_path / "step.csv", "kind")["all"].values.shape == (4, 4, 1)


@pytest.mark.parametrize("content", [b"", b"kind\na\n", b"\x93NUMPY"])
def test_new_series_that_cannot_be_read(tmp_path, content):
    for suffix in ("csv", "npy", "parquet"):
        path = tmp_path / f"new.{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            read_instances(path)
        assert path.name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match="does not exist"):
        read_instances(tmp_path / "none.csv")
