"""Self-distillation at points against a loop of its definition, and who learns from whom."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from pcrep import SparseUNet
from pcrep.cloud import Batch
from pcrep.contrast.distillation import DistillationConfig, SelfDistillation
from pcrep.contrast.objective import PretrainingConfig
from pcrep.contrast.views import ViewConfig
from tests.pcrep.made_scenes import made_scene
from tests.pcrep.networks import SMALL
from tspcrep.common.errors import UserError

CLOUDS = (made_scene(0), made_scene(1, points=300))
SETTINGS = DistillationConfig(
    prototypes=6, voxels=100_000, large_crops=1, small_crops=1, hidden_share=0.3, hidden_voxels=4.0
)


def method(settings=SETTINGS):
    torch.manual_seed(0)
    config = PretrainingConfig(dim=8, views=ViewConfig(voxel=0.1, points=400))
    return SelfDistillation(SparseUNet(SMALL), config, settings)


def balanced(scores, temperature):
    """Sinkhorn's scaling in plain probabilities, columns then rows, three times."""
    q = (torch.tensor(scores, dtype=torch.float64) / temperature).exp()
    for _ in range(3):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    return q.tolist()


def test_the_loss_equals_a_loop_over_points():
    made = method().eval()
    drawn = made.draw(CLOUDS, 3, torch.device("cpu"))
    torch.manual_seed(1)
    found = made.contrast(drawn)["loss"].item()
    of_point = dict(zip(drawn.whole.points.tolist(), drawn.whole.voxel.tolist(), strict=True))
    losses = []
    with torch.no_grad():
        prototypes = normalize(made.query.prototypes.double(), dim=-1)

        def cosines(network, view):
            z = network.head(network.encoder(view.input).features)
            return (normalize(z.double(), dim=-1) @ prototypes.T).tolist()

        teacher = cosines(made.teacher.encoder, drawn.whole)
        for crop in drawn.crops:
            student = cosines(made.query, crop)
            targets = balanced([teacher[of_point[p]] for p in crop.first.tolist()], 0.05)
            total = 0.0
            for row, target in zip(student, targets, strict=True):
                normaliser = math.log(sum(math.exp(s / 0.1) for s in row))
                total -= sum(q * (s / 0.1 - normaliser) for q, s in zip(target, row, strict=True))
            losses.append(total / len(student))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_the_student_learns_and_the_teacher_follows():
    made = method()
    made.loss(Batch(list(CLOUDS)), "encoder")["loss"].backward()
    learned = dict(made.query.named_parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learned.values())
    trained = {id(p) for p in made.phases()[0].parameters}
    assert trained == {id(p) for p in learned.values()}
    before = made.teacher.encoder.prototypes.clone()
    with torch.no_grad():
        made.query.prototypes.add_(1.0)
    made.after_step()
    torch.testing.assert_close(made.teacher.encoder.prototypes, before + 0.01)


def test_a_student_sees_no_hidden_cube_and_the_teacher_everything():
    drawn = method().draw(CLOUDS, 0, torch.device("cpu"))
    assert len(drawn.whole.points) == sum(len(cloud) for cloud in drawn.clouds)
    all_shown = method(replace(SETTINGS, hidden_share=0.0)).draw(CLOUDS, 0, torch.device("cpu"))
    for seen, crop in zip(drawn.crops, all_shown.crops, strict=True):
        assert set(seen.points.tolist()) < set(crop.points.tolist())


def test_few_voxels_are_drawn_where_few_are_asked_for():
    made = method(replace(SETTINGS, voxels=5))
    sizes = []
    made.query.head.register_forward_hook(lambda module, x, y: sizes.append(len(y)))
    made.loss(Batch(list(CLOUDS)), "encoder")
    assert sizes == [5, 5]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"prototypes": 1}, "prototypes: found 1"),
        ({"student_temperature": 0.0}, "student_temperature: found 0.0"),
        ({"teacher_momentum": 1.5}, "teacher_momentum: found 1.5"),
        ({"hidden_share": 1.0}, "hidden_share: found 1.0"),
        ({"large_crops": 0, "small_crops": 0}, "large 0, small 0"),
    ],
)
def test_a_bad_option_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        method(DistillationConfig(**changes))
