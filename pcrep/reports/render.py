"""Render point clouds to images: a z-buffer of small discs, shaded by depth."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

_FIELD = 35.0
"""Horizontal field of view, degrees."""
_SHARPER = 2
"""Supersampling factor along each axis."""
_LARGEST = 9
"""Largest diameter of the disc of a point, in supersampled pixels."""
_NEAREST = 0.1
"""Smallest distance between the eye and a point, metres."""
_SKIN = 0.15
"""Thickness of what is cut away of a room: its ceiling and its near walls, metres."""
_ROOM = 1.5
"""Extent along each axis above which a cloud may be a room with walls and a ceiling, metres."""


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """Position and direction of the camera of a picture, and the points that it shows.

    origin : (3,). axes : (3, 3), right, down and forward as rows. focal : in widths of the picture.
    shown : rows of the cloud that are not cut away. aspect : height over width of the picture.
    """

    origin: np.ndarray
    axes: np.ndarray
    focal: float
    shown: np.ndarray
    aspect: float

    def project(self, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image positions (N, 2) from the centre, in widths, and depths (N,) in metres."""
        own = (coords - self.origin) @ self.axes.T
        return self.focal * own[:, :2] / own[:, 2:], own[:, 2]


def choose_viewpoint(coords: np.ndarray, elevation: float = 40.0) -> Viewpoint:
    """The viewpoint above a cloud, of eight directions, that shows most of it.

    The ceiling of a room and the walls on the side of the viewer are cut away.

    coords : (N, 3), metres, z up. elevation : degrees.
    """
    coords = np.asarray(coords, np.float64)
    below = _without_ceiling(coords)
    thin = below[:: max(1, len(below) // 20_000)]
    viewpoints = [
        _viewpoint_from(coords, below, a, elevation) for a in np.arange(8) * np.pi / 4 + 0.3
    ]
    counts = [_pixels_covered(viewpoint, coords, thin) for viewpoint in viewpoints]
    return viewpoints[int(np.argmax(counts))]


def render(
    coords: np.ndarray,
    colours: np.ndarray,
    viewpoint: Viewpoint,
    width: int = 640,
    shade: float = 1.0,
) -> np.ndarray:
    """Image (H, W, 4) uint8 of a cloud, transparent where there is nothing.

    Nearer points hide farther ones. Pixels are darkened by how far they lie behind their
    neighbours, which shows shape without normals or light (eye-dome lighting, Boucheny 2009).

    Parameters
    ----------
    coords : (N, 3), metres; the cloud that the viewpoint was chosen for.
    colours : (N, 3) in 0 .. 1.
    width : in pixels; the height follows from the viewpoint.
    shade : strength of the shading; 0 for none.
    """
    wide, high = width * _SHARPER, round(width * viewpoint.aspect) * _SHARPER
    shown = viewpoint.shown
    places, depth = viewpoint.project(np.asarray(coords[shown], np.float64))
    gap = spacing(coords[shown])
    across = np.clip(np.ceil(gap * viewpoint.focal * wide / depth), 1, _LARGEST).astype(np.int64)
    column = np.floor(places[:, 0] * wide + wide / 2).astype(np.int64)
    row = np.floor(places[:, 1] * wide + high / 2).astype(np.int64)
    image = np.zeros((high * wide, 3), np.float32)
    z = np.full(high * wide, np.inf)
    pixels, points = _discs(row, column, across, high, wide)
    order = np.argsort(-depth[points], kind="stable")  # of what is written twice, the last stays
    pixels, points = pixels[order], points[order]
    z[pixels] = depth[points]
    image[pixels] = np.asarray(colours, np.float32)[shown][points]
    far = z.reshape(high, wide)
    shaded = image.reshape(high, wide, 3) * _eye_dome(far, shade)[..., None]
    filled = np.isfinite(far)[..., None].astype(np.float32)
    together = np.concatenate([shaded * filled, filled], 2)
    small = together.reshape(high // _SHARPER, _SHARPER, wide // _SHARPER, _SHARPER, 4).mean((1, 3))
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    return (255 * small.clip(0, 1) + 0.5).astype(np.uint8)


def _without_ceiling(coords: np.ndarray) -> np.ndarray:
    """The points below the ceiling, if the topmost layer covers over a third of the ground."""
    if not _is_room(coords):
        return coords
    top = np.quantile(coords[:, 2], 0.995) - _SKIN
    above = coords[:, 2] > top
    covered = [len(np.unique(np.floor(c[:, :2] / 0.25), axis=0)) for c in (coords[above], coords)]
    return coords[~above] if covered[0] > covered[1] / 3 and (~above).any() else coords


def _viewpoint_from(
    coords: np.ndarray, below: np.ndarray, azimuth: float, elevation: float
) -> Viewpoint:
    tilt = np.radians(elevation)
    flat = np.array([np.cos(azimuth), np.sin(azimuth)])
    forward = -np.array([*(flat * np.cos(tilt)), np.sin(tilt)])
    right = np.array([-flat[1], flat[0], 0.0])
    axes = np.stack([right, np.cross(forward, right), forward])
    focal = 0.5 / np.tan(np.radians(_FIELD) / 2)
    own = below @ axes.T
    low, high = own.min(0), own.max(0)
    middle = (low + high) / 2
    # So far away that every point's place lies within half a width, up and down too.
    reach = np.abs(own[:, :2] - middle[:2]).max(1) * focal / 0.49 - (own[:, 2] - middle[2])
    origin = (middle - (0, 0, reach.max() + _NEAREST)) @ axes
    shown = (coords[:, 2] <= below[:, 2].max()) & ~_near_side(coords, flat)
    viewpoint = Viewpoint(origin, axes, focal, np.flatnonzero(shown), 1.0)
    places, _ = viewpoint.project(coords[viewpoint.shown])
    shift = (places[:, 1].max() + places[:, 1].min()) / 2
    aspect = float(places[:, 1].max() - places[:, 1].min()) + 0.02
    # Moves the middle of the picture to the middle of what is shown; parallax is left alone.
    origin = origin + axes[1] * shift * (own[:, 2].mean() - origin @ axes[2]) / focal
    return Viewpoint(origin, axes, focal, viewpoint.shown, max(aspect * 1.04, 0.1))


def _near_side(coords: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Mask of points near a side of the convex hull of the ground plan that faces the viewer."""
    near = np.zeros(len(coords), bool)
    if not _is_room(coords):
        return near
    try:
        sides = ConvexHull(coords[:, :2]).equations  # normal, offset: 0 on a side, below 0 inside
    except QhullError:
        return near
    for side in sides[sides[:, :2] @ flat > 0.1]:
        near |= coords[:, :2] @ side[:2] + side[2] > -_SKIN
    return near if near.mean() < 0.5 else np.zeros(len(coords), bool)


def _is_room(coords: np.ndarray) -> bool:
    """False for a table-top scene, where a few centimetres are whole objects."""
    return bool((np.ptp(coords, axis=0) > _ROOM).all())


def _pixels_covered(viewpoint: Viewpoint, coords: np.ndarray, thin: np.ndarray) -> int:
    """Number of pixels, 100 to the width, that hold a point."""
    places, _ = viewpoint.project(
        coords[viewpoint.shown[:: max(1, len(viewpoint.shown) // 20_000)]]
    )
    return len(np.unique(np.floor(places * 100), axis=0))


def spacing(coords: np.ndarray) -> float:
    """Typical distance between neighbours that a disc has to bridge, metres."""
    some = np.random.default_rng(0).permutation(len(coords))[:2000]
    distance, _ = cKDTree(coords).query(coords[some], k=min(5, len(coords)))
    return float(np.median(distance[:, -1])) * 1.2 if len(coords) > 1 else 0.01


def _discs(row, column, across, high: int, wide: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel and point of every pixel in every disc, without those outside the picture."""
    pixels, points = [], []
    for size in np.unique(across):
        mine = np.flatnonzero(across == size)
        steps = np.arange(size) - (size - 1) // 2
        dy, dx = (a.ravel() for a in np.meshgrid(steps, steps, indexing="ij"))
        middle = (1 - size % 2) / 2
        inside = (dy - middle) ** 2 + (dx - middle) ** 2 <= (size / 2) ** 2 + 0.1
        y, x = row[mine, None] + dy[inside], column[mine, None] + dx[inside]
        fits = (y >= 0) & (y < high) & (x >= 0) & (x < wide)
        pixels.append((y * wide + x)[fits])
        points.append(np.broadcast_to(mine[:, None], fits.shape)[fits])
    return np.concatenate(pixels), np.concatenate(points)


def _eye_dome(z: np.ndarray, strength: float) -> np.ndarray:
    """Brightness (H, W) in 0 .. 1: the lower, the more the neighbours lie in front of a pixel."""
    log = np.log2(np.where(np.isfinite(z), z, 1e6))
    behind = np.zeros_like(log)
    reach = 2 * _SHARPER
    padded = np.pad(log, reach, mode="edge")
    high, wide = log.shape
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        y, x = reach + dy * reach, reach + dx * reach
        neighbour = padded[y : y + high, x : x + wide]
        behind += np.minimum(np.maximum(log - neighbour, 0), 0.05)
    return np.exp(-6 * strength * behind).astype(np.float32)
