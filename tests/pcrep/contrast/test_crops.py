"""Crops of several sizes and the whole view: which points they hold, and that they match."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pcrep.augment import AugmentConfig
from pcrep.contrast.crops import CropConfig, draw_crops
from pcrep.contrast.views import ViewConfig, correspond
from pcrep.encoders.inputs import inputs_of
from tests.pcrep.made_scenes import made_scene
from tspcrep.common.errors import UserError

STILL = AugmentConfig(
    *(0.0, 0.0, 0.0, (1.0, 1.0), 0.0, 0.0), colour_jitter=0, colour_noise=0, colour_drop=0
)
CONFIG = CropConfig(views=ViewConfig(voxel=0.05, points=400, augment=STILL, input_drop=0.0))
CLOUDS = (made_scene(0), made_scene(1, points=100))


def test_every_view_is_the_average_of_the_points_it_says_it_holds():
    drawn = draw_crops(CLOUDS, CONFIG, seed=3)
    coords = np.concatenate([cloud.coords for cloud in drawn.clouds])
    inputs = np.concatenate([inputs_of(cloud) for cloud in drawn.clouds])
    for view in (drawn.whole, *drawn.crops):
        for number, row in enumerate(view.input.coordinates.tolist()):
            points = view.points[view.voxel == number].numpy()
            cells = np.floor(coords[points] / np.float32(0.05))
            assert (cells == row[1:]).all() and (drawn.scene[points] == row[0]).all()
            mean = inputs[points].mean(0)
            np.testing.assert_allclose(view.input.features[number].numpy(), mean, atol=1e-5)


def test_sizes_are_those_asked_for_and_a_crop_is_a_ball():
    for seed in range(5):
        drawn = draw_crops(CLOUDS, CONFIG, seed)
        assert [len(cloud) for cloud in drawn.clouds] == [400, 200]
        assert drawn.whole.points.tolist() == list(range(600))
        coords = np.concatenate([cloud.coords for cloud in drawn.clouds])
        for n, crop in enumerate(drawn.crops):
            low, high = CONFIG.large_share if n < CONFIG.large else CONFIG.small_share
            for b, size in enumerate((400, 200)):
                own = crop.points[drawn.scene[crop.points] == b].numpy()
                assert low * size - 1 <= len(own) <= high * size + 1
                everyone = np.flatnonzero(drawn.scene.numpy() == b)
                far = np.linalg.norm(coords[own][:, None] - coords[everyone][None], axis=2)
                kept = np.isin(everyone, own)  # some point has exactly these as its nearest
                balls = [set(everyone[np.argsort(f, kind="stable")[: len(own)]]) for f in far]
                assert kept.sum() == len(own) and set(own.tolist()) in balls


def test_each_voxel_of_a_crop_is_in_the_whole_view():
    drawn = draw_crops(CLOUDS, CONFIG, seed=1)
    for crop in drawn.crops:
        match = correspond(crop, drawn.whole, 600)
        assert (match >= 0).all()
        # Without movement a voxel and its match are the same cube.
        found = drawn.whole.input.coordinates[match]
        assert torch.equal(found, crop.input.coordinates)


def test_the_teacher_sees_all_inputs_and_the_student_may_lack_each():
    heights = [replace(c, height=np.ones(len(c), np.float32)) for c in CLOUDS]
    views = replace(CONFIG.views, input_drop=0.5, augment=replace(STILL, colour_drop=0.5))
    seen = []
    for seed in range(12):
        drawn = draw_crops(heights, replace(CONFIG, views=views), seed, inputs=("colour", "height"))
        assert (drawn.whole.input.features[:, 3] > 0.8).all()
        assert (drawn.whole.input.features[:, :3] != 0).any(1).all()
        for crop in drawn.crops:
            for b in (0, 1):
                rows = crop.input.features[crop.input.coordinates[:, 0] == b]
                seen.append(((rows[:, :3] != 0).any().item(), (rows[:, 3] != 0).all().item()))
    shares = [seen.count(pair) / len(seen) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert np.abs(np.array(shares) - 0.25).max() < 0.12, shares  # 144 draws: 3.3 deviations


def test_crops_depend_on_the_seed_alone():
    one, two, other = (draw_crops(CLOUDS, CONFIG, seed) for seed in (5, 5, 6))
    for a, b in zip((one.whole, *one.crops), (two.whole, *two.crops), strict=True):
        assert torch.equal(a.input.features, b.input.features)
    assert not torch.equal(one.crops[0].points, other.crops[0].points)


def test_several_parts_of_a_scene_follow_each_other():
    views = replace(CONFIG.views, parts=3, points=50)
    drawn = draw_crops(CLOUDS, replace(CONFIG, views=views), seed=0)
    assert [c.name for c in drawn.clouds] == ["made 0"] * 3 + ["made 1"] * 3
    assert drawn.scene.tolist() == np.repeat(np.arange(6), 50).tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"large": -1},
        {"large": 0, "small": 0},
        {"small_share": (0.0, 0.5)},
        {"large_share": (0.9, 0.5)},
        {"views": ViewConfig(augment=AugmentConfig(crop="none"))},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(UserError, match="expected"):
        CropConfig(**options)
