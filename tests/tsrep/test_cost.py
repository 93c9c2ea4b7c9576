"""Operations of the encoder against torch's counter, memory against what autograd keeps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tsrep.cost import encoder_cost
from tsrep.encoders import DilatedConv


@settings(max_examples=15, deadline=None)
@given(*(st.integers(1, 7) for _ in range(4)), st.integers(0, 3), st.sampled_from([1, 3]))
def test_operations(batch, channels, dim, hidden, depth, taps):
    encoder = DilatedConv(channels, dim, hidden, depth, taps)
    with FlopCounterMode(display=False) as counter:
        encoder(torch.randn(batch, 16, channels)).sum().backward()
    assert encoder_cost(encoder, batch, 16).flops == counter.get_total_flops()


@pytest.mark.parametrize(("width", "dim", "depth"), [(16, 32, 3), (64, 320, 7)])
def test_memory_that_the_backward_pass_needs(width, dim, depth):
    encoder, kept = DilatedConv(1, dim, width, depth), {}
    own = {p.untyped_storage().data_ptr() for p in encoder.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = encoder(torch.randn(2, 2048, 1))
    assert encoder_cost(encoder, 2, 2048).held == pytest.approx(sum(kept.values()), rel=0.15)
    assert out.requires_grad
