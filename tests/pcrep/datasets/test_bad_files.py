"""What is wrong with a file is said in one line that names it, and nothing else is printed."""

import tracemalloc
import warnings

import numpy as np
import pytest

from pcrep.datasets import Reading, load_points, load_scenes
from tests.pcrep.datasets.formats import lines, pcd, ply, random_cloud
from tspcrep.common.errors import UserError

CLOUD = random_cloud(1, 50)


def refused(path, *words, **options):
    with pytest.raises(UserError) as error:
        load_points(path, **options)
    said = str(error.value)
    assert "\n" not in said and "\x1b" not in said
    for word in (path.name, *words):
        assert word in said, said
    return said


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def las_bytes(folder, suffix, count=300):
    laspy = pytest.importorskip("laspy")
    file = laspy.LasData(laspy.LasHeader(point_format=2, version="1.2"))
    file.x = file.y = file.z = np.arange(count) / 10
    file.write(folder / f"whole{suffix}")
    return (folder / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.ply", b"hello, this is no point cloud", ("no PLY file", "hello")),
        ("a.pcd", ply(CLOUD, "ascii"), ("holds PLY", "expected PCD")),
        ("a.npz", b"\x93NUMPY not an archive", ("holds NPY, expected NPZ",)),
        ("a.las", pcd(CLOUD, "binary"), ("holds PCD", "expected LAS")),
        ("a.bin", ply(CLOUD, "binary_little_endian"), ("holds PLY", "expected binary")),
        ("a.xyz", b"1 2 3\x00\x01\x02" * 9, ("binary data",)),
        ("a.xyz", b"a thing or two\n" * 200, ("line 1 is 'a thing or two'", "--columns")),
        ("a.xyz", b"# a thing or two\n" * 200, ("no line of numbers",)),
        ("a.dxf", b"0\nSECTION\n", ("no known point cloud format", ".ply")),
        ("a.ply", b"", ("is empty",)),
    ],
    ids=[
        "text.ply",
        "ply.pcd",
        "npy.npz",
        "pcd.las",
        "ply.bin",
        "nul.xyz",
        "words",
        "remarks",
        "dxf",
        "none",
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, data, words):
    refused(put(tmp_path, name, data), *words)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "nowhere.ply", "No such file")
    refused(tmp_path, "directory")
    with pytest.raises(UserError, match=r"no such file or folder.*procedural, mosd"):
        load_scenes(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no point clouds"):
        load_scenes(tmp_path)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_ply_cut_off_anywhere(tmp_path, capfd, order):
    data = ply(CLOUD, order)
    end = data.index(b"end_header\n") + len(b"end_header\n")
    # after the last vertex comes a face; and a number whose end is cut off may still be one
    last = len(data) - (len("3 0 0 0\n") + 20 if order == "ascii" else 14)
    for size in [*range(4, end, 37), *range(end, last, 61), last]:
        refused(put(tmp_path, "cut.ply", data[:size]))
    assert capfd.readouterr() == ("", "")
    assert len(load_points(put(tmp_path, "whole.ply", data))) == 50


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_pcd_cut_off_anywhere(tmp_path, capfd, kind):
    data = pcd(CLOUD, kind)
    end = data.index(b"DATA") + len(f"DATA {kind}\n")
    last = len(data) - (25 if kind == "ascii" else 3)
    for size in [*range(8, end, 29), *range(end, last, 97), last]:
        refused(put(tmp_path, "cut.pcd", data[:size]))
    assert capfd.readouterr() == ("", "")


def test_pcd_with_damage_that_has_the_right_size(tmp_path):
    data = pcd(CLOUD, "ascii")
    refused(
        put(tmp_path, "a.pcd", data.replace(b"\n0", b"\nO", 1).replace(b"\n-", b"\n~", 1)),
        "numbers",
    )
    data = bytearray(pcd(CLOUD, "binary_compressed"))
    data[data.index(b"compressed\n") + len("compressed\n") + 8] = 255  # repeat, before all else
    refused(put(tmp_path, "b.pcd", bytes(data)), "does not unpack to the 50 points")
    for old, new in (
        (b"DATA binary", b"DATA tertiary"),
        (b"TYPE F F", b"TYPE F"),
        (b"SIZE 4", b"SIZE 7"),
    ):
        assert old in data
        refused(put(tmp_path, "c.pcd", bytes(data).replace(old, new)), "header is damaged")


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [
        ("a.ply", ply(CLOUD, "binary_big_endian"), b"element vertex 50"),
        ("a.pcd", pcd(CLOUD, "binary"), b"POINTS 50"),
    ],
)
def test_no_rows_are_drawn_of_what_a_header_only_announces(tmp_path, recwarn, name, data, count):
    """Drawing some of 10^20 points took ten seconds before the file was found to be short."""
    assert count in data
    refused(put(tmp_path, name, data.replace(count, count[:-2] + b"9" * 20)), "holds 50 points")
    assert not recwarn.list


def test_a_compressed_pcd_asks_for_no_more_memory_than_it_has_bytes(tmp_path):
    data = pcd(CLOUD, "binary_compressed")
    at = data.index(b"compressed\n") + len("compressed\n")
    path = put(tmp_path, "a.pcd", data[:at] + b"\xff" * 4 + data[at + 4 :])
    tracemalloc.start()
    refused(path, "does not unpack to the 50 points")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e7


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las_cut_off_anywhere(tmp_path, capfd, suffix):
    data = las_bytes(tmp_path, suffix)
    for size in range(5, len(data) - 1, 97):
        refused(put(tmp_path, f"cut{suffix}", data[:size]), "cut off")
    assert capfd.readouterr() == ("", "")


def test_npz_cut_off_anywhere(tmp_path):
    np.savez(tmp_path / "whole.npz", coords=CLOUD["coords"])
    data = (tmp_path / "whole.npz").read_bytes()
    for size in range(5, len(data), 51):
        refused(put(tmp_path, "cut.npz", data[:size]), "NPZ")


def test_text_cut_off(tmp_path):
    row = b"1.5 2 3 10 20 30\n"
    refused(put(tmp_path, "a.xyz", row * 9 + b"1.5 2 3 10\n"), "point 9", "column 6")
    refused(put(tmp_path, "a.xyz", row * 9 + b"1.5 two 3 10 20 30\n"), "two", "6 numbers per line")
    refused(put(tmp_path, "b.pts", b"12\n" + row * 9), "holds 9 points, expected 12")
    refused(put(tmp_path, "c.xyz", b"1 2 3 4 5\n"), "5 columns", "name them with --columns")


@pytest.mark.parametrize("size", [3, 17, 30, 100])
def test_bin_of_no_whole_number_of_records(tmp_path, size):
    refused(put(tmp_path, "a.bin", b"\1" * size), f"{size} bytes", "16", "20", "24")
    refused(put(tmp_path, "a.pcd.bin", b"\1" * 16), "16 bytes")


def test_bin_of_other_numbers(tmp_path):
    values = np.full((10, 12), 1e-30, np.float32)
    refused(put(tmp_path, "a.bin", values.tobytes()), "480 bytes", "--columns")
    refused(put(tmp_path, "a.bin", bytes([255]) * 240), "240 bytes", "cut off")  # NaN


def test_labels_of_another_length(tmp_path):
    path = put(tmp_path, "a.bin", np.full((10, 4), 0.5, np.float32).tobytes())
    put(tmp_path, "a.label", bytes(44))
    said = refused(path, "a.label", "11 labels", "expected 10", "points of a.bin")
    assert said.startswith(str(tmp_path / "a.label"))
    refused(put(tmp_path, "b.npz", b"PK\3\4"), "NPZ")
    np.savez(tmp_path / "b.npz", coords=CLOUD["coords"], label=CLOUD["label"][:9])
    refused(tmp_path / "b.npz", "label has shape (9,)", "(50, 1)")


def test_no_points(tmp_path):
    empty = random_cloud(0, 1)
    empty = {name: values[:0] for name, values in empty.items()}
    for order in ("ascii", "binary_little_endian"):
        refused(put(tmp_path, "a.ply", ply(empty, order)), "holds no points")
    refused(put(tmp_path, "a.pcd", pcd(empty, "binary")), "holds no points")
    refused(put(tmp_path, "a.xyz", b"# x y z\n"), "holds no points")
    np.savez(tmp_path / "a.npz", xyz=np.empty((0, 3)))
    refused(tmp_path / "a.npz", "holds no points")
    put(tmp_path, "a.las", las_bytes(tmp_path, ".las", count=0))
    refused(tmp_path / "a.las", "holds no points")
    mesh = b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int i\nend_header\n"
    refused(put(tmp_path, "b.ply", mesh), "no element vertex")


def test_arrays_that_are_no_points(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, chair=np.zeros((4, 4)))
    refused(path, "chair", "x, y, z")
    np.savez(path, coords=np.zeros((4, 2)))
    refused(path, "coords has shape (4, 2)", "(4, 3)")
    np.savez(path, coords=np.array([["a", "b", "c"]]))
    refused(path, "type <U1")
    np.savez(path, coords=np.array([[None, 1, 2]], dtype=object))
    refused(path, "holds Python objects")  # nothing is unpickled
    np.savez(path, coords=np.ones((2, 3)), label=np.array([0.5, 1]))
    refused(path, "label holds fractions")
    np.savez(path, coords=np.ones((4, 3)), label=np.array([np.nan, 1, -1.8e308, np.inf]))
    assert load_points(path).label.tolist() == [-1, 1, -1, -1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_points_that_are_not_finite_are_dropped_with_a_count(tmp_path, wrong):
    coords = CLOUD["coords"].astype(np.float64)
    coords[[3, 7, 20], [0, 1, 2]] = wrong
    np.savez(tmp_path / "a.npz", coords=coords, label=CLOUD["label"])
    with pytest.warns(UserWarning, match=r"a\.npz: dropped 3 of 50 points"):
        read = load_points(tmp_path / "a.npz")
    left = np.delete(np.arange(50), [3, 7, 20])
    np.testing.assert_array_equal(read.coords, coords[left])
    np.testing.assert_array_equal(read.label, CLOUD["label"][left])
    coords[:26] = wrong
    np.savez(tmp_path / "a.npz", coords=coords)
    refused(tmp_path / "a.npz", "26 of 50 points", "less than half")


def test_normals_and_intensities_that_are_not_finite_are_left_out(tmp_path):
    ones = np.ones(50, np.float32)
    wrong = ones.copy()
    wrong[4] = np.nan
    for normal, intensity in ((ones, wrong), (wrong, ones), (ones * 0, ones)):
        np.savez(
            tmp_path / "a.npz",
            coords=CLOUD["coords"],
            normal=np.stack([normal] * 3, axis=1),
            intensity=intensity,
        )
        read = load_points(tmp_path / "a.npz")
        usable = np.isfinite(normal).all() and normal.any()
        assert (read.normal is not None) == usable
        assert (read.intensity is not None) == np.isfinite(intensity).all()


@pytest.mark.parametrize(
    ("colour", "white"),
    [
        (np.array([[0, 0.5, 1.0]]), 1),
        (np.array([[0, 128.0, 255.0]]), 255),
        (np.array([[0, 1, 1]], np.uint8), 255),
        (np.array([[0, 128, 255]], np.uint16), 255),
        (np.array([[0, 256, 40000]], np.uint16), 65535),
    ],
    ids=["unit", "floats", "dark", "8 in 16 bits", "16 bits"],
)
def test_what_white_is_follows_from_the_colours(tmp_path, colour, white):
    np.savez(tmp_path / "a.npz", coords=np.ones((1, 3)), rgb=colour)
    expected = colour.astype(np.float64) / white
    np.testing.assert_allclose(load_points(tmp_path / "a.npz").colour, expected, atol=1e-7)


@pytest.mark.parametrize("value", [-0.5, 70000.0])
def test_colours_that_are_none(tmp_path, value):
    np.savez(tmp_path / "a.npz", coords=np.ones((1, 3)), rgb=np.array([[0, 0, value]]))
    refused(tmp_path / "a.npz", "colours are", "0 .. 255")


@pytest.mark.parametrize("scale", [1e-3, 1e5])
def test_a_unit_that_is_hardly_the_metre(tmp_path, scale):
    coords = np.linspace(0, scale, 30).reshape(10, 3)
    np.savez(tmp_path / "a.npz", coords=coords)
    with pytest.warns(UserWarning, match="m across if its unit is the metre"):
        load_points(tmp_path / "a.npz")


def test_far_coordinates_keep_their_millimetres(tmp_path):
    near = np.random.default_rng(0).random((20, 3)) * 50
    far = near + np.array([512_345.678, 5_403_479.2, 300])
    np.savez(tmp_path / "a.npz", coords=far)
    read = load_points(tmp_path / "a.npz").coords
    np.testing.assert_allclose(read, far - np.floor(far.min(axis=0)), atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.savez(tmp_path / "a.npz", coords=near)
        np.testing.assert_array_equal(
            load_points(tmp_path / "a.npz").coords, near.astype(np.float32)
        )


def whole_file(folder, name):
    """A small cloud in the format that the name says."""
    kind, suffix = name.split(".")
    if suffix in ("las", "laz"):
        return las_bytes(folder, f".{suffix}")
    if suffix in ("ply", "pcd"):
        return {"ply": ply, "pcd": pcd}[suffix](CLOUD, kind)
    if suffix == "bin":
        return np.column_stack([CLOUD["coords"], CLOUD["intensity"]]).astype("<f4").tobytes()
    if suffix == "npz":
        np.savez(folder / "whole.npz", coords=CLOUD["coords"], label=CLOUD["label"])
        return (folder / "whole.npz").read_bytes()
    return lines([*CLOUD["coords"].T, CLOUD["label"]], first="x y z label\n")


DAMAGED = (
    *("ascii.ply", "binary_little_endian.ply", "ascii.pcd", "binary.pcd", "binary_compressed.pcd"),
    *("a.las", "a.laz", "a.bin", "a.npz", "a.xyz"),
)


@pytest.mark.filterwarnings("ignore")  # that points are dropped or far apart
@pytest.mark.parametrize("name", DAMAGED)
def test_any_damage_is_a_line_or_a_cloud(tmp_path, name):
    data = whole_file(tmp_path, name)
    rng = np.random.default_rng(len(name))
    lines_said = 0
    for _ in range(40):
        at = int(rng.integers(min(len(data), 400) if rng.random() < 0.6 else len(data)))
        gone = int(rng.integers(0, 12))
        new = rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8).tobytes()
        path = put(tmp_path, name, data[:at] + new + data[at + gone :])
        try:
            assert np.isfinite(load_points(path).coords).all()
        except UserError as error:
            assert name in str(error)
            assert "\n" not in str(error)
            lines_said += 1
    assert lines_said


@pytest.mark.parametrize("kind", ["ply", "pcd", "bin", "las", "laz"])
def test_of_too_many_points_one_of_each_few_is_read(tmp_path, monkeypatch, kind):
    """With a warning, and what belongs to a point stays with it."""
    count = 1000
    x = np.arange(count, dtype=np.float32) / 100
    rising = {"coords": np.stack([x, x, x + 50], axis=1), "intensity": x / 10}
    rising["label"] = rising["instance"] = np.arange(count)
    rising |= {"colour": np.zeros((count, 3), np.uint8), "normal": np.ones((count, 3))}
    path = tmp_path / f"a.{kind}"
    if kind in ("las", "laz"):
        laspy = pytest.importorskip("laspy")
        monkeypatch.setattr("pcrep.datasets.formats.las.CHUNK", 130)
        header = laspy.LasHeader(point_format=0, version="1.2")
        header.scales = [0.001] * 3
        file = laspy.LasData(header)
        file.x = file.y = file.z = x.astype(np.float64)
        file.classification = np.arange(count) % 7 + 1
        file.write(path)
    elif kind == "bin":
        path.write_bytes(np.column_stack([rising["coords"], x / 10]).astype("<f4").tobytes())
        path.with_suffix(".label").write_bytes(np.arange(count, dtype="<u4").tobytes())
    else:
        path.write_bytes({"ply": ply, "pcd": pcd}[kind](rising, BINARY[kind]))
    with pytest.warns(UserWarning, match="holds 1,000 points, more than 300: one in every 4 is"):
        read = load_points(path, max_points=300)
    assert len(read) == 250
    rows = np.round(read.coords[:, 0] * 100).astype(int)
    np.testing.assert_array_equal(rows // 4, np.arange(250))
    assert set(np.bincount(rows % 4) > 30) == {True}  # none of four scan lines is left out
    expected = rows % 7 + 1 if kind in ("las", "laz") else rows
    np.testing.assert_array_equal(read.label, expected)


BINARY = {"ply": "binary_big_endian", "pcd": "binary"}


def test_memory_is_bounded_by_what_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(20 * 2_000_000)  # a hole of 40 MB
    monkeypatch.setattr("pcrep.datasets.formats.records.CHUNK", 10_000)
    reading = Reading(columns=("x,y,z,intensity,-",))
    tracemalloc.start()
    with pytest.warns(UserWarning, match="holds 2,000,000 points.*one in every 1000 is"):
        assert len(load_points(path, 2_000, reading)) == 2_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_too_many_points_in_a_format_that_cannot_be_picked_from(tmp_path):
    """Refused, where there is a header, before the points are read."""
    some = {name: np.broadcast_to(v[:1], (10, *v.shape[1:])) for name, v in CLOUD.items()}
    many = ply(some, "ascii").replace(b"vertex 10", b"vertex 100000000")
    refused(put(tmp_path, "a.ply", many), "100,000,000 points", "20,000,000", "crop")
    many = pcd(some, "binary_compressed").replace(b"POINTS 10", b"POINTS 100000000")
    refused(put(tmp_path, "a.pcd", many), "100,000,000 points", "20,000,000", "crop")
    refused(put(tmp_path, "a.pts", b"100000000\n1 2 3 4 5 6 7\n"), "100,000,000 points", "crop")
    refused(put(tmp_path, "a.xyz", b"1 2 3\n" * 30), "30 points", "at most 20", max_points=20)
    np.savez(tmp_path / "a.npz", coords=np.ones((30, 3)))
    refused(tmp_path / "a.npz", "30 points", max_points=20)


@pytest.mark.parametrize("name", ["a.ptx", "A.PTX"])
def test_ptx_says_what_to_save_it_as(tmp_path, name):
    (tmp_path / name).write_text("1\n1\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n" + "1 2 3 0.5\n")
    with pytest.raises(UserError, match=r"PTX is not read, .*save it as E57 or LAS"):
        load_points(tmp_path / name)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_points_without_properties(tmp_path, order):
    text = f"ply\nformat {order} 1.0\nelement vertex 3\nend_header\n\n\n\n"
    refused(put(tmp_path, "empty.ply", text.encode()), "no properties", "x, y and z")
