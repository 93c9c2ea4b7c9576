"""The synthetic corpus: series ``i`` depends on the seed and on ``i`` alone.

corpus = SyntheticCorpus(size=20_000, seed=0)
corpus[7]                            # (512, 1), the same on every machine and in any order
for series in corpus: ...            # streamed, nothing is stored
corpus.draw(range(1000), workers=4)  # (1000, 512, 1)
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError
from tsrep.datasets.synthetic.graphs import draw_graph
from tsrep.datasets.synthetic.waves import FAMILIES

GRAPH_SHARE = 0.5
"""Share of series that are nodes of a causal graph; the other families share the rest evenly."""


class SyntheticCorpus:
    """Random series (T, C), float32, each channel of mean 0 and variance 1.

    Half are nodes of a random causal graph over Gaussian processes, the rest regimes, bursts,
    steps, spikes, heartbeats, sawteeth, sines and coloured noise. A third are then mixed with a
    second family, and some are warped in time, mirrored, clipped or noisy.

    Parameters
    ----------
    size : number of series.
    steps : length T of a series.
    channels : channels C; those of a graph depend on each other, others are drawn alone.
    seed : of the corpus. It draws the bank of kernels too, which takes seconds, once a process.
    """

    def __init__(self, size: int, steps: int = 512, channels: int = 1, seed: int = 0):
        for name, value, least in (
            ("size", size, 1),
            ("steps", steps, 8),
            ("channels", channels, 1),
            ("seed", seed, 0),
        ):
            if value < least:
                raise UserError(f"{name}: found {value}, expected at least {least}")
        self.size, self.steps, self.channels, self.seed = size, steps, channels, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> np.ndarray:
        """Series ``index``, (T, C) float32."""
        if not 0 <= index < self.size:
            raise IndexError(f"series {index} of {self.size}")
        rng = np.random.default_rng((self.seed, index))
        values = self._family(rng)
        if rng.random() < 1 / 3:
            values = _mixed(rng, _standard(values), _standard(self._family(rng)))
        return _standard(_disturbed(rng, _standard(values))).astype(np.float32)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(self.size))

    def fingerprint(self) -> str:
        return fingerprint(self.size, self.steps, self.channels, self.seed)

    def draw(self, indices: Sequence[int], workers: int = 0) -> np.ndarray:
        """The series of ``indices``, (N, T, C) float32, made by so many processes; 0 for this."""
        indices = list(indices)
        if not workers:
            return np.stack([self[i] for i in indices])
        parts = [part.tolist() for part in np.array_split(indices, 4 * workers) if len(part)]
        # A forked worker would inherit the locks that threads of this process hold.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            return np.concatenate(list(pool.map(self.draw, parts)))

    def _family(self, rng: np.random.Generator) -> np.ndarray:
        """One draw of a random family, (T, C)."""
        if rng.random() < GRAPH_SHARE:
            return draw_graph(rng, self.seed, self.steps, self.channels).astype(np.float64)
        family = FAMILIES[rng.integers(len(FAMILIES))]
        return np.stack([family(rng, self.steps) for _ in range(self.channels)], 1)


def _mixed(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two series (T, C) as a sum, or one behind the other."""
    if rng.random() < 0.5:
        return first + rng.uniform(0.1, 1) * second
    cut = int(rng.uniform(0.1, 0.9) * len(first))
    return np.concatenate([first[:cut], second[cut:]])


def _disturbed(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Changes that the series of instruments show, each on some of the series."""
    steps = len(values)
    if rng.random() < 0.3:  # slower and faster by turns, and a part of the series only
        speed = np.exp(rng.uniform(0, 0.8) * rng.standard_normal(6))
        speed = np.interp(np.linspace(0, 5, steps), np.arange(6), speed)
        place = np.cumsum(speed) / speed.sum() * (steps - 1) * rng.uniform(0.4, 1)
        grid = np.arange(steps)
        values = np.stack([np.interp(place, grid, channel) for channel in values.T], 1)
    if rng.random() < 0.3:
        values = -values
    if rng.random() < 0.1:
        values = values[::-1]
    if rng.random() < 0.1:
        values = np.clip(values, *np.sort(rng.uniform(-2, 2, 2)))
    if rng.random() < 0.4:
        noise = np.exp(rng.uniform(np.log(0.01), np.log(0.3)))
        values = values + noise * rng.standard_normal(values.shape)
    return values


def _standard(values: np.ndarray) -> np.ndarray:
    """Each channel with mean 0 and variance 1; a constant one is 0."""
    values = values - values.mean(0)
    deviation = values.std(0)
    return values / np.where(deviation > 1e-6, deviation, 1.0)
