"""Damages, each drawn from a ``random.Random`` that its seed determines."""

import gzip
import io
import json
import random
import re
import struct
import zipfile
from typing import Any

INTEGERS = (
    0,
    1,
    255,
    2**15,
    2**16,
    10**8,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
NUMBERS = (
    *("0", "-1", "1", "2147483647", "4294967296", "9223372036854775807", "18446744073709551616"),
    *("1e308", "1e400", "-1e308", "1e-320", "nan", "inf", "-inf", "99999999999999999999"),
    *("1.5", "1_000", "1,5", "0x10", "None", "abc"),
)
VALUES = (0, -1, 1, 2**31, 2**63, -(2**63), 1.5, float("nan"), 1e308, "", "x", True, None, [], [1],
          [[1], 2], {}, {"a": 1})  # fmt: skip


def of_binary(data: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, set, cut, left out, inserted, repeated, or a number made huge."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if not found:
            break
        at = draw.randrange(min(len(found), 400) if draw.random() < 0.6 else len(found))
        kind = draw.randrange(7)
        if kind == 0:
            found[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            found[at] = draw.choice((0, 10, 32, 127, 128, 255))
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            del found[at : at + draw.choice((1, 2, 4, 16, 100))]
        elif kind == 4:
            found[at:at] = draw.randbytes(draw.choice((1, 2, 4, 16)))
        elif kind == 5:
            found[at:at] = found[: draw.choice((4, 20, 200))]
        else:
            width = draw.choice((1, 2, 4, 8))
            at -= at % width
            found[at : at + width] = struct.pack("<Q", draw.choice(INTEGERS))[:width]
    return bytes(found)


def of_text(data: bytes, draw: random.Random) -> bytes:
    """A word in place of another, a line left out or repeated, a field too many or too few."""
    if draw.random() < 0.3:
        return of_binary(data, draw)
    lines = data.split(b"\n")
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(min(len(lines), 20) if draw.random() < 0.7 else len(lines))
        kind = draw.randrange(5)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, draw.choice(lines))
        elif kind == 2:
            pieces = re.split(rb"([ ,;\t])", lines[at])
            del pieces[draw.randrange(len(pieces))]
            lines[at] = b"".join(pieces)
        else:
            words = [match.span() for match in re.finditer(rb"[-+.\w]+", lines[at])]
            start, end = draw.choice(words) if words else (0, 0)
            other = draw.choice(NUMBERS).encode()
            lines[at] = lines[at][:start] + other + lines[at][end:]
    return b"\n".join(lines)


def of_gzip(data: bytes, draw: random.Random) -> bytes:
    """The stream, or the text in it."""
    if draw.random() < 0.5:
        return of_binary(data, draw)
    return gzip.compress(of_text(gzip.decompress(data), draw), mtime=0)


def of_zip(data: bytes, draw: random.Random) -> bytes:
    """The archive, or one of its members: its bytes, its name, or that it is there."""
    if draw.random() < 0.3:
        return of_binary(data, draw)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = draw.randrange(len(members))
    name, content = members[at]
    kind = draw.random()
    if kind < 0.1:
        del members[at]
    elif kind < 0.2:
        members[at] = (draw.choice(("x.npy", "../a.npy", "text")), content)
    else:
        members[at] = (name, of_text(content, draw) if kind < 0.5 else of_binary(content, draw))
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return found.getvalue()


def of_json(data: bytes, draw: random.Random) -> bytes:
    """One value, at any depth, in place of another or left out; or the text."""
    if draw.random() < 0.3:
        return of_text(data, draw)
    return json.dumps(_changed(json.loads(data), draw)).encode()


def of_safetensors(data: bytes, draw: random.Random) -> bytes:
    """The file, or its header without digest, as somebody else could have written it."""
    if draw.random() < 0.3:
        return of_binary(data, draw)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    own = header["__metadata__"]
    own.pop("digest", None)
    if draw.random() < 0.7:
        own["config"] = json.dumps(_changed(json.loads(own["config"]), draw))
    else:
        header = _changed(header, draw)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _changed(tree: Any, draw: random.Random) -> Any:
    """The tree with one value left out or replaced."""
    if not isinstance(tree, (dict, list)) or not tree or draw.random() < 0.1:
        return draw.choice(VALUES)
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    at = draw.choice(keys)
    if draw.random() < 0.15:
        del tree[at]
    else:
        tree[at] = _changed(tree[at], draw)
    return tree
