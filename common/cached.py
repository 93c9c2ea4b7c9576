"""Cached gradients: the gradient of a contrastive batch that does not fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tspcrep.common.methods import Embeddings
from tspcrep.common.seeding import RandomState


def cached_backward(
    method: nn.Module,
    chunks: Sequence[Any],
    embed: Callable[[Any], Embeddings],
    contrast: Callable[[Embeddings], dict[str, Tensor]],
    backward: Callable[[Tensor], None],
) -> dict[str, Tensor]:
    """Form the gradient of ``contrast(embed(batch))`` with the memory of one chunk of the batch.

    Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
    (GradCache): embed all chunks without a graph; differentiate the loss with respect to the
    embeddings; embed each chunk once more, with the same random draws, and propagate its part of
    that gradient into the parameters. The result is the gradient of the whole batch, to rounding,
    if the embedding of a row does not depend on other rows. Batch normalisation uses the statistics
    of a chunk, and its running statistics see each chunk once.

    Parameters
    ----------
    method : the module that holds the parameters and the batch normalisation.
    chunks : the parts of the batch.
    embed : from a chunk to tensors ``(rows of the chunk, ...)``.
    contrast : from these tensors, concatenated over chunks, to the losses.
    backward : starts the backward pass of ``losses["loss"]``.

    Returns the losses.
    """
    parts: list[Embeddings] = []
    states: list[RandomState] = []
    with torch.no_grad(), _running_statistics_kept(method):
        for chunk in chunks:
            states.append(RandomState())
            parts.append(embed(chunk))
    whole = tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
    for tensor in whole:
        tensor.requires_grad_(tensor.is_floating_point())
    losses = contrast(whole)
    backward(losses["loss"])
    after, start = RandomState(), 0
    for chunk, state, part in zip(chunks, states, parts, strict=True):
        stop = start + len(part[0])
        state.restore()
        pairs = [
            (embedding, tensor.grad[start:stop])
            for embedding, tensor in zip(embed(chunk), whole, strict=True)
            if embedding.requires_grad and tensor.grad is not None
        ]
        if pairs:
            embeddings, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(embeddings, gradients)
        start = stop
    after.restore()
    return losses


@contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation uses the statistics of its batch and does not record them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracks
