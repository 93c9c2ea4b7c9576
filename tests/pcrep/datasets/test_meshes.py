"""Points sampled from meshes, against Open3D's areas and distances and closed forms."""

import numpy as np
import pytest

from pcrep.datasets import Reading, load_points
from pcrep.datasets.formats import mesh
from tspcrep.common.errors import UserError

open3d = pytest.importorskip("open3d", reason="open3d is not installed")


@pytest.fixture(scope="module")
def box():
    """A box of 1 x 2 x 0.5 m whose colours are a linear function of the place."""
    found = open3d.geometry.TriangleMesh.create_box(1, 2, 0.5)
    found.vertex_colors = open3d.utility.Vector3dVector(np.asarray(found.vertices) / 2)
    return found.compute_vertex_normals().compute_triangle_normals()


def written(box, path):
    assert open3d.io.write_triangle_mesh(str(path), box)
    return path


def loaded(path, density=2_000.0, **more):
    with pytest.warns(UserWarning, match=f"a mesh, of which .* {density:g} per m2"):
        return load_points(path, reading=Reading(density=density, **more))


@pytest.mark.parametrize("suffix", [".obj", ".off", ".stl", ".ply"])
def test_points_lie_on_the_faces_as_dense_as_asked(box, tmp_path, suffix):
    cloud = loaded(written(box, tmp_path / f"box{suffix}"))
    assert len(cloud) == round(2_000 * box.get_surface_area())
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(open3d.t.geometry.TriangleMesh.from_legacy(box))
    distance = scene.compute_distance(open3d.core.Tensor(cloud.coords)).numpy()
    assert np.abs(distance).max() < 1e-6
    nearest = scene.compute_closest_points(open3d.core.Tensor(cloud.coords))
    aligned = (nearest["primitive_normals"].numpy() * cloud.normal).sum(1)
    assert np.mean(aligned > 0.999) > 0.99  # the rest lies on edges, nearest to either face
    for axis, area in enumerate((2 * 2 * 0.5, 2 * 1 * 0.5, 2 * 1 * 2)):
        assert abs((np.abs(cloud.normal[:, axis]) > 0.5).sum() - 2_000 * area) <= 8
    if suffix in (".off", ".ply"):  # formats in which Open3D keeps colours of vertices
        np.testing.assert_allclose(cloud.colour, cloud.coords / 2, atol=1 / 255)


def test_a_ply_with_faces_is_its_vertices_unless_a_density_is_given(box, tmp_path):
    assert len(load_points(written(box, tmp_path / "box.ply"))) == 8


def test_a_density_leaves_point_clouds_as_they_are(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).random((20, 3)))
    assert len(load_points(tmp_path / "points.npy", reading=Reading(density=1.0))) == 20


def test_the_unit_of_the_file_is_part_of_its_area(box, tmp_path):
    path = written(box, tmp_path / "box.obj")
    assert len(loaded(path, unit=0.1)) == round(2_000 * 0.01 * box.get_surface_area())


def test_the_same_points_each_time(box, tmp_path):
    path = written(box, tmp_path / "box.obj")
    np.testing.assert_array_equal(loaded(path).coords, loaded(path).coords)


def test_places_are_uniform_by_area_and_within_a_triangle():
    areas = np.array([0.0, 3.0, 0.0, 1.0, 0.0])
    triangle, weights = mesh.sample(areas, 40_000, 0)
    np.testing.assert_allclose(np.bincount(triangle, minlength=5), areas * 10_000, atol=2)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights.min() >= 0
    # Dirichlet(1, 1, 1): mean 1/3, variance 1/18, covariance -1/36; five standard errors.
    np.testing.assert_allclose(weights.mean(0), 1 / 3, atol=5 * (1 / 18 / 40_000) ** 0.5)
    expected = np.eye(3) / 12 - 1 / 36
    np.testing.assert_allclose(np.cov(weights.T), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "holds no triangles"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "a vertex that is missing|no triangles"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\nnan 1 0\n3 0 1 2\n", "not finite|no triangles"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "0 m2 .* expected 1 to"),
        ("nonsense", "holds no triangles"),
    ],
)
def test_what_is_no_mesh_is_one_line(tmp_path, text, said):
    path = tmp_path / "bad.off"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_points(path)
    assert "\n" not in str(caught.value)


def test_too_dense_is_told(box, tmp_path):
    with pytest.raises(UserError, match="give another density"):
        load_points(written(box, tmp_path / "box.obj"), max_points=1_000)
    with pytest.raises(UserError, match="density: found -1"):
        Reading(density=-1)


def test_without_open3d_the_extra_is_named(box, tmp_path, monkeypatch):
    path = written(box, tmp_path / "box.obj")
    monkeypatch.setitem(__import__("sys").modules, "open3d", None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[open3d\]'"):
        load_points(path)
