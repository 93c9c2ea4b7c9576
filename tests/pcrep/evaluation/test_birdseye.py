"""Boxes from above: targets and losses against loops, and objects that are found again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pcrep.cloud import Batch, Cloud, Scenes
from pcrep.encoders.encoding import new_encoder
from pcrep.evaluation.birdseye import (
    BirdsEye,
    BirdsEyeConfig,
    box_scores,
    decoded,
    encoded,
    focal_loss,
    targets,
    with_objects,
)
from pcrep.evaluation.boxes import box_iou, fit_boxes
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit

VOXEL, CELL = 0.5, 1.0


def street(seed, objects=2):
    """A level ground of 16 m with upright boxes of the size of cars; the class of a box is 1."""
    random = np.random.default_rng(seed)
    ground = np.column_stack([random.uniform(0, 16, (3000, 2)), np.zeros(3000)])
    parts, label, instance = [ground], [np.zeros(3000, int)], [np.full(3000, -1)]
    for k in range(objects):
        yaw = random.uniform(0, np.pi)
        turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        flat = (random.uniform(-0.5, 0.5, (400, 2)) * (4.0, 1.8)) @ turn + (4 + 8 * k, 5 + 6 * k)
        parts.append(np.column_stack([flat, random.uniform(0.3, 1.5, 400)]))
        label.append(np.ones(400, int))
        instance.append(np.full(400, 7 + k))
    coords = np.concatenate(parts).astype(np.float32)
    colour = np.full(coords.shape, 0.5, np.float32)
    return Cloud(
        coords,
        colour,
        label=np.concatenate(label),
        instance=np.concatenate(instance),
        name=str(seed),
    )


def scenes(*seeds):
    clouds = [street(seed) for seed in seeds]
    names = tuple(cloud.name for cloud in clouds)
    return Scenes("streets", names, clouds.__getitem__, ("ground", "car"))


@given(
    *[st.floats(0, 30)] * 2, st.floats(0.1, 3), st.floats(0, 3), st.floats(0.3, 2),
    st.floats(0, 3.14), st.floats(0.2, 2),
)  # fmt: skip
def test_a_box_is_read_back(x, y, z, longer, wide, yaw, cell):
    box = np.array([x, y, z, wide + longer, wide, 1.5, yaw])
    place = (box[:2] / cell).astype(int)
    low = np.array([3.0, -2.0, 0.5])
    (found,) = decoded(encoded(box, place, cell)[None], place[None], cell, low)
    np.testing.assert_allclose(found[:3], box[:3] + low, atol=1e-9)
    np.testing.assert_allclose(found[3:6], box[3:6], rtol=1e-9)
    assert abs(np.sin(found[6] - yaw)) < 1e-9  # half a turn apart is the same box


def test_targets_against_loops():
    cloud = with_objects(scenes(3), "car")[0]
    heat, numbers, cells = targets([cloud, cloud], (16, 16), CELL)
    low = cloud.coords.min(0).astype(np.float64)
    boxes = fit_boxes(cloud.coords - low, cloud.instance)
    assert len(numbers) == len(cells) == 4 and cells[:, 0].tolist() == [0, 0, 1, 1]
    for i in range(16):
        for j in range(16):
            expected = 0.0
            for box in boxes:
                a, b = int(box[0] // CELL), int(box[1] // CELL)
                deviation = max(box[3] / CELL / 6, 0.7)
                apart = (i - a) ** 2 + (j - b) ** 2
                expected = max(expected, np.exp(-apart / (2 * deviation**2)))
            assert heat[1, i, j] == pytest.approx(expected, abs=1e-6)
    found = decoded(numbers[:2].double().numpy(), cells[:2, 1:].numpy(), CELL, low)
    assert (np.diag(box_iou(found, fit_boxes(cloud.coords, cloud.instance))) > 0.999).all()


def test_the_focal_loss_against_loops():
    random = np.random.default_rng(0)
    logits, heat = random.normal(size=(2, 3, 4)), random.uniform(0, 0.9, (2, 3, 4))
    heat[0, 1, 2] = heat[1, 0, 0] = 1.0
    total = 0.0
    for x, h in zip(logits.ravel(), heat.ravel(), strict=True):
        p = 1 / (1 + np.exp(-x))
        total -= (1 - p) ** 2 * np.log(p) if h == 1 else (1 - h) ** 4 * p**2 * np.log(1 - p)
    found = focal_loss(torch.tensor(logits), torch.tensor(heat))
    assert found.item() == pytest.approx(total / 2, rel=1e-9)


def test_only_objects_of_the_class_with_enough_points_count():
    cloud = with_objects(scenes(0), "car", least=400)[0]
    assert np.unique(cloud.instance).tolist() == [-1, 0, 1]
    assert with_objects(scenes(0), "car", least=401)[0].instance.max() == -1
    with pytest.raises(UserError, match="bus: no class of streets, expected ground, car"):
        with_objects(scenes(0), "bus")


def test_it_learns_to_find_boxes_in_other_scenes(tmp_path):
    torch.manual_seed(0)
    learn, test = (with_objects(scenes(*seeds), "car") for seeds in (range(6), (20, 21, 22)))
    encoder = new_encoder("small", ("height",))
    detector = BirdsEye(encoder, BirdsEyeConfig(lr=1e-2), VOXEL, frozen=True)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}

    class Data:
        def __len__(self):
            return len(learn)

        def __getitems__(self, rows):
            return Batch([learn[row] for row in rows])

    def scores():
        found = [detector.detect(cloud) for cloud in test]
        for boxes, score in found:
            assert boxes.shape == (len(score), 7) and (np.diff(score) <= 0).all()
        return box_scores(test, found)

    untrained = scores()
    training = Training(epochs=100, max_steps=80, batch_size=2, device="cpu")
    fit(detector, Data(), training, 0, tmp_path)
    trained = scores()
    assert trained["box25"] > 0.7 > 0.3 > untrained["box25"]
    for name, value in encoder.state_dict().items():  # a frozen encoder, and its statistics
        assert torch.equal(value, before[name])
