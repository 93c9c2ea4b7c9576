"""InfoNCE in O(B + N) memory: logits, masks and gradients live in the registers of a kernel.

The forward kernel keeps a running log-sum-exp for each anchor; two backward kernels form the
logits again, one for the anchors' gradient and one for the candidates'. That takes five matrix
products in place of three, and stores nothing of size B x N, whatever the number of positives.
Masks are built inside a tile from the ids of :class:`tspcrep.common.ops.relations.Relations`.

Rows are 16- or 32-bit; sums are float32. ``hardest`` needs whole rows at once and is not here.
On a machine without GPU the kernels run under ``TRITON_INTERPRET=1``, which must be set before
triton is first imported; that is for tests, and slow.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from tspcrep.common.ops import tiled
from tspcrep.common.ops.relations import Relations

BLOCK = 64  # rows of anchors and of candidates in a tile
DEPTH = 64  # dimensions multiplied at once
WARPS = 8  # with 4 the accumulators spill on sm_90
WIDE = 128  # dimensions of a gradient that one program sums


def rows(anchors: Tensor, candidates: Tensor, relations: Relations, scale: float, form) -> Tensor:
    """As :func:`tspcrep.common.ops.dense.rows`: the loss of each anchor ``(G, B)``, in float32."""
    if form.hardest is not None:
        raise ValueError("impl='triton' keeps no whole row and has no hardest; use impl='tiled'")
    if anchors.dtype == torch.float64:
        raise TypeError("impl='triton' sums in float32, expected 16- or 32-bit embeddings")
    return _Rows.apply(anchors, candidates, relations, scale, form)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, relations, scale, form):
        anchors, candidates = anchors.contiguous(), candidates.contiguous()
        groups, batch, _ = anchors.shape
        keep = [torch.empty(groups, batch, device=anchors.device) for _ in range(5)]
        grid = (triton.cdiv(batch, BLOCK), groups)
        _forward[grid](
            *keep, **_arguments(anchors, candidates, relations, scale, form), num_warps=WARPS
        )
        loss, *saved = keep
        ctx.save_for_backward(anchors, candidates, *saved)
        ctx.extra = relations, scale, form
        return loss

    @staticmethod
    def backward(ctx, outer):
        anchors, candidates, *saved = ctx.saved_tensors
        relations, scale, form = ctx.extra
        if torch.is_grad_enabled():
            # The kernels' gradient is no function that autograd could follow.
            grads = tiled.gradient(anchors, candidates, outer, relations, scale, form)
            return *grads, None, None, None
        # The largest outer gradient is taken out: what is left is safe to multiply in 16 bit.
        top = outer.abs().amax().clamp_min(torch.finfo(outer.dtype).tiny)
        arguments = _arguments(anchors, candidates, relations, scale, form)
        outer = (outer / top).contiguous()
        grads = []
        for needed, x, of_candidates in zip(
            ctx.needs_input_grad[:2], (anchors, candidates), (False, True), strict=True
        ):
            if not needed:
                grads.append(None)
                continue
            grad = torch.empty_like(x, dtype=torch.float32)
            groups, length, dim = x.shape
            grid = (triton.cdiv(length, BLOCK), triton.cdiv(dim, WIDE), groups)
            _backward[grid](
                grad, outer, *saved,
                OF_CANDIDATES=of_candidates, WIDE=WIDE, **arguments, num_warps=WARPS,
            )  # fmt: skip
            grads.append((grad * (top * scale)).to(x.dtype))
        return *grads, None, None, None


def _arguments(anchors, candidates, relations, scale, form) -> dict:
    def field(name: str, pair) -> dict:
        a, c = (anchors, candidates) if pair is None else (x.contiguous() for x in pair)
        return {f"{name}_a": a, f"{name}_c": c}

    band = relations.band
    low, high = relations.group or relations.value, relations.group or relations.value
    if band is not None:
        # Edges are rounded here as everywhere else, so that all implementations agree on them.
        a, c = relations.value
        low, high = (a - band, c), (a + band, c)
    return {
        "anchors": anchors,
        "candidates": candidates,
        "low": low[0].contiguous(),
        "high": high[0].contiguous(),
        "group_c": low[1].contiguous(),
        **field("row", relations.row),
        **field("ignore", relations.ignore),
        **field("value", relations.value),
        "scale": scale,
        "batch": anchors.shape[1],
        "count": candidates.shape[1],
        "dim": anchors.shape[2],
        "HAS_ROW": relations.row is not None,
        "HAS_IGNORE": relations.ignore is not None,
        "HAS_VALUE": relations.value is not None,
        "POSITIVES": form.positives,
        "DENOMINATOR": form.denominator,
        "BLOCK": BLOCK,
        "DEPTH": DEPTH,
        "INTERPRETED": not anchors.is_cuda,
    }


@triton.jit
def _tile(
    anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c, value_a, value_c,
    scale, g, i, j, batch, count, dim,
    HAS_ROW: tl.constexpr, HAS_IGNORE: tl.constexpr, HAS_VALUE: tl.constexpr,
    DENOMINATOR: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr,
    INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Logits of anchors ``i`` and candidates ``j``, which are positive, and the denominator's."""
    here, there = i < batch, j < count
    logits = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    a_rows = anchors + (g.to(tl.int64) * batch + i)[:, None] * dim
    c_rows = candidates + (g.to(tl.int64) * count + j)[None, :] * dim
    for start in range(0, dim, DEPTH):
        d = start + tl.arange(0, DEPTH)
        a = tl.load(a_rows + d[None, :], mask=here[:, None] & (d < dim)[None, :], other=0.0)
        c = tl.load(c_rows + d[:, None], mask=there[None, :] & (d < dim)[:, None], other=0.0)
        if INTERPRETED:  # its dot takes the bits of bfloat16 for integers
            a, c = a.to(tl.float32), c.to(tl.float32)
        logits = tl.dot(a, c, logits, input_precision="ieee")
    logits *= scale

    pair = here[:, None] & there[None, :]
    at, to = g.to(tl.int64) * batch + i, g.to(tl.int64) * count + j
    least = tl.load(low + at, mask=here, other=0)
    most = tl.load(high + at, mask=here, other=0)
    found = tl.load(group_c + to, mask=there, other=0)
    positive = pair & (found[None, :] >= least[:, None]) & (found[None, :] <= most[:, None])
    inside = pair
    if HAS_ROW:
        own = tl.load(row_a + at, mask=here, other=0)
        other = tl.load(row_c + to, mask=there, other=0)
        different = own[:, None] != other[None, :]
        positive = positive & different
        inside = inside & different
    if HAS_IGNORE:
        own = tl.load(ignore_a + at, mask=here, other=0)
        other = tl.load(ignore_c + to, mask=there, other=0)
        inside = inside & (positive | (own[:, None] != other[None, :]))
    if DENOMINATOR != "all":
        inside = inside & (positive == 0)
    weighted = logits
    if HAS_VALUE:
        own = tl.load(value_a + at, mask=here, other=0.0)
        other = tl.load(value_c + to, mask=there, other=0.0)
        distance = tl.abs(own[:, None] - other[None, :]).to(tl.float32)
        weighted = tl.where(positive, logits, logits + tl.log(1.0 + distance))
    return logits, positive, tl.where(inside, weighted, float("-inf"))


@triton.jit
def _add(peak, mass, x):
    """A running log-sum-exp ``peak + log mass`` of rows, with one more tile."""
    new = tl.maximum(peak, tl.max(x, 1))
    shift = tl.where(new == float("-inf"), 0.0, new)
    return new, mass * tl.exp(peak - shift) + tl.sum(tl.exp(x - shift[:, None]), 1)


@triton.jit
def _forward(
    loss, partition, inverse, attraction, push,
    anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c, value_a, value_c,
    scale, batch, count, dim,
    HAS_ROW: tl.constexpr, HAS_IGNORE: tl.constexpr, HAS_VALUE: tl.constexpr,
    POSITIVES: tl.constexpr, DENOMINATOR: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr,
    INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Losses of ``BLOCK`` anchors, and four numbers per anchor for the backward pass."""
    g = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    peak = tl.full((BLOCK,), float("-inf"), dtype=tl.float32)
    mass = tl.zeros((BLOCK,), dtype=tl.float32)
    positive_peak = tl.full((BLOCK,), float("-inf"), dtype=tl.float32)
    positive_mass = tl.zeros((BLOCK,), dtype=tl.float32)
    number = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, count, BLOCK):
        j = start + tl.arange(0, BLOCK)
        logits, positive, weighted = _tile(
            anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c,
            value_a, value_c, scale, g, i, j, batch, count, dim,
            HAS_ROW, HAS_IGNORE, HAS_VALUE, DENOMINATOR, BLOCK, DEPTH, INTERPRETED,
        )  # fmt: skip
        peak, mass = _add(peak, mass, weighted)
        number += tl.sum(positive.to(tl.float32), 1)
        if POSITIVES == "sum":
            kept = tl.where(positive, logits, float("-inf"))
            positive_peak, positive_mass = _add(positive_peak, positive_mass, kept)
        if POSITIVES == "mean":
            positive_mass += tl.sum(tl.where(positive, logits, 0.0), 1)
    total = tl.where(mass > 0, peak + tl.log(tl.maximum(mass, 1e-38)), float("-inf"))
    each = 1 / tl.maximum(number, 1.0)
    gain = tl.zeros((BLOCK,), dtype=tl.float32)
    pushed = tl.full((BLOCK,), 1.0, dtype=tl.float32)
    result = total
    if POSITIVES == "sum":
        gain = tl.log(tl.maximum(positive_mass, 1e-38))
        gain += tl.where(number > 0, positive_peak, 0.0)
        result = total - gain
    if POSITIVES == "mean":
        gain = positive_mass * each
        result = total - gain
    if DENOMINATOR == "own":
        # Each positive against the partition just found: a second look at the row.
        spread = tl.zeros((BLOCK,), dtype=tl.float32)
        pushed = tl.zeros((BLOCK,), dtype=tl.float32)
        for start in range(0, count, BLOCK):
            j = start + tl.arange(0, BLOCK)
            logits, positive, weighted = _tile(
                anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c,
                value_a, value_c, scale, g, i, j, batch, count, dim,
                HAS_ROW, HAS_IGNORE, HAS_VALUE, DENOMINATOR, BLOCK, DEPTH, INTERPRETED,
            )  # fmt: skip
            apart = total[:, None] - logits
            soft = tl.maximum(apart, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(apart)))
            spread += tl.sum(tl.where(positive, soft, 0.0), 1)
            pushed += tl.sum(tl.where(positive, tl.sigmoid(apart), 0.0), 1)
        result = tl.where(mass > 0, spread * each, float("-inf"))
        pushed = pushed * each
    at = g.to(tl.int64) * batch + i
    tl.store(loss + at, result, mask=i < batch)
    tl.store(partition + at, total, mask=i < batch)
    tl.store(inverse + at, each, mask=i < batch)
    tl.store(attraction + at, gain, mask=i < batch)
    tl.store(push + at, pushed, mask=i < batch)


@triton.jit
def _backward(
    grad, outer, partition, inverse, attraction, push,
    anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c, value_a, value_c,
    scale, batch, count, dim,
    HAS_ROW: tl.constexpr, HAS_IGNORE: tl.constexpr, HAS_VALUE: tl.constexpr,
    POSITIVES: tl.constexpr, DENOMINATOR: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr,
    INTERPRETED: tl.constexpr,
    OF_CANDIDATES: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """``WIDE`` dimensions of the gradient of ``BLOCK`` anchors, or candidates."""
    g = tl.program_id(2)
    mine = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    d = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    length, others, rows = batch, count, candidates
    if OF_CANDIDATES:
        length, others, rows = count, batch, anchors
    total = tl.zeros((BLOCK, WIDE), dtype=tl.float32)
    for start in range(0, others, BLOCK):
        theirs = start + tl.arange(0, BLOCK)
        i, j = mine, theirs
        if OF_CANDIDATES:
            i, j = theirs, mine
        logits, positive, weighted = _tile(
            anchors, candidates, low, high, group_c, row_a, row_c, ignore_a, ignore_c,
            value_a, value_c, scale, g, i, j, batch, count, dim,
            HAS_ROW, HAS_IGNORE, HAS_VALUE, DENOMINATOR, BLOCK, DEPTH, INTERPRETED,
        )  # fmt: skip
        at = g.to(tl.int64) * batch + i
        lse = tl.load(partition + at, mask=i < batch, other=0.0)[:, None]
        each = tl.load(inverse + at, mask=i < batch, other=0.0)[:, None]
        slope = tl.exp(weighted - lse) * tl.load(push + at, mask=i < batch, other=0.0)[:, None]
        if POSITIVES == "sum":
            gain = tl.load(attraction + at, mask=i < batch, other=0.0)[:, None]
            slope -= tl.where(positive, tl.exp(tl.minimum(logits - gain, 0.0)), 0.0)
        if POSITIVES == "mean":
            pull = each
            if DENOMINATOR == "own":
                pull = tl.sigmoid(lse - logits) * each
            slope -= tl.where(positive, pull, 0.0)
        slope *= tl.load(outer + at, mask=i < batch, other=0.0)[:, None]
        if OF_CANDIDATES:
            slope = tl.trans(slope)
        at = (g.to(tl.int64) * others + theirs)[:, None] * dim + d[None, :]
        inside = (theirs < others)[:, None] & (d < dim)[None, :]
        x = tl.load(rows + at, mask=inside, other=0.0)
        slope = slope.to(x.dtype)
        if INTERPRETED:
            slope, x = slope.to(tl.float32), x.to(tl.float32)
        total = tl.dot(slope, x, total, input_precision="ieee")
    at = (g.to(tl.int64) * length + mine)[:, None] * dim + d[None, :]
    tl.store(grad + at, total, mask=(mine < length)[:, None] & (d < dim)[None, :])
