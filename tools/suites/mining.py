"""What vectors are good for without labels, beside what each has to beat.

Clusters and nearest series on labelled sets, whose labels only judge; motifs that are the only two
series of one class in a long series of others; change points where the class changes; anomalies of
known kinds in clean series, and a published one. Controls: the encoder untrained, the values
themselves, random convolutions, and the matrix profile (stumpy) where it applies.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
from sklearn.base import TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import FeatureUnion
from suites.mining_cases import Search, anomaly_cases, change_cases, motif_cases
from suites.table import Row
from tqdm import tqdm

from tsrep import load_encoder
from tsrep.datasets.archive import archive_sets, load_set
from tsrep.datasets.series import Panel
from tsrep.encoders.files import untrained
from tsrep.evaluation.detection import change_point_f1, vus_pr
from tsrep.evaluation.injection import KINDS
from tsrep.features import RandomConvolutions
from tsrep.features.ridge import BlockScale
from tsrep.mining import AnomalyDetector, ChangePoints, SimilaritySearch
from tsrep.mining.anomalies import spread_over_steps
from tsrep.mining.windows import StandardisedValues
from tsrep.sklearn import PretrainedEncoder

SETS = (
    "BME",
    "BeetleFly",
    "Car",
    "DistalPhalanxTW",
    "Fish",
    "GunPoint",
    "GunPointAgeSpan",
    "Meat",
    "Plane",
    "ProximalPhalanxOutlineAgeGroup",
    "SmoothSubspace",
    "UMD",
)
"""Of the archive: sets of at most 600 series of equal length."""


def convolutions(seed: int) -> RandomConvolutions:
    return RandomConvolutions(1_000, random_state=seed)


Described = dict[str, TransformerMixin]


def systems(encoder: str, seed: int) -> Described:
    """Unfitted transformers from series or windows (N, T, 1) to what describes them."""
    trained = load_encoder(encoder)
    both = [("encoder", PretrainedEncoder(trained)), ("random", convolutions(seed))]
    return {
        "fusion": FeatureUnion(both),
        "encoder": PretrainedEncoder(trained),
        "random_encoder": PretrainedEncoder(untrained(trained, seed)),
        "random_convolutions": convolutions(seed),
        "raw": StandardisedValues(),
    }


def rows(source: Path, encoder: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Rows of all tasks, with spreads over seeds of systems, places and draws."""
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    sets = archive_sets(source)
    panels = [load_set(sets[name]) for name in SETS if name in sets]
    bar = tqdm([(seed, task) for seed in seeds for task in TASKS], desc="mining")
    for seed, task in bar:
        bar.set_postfix_str(task.__name__)
        for case, system, metric, value in task(panels, systems(encoder, seed), seed):
            by_seed = found.setdefault((case, system, metric), [])
            if len(by_seed) <= seeds.index(seed):
                by_seed.append([])
            by_seed[-1].append(value)
    for (case, system, metric), by_seed in found.items():
        means = [fmean(values) for values in by_seed]
        spread = pstdev(means) if len(means) > 1 else None
        yield Row(case, system, metric, fmean(means), "", spread, len(means))


Found = Iterator[tuple[str, str, str, float]]


def groups(panels: list[Panel], described: Described, seed: int) -> Found:
    """Clusters by k-means, and the nearest other series, of whole sets."""
    for panel in panels:
        x = np.concatenate([panel.train, panel.test])
        labels = np.concatenate([panel.train_labels, panel.test_labels])
        for name, encoder in described.items():
            vectors = clone(encoder).fit(x).transform(x)
            z = BlockScale.fit([vectors])([vectors])
            clusters = KMeans(len(panel.classes), n_init=10, random_state=seed).fit_predict(z)
            yield "clusters", name, "adjusted Rand", adjusted_rand_score(labels, clusters)
            gaps = np.square(z).sum(1) - 2 * z @ z.T
            np.fill_diagonal(gaps, np.inf)
            same = labels[gaps.argmin(axis=1)] == labels
            yield "nearest series", name, "same class", float(same.mean())


def motifs(panels: list[Panel], described: Described, seed: int) -> Found:
    """Whether the best motif is the pair of series of one class that was hidden."""
    for series, window, true in motif_cases(panels, seed):
        finders: dict[str, Search] = {}
        if find_spec("stumpy"):
            finders["matrix_profile"] = _profile_motif
        for name, encoder in described.items():
            finders[name] = _finder(encoder)
        for name, find in finders.items():
            pairs = zip(find(series, window), true, strict=True)
            near = all(abs(place - start) <= window // 2 for place, start in pairs)
            yield "motifs", name, "found", float(near)


def changes(panels: list[Panel], described: Described, seed: int) -> Found:
    """F1 of cuts, their number known, within half a window."""
    for series, window, true in change_cases(panels, seed):
        for name, encoder in described.items():
            model = ChangePoints(window, encoder=encoder, changes=len(true))
            f1 = change_point_f1(model.predict(series).tolist(), true, window // 2)
            yield "change points", name, "F1", f1


def anomalies(panels: list[Panel], described: Described, seed: int) -> Found:
    """VUS-PR with a window as the buffer, on series whose normal part was seen before."""
    for normal, window, cases in anomaly_cases(seed):
        scorers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            name: AnomalyDetector(window, encoder=encoder).fit(normal).score
            for name, encoder in described.items()
        }
        for name in {"encoder", "random_encoder"} & described.keys():
            both = AnomalyDetector(window, encoder=described[name], values=True)
            scorers[f"{name}_and_values"] = both.fit(normal).score
        if find_spec("stumpy"):
            scorers["matrix_profile"] = partial(_profile, normal, window)
        for kind, series, labels in cases:
            for name, score in scorers.items():
                found = vus_pr(score(series), labels, window)
                yield f"anomalies/{kind}", name, "VUS-PR", found
                if kind in KINDS:
                    yield "anomalies/all kinds", name, "VUS-PR", found


TASKS = (groups, motifs, changes, anomalies)


def _finder(encoder: TransformerMixin) -> Search:
    def find(series: np.ndarray, window: int) -> tuple[int, int]:
        motif = SimilaritySearch(window, encoder=encoder).fit(series).motifs(1)[0]
        return motif.first[1], motif.second[1]

    return find


def _profile_motif(series: np.ndarray, window: int) -> tuple[int, int]:
    import stumpy

    profile = stumpy.stump(series, window)
    first = int(np.argmin(profile[:, 0]))
    low, high = sorted((first, int(profile[first, 1])))
    return low, high


def _profile(normal: np.ndarray, window: int, series: np.ndarray) -> np.ndarray:
    """The distance of windows to their nearest normal one, averaged over those of each step."""
    import stumpy

    profile = stumpy.stump(series, window, normal, ignore_trivial=False)[:, 0].astype(float)
    return spread_over_steps(profile, np.arange(len(profile)), window)
