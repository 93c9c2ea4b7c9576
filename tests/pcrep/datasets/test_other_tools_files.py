"""Files as other tools and data sets write them: read as they mean it, or refused in one line."""

import struct
import sys
import warnings

import numpy as np
import pytest

from pcrep.datasets import Reading, load_points
from tests.pcrep.datasets.formats import lines, records
from tspcrep.common.errors import UserError

COUNT = 240
RNG = np.random.default_rng(4)
XYZ = RNG.uniform(1, 6, (COUNT, 3))
RGB = RNG.integers(0, 256, (COUNT, 3))
RGB[0] = 255
LABEL = RNG.integers(0, 4, COUNT)
NORMAL = RNG.normal(size=(COUNT, 3))
NORMAL /= np.linalg.norm(NORMAL, axis=1, keepdims=True)
UTM = XYZ + np.array([612_043.25, 5_403_479.5, 0])


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def ply(fields, order="ascii", remark="", element="vertex"):
    """fields : (name, PLY's type, numpy's type, values) of each property."""
    head = f"ply\nformat {order} 1.0\n{remark}element {element} {len(fields[0][3])}\n"
    head += "".join(f"property {kind} {name}\n" for name, kind, _, _ in fields) + "end_header\n"
    if order == "ascii":
        return head.encode("latin1") + lines([values for *_, values in fields])
    mark = ">" if "big" in order else "<"
    rows = records([(name, mark + kind, values) for name, _, kind, values in fields])
    return head.encode("latin1") + rows.tobytes()


def axes(coords, kind="float", numpy="f4"):
    return [(axis, kind, numpy, coords[:, i]) for i, axis in enumerate("xyz")]


def shifted(coords):
    return coords - np.floor(coords.min(0))


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("white", [255, 65535])
@pytest.mark.parametrize("prefix", ["", "diffuse_"])
def test_ply_colours_of_photogrammetry(tmp_path, order, white, prefix):
    kinds = ("uchar", "u1") if white == 255 else ("ushort", "u2")
    colours = [
        (prefix + name, *kinds, (RGB * (white // 255))[:, i])
        for i, name in enumerate(("red", "green", "blue"))
    ]
    read = load_points(put(tmp_path, "a.ply", ply(axes(XYZ) + colours, order)))
    np.testing.assert_allclose(read.colour, RGB / 255, atol=1e-6)


def test_ply_of_gaussian_splats(tmp_path):
    """The first spherical harmonic is 1 / sqrt(4 pi) everywhere; colours are that over a half."""
    constant = RNG.normal(size=(COUNT, 3))
    harmonics = [(f"f_dc_{i}", "float", "f4", constant[:, i]) for i in range(3)]
    fields = axes(XYZ) + harmonics
    read = load_points(put(tmp_path, "a.ply", ply(fields, "binary_little_endian")))
    expected = np.clip(0.5 + constant / np.sqrt(4 * np.pi), 0, 1)
    np.testing.assert_allclose(read.colour, expected, atol=1e-6)


@pytest.mark.parametrize("order", ["ascii", "binary_big_endian"])
def test_ply_with_points_in_an_element_of_another_name(tmp_path, order):
    classes = [("sem_class", "int", "i4", LABEL), ("ins_class", "int", "i4", LABEL + 9)]
    fields = axes(XYZ) + classes
    read = load_points(put(tmp_path, "a.ply", ply(fields, order, element="testing")))
    np.testing.assert_array_equal(read.label, LABEL)
    np.testing.assert_array_equal(read.instance, LABEL + 9)


@pytest.mark.parametrize("remark", ['comment by a 12" scanner\n', "comment gemessen in Zürich\n"])
@pytest.mark.parametrize("name", ["scalar_distance", "label"])
def test_ply_text_with_remarks_and_an_unknown_last_value(tmp_path, remark, name):
    last = np.where(np.arange(COUNT) == 7, np.nan, 2.0)
    fields = [*axes(XYZ), (name, "float", "f4", last)]
    read = load_points(put(tmp_path, "a.ply", ply(fields, remark=remark)))
    np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)
    if name == "label":
        np.testing.assert_array_equal(read.label, np.where(np.arange(COUNT) == 7, -1, 2))


@pytest.mark.parametrize("order", ["<", ">"])
def test_ply_with_lists_in_and_before_the_points(tmp_path, order):
    """Against struct, record by record."""
    name = {"<": "little", ">": "big"}[order]
    head = f"ply\nformat binary_{name}_endian 1.0\nelement camera 3\nproperty list ushort float k\n"
    head += "element vertex 40\nproperty double x\nproperty list uchar int seen\nproperty float y\n"
    head += "property float z\nproperty uchar label\nend_header\n"
    body = b"".join(struct.pack(f"{order}H{n}f", n, *range(n)) for n in (2, 0, 5))
    for i in range(40):
        seen = range(i % 4)
        body += struct.pack(f"{order}d", i + 0.5) + struct.pack(f"{order}B{i % 4}i", i % 4, *seen)
        body += struct.pack(f"{order}ffB", 2 * i, -i, i % 3)
    path = put(tmp_path, "a.ply", head.encode() + body)
    read = load_points(path)
    expected = [[i + 0.5, 2 * i, -i] for i in range(40)]
    np.testing.assert_array_equal(read.coords, np.float32(expected))
    np.testing.assert_array_equal(read.label, np.arange(40) % 3)
    for size in (len(head) + 10, len(head) + 60, len(head) + len(body) - 1):
        with pytest.raises(UserError, match=r"a\.ply: .*cut off"):
            load_points(put(tmp_path, "a.ply", (head.encode() + body)[:size]))


def test_ply_text_with_lists(tmp_path):
    head = "ply\nformat ascii 1.0\nelement face 1\nproperty list uchar int i\nelement vertex 2\n"
    head += "property float x\nproperty list uchar int ids\nproperty float y\nproperty float z\n"
    head += "end_header\n3 0 0 0\n"
    read = load_points(put(tmp_path, "a.ply", head + "1 2 5 6 2 3\n4 0 5 6\n"))
    assert read.coords.tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(UserError, match=r"point 1 has too few numbers"):
        load_points(put(tmp_path, "a.ply", head + "1 2 5 6 2 3\n4 3 5 6\n"))


def pcd_head(names, types="F", first="# .PCD v0.7\n", kind="ascii", count=COUNT):
    ones = " ".join("1" for _ in names.split())
    return (
        f"{first}VERSION 0.7\nFIELDS {names}\nSIZE {' '.join('4' for _ in names.split())}\n"
        f"TYPE {' '.join(types if len(types) > 1 else types * len(names.split()))}\nCOUNT {ones}\n"
        f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA {kind}\n"
    )


@pytest.mark.parametrize("first", ["# made by a scanner\n", "\n# .PCD v.7\n", ""])
def test_pcd_that_begins_with_another_remark(tmp_path, first):
    data = pcd_head("x y z", first=first).encode() + lines(XYZ.T)
    np.testing.assert_allclose(load_points(put(tmp_path, "a.pcd", data)).coords, XYZ, rtol=1e-7)


def test_pcd_with_normals_of_which_one_is_unknown(tmp_path):
    normal = NORMAL.copy()
    normal[7] = np.nan
    data = pcd_head("x y z normal_x normal_y normal_z curvature")
    read = load_points(
        put(tmp_path, "a.pcd", data.encode() + lines([*XYZ.T, *normal.T, normal[:, 0]]))
    )
    assert len(read) == COUNT and read.normal is None


@pytest.mark.parametrize("form", ["with opacity", "signed", "float with opacity"])
def test_pcd_text_with_packed_colours(tmp_path, form):
    rgb = RGB.copy()
    if form == "float with opacity":  # a red of 128 and more makes that float NaN
        rgb[:, 0] //= 2
    bits = (255 << 24 | rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).astype(np.uint32)
    packed = {"with opacity": bits, "signed": bits.view(np.int32)}.get(form)
    if packed is None:
        packed = bits.view(np.float32).astype(np.float64)
    data = pcd_head("x y z rgb").encode() + lines([*XYZ.T, packed])
    read = load_points(put(tmp_path, "a.pcd", data))
    np.testing.assert_allclose(read.colour, rgb / 255, atol=1e-6)


def far_files(kind):
    """Bytes of the same points in a national grid, by name of the file."""
    if kind == "text":
        yield "a.ply", ply(axes(UTM))
        yield "a.pcd", pcd_head("x y z").encode() + lines(UTM.T)
        yield "a.xyz", lines(UTM.T)
    if kind == "double":
        for order in ("binary_little_endian", "binary_big_endian"):
            yield "a.ply", ply(axes(UTM, "double", "f8"), order)
    if kind == "float":
        yield "a.ply", ply(axes(UTM), "binary_little_endian")
        yield "a.bin", np.c_[UTM, XYZ[:, 0]].astype("<f4").tobytes()
        yield "a.pcd", pcd_head("x y z", kind="binary").encode() + UTM.astype("<f4").tobytes()


@pytest.mark.parametrize("kind", ["text", "double"])
def test_coordinates_in_a_national_grid_keep_their_digits(tmp_path, kind):
    for name, data in far_files(kind):
        read = load_points(put(tmp_path, name, data))
        np.testing.assert_allclose(read.coords, shifted(UTM), atol=1e-6)
        np.testing.assert_array_equal(read.origin, np.floor(UTM.min(0)))
        np.testing.assert_allclose(read.file_coords(), UTM, atol=1e-6)


def test_coordinates_that_the_file_itself_has_in_steps_are_told(tmp_path):
    for name, data in far_files("float"):
        with pytest.warns(UserWarning, match=r"32-bit floats.*steps of 0\.5 there"):
            load_points(put(tmp_path, name, data))


def test_headers_that_name_coordinates_otherwise(tmp_path):
    for head in (
        "X[m];Y[m];Z[m];R;G;B;Class",
        "\ufeffX;Y;Z;R;G;B;Class",
        "Easting;Northing;Height;R;G;B;Class",
        '"Points:0";"Points:1";"Points:2";"red";"green";"blue";"label"',
        "//X;Y;Z;Rf;Gf;Bf;scalar_Classification",
        "POINT_X;POINT_Y;POINT_Z;Red;Green;Blue;sem_class",
    ):
        data = f"{head}\n".encode() + lines([*XYZ.T, *RGB.T, LABEL], ";")
        read = load_points(put(tmp_path, "a.csv", data))
        np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)
        np.testing.assert_allclose(read.colour, RGB / 255, atol=1e-6)
        np.testing.assert_array_equal(read.label, LABEL)


@pytest.mark.parametrize("head", ["lon;lat;alt", "X[ft];Y[ft];Z[ft]", "a;b;c", "Scan of May"])
def test_a_header_that_is_not_understood_is_an_error(tmp_path, head):
    data = f"{head}\n".encode() + lines(XYZ.T, ";")
    with pytest.raises(UserError, match=r"a\.csv: line 1 is .*--columns"):
        load_points(put(tmp_path, "a.csv", data))
    read = load_points(put(tmp_path, "a.csv", data), reading=Reading(columns=("x,y,z",)))
    np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)


def test_columns_without_names_are_told_or_refused(tmp_path):
    """Seven columns are x y z intensity r g b in PTS, and x y z r g b and one more elsewhere."""
    six = put(tmp_path, "six.xyz", lines([*XYZ.T, *RGB.T]))
    with pytest.warns(UserWarning, match=r"six\.xyz: its 6 columns .* x y z r g b; .*--columns"):
        np.testing.assert_allclose(load_points(six).colour, RGB / 255, atol=1e-6)
    normals = put(tmp_path, "n.xyz", lines([*XYZ.T, *np.abs(NORMAL).T]))
    with pytest.warns(UserWarning, match="x y z nx ny nz"):
        read = load_points(normals)
    assert read.colour is None
    np.testing.assert_allclose(read.normal, np.abs(NORMAL), atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the suffix says it
        read = load_points(put(tmp_path, "a.xyzn", lines([*XYZ.T, *NORMAL.T])))
        np.testing.assert_allclose(read.normal, NORMAL, atol=1e-6)
    signed = put(tmp_path, "s.xyz", lines([*XYZ.T, *(3 * NORMAL).T]))
    seven = put(tmp_path, "seven.xyz", lines([*XYZ.T, *RGB.T, LABEL]))
    eight = put(tmp_path, "eight.txt", lines([*XYZ.T, *RGB.T, LABEL, LABEL], ","))
    for path in (signed, seven, eight):
        with pytest.raises(UserError, match=r"columns without names.*--columns"):
            load_points(path)
    for path, names in ((seven, "x,y,z,r,g,b,label"), (eight, "x,y,z,r,g,b,class,-")):
        read = load_points(path, reading=Reading(columns=(names,)))
        np.testing.assert_allclose(read.colour, RGB / 255, atol=1e-6)
        np.testing.assert_array_equal(read.label, LABEL)
    with pytest.raises(UserError, match=r"8 numbers in a line and 3 names"):
        load_points(eight, reading=Reading(columns=("x", "y", "z")))


def test_remarks_and_empty_cells_among_points(tmp_path):
    rows = lines(XYZ.T).decode().splitlines()
    text = "\n# next scan line\n".join(rows)
    read = load_points(put(tmp_path, "a.xyz", text))
    np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)
    trailing = "x,y,z\n" + "".join(row.replace(" ", ",") + ",\n" for row in rows)
    np.testing.assert_allclose(load_points(put(tmp_path, "a.csv", trailing)).coords, XYZ, rtol=1e-7)
    known = np.arange(COUNT) % 3 == 1  # not the first
    cells = [str(c) if k else "" for c, k in zip(LABEL, known, strict=True)]
    some = "x,y,z,label\n" + "".join(
        f"{row.replace(' ', ',')},{cell}\n" for row, cell in zip(rows, cells, strict=True)
    )
    read = load_points(put(tmp_path, "a.csv", some))
    np.testing.assert_array_equal(read.label, np.where(known, LABEL, -1))
    cut = some[: some.rindex(",")].rpartition(",")[0]
    with pytest.raises(UserError, match=rf"point {COUNT - 1} has no number in column 4"):
        load_points(put(tmp_path, "a.csv", cut))


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(tmp_path, separator):
    text = lines(XYZ.T, separator).decode().replace(".", ",")
    read = load_points(put(tmp_path, "a.csv", f"X{separator}Y{separator}Z\n{text}"))
    np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)


def test_text_in_an_encoding_of_two_bytes_is_refused(tmp_path):
    with pytest.raises(UserError, match="UTF-16, expected UTF-8"):
        load_points(put(tmp_path, "a.csv", "x,y,z\n1,2,3\n".encode("utf-16")))


def test_arrays_as_others_keep_them(tmp_path):
    named = {"coord": XYZ, "color": RGB, "segment": LABEL, "instance": LABEL + 5}
    np.savez(tmp_path / "a.npz", **named)
    (tmp_path / "scene").mkdir()
    for name, values in named.items():
        np.save(tmp_path / "scene" / f"{name}.npy", values)
    fields = [(a, "f8", XYZ[:, i]) for i, a in enumerate("xyz")]
    np.save(tmp_path / "r.npy", records([*fields, ("label", "i4", LABEL)]))
    for name in ("a.npz", "scene", "r.npy"):
        read = load_points(tmp_path / name)
        np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)
        np.testing.assert_array_equal(read.label, LABEL)
    np.testing.assert_array_equal(load_points(tmp_path / "scene").instance, LABEL + 5)
    both = np.c_[XYZ, RGB]
    np.save(tmp_path / "b.npy", both.astype(np.float32))
    np.savez(tmp_path / "c.npz", both)
    np.savez(tmp_path / "d.npz", points=both, label=LABEL)
    for name in ("b.npy", "c.npz", "d.npz"):
        with pytest.warns(UserWarning, match="6 columns"):
            read = load_points(tmp_path / name)
        np.testing.assert_allclose(read.coords, XYZ, rtol=1e-7)
        np.testing.assert_allclose(read.colour, RGB / 255, atol=1e-6)
    np.savez(tmp_path / "e.npz", xyz=XYZ, labels=np.c_[LABEL, LABEL])
    with pytest.raises(UserError, match=r"label has shape \(240, 2\)"):
        load_points(tmp_path / "e.npz")


def test_the_segments_of_a_prepared_cloud_are_no_labels(tmp_path):
    np.savez(tmp_path / "a.npz", coords=XYZ, segment=LABEL, objectness=np.ones(4, np.float32))
    assert load_points(tmp_path / "a.npz").label is None


FLOATS = RNG.uniform(0, 1, (COUNT, 5)).astype("<f4")
NO_CLOUDS = {
    "labels of 64 bits": LABEL.astype("<i8"),
    "labels of 32 bits": LABEL.astype("<i4"),
    "labels of a byte": np.resize(LABEL, 480).astype("u1"),
    "labels of two bytes": np.resize(LABEL, 480).astype("<u2"),
    "float64 with colours": np.c_[XYZ, RGB].astype("<f8"),
    "float64": np.c_[XYZ, XYZ[:, :1]].astype("<f8"),
    "whole float64": np.c_[np.round(XYZ * 100), LABEL].astype("<f8"),
    "x y z r g b label instance": np.c_[XYZ, FLOATS[:, :3], LABEL, LABEL].astype("<f4"),
    "x y z r g b label": np.c_[XYZ, RGB, LABEL].astype("<f4"),
    "with a time": np.c_[XYZ, FLOATS[:, :2], np.full(COUNT, 1.5e9)].astype("<f4"),
}


@pytest.mark.parametrize("name", NO_CLOUDS)
def test_records_of_other_kinds_are_no_cloud_of_four_floats(tmp_path, name):
    with pytest.raises(UserError, match=r"a\.bin: .*--columns"):
        load_points(put(tmp_path, "a.bin", NO_CLOUDS[name].tobytes()))


def test_records_whose_columns_are_named(tmp_path):
    values = NO_CLOUDS["x y z r g b label instance"]
    reading = Reading(columns=("x,y,z,r,g,b,label,instance",))
    read = load_points(put(tmp_path, "a.bin", values.tobytes()), reading=reading)
    np.testing.assert_array_equal(read.coords, values[:, :3])
    np.testing.assert_array_equal(read.label, LABEL)
    with pytest.raises(UserError, match="expected float32 records of 32"):
        load_points(put(tmp_path, "a.bin", values.tobytes()[:-4]), reading=reading)
    with pytest.raises(UserError, match="names its columns itself"):
        load_points(put(tmp_path, "a.ply", ply(axes(XYZ))), reading=reading)


def test_lidar_with_an_intensity_below_0(tmp_path):
    data = np.c_[XYZ - 2.5, -np.ones(COUNT)].astype("<f4").tobytes()
    assert (load_points(put(tmp_path, "a.bin", data)).intensity == -1).all()


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las_with_extra_dimensions(tmp_path, suffix):
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales, header.offsets = [0.001] * 3, np.floor(UTM.min(0))
    for name, kind in (("label", "uint8"), ("Tree_ID", "int32")):
        header.add_extra_dim(laspy.ExtraBytesParams(name, kind))
    file = laspy.LasData(header)
    file.x, file.y, file.z = UTM.T
    file.classification = np.full(COUNT, 2)
    file["label"], file["Tree_ID"] = LABEL, LABEL + 100
    file.write(tmp_path / f"a{suffix}")
    read = load_points(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.label, LABEL)
    np.testing.assert_array_equal(read.instance, LABEL + 100)
    np.testing.assert_allclose(read.file_coords(), UTM, atol=0.0006)


def laz_bytes(folder):
    laspy = pytest.importorskip("laspy")
    file = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    file.x = file.y = file.z = np.arange(500) / 10
    file.write(folder / "whole.laz")
    return bytearray((folder / "whole.laz").read_bytes())


@pytest.mark.parametrize("chunks", [3, 2**20, 2**32 - 1])
def test_laz_with_a_chunk_table_beyond_its_points(tmp_path, chunks):
    """The backend asks for memory for as many chunks, and aborts the interpreter."""
    data = laz_bytes(tmp_path)
    (start,) = struct.unpack_from("<I", data, 96)
    (table,) = struct.unpack_from("<q", data, start)
    struct.pack_into("<I", data, table + 4, chunks)
    with pytest.raises(UserError, match=rf"a\.laz: .*announces {chunks} chunks"):
        load_points(put(tmp_path, "a.laz", bytes(data)))
    struct.pack_into("<q", data, start, 10**12)
    with pytest.raises(UserError, match=r"chunk table at byte 1000000000000"):
        load_points(put(tmp_path, "a.laz", bytes(data)))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [(0, 1, "LASzip 1, expected a later one"), (32, 0, "in 0 parts"), (38, 0, "expected 2 or 3")],
    ids=["old", "no items", "version 0"],
)
def test_laz_of_an_old_or_damaged_compressor(tmp_path, at, value, words):
    """The backend panics, with an exception that is no Exception."""
    data = laz_bytes(tmp_path)
    record = data.index(b"laszip encoded") - 2 + 54
    struct.pack_into("<H", data, record + at, value)
    with pytest.raises(UserError, match=words):
        load_points(put(tmp_path, "a.laz", bytes(data)))


def layered_laz(folder):
    """Two chunks of point format 7 with extra bytes, and the byte where the first begins."""
    laspy = pytest.importorskip("laspy")
    file = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    file.add_extra_dim(laspy.ExtraBytesParams("tree", np.uint16))
    file.x = file.y = file.z = np.arange(60_000) / 10
    file.write(folder / "whole.laz")
    data = bytearray((folder / "whole.laz").read_bytes())
    return data, struct.unpack_from("<I", data, 96)[0] + 8


LENGTH, LAYERS = 38, 9 + 1 + 2  # of a point of format 7 and two bytes: POINT14, RGB14, BYTE14


@pytest.mark.parametrize("field", range(1 + LAYERS))
def test_laz_with_a_layer_beyond_its_chunk(tmp_path, field):
    """The backend asks for memory for what a chunk says of its own points and layers."""
    data, first = layered_laz(tmp_path)
    assert len(load_points(put(tmp_path, "a.laz", bytes(data)))) == 60_000
    at = first + LENGTH + 4 * field
    (value,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, value | 0xFF000000)
    with pytest.raises(UserError, match=r"a\.laz: .*has a chunk 0 of \d+ points that ends at byte"):
        load_points(put(tmp_path, "a.laz", bytes(data)))


def test_laz_that_was_written_to_a_pipe(tmp_path):
    """The place of the chunk table stands at the end of the file then."""
    data, first = layered_laz(tmp_path)
    table = bytes(data[first - 8 : first])
    data[first - 8 : first] = struct.pack("<q", -1)
    assert len(load_points(put(tmp_path, "a.laz", bytes(data) + table))) == 60_000


def test_laz_with_a_second_chunk_beyond_its_table(tmp_path):
    data, first = layered_laz(tmp_path)
    count, *sizes = struct.unpack_from(f"<{1 + LAYERS}I", data, first + LENGTH)
    assert count == 50_000
    second = first + LENGTH + 4 * (1 + LAYERS) + sum(sizes)
    struct.pack_into("<I", data, second + LENGTH, 2**31)
    with pytest.raises(UserError, match=rf"has a chunk 1 of {2**31} points"):
        load_points(put(tmp_path, "a.laz", bytes(data)))


def test_laz_with_a_table_of_chunks_longer_than_the_file(tmp_path, capfd):
    """Their lengths are coded behind the table's head; the backend panicked, with a trace of it."""
    data, first = layered_laz(tmp_path)
    (table,) = struct.unpack_from("<q", data, first - 8)
    data[table + 8] = 255
    with pytest.raises(UserError, match=r"its 2 chunks have \d+ bytes, expected at most"):
        load_points(put(tmp_path, "a.laz", bytes(data)))
    assert capfd.readouterr().err == ""


def test_laz_of_more_points_than_its_chunks_hold(tmp_path):
    data, _ = layered_laz(tmp_path)
    struct.pack_into("<Q", data, 247, 10**6)
    with pytest.raises(UserError, match=r"announces 1000000 points, expected 2 chunks of up to"):
        load_points(put(tmp_path, "a.laz", bytes(data)))


@pytest.mark.parametrize("points", [0, 50_000 | 0xFF000000])
def test_laz_of_chunks_of_no_or_billions_of_points(tmp_path, points):
    data = laz_bytes(tmp_path)
    record = data.index(b"laszip encoded") - 2 + 54
    struct.pack_into("<I", data, record + 12, points)
    with pytest.raises(UserError, match=f"announces chunks of {points} points"):
        load_points(put(tmp_path, "a.laz", bytes(data)))


def test_a_panic_of_the_laz_backend_is_a_line(tmp_path, monkeypatch):
    laspy = pytest.importorskip("laspy")

    class PanicException(BaseException):
        pass

    def panic(*_):
        raise PanicException("attempt to divide by zero")

    path = put(tmp_path, "a.laz", bytes(laz_bytes(tmp_path)))
    monkeypatch.setattr(laspy, "open", panic)
    with pytest.raises(UserError, match=r"a\.laz: cannot be read as LAS \(attempt to divide"):
        load_points(path)
    monkeypatch.setattr(laspy, "open", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load_points(path)


@pytest.mark.parametrize("name", ["Punkt wolke ä 点云.XYZ", "b c.Asc"])
def test_names_of_files(tmp_path, name):
    assert len(load_points(put(tmp_path, name, lines(XYZ.T)))) == COUNT


def test_rows_say_which_points_are_left(tmp_path):
    coords = XYZ.copy()
    coords[[3, 9]] = np.nan
    np.savez(tmp_path / "a.npz", coords=coords)
    with pytest.warns(UserWarning, match="dropped 2"):
        read = load_points(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.row, np.delete(np.arange(COUNT), [3, 9]))
    np.testing.assert_array_equal(read.take(np.array([0, 5])).row, [0, 6])
    assert load_points(put(tmp_path, "b.xyz", lines(XYZ.T))).row is None


def test_a_colour_that_is_not_known_is_grey(tmp_path):
    colour = RGB / 255
    colour[5] = np.nan
    np.savez(tmp_path / "a.npz", coords=XYZ, colour=colour)
    with pytest.warns(UserWarning, match="no colour at 1 of 240 points"):
        read = load_points(tmp_path / "a.npz")
    assert (read.colour[5] == 0.5).all()
    np.testing.assert_allclose(np.delete(read.colour, 5, 0), np.delete(RGB, 5, 0) / 255, atol=1e-6)


def test_e57_of_two_scans(tmp_path):
    """In one frame, colours of both; against what pye57 was given."""
    pye57 = pytest.importorskip("pye57", reason="pye57 is an extra of its own: pip install pye57")
    with pye57.E57(str(tmp_path / "a.e57"), mode="w") as file:
        for part, shift in ((slice(0, 100), 0.0), (slice(100, COUNT), 10.0)):
            fields = {f"cartesian{a}": XYZ[part, i] for i, a in enumerate("XYZ")}
            names = ("colorRed", "colorGreen", "colorBlue")
            fields |= {name: RGB[part, i].astype(np.uint8) for i, name in enumerate(names)}
            file.write_scan_raw(fields, translation=np.array([shift, 0, 0]))
    read = load_points(tmp_path / "a.e57")
    expected = XYZ + np.where(np.arange(COUNT)[:, None] < 100, 0, [[10.0, 0, 0]])
    np.testing.assert_allclose(read.coords, expected, atol=1e-5)
    np.testing.assert_allclose(read.colour, RGB / 255, atol=1e-6)
    data = (tmp_path / "a.e57").read_bytes()
    with pytest.raises(UserError, match=r"b\.e57: cannot be read as E57"):
        load_points(put(tmp_path, "b.e57", data[: len(data) // 2]))


def test_e57_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pye57", None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[e57\]'"):
        load_points(put(tmp_path, "a.e57", b"ASTM-E57" + bytes(100)))
