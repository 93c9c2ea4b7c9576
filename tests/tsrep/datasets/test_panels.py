"""Classification sets: the ones that ship with sktime, and .ts files written by hand."""

import builtins

import numpy as np
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets import load_classification

pytest.importorskip("sktime", reason="sktime, which reads classification sets, is not installed")


@pytest.fixture(autouse=True)
def no_data_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("TSPCREP_DATA", raising=False)
    monkeypatch.setattr("tsrep.datasets.panels.cache_folder", lambda: tmp_path / "cache")


def write(folder, name="Tiny", train=("1,2,3:4,5,6:low",), test=("7,8,9:1,1,2:low",)):
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in (("TRAIN", train), ("TEST", test)):
        labels = sorted({line.rpartition(":")[2] for line in (*train, *test)})
        header = [
            "@problemName Tiny",
            "@timeStamps false",
            "@missing false",
            f"@univariate {'true' if lines[0].count(':') == 1 else 'false'}",
            f"@classLabel true {' '.join(labels)}",
            "@data",
        ]
        (folder / f"{name}_{part}.ts").write_text("\n".join([*header, *lines]) + "\n")
    return folder


@pytest.mark.parametrize(
    "name, train, test, classes",
    [
        ("BasicMotions", (40, 100, 6), (40, 100, 6), 4),
        ("JapaneseVowels", (270, 29, 12), (370, 29, 12), 9),
        ("ItalyPowerDemand", (67, 24, 1), (1029, 24, 1), 2),
        ("PLAID", (537, 1344, 1), (537, 1344, 1), 11),
    ],
)
def test_shipped_sets(name, train, test, classes):
    panel = load_classification(name)
    assert (panel.name, panel.train.shape, panel.test.shape) == (name, train, test)
    assert panel.channels == train[2]
    assert panel.train.dtype == panel.test.dtype == np.float32
    assert len(panel.classes) == classes
    assert panel.train_labels.dtype == np.int64
    assert set(panel.train_labels) == set(range(classes))
    np.testing.assert_allclose(np.nanmean(panel.train, axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(np.nanstd(panel.train, axis=(0, 1)), 1, atol=1e-4)


def test_classes_of_plaid_are_in_the_order_of_numbers():
    assert load_classification("PLAID").classes == tuple(str(i) for i in range(11))


def test_values_by_hand_padded_and_scaled_on_train(tmp_path):
    write(tmp_path, train=("1,2,3:up", "4,5:down"), test=("6,7,8,9:down",))
    panel = load_classification(tmp_path)
    assert panel.name == "Tiny"
    assert panel.classes == ("down", "up")
    assert panel.train_labels.tolist() == [1, 0]
    assert panel.test_labels.tolist() == [0]
    # Train values 1..5: mean 3, standard deviation sqrt(2). Test has the longest series.
    nan = np.nan
    expected = [[[1], [2], [3], [nan]], [[4], [5], [nan], [nan]]]
    np.testing.assert_allclose(panel.train, (np.array(expected) - 3) / 2**0.5, rtol=1e-6)
    np.testing.assert_allclose(panel.scaler.inverse(panel.test)[0, :, 0], [6, 7, 8, 9], rtol=1e-6)


def test_a_constant_channel_of_a_published_set_keeps_its_unit(tmp_path):
    write(tmp_path, train=("1,2:5,5:a", "3,4:5,5:b"), test=("1,2:5,7:a",))
    panel = load_classification(tmp_path)
    assert np.unique(panel.train[:, :, 1]).tolist() == [0.0]
    assert panel.test[0, :, 1].tolist() == [0.0, 2.0]


def test_a_channel_constant_but_for_rounding_keeps_its_unit(tmp_path):
    train = ("1,2,3,4,5,6,7:" + ",".join(["0.1"] * 7) + ":a",)
    write(tmp_path, train=train, test=("1,2:0.1,0.100000001:a",))
    panel = load_classification(tmp_path)
    assert np.std([0.1] * 7) > 0, "what rounding leaves"
    np.testing.assert_allclose(panel.train[:, :, 1], 0, atol=1e-15)
    np.testing.assert_allclose(panel.test[0, :2, 1], [0, 1e-9], atol=1e-15)


def test_either_file_or_the_folder_will_do(tmp_path):
    write(tmp_path)
    for source in (tmp_path, tmp_path / "Tiny_TRAIN.ts", str(tmp_path / "Tiny_TEST.ts")):
        assert load_classification(source).train.shape == (1, 3, 2)


def test_archive_names_are_searched_in_root_environment_and_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_DATA", str(tmp_path / "env"))
    write(tmp_path / "cache" / "classification" / "Beef", "Beef")
    assert load_classification("Beef").train.shape[1] == 3
    write(tmp_path / "env" / "Beef", "Beef", test=("1,2,3,4:1,2,3,4:a",))
    assert load_classification("Beef").train.shape[1] == 4
    write(tmp_path / "root" / "classification" / "Beef", "Beef", test=("1,2,3,4,5:1,2,3,4,5:a",))
    assert load_classification("Beef", root=tmp_path / "root").train.shape[1] == 5


def test_other_archive_sets_are_downloaded_into_the_cache(tmp_path, monkeypatch):
    def download(name, split, extract_path):
        write(tmp_path / "cache" / "classification" / name, name)

    monkeypatch.setattr("sktime.datasets.load_UCR_UEA_dataset", download)
    assert load_classification("Beef").name == "Beef"


def test_a_failed_download_says_where_to_put_the_files(tmp_path, monkeypatch):
    def download(name, split, extract_path):
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr("sktime.datasets.load_UCR_UEA_dataset", download)
    with pytest.raises(UserError, match=r"no route to host\): put Beef_TRAIN.ts") as caught:
        load_classification("Beef")
    assert str(tmp_path / "cache" / "classification" / "Beef") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_sktime_the_extra_is_named(monkeypatch):
    plain_import = builtins.__import__

    def no_sktime(name, *args, **kwargs):
        if name.startswith("sktime"):
            raise ImportError(name)
        return plain_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_sktime)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[series\]'"):
        load_classification("BasicMotions")


def test_unknown_names_and_folders_without_files(tmp_path):
    with pytest.raises(UserError, match="did you mean BasicMotions"):
        load_classification("BasicMotion")
    with pytest.raises(UserError, match="holds no such file, expected one"):
        load_classification(tmp_path)
    write(tmp_path)
    (tmp_path / "Tiny_TEST.ts").unlink()
    with pytest.raises(UserError, match=r"Tiny_TEST.ts does not exist"):
        load_classification(tmp_path)
    (tmp_path / "Tiny.ts").touch()
    with pytest.raises(UserError, match=r"expected one \*_TRAIN.ts"):
        load_classification(tmp_path / "Tiny.ts")


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"test": ("1,2,3:low",)}, "2 channels in train and 1 in test"),
        ({"test": ("1,inf,3:1,2,3:low",)}, "step 2 of series 1 is infinite"),
        ({"train": ("?,?,?:1,2,3:low",)}, "channel 0 of Tiny's train part has no number"),
        ({"train": ("1,oops,3:1,2,3:low",)}, "Tiny_TRAIN.ts is not a .ts file of labelled"),
    ],
)
def test_bad_files_are_one_line(tmp_path, parts, message):
    with pytest.raises(UserError, match=message) as caught:
        load_classification(write(tmp_path, **parts))
    assert "\n" not in str(caught.value)


def test_empty_files_are_one_line(tmp_path):
    write(tmp_path)
    (tmp_path / "Tiny_TRAIN.ts").write_text("")
    with pytest.raises(UserError, match=r"Tiny_TRAIN.ts is not a .ts file"):
        load_classification(tmp_path)
