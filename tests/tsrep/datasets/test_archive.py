"""Folders of labelled sets: what is read, and what is refused."""

import numpy as np
import pytest

from tsrep.datasets.archive import archive_sets, load_set


def write(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "train": rng.normal(3, 5, (4, 12)).astype(np.float32),
        "train_labels": np.array([1, 10, 2, 1]),
        "test": rng.normal(size=(3, 15)),
        "test_labels": np.array([2, 2, 10]),
    }
    np.savez(path, **{**arrays, **changes})
    return arrays


def test_a_set_of_arrays(tmp_path):
    arrays = write(tmp_path / "Made.npz")
    panel = load_set(tmp_path / "Made.npz")
    assert panel.name == "Made" and panel.classes == ("1", "2", "10")
    np.testing.assert_array_equal(panel.train_labels, [0, 2, 1, 0])
    assert panel.train.shape == (4, 15, 1) and np.isnan(panel.train[:, 12:]).all()
    known = panel.scaler.inverse(panel.test)
    np.testing.assert_allclose(known[..., 0], arrays["test"], atol=1e-4)
    assert np.nanmean(panel.train) == pytest.approx(0, abs=1e-6)


def test_several_channels_and_labels_that_are_text(tmp_path):
    write(
        tmp_path / "A.npz",
        train=np.arange(24.0).reshape(4, 3, 2),
        test=np.ones((3, 3, 2)),
        train_labels=np.array(list("abab")),
        test_labels=np.array(list("bab")),
    )
    panel = load_set(tmp_path / "A.npz")
    assert panel.channels == 2 and panel.classes == ("a", "b")


def test_sets_of_a_folder(tmp_path):
    for name in ("B", "A"):
        write(tmp_path / f"{name}.npz")
    (tmp_path / "C").mkdir()
    (tmp_path / "C" / "C_TRAIN.ts").touch()
    (tmp_path / "notes.csv").touch()
    assert list(archive_sets(tmp_path)) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": np.zeros(4)}, r"train of .* has shape \(4,\)"),
        ({"train": np.array([["a"] * 12] * 4)}, "expected numbers"),
        ({"train_labels": np.zeros(3)}, "train has 4 series and labels of shape"),
        ({"train": np.full((4, 12), np.inf)}, "infinite"),
        ({"test": np.zeros((3, 12, 2))}, "1 channels in train and 2 in test"),
    ],
    ids=["1D", "text", "labels", "infinite", "channels"],
)
def test_arrays_that_make_no_set(tmp_path, changes, message):
    write(tmp_path / "Made.npz", **changes)
    with pytest.raises(ValueError, match=message):
        load_set(tmp_path / "Made.npz")


def test_files_that_are_no_set(tmp_path):
    path = tmp_path / "Made.npz"
    np.savez(path, train=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"Made\.npz is not a set of labelled series"):
        load_set(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"Made\.npz: cannot be read as NPZ"):
        load_set(path)
    write(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"Made\.npz: cannot be read as NPZ"):
        load_set(path)
    with pytest.raises(ValueError, match=r"holds no set, expected files NAME\.npz"):
        archive_sets(tmp_path / "nowhere")


class Opened:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "Made.npz"
    write(path, train=np.array([[Opened()]], dtype=object))
    with pytest.raises(ValueError, match="cannot be read as NPZ"):
        load_set(path)
