"""``Pairs`` checked against the embeddings, and read as masks or as coordinates of a tile."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tspcrep.common.pairs import Pairs

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)

Field = tuple[Tensor, Tensor]  # anchors (G, B), candidates (G, N)


@dataclass(frozen=True)
class Relations:
    """The fields of :class:`tspcrep.common.pairs.Pairs`, so brought in shape that ``==`` answers
    each.

    Every field is ``(G, B)``, ``(G, N)``; ids below 0 have become -1 among the anchors and -2 among
    the candidates; ``group`` stands where it was left out.
    """

    row: Field | None
    group: Field | None
    ignore: Field | None
    value: Field | None
    band: float | None

    @classmethod
    def of(cls, pairs: Pairs, anchors: Tensor, candidates: Tensor) -> "Relations":
        """Check ``pairs`` against anchors ``(..., B, D)`` and candidates ``(..., N, D)``."""
        pairs = _with_group(pairs, anchors, candidates)
        lead = anchors.shape[:-2]
        lengths = anchors.shape[-2], candidates.shape[-2]

        def field(name: str) -> Field | None:
            pair = getattr(pairs, name)
            if pair is None:
                return None
            sides = zip(pair, ("anchors", "candidates"), lengths, strict=True)
            a, c = (
                _check(f"pairs.{name}[{side}]", x, (*lead, length), anchors.device, name == "value")
                for x, side, length in sides
            )
            if name == "value":
                return a, c
            return torch.where(a < 0, -1, a), torch.where(c < 0, -2, c)

        return cls(field("row"), field("group"), field("ignore"), field("value"), pairs.band)

    def masks(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """``positive``, ``dropped`` (bool) and ``log_weight`` of all pairs, ``(G, B, N)`` each."""
        if self.band is not None:
            a, c = self.value[0][..., None], self.value[1][:, None]
            positive = (c >= a - self.band) & (c <= a + self.band)
        else:
            positive = self.group[0][..., None] == self.group[1][:, None]
        dropped = torch.zeros_like(positive)
        if self.ignore is not None:
            dropped = (self.ignore[0][..., None] == self.ignore[1][:, None]) & ~positive
        if self.row is not None:
            same = self.row[0][..., None] == self.row[1][:, None]
            positive, dropped = positive & ~same, dropped | same
        if self.value is None:
            return positive, dropped, None
        weight = (self.value[0][..., None] - self.value[1][:, None]).abs().log1p()
        return positive, dropped, weight.masked_fill(positive, 0.0)

    def index(self) -> "Index":
        """Sort the ids once, so that the pairs of any tile are listed without comparing B x N."""
        positive = _Equal.ranges(*self.value, self.band) if self.group is None else None
        return Index(
            self,
            positive or _Equal.ids(*self.group),
            None if self.row is None else _Equal.ids(*self.row),
            None if self.ignore is None else _Equal.ids(*self.ignore),
        )

    def positive_at(self, g: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Whether each listed pair is positive, its own row aside."""
        if self.band is None:
            return self.group[0][g, i] == self.group[1][g, j]
        a, c = self.value[0][g, i], self.value[1][g, j]
        return (c >= a - self.band) & (c <= a + self.band)

    def same_row_at(self, g: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return self.row[0][g, i] == self.row[1][g, j]


@dataclass(frozen=True)
class Index:
    """Lists the positive and the dropped pairs of a tile of rows."""

    relations: Relations
    _positive: "_Equal"
    _row: "_Equal | None"
    _ignore: "_Equal | None"

    def positive_counts(self) -> Tensor:
        """How many positives each anchor has, ``(G, B)``."""
        count = self._positive.number
        if self._row is None:
            return count
        g, i, j = self._row.pairs(slice(None), slice(None))
        own = self.relations.positive_at(g, i, j).to(count.dtype)
        return count.index_put((g, i), -own, accumulate=True)

    def tile(self, groups: slice, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Flat positions of positives in a tile ``(g, t, N)``, their flat rows, dropped positions.

        Positions come row by row.
        """
        width = self._positive.order.shape[1]
        height = len(range(*rows.indices(self._positive.low.shape[1])))
        first_group, first_row = groups.start or 0, rows.start or 0

        def flat(g: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
            line = (g - first_group) * height + (i - first_row)
            return line * width + j, line

        g, i, j = self._positive.pairs(groups, rows)
        if self._row is not None:
            other = ~self.relations.same_row_at(g, i, j)
            g, i, j = g[other], i[other], j[other]
        positive, line = flat(g, i, j)
        dropped = []
        if self._row is not None:
            dropped.append(flat(*self._row.pairs(groups, rows))[0])
        if self._ignore is not None:
            g, i, j = self._ignore.pairs(groups, rows)
            false = ~self.relations.positive_at(g, i, j)
            dropped.append(flat(g[false], i[false], j[false])[0])
        return positive, line, torch.cat(dropped) if dropped else positive[:0]


@dataclass(frozen=True)
class _Equal:
    """Candidates in order of id, and for each anchor where its equals begin and how many follow."""

    order: Tensor  # (G, N)
    low: Tensor  # (G, B)
    number: Tensor  # (G, B)

    @classmethod
    def ids(cls, a: Tensor, c: Tensor) -> "_Equal":
        ordered, order = c.sort(-1)
        a = a.contiguous()
        low = torch.searchsorted(ordered, a)
        return cls(order, low, torch.searchsorted(ordered, a, right=True) - low)

    @classmethod
    def ranges(cls, a: Tensor, c: Tensor, band: float) -> "_Equal":
        ordered, order = c.sort(-1)
        low = torch.searchsorted(ordered, (a - band).contiguous())
        high = torch.searchsorted(ordered, (a + band).contiguous(), right=True)
        return cls(order, low, high - low)

    def pairs(self, groups: slice, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Indices ``(g, i, j)`` of the equal pairs of some anchors, one vector each."""
        low, number = self.low[groups, rows].flatten(), self.number[groups, rows].flatten()
        device, height = low.device, self.low[groups, rows].shape[1]
        line = torch.arange(len(number), device=device).repeat_interleave(number)
        step = torch.arange(len(line), device=device) - (number.cumsum(0) - number)[line]
        g = line // height + (groups.start or 0)
        i = line % height + (rows.start or 0)
        return g, i, self.order[g, low[line] + step]


def _with_group(pairs: Pairs, anchors: Tensor, candidates: Tensor) -> Pairs:
    if pairs.band is not None:
        if pairs.value is None or pairs.group is not None:
            raise ValueError("pairs.band needs pairs.value and takes the place of pairs.group")
        if not pairs.band >= 0:
            raise ValueError(f"pairs.band is {pairs.band}, expected a number >= 0")
        return pairs
    if pairs.group is not None:
        return pairs
    batch, count = anchors.shape[-2], candidates.shape[-2]
    if count < batch:
        raise ValueError(
            f"pairs.group is missing and there are {count} candidates for {batch} anchors; "
            "expected pairs.group, or candidate i as the positive of anchor i"
        )
    sample = torch.arange(count, device=anchors.device)
    return replace(pairs, group=(sample[:batch], sample))


def _check(name: str, x: Tensor, shape: tuple[int, ...], device, real: bool) -> Tensor:
    """``x`` as ``(G, rows)``, where it is ``(rows,)`` or ``shape``, which ends in rows."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}, expected a tensor of shape {shape[-1:]}")
    if x.device != device:
        raise ValueError(f"{name} is on {x.device}, expected {device}, where the embeddings are")
    if x.shape not in (shape[-1:], shape):
        shapes = str(shape[-1:]) + (f" or {shape}" if len(shape) > 1 else "")
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {shapes}, one id a row")
    if real:
        x = x.detach() if x.dtype.is_floating_point else x.float()
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} holds a value that is not finite, expected finite targets")
    elif x.dtype not in _INTEGERS:
        raise TypeError(f"{name} has dtype {x.dtype}, expected integers, such as torch.int64")
    else:
        x = x.long()
    return x.expand(shape).reshape(-1, shape[-1])
