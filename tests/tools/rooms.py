"""Small labelled rooms as files, for tests of the tools."""

import numpy as np


def write_room(path, seed):
    """A floor of 3 m with a box and a ball on it; labels, and names of the classes."""
    rng = np.random.default_rng(seed)
    floor = rng.uniform(0, 3, (4000, 3)) * [1, 1, 0.002]
    box = rng.uniform(-0.3, 0.3, (1500, 3))
    box[np.arange(1500), rng.integers(3, size=1500)] = 0.3 * rng.choice([-1, 1], 1500)
    ball = rng.normal(size=(1500, 3))
    ball *= 0.3 / np.linalg.norm(ball, axis=1, keepdims=True)
    box += np.array([0.8, rng.uniform(0.5, 2.5), 0.35])
    ball += np.array([2.2, 1.5, 0.35])
    label = np.repeat([0, 1, 2], [4000, 1500, 1500])
    colour = np.repeat(rng.random((3, 3)), [4000, 1500, 1500], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = np.array(["floor", "box", "ball"])
    np.savez(
        path, coords=np.concatenate([floor, box, ball]), colour=colour, label=label, classes=names
    )
