"""FAC and self-distillation at once are their sum; objectives read the levels asked for."""

from dataclasses import replace

import pytest
import torch

from pcrep import SparseUNet
from pcrep.cloud import Batch
from pcrep.contrast import OBJECTIVES, new_objective
from pcrep.contrast.both import FACAndDistillation
from pcrep.contrast.distillation import DistillationConfig
from pcrep.contrast.fac import FACConfig
from pcrep.contrast.objective import PretrainingConfig
from pcrep.contrast.views import ViewConfig
from pcrep.encoders.encoding import width
from tests.pcrep.networks import SMALL
from tests.pcrep.segmented import segmented

CONFIG = PretrainingConfig(dim=8, views=ViewConfig(voxel=0.05))
CLOUDS = [segmented(seed) for seed in range(2)]


def made(objective, config=CONFIG):
    torch.manual_seed(0)
    return objective(SparseUNet(SMALL), config)


def test_the_loss_and_its_gradient_are_the_sums_of_both():
    method = made(FACAndDistillation).eval()
    views = method.draw(CLOUDS, 5, torch.device("cpu"))
    parameters = list(method.encoder.parameters())

    def gradient(compute):
        torch.manual_seed(2)
        loss = compute()["loss"]
        return loss.detach(), torch.autograd.grad(loss, parameters)

    def apart():
        first = method.fac.contrast(views[0])["loss"]
        return {"loss": first + method.distillation.contrast(views[1])["loss"]}

    found, expected = gradient(lambda: method.contrast(views)), gradient(apart)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    told = method.contrast(views)
    assert {"regional", "feature", "distillation"} < set(told)


def test_both_teachers_follow_and_nothing_is_trained_in_vain():
    method = made(FACAndDistillation)
    method.loss(Batch(CLOUDS), "encoder")["loss"].backward()
    assert all(p.grad is not None for p in method.phases()[0].parameters)
    teachers = (method.fac.key.encoder, method.distillation.teacher.encoder)
    before = [next(teacher.head.parameters()).clone() for teacher in teachers]
    with torch.no_grad():
        for p in method.parameters():
            if p.requires_grad:
                p.add_(0.1)
    method.after_step()
    for teacher, old in zip(teachers, before, strict=True):
        assert not torch.equal(next(teacher.head.parameters()), old)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("levels", ["decoder", "encoder", "both"])
def test_an_objective_reads_the_levels_that_are_asked_for(name, levels):
    method = made(OBJECTIVES[name], replace(CONFIG, levels=levels))
    first = next(iter(method.query.head.parameters()))
    assert first.shape[1] == width(method.encoder, levels)
    loss = method.loss(Batch(CLOUDS), "encoder")["loss"]
    assert torch.isfinite(loss)
    loss.backward()
    of_decoder = [p.grad for n, p in method.encoder.named_parameters() if n.startswith("decoder")]
    assert of_decoder and all((g is not None) == (levels != "encoder") for g in of_decoder)


def test_levels_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="expected one of decoder, encoder, both"):
        replace(CONFIG, levels="stem")


def test_each_objective_gets_the_options_of_its_own():
    fac, distillation = FACConfig(momentum=0.5), DistillationConfig(prototypes=7)
    made = {
        name: new_objective(name, SparseUNet(SMALL), PretrainingConfig(), fac, distillation)
        for name in ("fac", "distillation", "fac+distillation", "segcontrast")
    }
    both = made["fac+distillation"]
    assert made["fac"].fac is fac and made["distillation"].distillation is distillation
    assert both.fac.fac is fac and both.distillation.distillation is distillation
