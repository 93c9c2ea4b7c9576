"""Arithmetic against torch's own counters, messages against a ring played through, the fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tspcrep.common.cost import Cost, contrast, fit, layer, messages
from tspcrep.common.errors import UserError


def counted(function, *inputs):
    """Operations of a forward and a backward pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        function(*inputs).sum().backward()
    return counter.get_total_flops()


@settings(max_examples=20, deadline=None)
@given(*(st.integers(1, 9) for _ in range(3)))
def test_a_linear_layer(sites, inputs, outputs):
    x, weight = torch.randn(sites, inputs, requires_grad=True), torch.randn(inputs, outputs)
    weight.requires_grad_()
    assert layer(sites, sites, inputs, outputs).flops == counted(torch.matmul, x, weight)


@settings(max_examples=20, deadline=None)
@given(*(st.integers(1, 9) for _ in range(3)))
def test_the_products_of_info_nce(anchors, candidates, dim):
    a, c = (torch.randn(n, dim, requires_grad=True) for n in (anchors, candidates))
    found = counted(lambda a, c: (a @ c.T).logsumexp(1), a, c)
    assert contrast(anchors, candidates, dim).flops == found


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_messages_are_those_of_rings(ranks, rows, dim):
    parameters = 12 * ranks  # that cut into even parts
    reduced = sum(2 * parameters // ranks for _ in range(ranks - 1))
    gathered = sum(rows * dim for _ in range(ranks - 1))
    returned = sum(2 * (ranks * rows * dim) // ranks for _ in range(ranks - 1))
    found = messages(parameters, rows, dim, ranks)
    assert (found.reduced, found.gathered) == (4 * reduced, 4 * (gathered + returned))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1e-2), st.floats(1e-12, 1e-9), st.floats(0, 1e-9), st.integers(0, 99))
def test_the_fit_finds_the_machine_of_synthetic_steps(step, flop, byte, seed):
    rng = np.random.default_rng(seed)
    costs = [Cost(*10 ** rng.uniform(7, 10, 2)) for _ in range(8)]
    seconds = [step + flop * c.flops + byte * c.moved for c in costs]
    machine = fit(costs, seconds)
    unseen = Cost(3e10, 2e10)
    expected = step + flop * unseen.flops + byte * unseen.moved
    assert machine.seconds(unseen) == pytest.approx(expected, rel=1e-3)


def test_noise_of_the_fit_is_no_larger_than_that_of_the_durations():
    rng = np.random.default_rng(0)
    costs = [Cost(*10 ** rng.uniform(8, 10, 2)) for _ in range(12)]
    seconds = [(2e-3 + 1e-10 * c.flops + 1e-10 * c.moved) * rng.uniform(0.9, 1.1) for c in costs]
    machine = fit(costs, seconds)
    assert machine.seconds(Cost(2e10, 2e10)) == pytest.approx(4.002, rel=0.1)
    assert min(machine.step, machine.flop, machine.byte) >= 0


@pytest.mark.parametrize("seconds", [[1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 2.0, float("nan")]])
def test_too_few_durations(seconds):
    with pytest.raises(UserError, match="three or more above 0"):
        fit([Cost(1, 1)] * len(seconds), seconds)
