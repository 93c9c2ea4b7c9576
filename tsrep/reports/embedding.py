"""The vectors of test instances on two axes: what a trained and an untrained encoder tell apart."""

import numpy as np

from tspcrep.common import pages
from tspcrep.common.markup import Html
from tsrep.datasets.series import Panel
from tsrep.encoders.base import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import untrained
from tsrep.reports import plots

_MOST = 1000
"""Largest number of instances that are encoded and drawn."""


def embedding_map(encoder: Encoder, panel: Panel, seed: int) -> Html:
    """Pooled vectors of test instances, trained and with random weights of ``seed``, by class."""
    count = len(panel.test)
    rows = np.unique(np.linspace(0, count - 1, min(count, _MOST)).astype(int))
    places, told = {}, []
    for name, network in (("trained", encoder), ("untrained", untrained(encoder, seed))):
        vectors = encode(network, panel.test[rows], pool=True, apart=True)
        places[name], share = principal_axes(vectors)
        told.append(f"{100 * share:.0f} % of it {name}")
    caption = (
        f"Vectors of {len(rows)} test instances by class, in the two directions of largest "
        f"variance: {', '.join(told)}. What lies apart here is apart; what lies together may be "
        "apart in other directions, which the results tell"
    )
    drawn = plots.embeddings(places, panel.test_labels[rows], panel.classes)
    return pages.section("Embedding map", pages.figure(drawn, caption))


def principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Vectors (N, D) on their first two principal components, (N, 2), and the share of variance.

    They are centred and not scaled. In each direction the weight of the largest size is positive.
    Where there are fewer than two directions, the rest is 0.
    """
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    places = centred @ (axes * np.where(largest < 0, -1, 1)).T
    energy = np.square(sizes)
    share = float(energy[:2].sum() / max(energy.sum(), np.finfo(float).tiny))
    return np.pad(places, [(0, 0), (0, 2 - places.shape[1])]), share
