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
from common.pairs import Masks, Pairs

TILE_BYTES = {"cpu": 16 << 20, "cuda": 256 << 20}


def rows(anchors: Tensor, candidates: Tensor, pairs: Pairs, scale: float, form) -> Tensor:
    """As :func:`common.ops.dense.rows`: the loss of each anchor ``(G, B)``."""
    return _Rows.apply(anchors, candidates, pairs, scale, form)


def mean(anchors, candidates, pairs: Pairs, scale: float, form, weight: Tensor) -> Tensor:
    """``sum(weight * rows)``, a scalar, for constant weights ``(G, B)``."""
    grad = torch.is_grad_enabled() and (anchors.requires_grad or candidates.requires_grad)
    return _Mean.apply(anchors, candidates, pairs, scale, form, weight, grad)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, pairs, scale, form, weight, grad):
        grads = _Gradients(ctx, anchors, candidates, scale) if grad else None
        total = torch.zeros((), dtype=weight.dtype, device=weight.device)
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            loss, slope = _tile(logits, pairs.tile(groups, part), form)
            total += (loss * weight[groups, part]).sum()
            if grads is not None:
                grads.add(groups, part, slope(weight[groups, part, None]))
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
    def forward(ctx, anchors, candidates, pairs, scale, form):
        ctx.save_for_backward(anchors, candidates)
        ctx.extra = pairs, scale, form
        losses = []
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            losses.append(_tile(logits, pairs.tile(groups, part), form)[0].flatten())
        return torch.cat(losses).view(anchors.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        anchors, candidates = ctx.saved_tensors
        pairs, scale, form = ctx.extra
        grads = _Gradients(ctx, anchors, candidates, scale)
        for groups, part in _tiles(anchors, candidates):
            logits = _logits(anchors[groups, part], candidates[groups], scale)
            slope = _tile(logits, pairs.tile(groups, part), form)[1]
            grads.add(groups, part, slope(outer[groups, part, None]))
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


def _tile(logits: Tensor, masks: Masks, form):
    """Losses ``(g, t)`` of a tile, and ``slope(outer)``, its gradient in the logits.

    ``slope`` takes the gradient of the losses ``(g, t, 1)`` and may overwrite the tile.
    """
    positive = masks.positive
    if form.positives == "sum":
        inside = logits.masked_fill(~positive, -torch.inf)
        share = inside.softmax(-1)
        attraction = inside.logsumexp(-1)
    elif form.positives == "mean":
        count = positive.sum(-1, keepdim=True)
        attraction = (logits * positive).sum(-1) / count.squeeze(-1)

    weighted = logits if masks.log_weight is None else logits + masks.log_weight
    if masks.dropped is not None:
        weighted = weighted.masked_fill_(masks.dropped, -torch.inf)
    if form.hardest is not None:
        negative = keep_hardest(weighted.masked_fill(positive, -torch.inf), form.hardest)
        weighted = torch.where(positive, weighted, negative)
    if form.denominator == "own":
        return _own(logits, weighted, positive, count)
    if form.denominator == "negatives":
        weighted = weighted.masked_fill(positive, -torch.inf)

    peak = weighted.amax(-1, keepdim=True)
    peak = peak.where(peak.isfinite(), 0.0)  # an empty row: exp(-inf) = 0, and log 0 = -inf
    likelihood = weighted.sub_(peak).exp_()
    mass = likelihood.sum(-1, keepdim=True)
    loss = (mass.log() + peak).squeeze(-1)

    def slope(outer: Tensor) -> Tensor:
        grad = likelihood.mul_(outer / mass)
        if form.positives == "sum":
            grad -= share * outer
        elif form.positives == "mean":
            grad -= positive * (outer / count)
        return grad

    return (loss if form.positives == "none" else loss - attraction), slope


def _own(logits: Tensor, weighted: Tensor, positive: Tensor, count: Tensor):
    """Each positive against the negatives alone: the mean of ``log(e^l_p + sum_n e^l_n) - l_p``."""
    negative = weighted.masked_fill(positive, -torch.inf)
    partition = negative.logsumexp(-1, keepdim=True)
    spread = torch.where(positive, logits.logaddexp(partition) - logits, 0.0)
    loss = spread.sum(-1) / count.squeeze(-1)
    loss = loss.masked_fill(partition.squeeze(-1).isneginf(), -torch.inf)  # nothing to contrast

    def slope(outer: Tensor) -> Tensor:
        pull = torch.where(positive, torch.sigmoid(partition - logits), 0.0) * (outer / count)
        push = (negative - partition).exp_() * pull.sum(-1, keepdim=True)
        return push.sub_(pull)

    return loss, slope
