"""InfoNCE over tiles of rows: O(tile x N) memory, three matrix products, any device.

When the caller wants the mean over anchors, the gradient is formed in the forward pass: a tile of
logits becomes its own gradient in place, is multiplied into both embeddings' gradients, and is
forgotten. The backward pass then only scales them. Per-anchor losses, whose outer gradient is not
known in the forward pass, recompute their logits in the backward pass: one product more.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tspcrep.common.ops.dense import keep_hardest
from tspcrep.common.ops.relations import Index, Relations

TILE_BYTES = {"cpu": 8 << 20, "cuda": 128 << 20}


def rows(anchors: Tensor, candidates: Tensor, relations: Relations, scale: float, form) -> Tensor:
    """As :func:`tspcrep.common.ops.dense.rows`: the loss of each anchor ``(G, B)``."""
    return _Rows.apply(anchors, candidates, relations, scale, form)


def mean(anchors, candidates, relations: Relations, scale: float, form, weight: Tensor) -> Tensor:
    """``sum(weight * rows)``, a scalar, for constant weights ``(G, B)``."""
    grad = torch.is_grad_enabled() and (anchors.requires_grad or candidates.requires_grad)
    return _Mean.apply(anchors, candidates, relations, scale, form, weight, grad)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form, weight, grad):
        work = _Work(anchors, candidates, relations, scale, form)
        needs = ctx.needs_input_grad[:2] if grad else (False, False)
        sums = _Sums(anchors, candidates, scale, needs)
        total = torch.zeros((), dtype=weight.dtype, device=weight.device)
        for groups, part in work.tiles():
            loss, slope = work.tile(groups, part)
            total += (loss * weight[groups, part]).sum()
            if grad:
                sums.add(groups, part, *slope(weight[groups, part]))
        ctx.save_for_backward(sums.anchors, sums.candidates)
        ctx.dtype = anchors.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        scaled = [None if g is None else (g * outer).to(ctx.dtype) for g in ctx.saved_tensors]
        return *scaled, None, None, None, None, None


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form):
        ctx.save_for_backward(anchors, candidates)
        ctx.extra = relations, scale, form
        work = _Work(anchors, candidates, relations, scale, form)
        losses = [work.tile(groups, part)[0].flatten() for groups, part in work.tiles()]
        return torch.cat(losses).view(anchors.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        anchors, candidates = ctx.saved_tensors
        relations, scale, form = ctx.extra
        work = _Work(anchors, candidates, relations, scale, form)
        sums = _Sums(anchors, candidates, scale, ctx.needs_input_grad[:2])
        for groups, part in work.tiles():
            sums.add(groups, part, *work.tile(groups, part)[1](outer[groups, part]))
        grads = [
            None if g is None else g.to(anchors.dtype) for g in (sums.anchors, sums.candidates)
        ]
        return *grads, None, None, None


class _Work:
    """One problem: its tiles, and one buffer that holds the logits of each in turn."""

    def __init__(self, anchors: Tensor, candidates: Tensor, relations: Relations, scale, form):
        self.anchors, self.candidates = anchors, candidates
        self.relations, self.index = relations, relations.index()
        self.scale, self.form = scale, form
        self.exact = torch.promote_types(anchors.dtype, torch.float32)
        groups, batch, _ = anchors.shape
        width = candidates.shape[1]
        limit = TILE_BYTES.get(anchors.device.type, TILE_BYTES["cuda"]) // self.exact.itemsize
        self.groups = min(max(limit // (batch * width), 1), groups)
        self.rows = batch if self.groups > 1 else max(min(limit // width, batch), 1)
        size = self.groups * self.rows * width
        self.buffer = torch.empty(size, dtype=self.exact, device=anchors.device)

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        groups, batch, _ = self.anchors.shape
        for g in range(0, groups, self.groups):
            for r in range(0, batch, self.rows):
                yield slice(g, min(g + self.groups, groups)), slice(r, min(r + self.rows, batch))

    def tile(self, groups: slice, part: slice):
        """See :func:`_tile`; the tile is overwritten by the next one."""
        a, c = self.anchors[groups, part], self.candidates[groups]
        shape = (*a.shape[:2], c.shape[1])
        logits = self.buffer[: shape[0] * shape[1] * shape[2]].view(shape)
        if a.dtype == self.exact:
            torch.bmm(a * self.scale, c.mT, out=logits)
        else:
            torch.mul(_product(a, c.mT), self.scale, out=logits)
        return _tile(logits, self.relations, self.index, groups, part, self.form)


class _Sums:
    """Gradients of anchors and candidates, summed over tiles in float32 or better."""

    def __init__(self, anchors: Tensor, candidates: Tensor, scale: float, needs) -> None:
        exact = torch.promote_types(anchors.dtype, torch.float32)
        self.inputs, self.scale, self.low = (anchors, candidates), scale, anchors.dtype != exact
        self.anchors = torch.empty_like(anchors, dtype=exact) if needs[0] else None
        self.candidates = torch.zeros_like(candidates, dtype=exact) if needs[1] else None

    def add(self, groups: slice, part: slice, tile: Tensor, factor: Tensor) -> None:
        """Add the tile ``factor * tile``, the gradient of logits; ``factor`` is ``(g, t, 1)``."""
        anchors, candidates = self.inputs[0][groups, part], self.inputs[1][groups]
        factor = factor * self.scale
        if self.low:  # products take 16-bit factors: bring them near 1, where these are precise
            top = factor.abs().amax().clamp_min(torch.finfo(factor.dtype).tiny)
            tile = tile.mul_(factor / top)
            if self.anchors is not None:
                self.anchors[groups, part] = _product(tile, candidates).mul_(top)
            if self.candidates is not None:
                self.candidates[groups] += _product(tile.mT, anchors).mul_(top)
            return
        if self.anchors is not None:
            torch.bmm(tile, candidates, out=self.anchors[groups, part]).mul_(factor)
        if self.candidates is not None:
            self.candidates[groups].baddbmm_(tile.mT, anchors * factor)


def _product(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y`` for a 16-bit ``y``, summed and handed out in float32."""
    if x.is_cuda and hasattr(torch.ops.aten.bmm, "dtype"):  # torch 2.8 and later
        return torch.bmm(x.to(y.dtype), y, out_dtype=torch.float32)  # on tensor cores
    return torch.bmm(x.float(), y.float())


def _tile(logits: Tensor, relations: Relations, index: Index, groups, part, form):
    """Losses ``(g, t)`` of a tile, and ``slope(outer)``, their gradient in the logits.

    ``slope`` takes the gradient of the losses and gives the gradient of the logits as a tile
    ``(g, t, N)`` and a factor for each of its rows ``(g, t, 1)``. Both overwrite ``logits``.
    """
    positive, line, dropped = index.tile(groups, part)
    flat, shape = logits.view(-1), logits.shape[:2]

    def by_row(x: Tensor) -> Tensor:  # sums over the positives of each row
        return x.new_zeros(shape.numel()).index_add_(0, line, x)

    attracted = flat[positive]
    count = by_row(torch.ones_like(attracted))
    if relations.value is not None:
        a, c = (x[groups] for x in relations.value)
        logits += (a[:, part, None] - c[:, None]).abs_().log1p_().to(logits.dtype)
        flat[positive] = attracted  # positives weigh 1
    flat.index_fill_(0, dropped, -torch.inf)
    if form.hardest is not None:
        flat.index_fill_(0, positive, -torch.inf)
        logits.copy_(keep_hardest(logits, form.hardest))
        flat[positive] = attracted
    if form.denominator != "all":
        flat.index_fill_(0, positive, -torch.inf)

    peak = logits.amax(-1, keepdim=True)
    peak = peak.where(peak.isfinite(), 0.0)  # an empty row: exp(-inf) = 0, and log 0 = -inf
    likelihood = logits.sub_(peak).exp_()
    mass = likelihood.sum(-1, keepdim=True)
    partition = (mass.log() + peak).flatten()

    # ``pull`` is the gradient of each positive's logit, ``push`` that of each row's partition.
    push = torch.ones_like(partition)
    if form.denominator == "own":
        apart = partition[line] - attracted
        loss = by_row(torch.nn.functional.softplus(apart)) / count
        loss = loss.masked_fill(partition.isneginf(), -torch.inf)  # nothing to contrast with
        pull = apart.sigmoid() / count[line]
        push = by_row(pull).clamp_min(torch.finfo(pull.dtype).tiny)
    elif form.positives == "none":
        loss, pull = partition, None
    elif form.positives == "mean":
        loss = partition - by_row(attracted) / count
        pull = 1 / count[line]
    else:
        top = partition.new_full(partition.shape, -torch.inf)
        top = top.scatter_reduce_(0, line, attracted, "amax")
        share = (attracted - top[line]).exp()
        inside = by_row(share)
        loss = partition - inside.log() - top
        pull = share / inside[line]

    def slope(outer: Tensor) -> tuple[Tensor, Tensor]:
        if pull is not None:
            pulled = pull * (mass.flatten() / push)[line]
            likelihood.view(-1).index_add_(0, positive, pulled, alpha=-1)
        return likelihood, (push * outer.reshape(-1)).view(*shape, 1) / mass

    return loss.view(shape), slope
