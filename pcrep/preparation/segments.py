"""Over-segmentation of a scene into at most a thousand segments, each within one object."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pcrep.cloud import Cloud
from pcrep.preparation.neighbours import Cells, nearest, sharpen, surface, to_cells
from pcrep.preparation.planes import dominant_planes
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit


@dataclass(frozen=True)
class SegmentConfig:
    """Options of the over-segmentation; one set of weights for tables, rooms, streets and terrain.

    They were selected on training scenes of mOSD and on procedural rooms, with and without colour.
    Density is a cue because of an S3DIS room whose objects were each resampled to a number of
    points: its boards lie within 1 cm of the wall and differ from it in nothing else.
    """

    method: Literal["graph", "planes"] = "graph"
    """graph: Felzenszwalb and Huttenlocher. planes: RANSAC planes, and DBSCAN of the rest."""
    cell: float | None = None
    """Edge of the cells that are segmented, metres; by default it follows from ``budget``."""
    budget: int = 100_000
    """Approximate number of cells, where ``cell`` is not given."""
    neighbours: int = 12
    """Neighbours of a cell, for the edges of the graph and for normals."""
    threshold: float = 0.3
    """k of the paper, in cells times edge weight; larger values give larger segments."""
    convex: float = 0.1
    """Weight of convex angles, as at the edge of a box, relative to concave ones, as between a box
    and the table it stands on."""
    offset: float = 1.0
    """Weight of a step: distance of a neighbour from the tangent plane over its distance."""
    colour: float = 0.5
    """Weight of a difference in colour, on a scale of 0 .. 1."""
    density: float = 0.5
    """Weight of a difference in the logarithm of point density."""
    smallest: int = 12
    """Smallest number of cells per segment; smaller ones are merged into their neighbours."""
    segments: int = 1000
    """Largest number of segments; the smallest are merged until it holds."""

    def __post_init__(self) -> None:
        if self.cell is not None and not self.cell > 0:
            raise UserError(f"cell: found {self.cell}, expected metres above 0")
        for name in ("budget", "neighbours", "smallest", "segments"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 1")
        for name in ("threshold", "convex", "offset", "colour", "density"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected 0 or more")


def over_segment(cloud: Cloud, config: SegmentConfig | None = None) -> np.ndarray:
    """Segment (N,) int64 of each point, 0 .. S - 1, numbered by decreasing number of cells.

    The scene is thinned to cells, and points take the segment of their cell. ``graph`` is
    Efficient Graph-Based Image Segmentation (Felzenszwalb and Huttenlocher 2004) on the
    nearest-neighbour graph of the cells. The weight of an edge is a sum of cues:

        bend (x convex, if convex) + offset step^2 + density d^2 + colour |c_i - c_j|

    bend = 1 - |n_i . n_j|, reduced where the surface is convex, as in ScanNet's segmentator; step
    = height of the neighbour above the tangent plane, over its distance; d = difference of
    log-densities, a cue where objects were scanned or sampled at different rates. Normals are
    sharpened first (:func:`pcrep.preparation.neighbours.sharpen`), or every crease would be a
    segment of its own. Convexity is judged from above the centre of the scene, so gravity should
    be along -z.

    ``planes`` is the recipe of SegContrast (Nunes et al. 2022, RANSAC and DBSCAN), with all
    dominant planes in place of the ground and scikit-learn's DBSCAN: each plane and each cluster
    of the rest is a segment. Noise points of DBSCAN go to the nearest segment.
    """
    return over_segment_with_normals(cloud, config)[0]


def over_segment_with_normals(
    cloud: Cloud, config: SegmentConfig | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`over_segment`, and the normals (N, 3) float32 that it found: a cell's points share."""
    config = config or SegmentConfig()
    cells = to_cells(cloud.coords, config.cell, config.budget)
    index, distance = nearest(cells.centre, config.neighbours)
    shape = surface(cells.centre, index)
    normal = sharpen(cells.centre, index, shape)
    if index.shape[1] == 0:  # a single cell
        segment = np.zeros(1, np.int64)
    elif config.method == "planes":
        segment = _planes_and_clusters(cells, normal, config)
    else:
        colour = None if cloud.colour is None else cells.average(cloud.colour)
        segment = _graph(_edges(cells, index, distance, normal, colour, config), config)
    segment = _number(segment, cells.centre, config.segments)
    return segment[cells.member], normal[cells.member]


class _Edges(NamedTuple):
    """Edges of a graph of ``count`` nodes by rising weight (E,) float32: start, end (E,) int32."""

    start: np.ndarray
    end: np.ndarray
    weight: np.ndarray
    count: int  # type: ignore[assignment]  # hides tuple.count


def _edges(
    cells: Cells,
    index: np.ndarray,
    distance: np.ndarray,
    normal: np.ndarray,
    colour: np.ndarray | None,
    config: SegmentConfig,
) -> _Edges:
    points = cells.count + cells.count[index].sum(1)
    density = np.log(points / np.maximum(distance[:, -1], 1e-9) ** 2)
    eye = cells.centre.mean(0)
    eye[2] = 0.9 * cells.centre[:, 2].max()
    start, end, weight = _weigh(
        cells.centre,
        normal,
        density.astype(np.float32),
        np.empty((len(index), 0), np.float32) if colour is None else colour,
        index,
        distance,
        eye,
        np.array([config.convex, config.offset, config.colour, config.density], np.float32),
    )
    order = np.argsort(weight, kind="stable")
    return _Edges(start[order], end[order], weight[order], len(index))


@jit
def _weigh(centre, normal, density, colour, index, distance, eye, weights):
    """Start, end and weight of the graph's undirected edges."""
    convex, offset, tint, dense = weights
    count, k = index.shape
    facing = np.empty_like(normal)
    for i in range(count):
        towards = np.float32(0)
        for a in range(3):
            towards += normal[i, a] * (eye[a] - centre[i, a])
        for a in range(3):
            facing[i, a] = normal[i, a] if towards > 0 else -normal[i, a]
    start, end = np.empty(count * k, np.int32), np.empty(count * k, np.int32)
    weight = np.empty(count * k, np.float32)
    n = 0
    for i in range(count):
        for e in range(k):
            j = index[i, e]
            if j < i and _holds(index[j], i):  # j has brought this edge already
                continue
            dot, off_i, off_j = np.float32(0), np.float32(0), np.float32(0)
            for a in range(3):
                way = centre[j, a] - centre[i, a]
                dot += facing[i, a] * facing[j, a]
                off_i += facing[i, a] * way
                off_j += facing[j, a] * way
            bend = 1 - abs(dot)
            if off_j > off_i:  # (n_j - n_i) . (x_j - x_i) > 0
                bend *= convex
            step = max(abs(off_i), abs(off_j)) / max(distance[i, e], np.float32(1e-9))
            shade = np.float32(0)
            for a in range(colour.shape[1]):
                shade += (colour[i, a] - colour[j, a]) ** 2
            start[n], end[n] = i, j
            weight[n] = bend + offset * step * step + tint * np.sqrt(shade)
            weight[n] += dense * (density[i] - density[j]) ** 2
            n += 1
    return start[:n], end[:n], weight[:n]


@jit(inline="always")
def _holds(row, value):
    held = False
    for r in row:
        held |= r == value
    return held


def _graph(edges: _Edges, config: SegmentConfig) -> np.ndarray:
    """Component (M,) of every node, at most ``config.segments`` of them where the graph allows."""
    parent, size = np.arange(edges.count), np.ones(edges.count, np.int64)
    _felzenszwalb(*edges[:3], parent, size, config.threshold)
    smallest = config.smallest
    while True:
        _absorb(*edges[:2], parent, size, smallest)
        component = _roots(parent)
        found = np.bincount(component)
        if np.count_nonzero(found) <= config.segments or smallest > found.max():
            return component
        smallest += max(1, smallest // 8)


@jit(inline="always")
def _find(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit(inline="always")
def _join(parent, size, a, b):
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    return a


@jit
def _felzenszwalb(start, end, weight, parent, size, threshold):
    """Algorithm 1 of the paper, over edges by rising weight; fills parent and size."""
    limit = np.full(len(parent), threshold)  # Int(C) + k / |C|
    for e in range(len(start)):
        a, b = _find(parent, start[e]), _find(parent, end[e])
        if a != b and weight[e] <= limit[a] and weight[e] <= limit[b]:
            a = _join(parent, size, a, b)
            limit[a] = weight[e] + threshold / size[a]


@jit
def _absorb(start, end, parent, size, smallest):
    """Merge components of fewer than ``smallest`` over their cheapest edges."""
    for e in range(len(start)):
        a, b = _find(parent, start[e]), _find(parent, end[e])
        if a != b and (size[a] < smallest or size[b] < smallest):
            _join(parent, size, a, b)


@jit
def _roots(parent):
    root = np.empty_like(parent)
    for i in range(len(parent)):
        root[i] = _find(parent, i)
    return root


def _planes_and_clusters(cells: Cells, normal: np.ndarray, config: SegmentConfig) -> np.ndarray:
    from sklearn.cluster import DBSCAN

    segment = np.full(len(cells.centre), -1)
    for number, plane in enumerate(dominant_planes(cells.centre, normal, 2 * cells.size)):
        segment[plane.rows] = number
    rest = np.flatnonzero(segment < 0)
    if len(rest):
        spacing = float(np.median(nearest(cells.centre, 4)[1][:, -1]))
        found = DBSCAN(eps=2 * spacing, min_samples=5).fit_predict(cells.centre[rest])
        clusters = found >= 0
        segment[rest[clusters]] = found[clusters] + segment.max() + 1
    size = np.bincount(segment[segment >= 0], minlength=1)
    segment[(segment >= 0) & (size[segment] < config.smallest)] = -1
    return segment


def _number(segment: np.ndarray, centre: np.ndarray, most: int) -> np.ndarray:
    """Number segments by decreasing size; -1 and those beyond ``most`` go to the nearest kept."""
    known = np.flatnonzero(segment >= 0)
    if not len(known):
        return np.zeros(len(segment), np.int64)
    _, first, member, size = np.unique(
        segment[known], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -size))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    number = np.full(len(segment), most)
    number[known] = rank[member]
    lost, kept = number >= most, number < most
    if lost.any():
        number[lost] = number[kept][cKDTree(centre[kept]).query(centre[lost])[1]]
    return number
