"""Views against loops over points, and what they may depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pcrep.augment import augment
from pcrep.contrast.views import ViewConfig, correspond, draw_views
from pcrep.encoders.voxelize import check_extent, thin
from tests.pcrep.augmentation import only
from tests.pcrep.segmented import segmented
from tspcrep.common.errors import UserError

CONFIG = ViewConfig(voxel=0.04)
CLOUDS = (segmented(0), segmented(1, (2,)), segmented(2, (1,)))


def test_a_view_is_the_average_over_the_voxels_of_what_augment_makes():
    views = draw_views(CLOUDS, CONFIG, seed=7)
    starts = np.cumsum([0, *map(len, CLOUDS)])
    for which, view in ((1, views.a), (2, views.b)):
        expected, first = {}, {}
        for i, cloud in enumerate(views.clouds):
            made = augment(cloud.coords, cloud.colour, CONFIG.augment, (7, i, which))
            cells = np.floor(made.coords / np.float32(CONFIG.voxel)).astype(int)
            for cell, colour, row in zip(cells, made.colour, made.rows, strict=True):
                place = (i, *cell.tolist())
                expected.setdefault(place, []).append([*(colour - 0.5), 1.0])
                first.setdefault(place, row + starts[i])
        found = [tuple(row) for row in view.input.coordinates.tolist()]
        assert found == list(expected)
        mean = np.array([np.mean(rows, 0) for rows in expected.values()])
        np.testing.assert_allclose(view.input.features.numpy(), mean, atol=1e-6)
        assert view.first.tolist() == list(first.values())
        assert len(view.points) == sum(map(len, expected.values()))


def test_a_point_keeps_its_segment_and_its_scene():
    views = draw_views(CLOUDS, CONFIG, seed=1)
    assert views.offsets == (0, 8, 14, 20)
    starts = np.cumsum([0, *map(len, CLOUDS)])
    for i, cloud in enumerate(CLOUDS):
        own = slice(starts[i], starts[i + 1])
        assert (views.scene[own] == i).all()
        expected = np.where(cloud.segment < 0, -1, cloud.segment + views.offsets[i])
        assert views.segment[own].tolist() == expected.tolist()
        moved = views.coords[own].numpy() - cloud.coords
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-6)
    scene = views.scene[views.a.first]
    assert torch.equal(scene, views.a.input.coordinates[:, 0].long())


def test_a_large_scene_is_cut_to_the_points_nearest_to_one_of_the_foreground():
    cloud = CLOUDS[0]
    centres = set()
    for seed in range(20):
        part = draw_views([cloud], replace(CONFIG, points=100), seed).clouds[0]
        assert len(part) == 100
        distance = np.linalg.norm(part.coords, axis=1)
        at = int(distance.argmin())
        assert distance[at] == 0 and part.label[at] > 0
        rows = np.flatnonzero((cloud.colour == part.colour[at]).all(1))
        far = np.linalg.norm(cloud.coords - cloud.coords[rows], axis=1)
        nearest = np.sort(np.argsort(far)[:100])
        np.testing.assert_array_equal(cloud.colour[nearest], part.colour)
        centres.update(rows.tolist())
    assert len(centres) > 10


def test_segments_without_points_are_left_out_and_keep_their_scores():
    cloud = CLOUDS[0].take(np.flatnonzero(np.isin(CLOUDS[0].segment, (2, 5, 7))))
    views = draw_views([cloud], CONFIG, seed=0)
    assert views.offsets == (0, 3)
    assert views.segment.tolist() == np.searchsorted([2, 5, 7], cloud.segment).tolist()
    assert views.clouds[0].objectness.tolist() == cloud.objectness[[2, 5, 7]].tolist()


def test_correspondence_equals_a_loop():
    views = draw_views(CLOUDS, CONFIG, seed=3)
    voxel_of = dict(zip(views.b.points.tolist(), views.b.voxel.tolist(), strict=True))
    expected = [voxel_of.get(point, -1) for point in views.a.first.tolist()]
    found = correspond(views.a, views.b, len(views.scene))
    assert found.tolist() == expected
    assert -1 in expected, "nothing was cropped: the test shows too little"


def test_unchanged_views_correspond_voxel_by_voxel():
    config = ViewConfig(voxel=0.04, augment=only())
    views = draw_views(CLOUDS, config, seed=0)
    match = correspond(views.a, views.b, len(views.scene))
    assert match.tolist() == list(range(len(views.a.input)))


def test_views_depend_on_the_seed_alone():
    torch.manual_seed(0)
    one = draw_views(CLOUDS, replace(CONFIG, points=200), seed=5)
    torch.manual_seed(1)
    two = draw_views(CLOUDS, replace(CONFIG, points=200), seed=5)
    other = draw_views(CLOUDS, replace(CONFIG, points=200), seed=6)
    assert torch.equal(one.a.input.features, two.a.input.features)
    assert torch.equal(one.b.voxel, two.b.voxel)
    assert [len(cloud) for cloud in one.clouds] == [200] * 3
    assert not np.array_equal(one.clouds[0].coords, other.clouds[0].coords)
    assert not np.array_equal(one.a.input.features, one.b.input.features)


def test_a_cloud_without_colour_looks_like_a_grey_one():
    views = draw_views([replace(CLOUDS[0], colour=None)], CONFIG, seed=0)
    assert (views.a.input.features == torch.tensor([0.0, 0, 0, 1])).all()


def test_thin_keeps_the_first_point_of_each_half_voxel():
    cloud = CLOUDS[0]
    cells = np.floor((cloud.coords - cloud.coords.min(0)) / np.float32(0.05))
    seen, rows = set(), []
    for row, cell in enumerate(map(tuple, cells)):
        if cell not in seen:
            seen.add(cell)
            rows.append(row)
    found = thin(cloud, 0.1)
    np.testing.assert_array_equal(found.coords, cloud.coords[rows])
    np.testing.assert_array_equal(found.segment, cloud.segment[rows])


def test_millimetres_are_found_out():
    cloud = replace(CLOUDS[0], coords=CLOUDS[0].coords * 1000, name="room.ply")
    with pytest.raises(UserError, match=r"room.ply: found an extent of .* x .* x .* m with voxels"):
        check_extent(cloud, 0.02)
    with pytest.raises(UserError, match="metres"):
        thin(cloud, 0.02)
    check_extent(CLOUDS[0], 0.02)


def test_a_cloud_without_segments_is_refused():
    with pytest.raises(ValueError, match="prepare"):
        draw_views([replace(CLOUDS[0], segment=None)], CONFIG, seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("voxel", 0.0), ("voxel", float("inf")), ("points", 0), ("parts", 0)),
        *(("smallest", 0.0), ("smallest", 1.1), ("input_drop", 2.0)),
    ],
)
def test_options_out_of_range(name, value):
    with pytest.raises(UserError, match=f"{name}.*expected"):
        ViewConfig(**{name: value})


def test_parts_of_several_sizes_follow_each_other():
    config = replace(CONFIG, points=200, smallest=0.5, parts=3)
    sizes = []
    for seed in range(20):
        views = draw_views(CLOUDS[:2], config, seed)
        assert [c.name for c in views.clouds] == ["made 0"] * 3 + ["made 1"] * 3
        assert len({c.coords.tobytes() for c in views.clouds}) == 6
        sizes += [len(c) for c in views.clouds]
        for part in views.clouds:  # still the points nearest to its origin
            whole = CLOUDS[int(part.name[-1])]
            at = np.flatnonzero((whole.colour == part.colour[_middle(part)]).all(1))
            far = np.linalg.norm(whole.coords - whole.coords[at], axis=1)
            nearest = np.sort(np.argsort(far)[: len(part)])
            np.testing.assert_array_equal(whole.colour[nearest], part.colour)
    assert min(sizes) >= 100 and max(sizes) <= 200
    assert abs(np.mean(sizes) - 150) < 12  # 120 uniform draws: four deviations


def _middle(cloud):
    return int(np.linalg.norm(cloud.coords, axis=1).argmin())


def test_inputs_are_dropped_at_random_by_view():
    """Heights of 1: a view has them all, or none, as often as it is told to."""
    cloud = replace(CLOUDS[0], height=np.ones(len(CLOUDS[0]), np.float32))
    config = replace(CONFIG, input_drop=0.3, augment=replace(CONFIG.augment, scale=(1.0, 1.0)))
    seen = []
    for seed in range(100):
        views = draw_views([cloud], config, seed, inputs=("height",))
        for view in (views.a, views.b):
            column = view.input.features[:, 0]
            assert ((column == 0) | (abs(column - np.arcsinh(1)) < 1e-6)).all()
            assert len(set((column == 0).tolist())) == 1
            seen.append(bool(column[0] == 0))
    assert abs(np.mean(seen) - 0.3) < 0.13  # 200 draws: four deviations
