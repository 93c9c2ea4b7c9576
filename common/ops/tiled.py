"""InfoNCE over tiles of rows: O(tile x N) memory, three matrix products, any device.

When the caller wants the mean over anchors, the gradient is formed in the forward pass: a tile of
logits becomes its own gradient in place, is multiplied into both embeddings' gradients, and is
forgotten. The backward pass then only scales them. Per-anchor losses, whose outer gradient is not
known in the forward pass, recompute their logits in the backward pass: one product more. Under
``create_graph=True`` the gradient is formed anew, as a function with a gradient of its own.
"""

import torch
from torch import Tensor

from tspcrep.common.elementwise import sigmoid, softplus
from tspcrep.common.ops import dense
from tspcrep.common.ops.relations import Relations, parts
from tspcrep.common.ops.selection import Listed, Masked

TILE_BYTES = {"cpu": 8 << 20, "cuda": 128 << 20}
BLOCK_BYTES = {"cpu": 1 << 20, "cuda": 128 << 20}  # what several passes find in the cache


def rows(anchors: Tensor, candidates: Tensor, relations: Relations, scale: float, form) -> Tensor:
    """As :func:`tspcrep.common.ops.dense.rows`: the loss of each anchor ``(G, B)``."""
    return _Rows.apply(anchors, candidates, relations, scale, form)


def mean(anchors, candidates, relations: Relations, scale: float, form, weight: Tensor) -> Tensor:
    """``sum(weight * rows)``, a scalar, for constant weights ``(G, B)``."""
    grad = torch.is_grad_enabled() and (anchors.requires_grad or candidates.requires_grad)
    return _Mean.apply(anchors, candidates, relations, scale, form, weight, grad)


def gradient(anchors, candidates, outer: Tensor, relations: Relations, scale: float, form):
    """Gradients of ``sum(outer * rows)`` in anchors and candidates, differentiable once more."""
    return _Gradient.apply(anchors, candidates, outer, relations, scale, form)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form, weight, grad):
        work = _Work(anchors, candidates, relations, scale, form)
        needs = ctx.needs_input_grad[:2] if grad else (False, False)
        sums = _Sums(anchors, candidates, scale, needs)
        total = torch.zeros((), dtype=weight.dtype, device=weight.device)
        for groups, part in work.tiles():
            share = weight[groups, part]
            loss, *slope = work.tile(groups, part, share if grad else None)
            total += (loss * share).sum()
            if grad:
                sums.add(groups, part, *slope)
        ctx.save_for_backward(anchors, candidates, weight, sums.anchors, sums.candidates)
        ctx.extra = relations, scale, form
        return total

    @staticmethod
    def backward(ctx, outer):
        anchors, candidates, weight, *sums = ctx.saved_tensors
        if torch.is_grad_enabled():
            grads = gradient(anchors, candidates, outer * weight, *ctx.extra)
        else:
            grads = [None if g is None else (g * outer).to(anchors.dtype) for g in sums]
        return *grads, None, None, None, None, None


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form):
        ctx.save_for_backward(anchors, candidates)
        ctx.extra = relations, scale, form
        work = _Work(anchors, candidates, relations, scale, form)
        losses = [work.tile(groups, part)[0].flatten() for groups, part in work.tiles()]
        return torch.cat(losses).view(anchors.shape[:2])

    @staticmethod
    def backward(ctx, outer):
        return *gradient(*ctx.saved_tensors, outer, *ctx.extra), None, None, None


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, outer, relations, scale, form):
        ctx.save_for_backward(anchors, candidates, outer)
        ctx.extra = relations, scale, form
        work = _Work(anchors, candidates, relations, scale, form)
        sums = _Sums(anchors, candidates, scale, (x.requires_grad for x in (anchors, candidates)))
        for groups, part in work.tiles():
            sums.add(groups, part, *work.tile(groups, part, outer[groups, part])[1:])
        both = sums.anchors, sums.candidates
        return tuple(None if g is None else g.to(anchors.dtype) for g in both)

    @staticmethod
    def backward(ctx, *outer):
        """Second derivatives, by autograd through the dense loss of each tile in turn."""
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "found a third derivative of info_nce, expected at most the second; impl='dense' "
                "has all of them"
            )
        relations, scale, form = ctx.extra
        anchors, candidates, _ = ctx.saved_tensors
        work = _Work(anchors, candidates, relations, scale, form)
        inputs = [x.detach().to(work.exact) for x in ctx.saved_tensors]
        sums = [torch.zeros_like(x) for x in inputs]
        for groups, part in work.tiles():
            places = (groups, part), (groups,), (groups, part)
            with torch.enable_grad():
                xs = [x[at].requires_grad_() for x, at in zip(inputs, places, strict=True)]
                loss = dense.rows(*xs[:2], relations.part(groups, part), scale, form)
                asked = [n for n, x in enumerate(outer) if x is not None]
                first = torch.autograd.grad(loss, [xs[n] for n in asked], xs[2], create_graph=True)
            along = [outer[n][places[n]].to(work.exact) for n in asked]
            for total, at, x in zip(
                sums, places, torch.autograd.grad(first, xs, along), strict=True
            ):
                total[at] += x
        grads = [g.to(x.dtype) for g, x in zip(sums, ctx.saved_tensors, strict=True)]
        return *grads, None, None, None


class _Work:
    """One problem: its tiles, and one buffer that holds the logits of each in turn."""

    def __init__(self, anchors: Tensor, candidates: Tensor, relations: Relations, scale, form):
        self.anchors, self.candidates = anchors, candidates
        self.relations, self.scale, self.form = relations, scale, form
        self.exact = torch.promote_types(anchors.dtype, torch.float32)
        self.counts = relations.index.positive_counts.to(self.exact)
        self.buffer = anchors.new_empty(0, dtype=self.exact)

    def _limit(self, size: dict[str, int]) -> int:
        return size.get(self.anchors.device.type, size["cuda"]) // self.exact.itemsize

    def tiles(self):
        groups, batch, _ = self.anchors.shape
        whole = slice(0, groups), slice(0, batch)
        return parts(*whole, self.candidates.shape[1], self._limit(TILE_BYTES))

    def tile(self, groups: slice, part: slice, outer: Tensor | None = None):
        """Losses ``(g, t)``, and with their ``outer`` gradient the gradient of the logits.

        That is a tile ``(g, t, N)``, overwritten by the next one, and a factor for each of its
        rows ``(g, t, 1)``.
        """
        logits = self._logits(self.anchors[groups, part], self.candidates[groups])
        index, width = self.relations.index, logits.shape[2]
        few = index.few(groups, part)
        blocks = [(groups, part)]
        if not few:
            blocks = list(parts(groups, part, width, self._limit(BLOCK_BYTES)))
        losses, factors = [], []
        for at in blocks:
            relations = self.relations.part(*at)
            pairs = index.listed(*at) if few else index.masked(*at)
            within = tuple(
                slice(x.start - y.start, x.stop - y.start)
                for x, y in zip(at, (groups, part), strict=True)
            )
            loss, factor = _block(
                logits[within], relations, pairs, self.counts[at], self.form,
                None if outer is None else outer[within], self._limit(BLOCK_BYTES) // width,
            )  # fmt: skip
            losses.append(loss)
            if factor is not None:
                factors.append(factor)
        shape = logits.shape[:2]
        if outer is None:
            return (torch.cat(losses).view(shape),)
        return torch.cat(losses).view(shape), logits, torch.cat(factors).view(*shape, 1)

    def _logits(self, a: Tensor, c: Tensor) -> Tensor:
        shape = (*a.shape[:2], c.shape[1])
        size = shape[0] * shape[1] * shape[2]
        if len(self.buffer) < size:  # the first tile is the largest
            self.buffer = self.buffer.new_empty(size)
        logits = self.buffer[:size].view(shape)
        if a.dtype == self.exact:
            return torch.bmm(a * self.scale, c.mT, out=logits)
        return torch.mul(_product(a, c.mT), self.scale, out=logits)


class _Sums:
    """Gradients of anchors and candidates, summed over tiles in float32 or better."""

    def __init__(self, anchors: Tensor, candidates: Tensor, scale: float, needs) -> None:
        exact = torch.promote_types(anchors.dtype, torch.float32)
        self.inputs, self.scale, self.low = (anchors, candidates), scale, anchors.dtype != exact
        needs = tuple(needs)
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


def _block(
    logits: Tensor,
    relations: Relations,
    pairs: Listed | Masked,
    count: Tensor,
    form,
    outer: Tensor | None,
    high: int,
) -> tuple[Tensor, Tensor | None]:
    """Losses ``(g * t,)`` of a block of logits ``(g, t, N)`` with ``count`` positives a row.

    With the ``outer`` gradient of the losses, ``logits`` becomes their gradient but for a factor
    of each row ``(g * t,)``, which comes second. ``high`` rows at once stay in the cache.
    """
    attracted, count, rows_ = pairs.take(logits), count.flatten(), count.numel()
    if form.positives == "mean":
        attraction = pairs.sum(attracted, rows_) / count
    changed = relations.value is not None or form.hardest is not None
    if changed or form.denominator == "own" or form.positives == "sum":
        attracted = attracted.clone()  # needed below, where logits are others
    if relations.value is not None:
        logits += relations.lift().to(logits.dtype)
        pairs.put(logits, attracted)  # positives weigh 1
    pairs.drop(logits)
    if form.hardest is not None:
        pairs.hide(logits)
        logits.copy_(dense.keep_hardest(logits, form.hardest))
        pairs.put(logits, attracted)
    if form.denominator != "all":
        pairs.hide(logits)
    peak, mass = _exponentials(logits.view(rows_, -1), high)
    partition = mass.log() + peak

    # ``pull`` is the gradient of each positive's logit, ``push`` that of each row's partition.
    push = torch.ones_like(partition)
    if form.denominator == "own":
        apart = pairs.of_row(partition) - attracted
        loss = pairs.sum(softplus(apart), rows_) / count
        loss = loss.masked_fill(partition.isneginf(), -torch.inf)  # nothing to contrast with
        pull = sigmoid(apart) / pairs.of_row(count)
        push = pairs.sum(pull, rows_)
    elif form.positives == "none":
        loss, pull = partition, None
    elif form.positives == "mean":
        loss = partition - attraction
        pull = pairs.of_row(1 / count)
    else:
        top = pairs.amax(attracted, rows_)
        share = (attracted - pairs.of_row(top)).clamp_max(0.0).exp()
        inside = pairs.sum(share, rows_)
        loss = partition - inside.log() - top
        pull = share / pairs.of_row(inside)
    if outer is None:
        return loss, None

    # Rows that are done with have pushes near 0. A factor of at least ``held`` keeps both
    # quotients finite; the tile takes what is left of the push.
    held = push.clamp_min(torch.finfo(push.dtype).tiny * 2.0**32)
    if form.denominator == "own" and bool((push < held).any()):
        logits *= (push / held).view(*logits.shape[:2], 1)
    if pull is not None:
        pairs.subtract(logits, pull * pairs.of_row(mass / held))
    return loss, held * outer.flatten() / mass


def _exponentials(logits: Tensor, high: int) -> tuple[Tensor, Tensor]:
    """Turn ``logits (rows, N)`` into ``exp(logits - peak)``; the peaks and sums of the rows."""
    peaks, masses = [], []
    for some in logits.split(max(high, 1)):
        peak = some.amax(-1, keepdim=True)
        peak = peak.where(peak.isfinite(), 0.0)  # an empty row: exp(-inf) = 0, and log 0 = -inf
        masses.append(some.sub_(peak).exp_().sum(-1))
        peaks.append(peak.squeeze(-1))
    return torch.cat(peaks), torch.cat(masses)
