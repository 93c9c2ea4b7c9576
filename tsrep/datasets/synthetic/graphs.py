"""Random causal graphs: each node is a Gaussian process or a nonlinear function of earlier nodes.

CauKer (Xie et al. 2025, sec. 3): ``child = f(sum_i w_i parent_i + b)``, ``w, b ~ N(0, 1)``.
"""

import numpy as np

from tsrep.datasets.synthetic.kernels import draw

_MOST_PARENTS = 4
_EXTRA_NODES = 6
"""Nodes beside those that are returned. CauKer keeps 4 of 18 with up to 6 parents; fewer nodes cost
less and mix the processes as well."""


def draw_graph(rng: np.random.Generator, seed: int, steps: int, channels: int) -> np.ndarray:
    """Some nodes of one random graph, (T, C): series that depend on each other."""
    count = channels + int(rng.integers(1, _EXTRA_NODES + 1))
    nodes = np.empty((count, steps), np.float32)
    for i in range(count):
        parents = rng.choice(i, min(i, int(rng.integers(0, _MOST_PARENTS + 1))), replace=False)
        if len(parents):
            mixed = rng.standard_normal(len(parents)) @ nodes[parents] + rng.standard_normal()
            nodes[i] = _edge(rng, mixed)
        else:
            nodes[i] = draw(rng, seed, steps)
    return nodes[rng.choice(count, channels, replace=False)].T


def _edge(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """A random nonlinear function of ``x (T,)``."""
    x = np.clip(x, -30, 30)
    kind = rng.integers(7)
    if kind == 0:
        return 1 / (1 + np.exp(-x))
    if kind == 1:
        return np.sin(x)
    if kind == 2:
        return np.mod(x, rng.uniform(1, 5))
    if kind == 3:
        return np.tanh(x)
    if kind == 4:
        return np.logaddexp(0, x)
    if kind == 5:
        return x / (1 + np.exp(-x))
    return np.exp(-(x**2))
