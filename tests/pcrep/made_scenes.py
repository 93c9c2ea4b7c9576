"""Small labelled scenes that the tests of pcrep share: boxes and balls on a floor."""

import numpy as np

from pcrep.cloud import Cloud, Scenes

CLASSES = ("floor", "box", "ball")


def made_scene(seed: int, objects: tuple[int, ...] = (1, 2), points: int = 300) -> Cloud:
    """A floor of 1 m with one object of each class in ``objects``; z up, colour without meaning."""
    rng = np.random.default_rng(seed)
    floor = rng.uniform(0, 1, (points, 3)) * [1, 1, 0.01]
    parts, labels = [floor], [np.zeros(points)]
    for place, c in enumerate(objects):
        if c == 1:
            shape = rng.uniform(-0.1, 0.1, (points // 2, 3))
            shape[np.arange(len(shape)), rng.integers(3, size=len(shape))] = 0.1
        else:
            shape = rng.normal(size=(points // 2, 3))
            shape *= 0.1 / np.linalg.norm(shape, axis=1, keepdims=True)
        parts.append(shape + np.array([0.25 + 0.5 * place, rng.uniform(0.2, 0.8), 0.11]))
        labels.append(np.full(len(shape), c))
    coords = np.concatenate(parts).astype(np.float32)
    label = np.concatenate(labels).astype(np.int64)
    colour = rng.random((len(coords), 3)).astype(np.float32)
    return Cloud(coords, colour, label=label, name=f"made {seed}")


def made_scenes(objects: tuple[tuple[int, ...], ...], points: int = 300) -> Scenes:
    """One scene for each entry of ``objects``, the classes that it shows beside the floor."""
    return Scenes(
        "made",
        tuple(f"made-{i}" for i in range(len(objects))),
        lambda index: made_scene(index, objects[index], points),
        CLASSES,
    )
