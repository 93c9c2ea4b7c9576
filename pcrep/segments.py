"""Over-segmentation: a scene cut into at most a thousand pieces, each of one object or surface."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from pcrep.cloud import Cloud
from pcrep.neighbours import Cells, Surface, nearest, surface, thin


@dataclass(frozen=True)
class SegmentConfig:
    method: Literal["graph"] = "graph"
    """graph: Felzenszwalb and Huttenlocher."""
    cell: float | None = None
    """Edge of the cells that are segmented, metres; left out, what ``budget`` gives."""
    budget: int = 80_000
    """Cells to cut a scene into, where ``cell`` is left out."""
    neighbours: int = 12
    """Edges of a cell in the graph, and neighbours that its normal is taken from."""
    threshold: float = 0.1
    """k of the paper, over the weight of an edge: larger makes larger segments."""
    colour: float = 1.0
    """Weight of a difference in colour, of 0 .. 1, beside that of the normals."""
    offset: float = 0.5
    """Weight of a step: how far a neighbour lies off the tangent plane, over its distance."""
    smallest: int = 20
    """Cells of a segment; smaller ones are merged into what they touch."""
    segments: int = 1000
    """At most so many: the smallest ones are merged until it is true."""


def over_segment(cloud: Cloud, config: SegmentConfig | None = None) -> np.ndarray:
    """Segment (N,) int64 of every point, 0 .. S - 1, numbered by falling number of cells."""
    return over_segment_with_normals(cloud, config)[0]


def over_segment_with_normals(
    cloud: Cloud, config: SegmentConfig | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`over_segment`, and the normals (N, 3) float32 that it found: a cell's points share."""
    config = config or SegmentConfig()
    cells = thin(cloud.coords, config.cell, config.budget)
    index, distance = nearest(cells.centre, config.neighbours)
    shape = surface(cells.centre, index)
    colour = None if cloud.colour is None else cells.average(cloud.colour)
    segment = segment_cells(cells, index, distance, shape, colour, config)
    return segment[cells.member], shape.normal[cells.member]


def segment_cells(
    cells: Cells,
    index: np.ndarray,
    distance: np.ndarray,
    shape: Surface,
    colour: np.ndarray | None,
    config: SegmentConfig,
) -> np.ndarray:
    """Segment (M,) of every cell."""
    if colour is None:
        colour = np.zeros((len(index), 0), np.float32)
    start, end, weight = _edges(
        cells.centre, shape.normal, colour, index, distance, config.colour, config.offset
    )
    order = np.argsort(weight, kind="stable")
    start, end, weight = start[order], end[order], weight[order]
    parent = _felzenszwalb(start, end, weight, len(index), config.threshold, config.smallest)
    smallest = config.smallest
    while len(sizes := np.unique(parent, return_counts=True)[1]) > config.segments:
        if smallest > sizes.max():
            break
        smallest *= 2
        _absorb(parent, np.bincount(parent, minlength=len(parent)), start, end, smallest)
        parent = _roots(parent)
    return _number(parent, cells.centre, config.segments)


@njit(cache=True)
def _edges(centre, normal, colour, index, distance, colour_weight, offset_weight):
    """Undirected edges start < end of the graph of neighbours, and their weights."""
    count, k = index.shape
    start = np.empty(count * k, np.int32)
    end = np.empty(count * k, np.int32)
    weight = np.empty(count * k, np.float32)
    n = 0
    for i in range(count):
        for e in range(k):
            j = index[i, e]
            if j < i:  # j may know this edge already
                known = False
                for f in range(k):
                    known |= index[j, f] == i
                if known:
                    continue
            dot = np.float32(0)
            off_i = np.float32(0)
            off_j = np.float32(0)
            for a in range(3):
                step = centre[j, a] - centre[i, a]
                dot += normal[i, a] * normal[j, a]
                off_i += normal[i, a] * step
                off_j += normal[j, a] * step
            bend = 1 - abs(dot)
            step = max(abs(off_i), abs(off_j)) / max(distance[i, e], np.float32(1e-9))
            tint = np.float32(0)
            for a in range(colour.shape[1]):
                tint += (colour[i, a] - colour[j, a]) ** 2
            start[n], end[n] = i, j
            weight[n] = bend + offset_weight * step * step + colour_weight * np.sqrt(tint)
            n += 1
    return start[:n], end[:n], weight[:n]


@njit(cache=True)
def _find(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _felzenszwalb(start, end, weight, count, threshold, smallest):
    """Algorithm 1 of Felzenszwalb and Huttenlocher 2004, over edges of rising weight."""
    parent = np.arange(count)
    size = np.ones(count, np.int64)
    limit = np.full(count, threshold)  # Int(C) + k / |C|
    for e in range(len(start)):
        a, b = _find(parent, start[e]), _find(parent, end[e])
        if a != b and weight[e] <= limit[a] and weight[e] <= limit[b]:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight[e] + threshold / size[a]
    _absorb(parent, size, start, end, smallest)
    return _roots(parent)


@njit(cache=True)
def _absorb(parent, size, start, end, smallest):
    """Merge components of fewer than ``smallest`` over their cheapest edge."""
    for e in range(len(start)):
        a, b = _find(parent, start[e]), _find(parent, end[e])
        if a != b and (size[a] < smallest or size[b] < smallest):
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]


@njit(cache=True)
def _roots(parent):
    for i in range(len(parent)):
        parent[i] = _find(parent, i)
    return parent


def _number(parent: np.ndarray, centre: np.ndarray, most: int) -> np.ndarray:
    """Number components by falling size; those beyond ``most`` go to the nearest that is kept."""
    _, first, member, size = np.unique(
        parent, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -size))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    segment = rank[member]
    if len(order) > most:
        kept = segment < most
        segment[~kept] = segment[kept][cKDTree(centre[kept]).query(centre[~kept])[1]]
    return segment
