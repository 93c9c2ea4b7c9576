"""InfoNCE over tiles of rows: O(tile x N) memory, three matrix products, any device.

When the caller wants the mean over anchors, the gradient is formed in the forward pass: a tile of
logits becomes its own gradient in place, is multiplied into both embeddings' gradients, and is
forgotten. The backward pass then only scales them. Per-anchor losses, whose outer gradient is not
known in the forward pass, recompute their logits in the backward pass: one product more.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from common.ops.dense import keep_hardest
from common.ops.relations import Index, Relations

TILE_BYTES = {"cpu": 16 << 20, "cuda": 256 << 20}


def rows(anchors: Tensor, candidates: Tensor, relations: Relations, scale: float, form) -> Tensor:
    """As :func:`common.ops.dense.rows`: the loss of each anchor ``(G, B)``."""
    return _Rows.apply(anchors, candidates, relations, scale, form)


def mean(anchors, candidates, relations: Relations, scale: float, form, weight: Tensor) -> Tensor:
    """``sum(weight * rows)``, a scalar, for constant weights ``(G, B)``."""
    grad = torch.is_grad_enabled() and (anchors.requires_grad or candidates.requires_grad)
    return _Mean.apply(anchors, candidates, relations, scale, form, weight, grad)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form, weight, grad):
        grads = _Gradients(ctx, anchors, candidates, scale) if grad else None
        index = relations.index()
        total = torch.zeros((), dtype=weight.dtype, device=weight.device)
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            loss, slope = _tile(logits, relations, index, groups, part, form)
            total += (loss * weight[groups, part]).sum()
            if grads is not None:
                grads.add(groups, part, slope(weight[groups, part]))
        if grads is not None:
            ctx.save_for_backward(*grads.tensors())
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        scaled = [None if g is None else g * outer.to(g.dtype) for g in ctx.saved_tensors]
        return *scaled, None, None, None, None, None


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form):
        ctx.save_for_backward(anchors, candidates)
        ctx.extra = relations, scale, form
        index, losses = relations.index(), []
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            losses.append(_tile(logits, relations, index, groups, part, form)[0].flatten())
        return torch.cat(losses).view(anchors.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        anchors, candidates = ctx.saved_tensors
        relations, scale, form = ctx.extra
        index, grads = relations.index(), _Gradients(ctx, anchors, candidates, scale)
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            slope = _tile(logits, relations, index, groups, part, form)[1]
            grads.add(groups, part, slope(outer[groups, part]))
        return *grads.tensors(), None, None, None


class _Gradients:
    """Sums the gradients of anchors and candidates from the gradients of tiles of logits."""

    def __init__(self, ctx, anchors: Tensor, candidates: Tensor, scale: float):
        needs = ctx.needs_input_grad
        exact = torch.promote_types(anchors.dtype, torch.float32)
        self.inputs, self.scale = (anchors, candidates), scale
        self.anchors = torch.empty_like(anchors) if needs[0] else None
        self.candidates = torch.zeros_like(candidates, dtype=exact) if needs[1] else None

    def add(self, groups: slice, part: slice, slope: Tensor) -> None:
        anchors, candidates = self.inputs
        if self.anchors is not None:
            grad = _product(slope, candidates[groups], anchors.dtype)
            self.anchors[groups, part] = grad.mul_(self.scale)
        if self.candidates is not None:
            scaled = anchors[groups, part] * self.scale
            if scaled.dtype == slope.dtype:
                self.candidates[groups].baddbmm_(slope.mT, scaled)
            else:
                self.candidates[groups] += _product(slope.mT, scaled, slope.dtype)

    def tensors(self) -> tuple[Tensor | None, Tensor | None]:
        if self.candidates is not None:
            self.candidates = self.candidates.to(self.inputs[1].dtype)
        return self.anchors, self.candidates


def _tiles(anchors: Tensor, candidates: Tensor):
    """Slices of groups and rows whose logits fit the budget of memory."""
    groups, batch, _ = anchors.shape
    width = candidates.shape[1]
    exact = torch.promote_types(anchors.dtype, torch.float32)
    budget = TILE_BYTES.get(anchors.device.type, TILE_BYTES["cuda"]) // exact.itemsize
    together = max(budget // (batch * width), 1)
    height = batch if together > 1 else max(min(budget // width, batch), 1)
    for g in range(0, groups, together):
        for r in range(0, batch, height):
            yield slice(g, g + together), slice(r, r + height)


def _logits(anchors: Tensor, candidates: Tensor, scale: float) -> Tensor:
    """Logits ``(g, t, N)`` in float32 or better."""
    exact = torch.promote_types(anchors.dtype, torch.float32)
    if anchors.dtype == exact:
        return torch.bmm(anchors * scale, candidates.mT)
    return _product(anchors, candidates.mT, exact).mul_(scale)


def _product(x: Tensor, y: Tensor, out: torch.dtype) -> Tensor:
    """``x @ y`` summed in float32 or better, handed out as ``out``."""
    low = torch.float32.itemsize > y.dtype.itemsize
    if low and x.is_cuda and out == torch.float32:
        return torch.bmm(x.to(y.dtype), y, out_dtype=out)  # tensor cores, float32 sums
    if low and x.is_cuda:
        return torch.bmm(x.to(y.dtype), y).to(out)
    exact = torch.promote_types(x.dtype, torch.promote_types(y.dtype, torch.float32))
    return torch.bmm(x.to(exact), y.to(exact)).to(out)


def _tile(logits: Tensor, relations: Relations, index: Index, groups, part, form):
    """Losses ``(g, t)`` of a tile, and ``slope(outer)``, its gradient in the logits.

    ``slope`` takes the gradient of the losses ``(g, t)``. Both overwrite the tile.
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
        logits = keep_hardest(logits, form.hardest)
        flat = logits.view(-1)
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
        push = by_row(pull)
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

    def slope(outer: Tensor) -> Tensor:
        outer = outer.reshape(-1)
        grad = likelihood.mul_((push * outer).view(*shape, 1) / mass)
        if pull is not None:
            grad.view(-1).index_add_(0, positive, -pull * outer[line])
        return grad

    return loss.view(shape), slope
