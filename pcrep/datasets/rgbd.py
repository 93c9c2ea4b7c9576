"""Clouds of depth cameras: pixels with depth, intrinsics and poses, in NumPy.

A folder of frames is laid out as ScanNet's reader exports them (A. Dai et al., CVPR 2017):

    depth/0.png, 1.png, ...         16 bits, millimetres along the axis of the camera, 0 for none
    pose/0.txt, 1.txt, ...          4 x 4, camera to world, metres
    intrinsic/intrinsic_depth.txt   3 x 3 or 4 x 4: fx 0 cx / 0 fy cy / ...
    color/0.jpg, 1.jpg, ...         may be missing
    intrinsic/intrinsic_color.txt   needed where colour has another size than depth
"""

import warnings
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.order import natural
from pcrep.encoders.voxelize import thin
from tspcrep.common.errors import UserError

DEPTH, POSE, COLOUR, INTRINSIC = "depth", "pose", "color", "intrinsic"
_SCALE, _MOST = 1000.0, 4.0  # units of a metre, and metres
_RIGID = 1e-3  # what a rotation written with few digits may be off
_PENDING = 2_000_000  # points of several frames that are thinned together

Intrinsics = tuple[float, float, float, float]


def cloud_of_depth(
    depth: np.ndarray,
    intrinsics: Intrinsics,
    colour: np.ndarray | None = None,
    pose: np.ndarray | None = None,
    scale: float = _SCALE,
    most: float = _MOST,
) -> Cloud:
    """The points of the pixels of a depth image, by a pinhole camera without distortion.

    depth : (H, W), along the axis of the camera; what is not finite or not above 0 is none.
    intrinsics : fx, fy, cx, cy in pixels; the centre of the first pixel is (0, 0).
    colour : (H, W, 3) of the same pixels, uint8, or float in 0 .. 1.
    pose : (4, 4) camera to world, metres, rigid; the camera looks along z, and y is down. Open3D's
        ``extrinsic`` is its inverse. None for the frame of the camera.
    scale : units of the depth in a metre.
    most : metres; depth from there on is left out, since its error grows with its square.

    ``row`` of the cloud is the pixel of each point, row by row. Raises ValueError for shapes that
    do not fit, a camera that is none, and where no pixel has a depth.
    """
    depth = np.asarray(depth)
    _judge(depth, intrinsics, colour, pose, scale)
    fx, fy, cx, cy = intrinsics
    z = depth.astype(np.float64) / scale
    v, u = np.nonzero((z > 0) & (z < most))  # NaN is neither
    if not len(u):
        raise ValueError(
            f"depth: none of {depth.size} pixels is between 0 and {most:g} m, expected some; check "
            f"the scale, {scale:g} units a metre"
        )
    z = z[v, u]
    coords = np.stack([(u - cx) * z / fx, (v - cy) * z / fy, z], axis=1)
    if pose is not None:
        coords = coords @ np.asarray(pose)[:3, :3].T + np.asarray(pose)[:3, 3]
    shades = None
    if colour is not None:
        shades = np.asarray(colour)[v, u]
        shades = (shades / np.float32(255 if shades.dtype == np.uint8 else 1)).astype(np.float32)
    return Cloud(coords.astype(np.float32), shades, row=v * depth.shape[1] + u)


def _judge(depth, intrinsics, colour, pose, scale) -> None:
    if depth.ndim != 2 or depth.dtype.kind not in "uif":
        raise ValueError(
            f"depth: found shape {depth.shape} of {depth.dtype}, expected (H, W) numbers"
        )
    if colour is not None and np.shape(colour) != (*depth.shape, 3):
        raise ValueError(
            f"colour: found shape {np.shape(colour)}, expected {(*depth.shape, 3)}, that of the "
            "depth; resize it, or register it to the depth camera"
        )
    if len(intrinsics) != 4 or not np.isfinite(intrinsics).all() or min(intrinsics[:2]) <= 0:
        found = ", ".join(f"{value:g}" for value in intrinsics)
        raise ValueError(
            f"intrinsics: found {found}, expected fx, fy, cx, cy in pixels, fx and fy above 0"
        )
    if not 0 < scale < np.inf:
        raise ValueError(f"scale: found {scale:g}, expected units a metre above 0, such as 1000")
    if pose is not None:
        _judge_pose(np.asarray(pose))


def _judge_pose(pose: np.ndarray) -> None:
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        told = "numbers that are not finite" if pose.shape == (4, 4) else f"shape {pose.shape}"
        raise ValueError(f"pose: found {told}, expected 4 x 4 finite numbers, camera to world")
    turn = pose[:3, :3]
    off = np.abs(turn @ turn.T - np.eye(3)).max()
    if off > _RIGID or np.linalg.det(turn) < 0 or np.abs(pose[3] - [0, 0, 0, 1]).max() > _RIGID:
        raise ValueError(
            "pose: found a matrix that is no rotation and shift, expected a rigid one, camera to "
            "world, with 0 0 0 1 as its last row"
        )


def is_frames(folder: Path) -> bool:
    """Whether a folder holds frames of a depth camera."""
    return all((folder / name).is_dir() for name in (DEPTH, POSE, INTRINSIC))


def read_frames(folder: Path, every: int | None = None, cube: float = 0.01) -> Cloud:
    """One cloud of the frames in a folder, in the frame of the world.

    every : one frame in so many is read; by default as many as leave at most 200.
    cube : metres; of each cube of that edge the first point is kept.

    Frames without pose or, where there is any, without colour are left out with a warning; so are
    those whose pose is not finite, which is how ScanNet marks that the camera was lost. Where the
    sizes differ, the colour of a point is that of the nearest pixel of the colour camera, which is
    taken to stand where the depth camera stands. Raises UserError for what cannot be read.
    """
    frames, poses = _frames(folder)
    every = every or -(-len(frames) // 200)
    intrinsics = _intrinsics(folder / INTRINSIC / "intrinsic_depth.txt")
    parts: list[Cloud] = []
    for path in frames[::every]:
        try:
            cloud = _frame(folder, path, poses[path], intrinsics)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
        if cloud is None:
            continue
        parts.append(thin(cloud, 2 * cube))
        if sum(map(len, parts)) > max(_PENDING, 2 * len(parts[0])):
            parts = [thin(_joined(parts), 2 * cube)]
    if not parts:
        raise UserError(
            f"{folder}: no pixel of its frames is between 0 and {_MOST:g} m, expected depth in "
            "millimetres"
        )
    return thin(_joined(parts), 2 * cube)


def _joined(parts: list[Cloud]) -> Cloud:
    shades = [part.colour for part in parts if part.colour is not None]
    coords = np.concatenate([part.coords for part in parts])
    return Cloud(coords, np.concatenate(shades) if shades else None)


def _frames(folder: Path) -> tuple[list[Path], dict[Path, np.ndarray]]:
    """Depth images of whole frames in natural order, and the pose of each."""
    found = natural(path for path in (folder / DEPTH).glob("*.png") if path.name[0] != ".")
    poses, lost = {}, 0
    for path in found:
        place = folder / POSE / f"{path.stem}.txt"
        if not place.is_file() or ((folder / COLOUR).is_dir() and not _picture(folder, path)):
            continue
        pose = _matrix(place)
        if np.isfinite(pose).all():
            poses[path] = pose
        else:
            lost += 1
    told = f"{len(found) - len(poses)} of {len(found)} frames lack a pose or colour, or the camera "
    told += f"was lost ({lost})"
    if not poses:
        raise UserError(
            f"{folder}: {told}, expected depth/NAME.png, pose/NAME.txt and, if any, color/NAME.jpg"
        )
    if len(poses) < len(found):
        warnings.warn(f"{folder}: {told}; they are left out", stacklevel=5)
    return list(poses), poses


def _picture(folder: Path, depth: Path) -> Path | None:
    names = (folder / COLOUR / f"{depth.stem}{suffix}" for suffix in (".jpg", ".jpeg", ".png"))
    return next((path for path in names if path.is_file()), None)


def _frame(folder: Path, path: Path, pose: np.ndarray, intrinsics: Intrinsics) -> Cloud | None:
    """The cloud of a frame; None where no pixel has a depth, as before a lens that is covered."""
    depth, picture = _image(path), _picture(folder, path)
    if depth.ndim != 2 or depth.dtype == np.uint8:
        raise UserError(
            f"{path}: found an image of shape {depth.shape} and {depth.dtype}, expected depth of "
            "16 bits in one channel, millimetres"
        )
    if not ((depth > 0) & (depth < _SCALE * _MOST)).any():
        return None
    colour = None
    if picture:
        colour = _image(picture, "RGB")
        if colour.shape[:2] != depth.shape:
            place = folder / INTRINSIC / "intrinsic_color.txt"
            if not place.is_file():
                raise UserError(
                    f"{picture}: found {colour.shape[1]} x {colour.shape[0]} pixels, expected "
                    f"{depth.shape[1]} x {depth.shape[0]}, those of the depth; resize it, or give "
                    f"{place.name}"
                )
            colour = _resampled(colour, _intrinsics(place), depth.shape, intrinsics)
    return cloud_of_depth(depth, intrinsics, colour, pose)


def _resampled(
    colour: np.ndarray, camera: Intrinsics, shape: tuple[int, int], own: Intrinsics
) -> np.ndarray:
    """The colour image as the depth camera, at the same place, would see it: nearest pixels."""
    columns = (np.arange(shape[1]) - own[2]) / own[0] * camera[0] + camera[2]
    rows = (np.arange(shape[0]) - own[3]) / own[1] * camera[1] + camera[3]
    rows, columns = (np.rint(line).astype(int) for line in (rows, columns))
    rows, columns = rows.clip(0, colour.shape[0] - 1), columns.clip(0, colour.shape[1] - 1)
    return colour[np.ix_(rows, columns)]


def _intrinsics(path: Path) -> Intrinsics:
    found = _matrix(path)
    if found.shape not in ((3, 3), (4, 4)):
        raise UserError(f"{path}: found shape {found.shape}, expected 3 x 3 or 4 x 4 numbers")
    return tuple(found[[0, 1, 0, 1], [0, 1, 2, 2]].tolist())


def _matrix(path: Path) -> np.ndarray:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return np.array([[float(word) for word in row] for row in rows if row])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; expected rows of numbers, a matrix") from None


def _image(path: Path, mode: str | None = None) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode) if mode else image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: is no image that can be read ({error}), expected one") from None
