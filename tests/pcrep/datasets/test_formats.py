"""Random clouds, written to each format by hand, are read back as they were."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.datasets import formats, load_points
from tests.pcrep.datasets.formats import lines, pcd, ply, random_cloud

RUN = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(1, 40)


def write(data, suffix, then=load_points, **others):
    """Bytes as a file of that suffix, and what is read from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cloud{suffix}"
        path.write_bytes(data)
        for name, content in others.items():
            path.with_suffix(f".{name}").write_bytes(content)
        return then(path)


def check(read, cloud, *fields, rows=slice(None), within=0):
    """The fields, and no others, are as they were written."""
    known = set(read.arrays())
    assert known == {"coords", *fields}
    np.testing.assert_allclose(read.coords, cloud["coords"][rows], rtol=0, atol=within)
    for name in ("label", "instance", "intensity"):
        if name in fields:
            np.testing.assert_array_equal(getattr(read, name), cloud[name][rows])
    if "colour" in fields:
        expected = cloud["colour"][rows].astype(np.float64)
        expected /= 255 if cloud["colour"].dtype.kind == "u" else 1
        np.testing.assert_allclose(read.colour, expected, atol=1e-7)
    if "normal" in fields:
        normal = cloud["normal"][rows].astype(np.float64)
        length = np.sqrt((normal**2).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(read.normal, normal / length, atol=1e-6)
    for name, kind in (("coords", "f4"), ("colour", "f4"), ("label", "i8"), ("instance", "i8")):
        if name in known:
            assert getattr(read, name).dtype == kind


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@RUN
@given(seed=SEEDS, count=COUNTS)
def test_ply(order, seed, count):
    cloud = random_cloud(seed, count)
    read = write(ply(cloud, order), ".ply")
    check(read, cloud, "colour", "normal", "label", "instance", "intensity")


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
@RUN
@given(seed=SEEDS, count=COUNTS)
def test_pcd(kind, seed, count):
    cloud = random_cloud(seed, count)
    check(write(pcd(cloud, kind), ".pcd"), cloud, "colour", "label", "intensity")


@RUN
@given(seed=SEEDS, width=st.integers(1, 8), height=st.integers(2, 8))
def test_pixels_without_depth_of_an_organised_pcd_are_left_out(seed, width, height):
    cloud = random_cloud(seed, width * height)
    seen = np.random.default_rng(seed).random(width * height) < 0.3
    seen[0] = True
    cloud["coords"][~seen] = np.nan
    data = pcd(cloud, "binary_compressed", width, height)
    check(write(data, ".pcd"), cloud, "colour", "label", "intensity", rows=seen)


@RUN
@given(seed=SEEDS, count=COUNTS, names=st.sampled_from(["coords colour label", "xyz rgb labels"]))
def test_npz(seed, count, names):
    cloud = random_cloud(seed, count)
    arrays = dict(
        zip(names.split(), (cloud[n] for n in ("coords", "colour", "label")), strict=True)
    )

    def read(path):
        np.savez(path, **arrays, other=np.zeros(3), class_names=np.array(["a", "b"]))
        return load_points(path)

    check(write(b"", ".npz", read), cloud, "colour", "label")


@RUN
@given(seed=SEEDS, count=COUNTS)
def test_kitti_with_labels(seed, count):
    cloud = random_cloud(seed, count)
    cloud["coords"] *= 10
    data = np.column_stack([cloud["coords"], cloud["intensity"]]).astype("<f4").tobytes()
    pairs = zip(cloud["label"], np.maximum(cloud["instance"], 0), strict=True)
    words = b"".join(struct.pack("<HH", label, number) for label, number in pairs)
    read = write(data, ".bin", label=words)
    # an object is a class and a number in it
    objects = np.maximum(cloud["instance"], 0).astype(np.int64) * 65536 + cloud["label"]
    cloud["instance"] = np.where(cloud["instance"] > 0, objects, -1)
    check(read, cloud, "intensity", "label", "instance")
    check(write(data, ".bin"), cloud, "intensity")


@RUN
@given(seed=SEEDS, count=COUNTS, suffix=st.sampled_from([".bin", ".pcd.bin"]))
def test_nuscenes(seed, count, suffix):
    cloud = random_cloud(seed, count)
    cloud["intensity"] = np.round(cloud["intensity"] * 255)
    ring = np.random.default_rng(seed).integers(0, 32, count)
    data = np.column_stack([cloud["coords"], cloud["intensity"], ring]).astype("<f4").tobytes()
    check(write(data, suffix), cloud, "intensity")


@pytest.mark.parametrize("white", [1, 255])
@RUN
@given(seed=SEEDS, count=st.integers(2, 40))
def test_coloured_records(white, seed, count):
    cloud = random_cloud(seed, count)
    cloud["colour"][0] = 255
    colour = cloud["colour"].astype(np.float32)
    colour = colour / 255 if white == 1 else colour
    data = np.column_stack([cloud["coords"], colour]).astype("<f4").tobytes()
    check(write(data, ".bin"), cloud, "colour")


@pytest.mark.parametrize(
    ("suffix", "separator", "first"),
    [
        (".xyz", " ", "# X Y Z Red Green Blue\n"),
        (".xyzrgb", "\t", "# a remark of six words\n\n"),
        (".txt", " ", "# made\nx y z r g b\n"),
        (".csv", ",", "x,y,z,R,G,B\n"),
        (".txt", ";", "//X;Y;Z;R;G;B\n"),
        (".txt", "  ", "x y z red green blue\n"),
    ],
)
@RUN
@given(seed=SEEDS, count=COUNTS)
def test_text(suffix, separator, first, seed, count):
    cloud = random_cloud(seed, count)
    cloud["colour"][0] = 255
    data = lines([*cloud["coords"].T, *cloud["colour"].T], separator, first)
    check(write(data, suffix), cloud, "colour")


@RUN
@given(seed=SEEDS, count=COUNTS)
def test_pts_and_what_a_first_line_names(seed, count):
    cloud = random_cloud(seed, count)
    cloud["colour"][0] = 255
    columns = [*cloud["coords"].T, cloud["intensity"], *cloud["colour"].T]
    read = write(lines(columns, first=f"{count}\n"), ".pts")
    check(read, cloud, "intensity", "colour")
    columns = [*cloud["coords"].T, cloud["label"], cloud["instance"]]
    read = write(lines(columns, first="x y z label instance\n"), ".xyz")
    check(read, cloud, "label", "instance")
    check(write(lines(cloud["coords"].T), ".xyz"), cloud)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("white", [255, 65535])
def test_las(tmp_path, suffix, white):
    laspy = pytest.importorskip("laspy")
    rng = np.random.default_rng(white)
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.001] * 3, [500_000, 5_400_000, 0]
    header.add_extra_dim(laspy.ExtraBytesParams("treeID", "int32"))
    file = laspy.LasData(header)
    position = rng.random((500, 3)) * [80, 60, 20] + [500_100.25, 5_400_200.5, 100]
    file.x, file.y, file.z = position.T
    colour = rng.integers(0, white + 1, (500, 3))
    colour[0] = white
    file.red, file.green, file.blue = colour.T
    file.classification, file.treeID = rng.integers(1, 7, 500), rng.integers(0, 9, 500)
    path = tmp_path / f"tile{suffix}"
    file.write(path)
    read = load_points(path)
    # float32 alone would be 0.25 m off at this northing
    expected = position - np.floor(position.min(axis=0))
    np.testing.assert_allclose(read.coords, expected, atol=0.0006)
    np.testing.assert_allclose(read.colour, colour / white, atol=1e-6)
    np.testing.assert_array_equal(read.label, np.asarray(file.classification))
    np.testing.assert_array_equal(read.instance, np.asarray(file.treeID))
    assert read.intensity is None  # it was never filled in


def test_las_in_pieces(tmp_path, monkeypatch):
    laspy = pytest.importorskip("laspy")
    file = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
    file.x = file.y = file.z = np.arange(25) / 10
    file.write(tmp_path / "a.las")
    monkeypatch.setattr("pcrep.datasets.formats.las.CHUNK", 10)
    np.testing.assert_allclose(load_points(tmp_path / "a.las").coords[:, 0], np.arange(25) / 10)


def test_the_suffix_need_not_be_known_where_the_bytes_are(tmp_path):
    cloud = random_cloud(0, 5)
    check(write(pcd(cloud, "binary"), ".scan"), cloud, "colour", "label", "intensity")
    check(write(ply(cloud, "ascii"), ".PLY"), cloud, *set(cloud) - {"coords"})


@pytest.mark.parametrize("form", ["float", "integer"])
def test_packed_colours_in_text(form):
    """PCL wrote the float of the same bits, and later the integer, under the same type F."""
    cloud = random_cloud(2, 20)
    red, green, blue = cloud["colour"].T.astype(np.uint32)
    bits = red << 16 | green << 8 | blue
    packed = bits.view(np.float32).astype(np.float64) if form == "float" else bits
    text = lines([*cloud["coords"].T, packed])
    head = pcd(cloud, "ascii")
    head = head[: head.index(b"DATA")] + b"DATA ascii\n"
    for old, new in (
        (b"FIELDS x y z rgba label intensity", b"FIELDS x y z rgb"),
        (b"SIZE 4 4 4 4 4 4", b"SIZE 4 4 4 4"),
        (b"TYPE F F F U U F", b"TYPE F F F F"),
        (b"COUNT 1 1 1 1 1 1", b"COUNT 1 1 1 1"),
    ):
        assert old in head
        head = head.replace(old, new)
    check(write(head + text, ".pcd"), cloud, "colour")


def test_fields_of_several_numbers_and_padding_are_passed_over():
    fields = [("x", "<f8", 1), ("_", "u1", 3), ("y", "<f8", 1), ("hist", "<f4", 5), ("_", "u1", 1)]
    fields += [("z", "<f8", 1), ("normal_x", "<f4", 1), ("label", "<i2", 1)]
    array = np.zeros(7, [(f"{n}{i}", kind, (count,)) for i, (n, kind, count) in enumerate(fields)])
    array["x0"][:, 0], array["y2"][:, 0], array["z5"][:, 0] = np.random.default_rng(0).random(
        (3, 7)
    )
    array["hist3"], array["label7"][:, 0] = 9, range(-1, 6)
    words = {
        "FIELDS": [name for name, _, _ in fields],
        "SIZE": [str(np.dtype(kind).itemsize) for _, kind, _ in fields],
        "TYPE": [np.dtype(kind).kind.upper() for _, kind, _ in fields],
        "COUNT": [str(count) for _, _, count in fields],
    }
    head = "".join(f"{key} {' '.join(values)}\n" for key, values in words.items())
    head = f"# .PCD v0.7\nVERSION 0.7\n{head}WIDTH 7\nHEIGHT 1\nPOINTS 7\n"
    packed = [array[name].tobytes() for name in array.dtype.names]
    runs = b"".join(
        bytes([len(p[i : i + 32]) - 1]) + p[i : i + 32]
        for p in [b"".join(packed)]
        for i in range(0, len(p), 32)
    )
    bodies = {
        "binary": array.tobytes(),
        "ascii": "".join(
            " ".join(str(x) for name in array.dtype.names for x in row[name]) + "\n"
            for row in array
        ).encode(),
        "binary_compressed": struct.pack("<II", len(runs), array.nbytes) + runs,
    }
    for kind, body in bodies.items():
        read = write(f"{head}DATA {kind}\n".encode() + body, ".pcd")
        expected = np.column_stack([array[name][:, 0] for name in ("x0", "y2", "z5")])
        np.testing.assert_array_equal(read.coords, expected.astype(np.float32))
        assert read.label.tolist() == list(range(-1, 6))


def slow_lzf(packed, size):
    """None where it is damaged."""
    plain, rest = bytearray(), list(packed)
    try:
        while rest:
            control = rest.pop(0)
            if control < 32:
                for _ in range(control + 1):
                    plain.append(rest.pop(0))
            else:
                count = control // 32
                count += rest.pop(0) if count == 7 else 0
                back = control % 32 * 256 + rest.pop(0) + 1
                for _ in range(count + 2):
                    if back > len(plain):
                        return None
                    plain.append(plain[-back])
            if len(plain) > size:
                return None
    except IndexError:
        return None
    return bytes(plain)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 5, 31, 32, 33, 64, 96, 224, 225, 255]), max_size=40))
def test_unpacking_against_a_slow_one_and_never_beyond_its_bounds(packed):
    plain = np.full(120, 77, np.uint8)
    filled = formats.pcd._unpack_lzf(np.array(packed, np.uint8), plain[:100])
    expected = slow_lzf(packed, 100)
    assert filled == (-1 if expected is None else len(expected))
    if expected is not None:
        assert plain[:filled].tobytes() == expected
    assert (plain[100:] == 77).all()


@pytest.mark.parametrize("options", [{}, {"write_ascii": True}, {"compressed": True}], ids=str)
@pytest.mark.parametrize("name", ["ply", "pcd"])
def test_against_open3d(tmp_path, name, options):
    open3d = pytest.importorskip("open3d")
    cloud = random_cloud(3, 300)
    cloud["coords"][100:] = np.round(cloud["coords"][100:])  # something to compress
    cloud["colour"][200:] = 7
    written = open3d.geometry.PointCloud()
    written.points = open3d.utility.Vector3dVector(cloud["coords"])
    written.colors = open3d.utility.Vector3dVector(cloud["colour"] / 255)
    path = tmp_path / f"cloud.{name}"
    assert open3d.io.write_point_cloud(str(path), written, **options)
    check(load_points(path), cloud, "colour", within=1e-4 if options.get("write_ascii") else 0)


def test_no_suffix_and_no_mark_is_of_two_formats():
    suffixes = [suffix for format in formats._FORMATS for suffix in format.suffixes]
    marks = [mark for format in formats._FORMATS for mark in format.marks]
    assert sorted(set(suffixes)) == sorted(suffixes) == sorted(formats.SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert not any(a.startswith(b) for a in marks for b in marks if a is not b)
