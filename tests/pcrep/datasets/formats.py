"""Random clouds as the bytes of a file, written by hand, for the tests of readers."""

import struct

import numpy as np


def random_cloud(seed, count):
    rng = np.random.default_rng(seed)
    return {
        "coords": (rng.normal(size=(count, 3)) * 3 + [0, 0, 5]).astype(np.float32),
        "colour": rng.integers(0, 256, (count, 3), dtype=np.uint8),
        "normal": rng.normal(size=(count, 3)).astype(np.float32),
        "label": rng.integers(0, 50, count, dtype=np.uint16),
        "instance": rng.integers(-1, 900, count, dtype=np.int32),
        "intensity": rng.random(count, dtype=np.float32),
    }


def records(fields):
    """A structured array of columns: ``(name, type, values)``."""
    array = np.empty(len(fields[0][2]), [(name, kind) for name, kind, _ in fields])
    for name, _, values in fields:
        array[name] = values
    return array


def ply(cloud, order):
    """A PLY with faces after the vertices."""
    types = {"f4": "float", "u1": "uchar", "u2": "ushort", "i4": "int"}
    fields = [(axis, "f4", cloud["coords"][:, i]) for i, axis in enumerate("xyz")]
    fields += [(n, "u1", cloud["colour"][:, i]) for i, n in enumerate(("red", "green", "blue"))]
    fields += [(f"n{a}", "f4", cloud["normal"][:, i]) for i, a in enumerate("xyz")]
    fields += [("label", "u2", cloud["label"]), ("objectId", "i4", cloud["instance"])]
    fields += [("scalar_Intensity", "f4", cloud["intensity"])]
    header = ["ply", f"format {order} 1.0", f"element vertex {len(cloud['coords'])}"]
    header += [f"property {types[kind]} {name}" for name, kind, _ in fields]
    header += ["element face 1", "property list uchar int vertex_indices", "end_header", ""]
    mark = ">" if "big" in order else "<"
    if order == "ascii":
        rows = zip(*(values.tolist() for _, _, values in fields), strict=True)
        body = "".join(" ".join(map(repr, row)) + "\n" for row in rows).encode() + b"3 0 0 0\n"
    else:
        body = records([(name, mark + kind, values) for name, kind, values in fields]).tobytes()
        body += struct.pack(f"{mark}Biii", 3, 0, 0, 0)
    return "\n".join(header).encode() + body


def pcd(cloud, kind, width=None, height=1):
    """A PCD; compressed, it is made of literal runs, which LZF allows."""
    red, green, blue = cloud["colour"].T.astype(np.uint32)
    fields = [(axis, "f4", cloud["coords"][:, i]) for i, axis in enumerate("xyz")]
    fields += [("rgba", "u4", red << 16 | green << 8 | blue)]
    fields += [("label", "u4", cloud["label"]), ("intensity", "f4", cloud["intensity"])]
    array = records(fields)
    header = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(name for name, _, _ in fields)}",
        f"SIZE {' '.join('4' for _ in fields)}",
        f"TYPE {' '.join(k[0].upper() for _, k, _ in fields)}",
        f"COUNT {' '.join('1' for _ in fields)}",
        f"WIDTH {width or len(array)}",
        f"HEIGHT {height}",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(array)}",
        f"DATA {kind}",
        "",
    ]
    if kind == "ascii":
        body = "".join(" ".join(map(repr, row)) + "\n" for row in array.tolist()).encode()
    elif kind == "binary":
        body = array.tobytes()
    else:
        plain = b"".join(array[name].tobytes() for name, _, _ in fields)  # column after column
        runs = [plain[i : i + 32] for i in range(0, len(plain), 32)]
        packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
        body = struct.pack("<II", len(packed), len(plain)) + packed
    return "\n".join(header).encode() + body


def lines(columns, separator=" ", first=""):
    rows = zip(*(values.tolist() for values in columns), strict=True)
    return (first + "".join(separator.join(map(repr, row)) + "\n" for row in rows)).encode()
