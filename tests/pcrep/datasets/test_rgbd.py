"""Clouds of depth cameras: against Open3D, and folders of frames against the room they look at."""

import numpy as np
import pytest
from PIL import Image

from pcrep.datasets import cloud_of_depth, find_split, load_points, load_scenes, read_frames
from tspcrep.common.errors import UserError

CAMERA = (60.0, 58.0, 31.2, 23.7)
SHAPE = (48, 64)


def turned(angle, shift=(0.0, 0.0, 0.0)):
    """A pose: turned about the y axis of the world, and shifted."""
    cos, sin = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
    pose[:3, 3] = shift
    return pose


def random_frame(seed=0):
    rng = np.random.default_rng(seed)
    depth = rng.integers(0, 6000, SHAPE).astype(np.uint16) * (rng.random(SHAPE) < 0.8)
    return depth.astype(np.uint16), rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)


@pytest.mark.parametrize(("scale", "most"), [(1000.0, 4.0), (5000.0, 0.9)])
def test_the_points_are_those_of_open3d(scale, most):
    open3d = pytest.importorskip("open3d", reason="open3d is not installed")
    depth, colour = random_frame()
    pose = turned(0.7, (1.0, -2.0, 0.5))
    image = open3d.geometry.RGBDImage.create_from_color_and_depth(
        open3d.geometry.Image(colour), open3d.geometry.Image(depth), scale, most, False
    )
    camera = open3d.camera.PinholeCameraIntrinsic(SHAPE[1], SHAPE[0], *CAMERA)
    expected = open3d.geometry.PointCloud.create_from_rgbd_image(image, camera, np.linalg.inv(pose))
    found = cloud_of_depth(depth, CAMERA, colour, pose, scale, most)
    assert 100 < len(found) == len(expected.points) < depth.size
    np.testing.assert_allclose(found.coords, np.asarray(expected.points), atol=1e-5)
    np.testing.assert_allclose(found.colour, np.asarray(expected.colors), atol=1e-6)
    np.testing.assert_array_equal(found.colour, colour.reshape(-1, 3)[found.row] / np.float32(255))


def test_pixels_without_depth_are_left_out():
    depth = np.full(SHAPE, 2.0)
    depth[0, :4] = np.nan, np.inf, -1, 0
    cloud = cloud_of_depth(depth, CAMERA, scale=1)
    assert cloud.row[0] == 4 and len(cloud) == depth.size - 4 and cloud.colour is None
    np.testing.assert_array_equal(cloud.coords[:, 2], 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"depth": np.ones((*SHAPE, 3))}, r"depth: found shape \(48, 64, 3\)"),
        ({"depth": np.zeros(SHAPE)}, "depth: none of 3072 pixels"),
        ({"colour": np.zeros((4, 4, 3), np.uint8)}, r"colour: found shape \(4, 4, 3\)"),
        ({"intrinsics": (0.0, 1, 1, 1)}, "intrinsics: found 0, 1, 1, 1"),
        ({"intrinsics": (1.0, 1, np.nan, 1)}, "intrinsics: found 1, 1, nan, 1"),
        ({"intrinsics": (1.0, 1, 1)}, "intrinsics: found 1, 1, 1, expected"),
        ({"scale": 0.0}, "scale: found 0"),
        ({"pose": np.eye(3)}, r"pose: found shape \(3, 3\)"),
        ({"pose": np.full((4, 4), -np.inf)}, "pose: found numbers that are not finite"),
        ({"pose": 2 * np.eye(4)}, "no rotation and shift"),
        ({"pose": np.diag([1.0, 1, -1, 1])}, "no rotation and shift"),
    ],
)
def test_what_is_no_image_or_camera_is_one_line(given, words):
    good = {"depth": np.full(SHAPE, 1000), "intrinsics": CAMERA}
    with pytest.raises(ValueError, match=words) as caught:
        cloud_of_depth(**(good | given))
    assert "\n" not in str(caught.value)


def facing_a_wall(pose, distance=2.0):
    """Depth (H, W), millimetres, of the plane z = ``distance`` of the world, by rays in float64."""
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]]
    fx, fy, cx, cy = CAMERA
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(SHAPE)], -1) @ pose[:3, :3].T
    return np.rint(1000 * (distance - pose[2, 3]) / rays[..., 2]).astype(np.uint16)


def write_frames(folder, poses, size=SHAPE):
    """Frames of a wall that is red where x < 0 and blue elsewhere; ``size`` is that of colour."""
    for name in ("depth", "pose", "intrinsic", "color"):
        (folder / name).mkdir(parents=True)
    camera = np.diag([*CAMERA[:2], 1, 1])
    camera[:2, 2] = CAMERA[2:]
    np.savetxt(folder / "intrinsic/intrinsic_depth.txt", camera)
    zoom = size[0] / SHAPE[0]
    wide = np.diag([zoom, zoom, 1, 1]) @ camera
    np.savetxt(folder / "intrinsic/intrinsic_color.txt", wide)
    for number, pose in enumerate(poses):
        Image.fromarray(facing_a_wall(pose)).save(folder / f"depth/{number}.png")
        np.savetxt(folder / f"pose/{number}.txt", pose, fmt="%.6f")
        v, u = np.mgrid[: size[0], : size[1]]
        rays = np.stack([(u - wide[0, 2]) / wide[0, 0], (v - wide[1, 2]) / wide[1, 1]], -1)
        rays = np.concatenate([rays, np.ones((*size, 1))], -1) @ pose[:3, :3].T
        left = pose[0, 3] + rays[..., 0] / rays[..., 2] * (2 - pose[2, 3]) < 0
        colour = np.where(left[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8)
        Image.fromarray(colour).save(folder / f"color/{number}.jpg", quality=100, subsampling=0)
    return folder


POSES = [turned(0.2 * k - 0.2, (0.3 * k, 0.1, -0.1 * k)) for k in range(3)]


@pytest.mark.parametrize("size", [SHAPE, (96, 128)])
def test_frames_merge_to_the_wall_that_they_see(tmp_path, size):
    folder = write_frames(tmp_path / "scene", POSES, size)
    cloud = load_points(folder)
    np.testing.assert_allclose(cloud.coords[:, 2], 2, atol=2e-3)  # millimetres in the files
    away = np.abs(cloud.coords[:, 0]) > 0.1  # from the edge, which JPEG blurs
    red = cloud.colour[:, 0] > 0.5
    np.testing.assert_array_equal(red[away], cloud.coords[away, 0] < 0)
    cells = np.floor((cloud.coords - cloud.coords.min(0)) / 0.01)
    assert len(np.unique(cells, axis=0)) == len(cloud)
    assert len(cloud) > len(read_frames(folder, every=2)) > len(read_frames(folder, every=3))


def test_folders_of_frames_are_scenes(tmp_path, monkeypatch):
    for name in ("learn/a", "learn/b", "test/c"):
        write_frames(tmp_path / name, POSES[:1])
    assert load_scenes(tmp_path).names == ("a", "b", "c")
    split = find_split(tmp_path)
    assert (split.learn.names, split.test.names) == (("a", "b"), ("c",))
    monkeypatch.chdir(tmp_path / "test/c")
    assert load_scenes(".").names == ("c",)
    np.testing.assert_array_equal(load_scenes(".")[0].coords, split.test[0].coords)


def test_frames_that_were_lost_are_left_out(tmp_path):
    folder = write_frames(tmp_path / "scene", POSES)
    np.savetxt(folder / "pose/0.txt", np.full((4, 4), -np.inf))
    (folder / "color/1.jpg").unlink()
    with pytest.warns(UserWarning, match=r"2 of 3 frames lack .* lost \(1\)"):
        cloud = load_points(folder)
    (folder / "pose/0.txt").unlink()
    with pytest.warns(UserWarning, match="2 of 3 frames"):
        np.testing.assert_array_equal(load_points(folder).coords, cloud.coords)
    (folder / "pose/2.txt").unlink()
    with pytest.raises(UserError, match="3 of 3 frames lack a pose"):
        load_points(folder)


def shallow(folder):
    Image.fromarray(np.full(SHAPE, 2, np.uint8)).save(folder / "depth/0.png")


def covered(folder):
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(folder / "depth/0.png")


def larger(folder):
    Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(folder / "color/0.jpg")
    (folder / "intrinsic/intrinsic_color.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shallow, "0.png: found an image of shape .* uint8, expected depth of 16 bits"),
        (covered, "no pixel of its frames"),
        (larger, "0.jpg: found 128 x 96 pixels, expected 64 x 48"),
        (lambda f: (f / "depth/0.png").write_bytes(b"\x89PNG"), "0.png: is no image"),
        (lambda f: (f / "color/0.jpg").write_bytes(b""), "0.jpg: is no image"),
        (lambda f: (f / "pose/0.txt").write_text("1 0 0\n0 1"), "0.txt: .* expected rows"),
        (lambda f: (f / "pose/0.txt").write_text("1 0\n0 1"), r"pose: found shape \(2, 2\)"),
        (lambda f: np.savetxt(f / "pose/0.txt", 2 * np.eye(4)), "no rotation and shift"),
        (lambda f: (f / "intrinsic/intrinsic_depth.txt").unlink(), "depth.txt: .*No such file"),
        (
            lambda f: np.savetxt(f / "intrinsic/intrinsic_depth.txt", -np.eye(3)),
            "intrinsics: found -1, -1",
        ),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, damage, words):
    folder = write_frames(tmp_path / "scene", POSES[:1])
    damage(folder)
    with pytest.raises(UserError, match=words) as caught:
        load_points(folder)
    assert "\n" not in str(caught.value)
