"""Small files by the names of the README, my.csv, my_scans/, new_scans/, and two formats more.

python .ci/small_inputs.py FOLDER
"""

import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def scene(seed: int) -> dict[str, np.ndarray]:
    """A floor of two metres and a box on it, which is class 1."""
    rng = np.random.default_rng(seed)
    floor = rng.uniform(0, 2, (3_000, 3)) * [1, 1, 0.01]
    corner = rng.uniform([0, 0, 0.01], [1.5, 1.5, 0.02])
    box = corner + rng.uniform(0, 0.5, (1_000, 3))
    coords = np.concatenate([floor, box]).astype(np.float32)
    label = np.repeat([0, 1], [len(floor), len(box)])
    return {"coords": coords, "colour": rng.random(coords.shape, np.float32), "label": label}


def las(points: np.ndarray) -> bytes:
    """LAS 1.2, point format 0, in millimetres (ASPRS, LAS specification 1.2, section 2)."""
    head = (b"LASF", 0, 0, b"", 1, 2, b"", b"", 1, 2024, 227, 227, 0, 0, 20, len(points))
    bounds = np.stack([points.max(0), points.min(0)], axis=1).ravel()
    numbers = (*[len(points), 0, 0, 0, 0], *[0.001] * 3, *[0.0] * 3, *bounds)
    header = struct.pack("<4sHH16sBB32s32sHHHIIBHI5I12d", *head, *numbers)
    rows = (np.round(1000 * points)).astype(int).tolist()
    return header + b"".join(struct.pack("<iiiHBBbBH", *row, 0, 9, 2, 0, 0, 0) for row in rows)


def main(folder: Path) -> None:
    hours = np.arange(400)
    load = 50 + 10 * np.sin(hours * 2 * np.pi / 24)
    date = pd.date_range("2024-01-01", periods=len(hours), freq="h")
    pd.DataFrame({"date": date, "load": load}).to_csv(folder / "my.csv", index=False)
    for seed, name in enumerate(("my_scans/learn/a", "my_scans/learn/b", "my_scans/test/c")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name}.npz", **scene(seed))
    (folder / "my_scans/classes.txt").write_text("floor\nbox\n")
    (folder / "new_scans").mkdir()
    new = scene(9)
    np.savez(folder / "new_scans/d.npz", coords=new["coords"], colour=new["colour"])
    (folder / "tile.las").write_bytes(las(new["coords"].astype(float)))
    corners = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    faces = "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    (folder / "solid.off").write_text(f"OFF\n4 4 0\n{corners}{faces}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
