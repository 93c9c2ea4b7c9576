"""A last batch of one sample has no negatives: losses of views are 0 and so is their gradient."""

import pytest
import torch

from tests.common.loss_cases import CASES, inputs_of

OF_VIEWS = ("nt_xent", "hard_info_nce", "dcl", "dclw", "dhel", "mv_info_nce", "mv_dhel", "cacr")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in OF_VIEWS], ids=lambda c: c.name)
def test_a_single_sample_teaches_nothing(case):
    inputs = {name: x.requires_grad_() for name, (x, _) in inputs_of(case, 1).items()}
    loss = case.loss(**inputs)
    loss.backward()
    assert loss.shape == () and loss.abs() < 1e-15
    for x in inputs.values():
        torch.testing.assert_close(x.grad, torch.zeros_like(x), rtol=0, atol=1e-15)
