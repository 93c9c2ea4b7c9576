"""Oriented boxes around objects, upright and turned about z, and their overlap."""

import numpy as np


def fit_box(coords: np.ndarray) -> np.ndarray:
    """Box (7,) float64 of points (N, 3), z up: centre x, y, z, size along its axes, yaw.

    Its base is the rectangle of least area around the points seen from above, one side of which
    lies along an edge of their convex hull (Freeman and Shapira, CACM 1975). yaw : radians from x
    to its longer side, in [0, pi); size[0] >= size[1].
    """
    xy = coords[:, :2].astype(np.float64)
    corners = _hull(xy)
    edges = np.roll(corners, -1, 0) - corners
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    rectangles = [_around(corners, angle) for angle in angles]
    middle, size, yaw = min(rectangles, key=lambda r: r[1][0] * r[1][1])
    if size[1] > size[0]:
        size, yaw = size[::-1], yaw + np.pi / 2
    low, high = float(coords[:, 2].min()), float(coords[:, 2].max())
    return np.array([*middle, (low + high) / 2, *size, high - low, yaw % np.pi])


def fit_boxes(coords: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Boxes (K, 7) of the instances 0 .. K - 1 of points (N, 3), numbered (N,), -1 for none."""
    count = int(number.max(initial=-1)) + 1
    return np.array([fit_box(coords[number == k]) for k in range(count)]).reshape(count, 7)


def corners(box: np.ndarray) -> np.ndarray:
    """Corners (8, 3) of a box (7,): the base counter-clockwise, then the top."""
    base = _base(box)
    low, high = box[2] - box[5] / 2, box[2] + box[5] / 2
    return np.concatenate([np.c_[base, np.full(4, z)] for z in (low, high)])


def outline(box: np.ndarray, spacing: float) -> np.ndarray:
    """Points (M, 3) along the twelve edges of a box, at most ``spacing`` apart, to draw it."""
    ends = corners(box)
    edges = [(i, (i + 1) % 4) for i in range(4)]
    edges += [(i + 4, j + 4) for i, j in edges] + [(i, i + 4) for i in range(4)]
    lines = []
    for i, j in edges:
        steps = max(int(np.ceil(np.linalg.norm(ends[j] - ends[i]) / spacing)), 1)
        lines.append(ends[i] + np.linspace(0, 1, steps + 1)[:, None] * (ends[j] - ends[i]))
    return np.concatenate(lines)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (A, B) of the volumes of boxes (A, 7) and (B, 7).

    The bases are clipped against each other (Sutherland and Hodgman, CACM 1974). Boxes without
    volume overlap with nothing.
    """
    found = np.zeros((len(a), len(b)))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            tall = _common_height(one, other)
            apart = np.hypot(*(one[:2] - other[:2]))
            reach = (np.hypot(*one[3:5]) + np.hypot(*other[3:5])) / 2
            if tall > 0 and apart < reach:
                common = tall * _area(_clipped(_base(one), _base(other)))
                union = np.prod(one[3:6]) + np.prod(other[3:6]) - common
                found[i, j] = common / union if union > 0 else 0.0
    return found


def _common_height(a: np.ndarray, b: np.ndarray) -> float:
    top = min(a[2] + a[5] / 2, b[2] + b[5] / 2)
    return top - max(a[2] - a[5] / 2, b[2] - b[5] / 2)


def _base(box: np.ndarray) -> np.ndarray:
    """Corners (4, 2), counter-clockwise."""
    c, s = np.cos(box[6]), np.sin(box[6])
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * box[3:5] / 2
    return box[:2] + half @ np.array([[c, s], [-s, c]])


def _around(points: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre, size and angle of the rectangle around points (N, 2) with a side at an angle."""
    c, s = np.cos(angle), np.sin(angle)
    turned = points @ np.array([[c, -s], [s, c]])
    low, high = turned.min(0), turned.max(0)
    return (low + high) / 2 @ np.array([[c, s], [-s, c]]), high - low, angle


def _hull(points: np.ndarray) -> np.ndarray:
    """The convex hull (H, 2), counter-clockwise, by Andrew's monotone chain; H >= 1."""
    points = np.unique(points, axis=0)  # sorted by x, then y
    if len(points) < 3:
        return points

    def chain(rows: np.ndarray) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        for p in rows:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(chain(points) + chain(points[::-1]))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Above 0 where a, b, c turn left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _clipped(polygon: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The part (K, 2) of a convex polygon that lies within another; both counter-clockwise."""
    for a, b in zip(window, np.roll(window, -1, 0), strict=True):
        if not len(polygon):
            break
        side = np.array([_turn(a, b, p) for p in polygon])
        kept = []
        for p, q, of_p, of_q in zip(
            polygon, np.roll(polygon, -1, 0), side, np.roll(side, -1), strict=True
        ):
            if of_p >= 0:
                kept.append(p)
            if of_p * of_q < 0:
                kept.append(p + of_p / (of_p - of_q) * (q - p))
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T if len(polygon) else np.zeros((2, 0))
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
