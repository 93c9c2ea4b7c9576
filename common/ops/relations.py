"""``Pairs`` checked against the embeddings, as masks or as sorted ids that list their equals."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tspcrep.common.errors import UserError
from tspcrep.common.ops.selection import Listed, Masked
from tspcrep.common.pairs import Pairs

LISTED = 1 << 15  # pairs that are cheaper to list than to look for in a mask

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.bool)
_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)

Field = tuple[Tensor, Tensor]  # anchors (G, B), candidates (G, N)


@dataclass(frozen=True)
class Relations:
    """The fields of :class:`tspcrep.common.pairs.Pairs` in a form that plain ``==`` compares.

    Every field is ``(G, B)``, ``(G, N)``; ids below 0 become -1 among the anchors and -2 among the
    candidates, and a missing ``group`` is filled in.
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

    def part(self, groups: slice, rows: slice) -> "Relations":
        """The same for some anchors of some groups."""

        def cut(field: Field | None) -> Field | None:
            return field and (field[0][groups, rows], field[1][groups])

        fields = cut(self.row), cut(self.group), cut(self.ignore), cut(self.value)
        return Relations(*fields, self.band)

    def masks(self) -> tuple[Tensor, Tensor]:
        """``positive`` and ``dropped`` of all pairs, bool ``(G, B, N)`` each."""
        if self.band is not None:
            a, c = _across(self.value)
            positive = (c >= a - self.band) & (c <= a + self.band)
        else:
            a, c = _across(self.group)
            positive = a == c
        dropped = torch.zeros_like(positive)
        if self.ignore is not None:
            dropped = (self.ignore[0][..., None] == self.ignore[1][:, None]) & ~positive
        if self.row is not None:
            same = self.row[0][..., None] == self.row[1][:, None]
            positive, dropped = positive & ~same, dropped | same
        return positive, dropped

    def lift(self) -> Tensor:
        """``log(1 + |value_i - value_j|)`` of all pairs ``(G, B, N)``; positives do not take it."""
        a, c = _across(self.value)
        return (a - c).abs_().log1p_()

    @cached_property
    def index(self) -> "Index":
        """The ids sorted once, so that pairs are listed without comparing B x N."""
        if self.band is None:
            positive = _Equal.ids(*_given(self.group))
        else:
            positive = _Equal.ranges(*_given(self.value), self.band)
        return Index(
            self,
            positive,
            self.row and _Equal.ids(*self.row),
            self.ignore and _Equal.ids(*self.ignore),
        )

    def positive_at(self, g: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Whether each listed pair is positive, its own row aside."""
        if self.band is None:
            a, c = _given(self.group)
            return a[g, i] == c[g, j]
        a, c = _given(self.value)
        a, c = a[g, i], c[g, j]
        return (c >= a - self.band) & (c <= a + self.band)

    def same_row_at(self, g: Tensor, i: Tensor, j: Tensor) -> Tensor:
        a, c = _given(self.row)
        return a[g, i] == c[g, j]


def _given(field: Field | None) -> Field:
    """A field that the others of the same relations ask for, and that was seen to be there."""
    assert field is not None
    return field


def _across(field: Field | None) -> Field:
    """The field as columns and rows, so that an operation is one of all pairs ``(G, B, N)``."""
    a, c = _given(field)
    return a[..., None], c[:, None]


@dataclass(frozen=True)
class Index:
    """Counts and lists the positive and the dropped pairs of a tile of rows."""

    relations: Relations
    _positive: "_Equal"
    _row: "_Equal | None"
    _ignore: "_Equal | None"

    @cached_property
    def positive_counts(self) -> Tensor:
        """How many positives each anchor has, ``(G, B)``."""
        count = self._positive.number.clone()
        if self._row is None:
            return count
        groups, batch = count.shape
        limit = LISTED * self._row.order.shape[1]  # one or two of the same row are usual
        if int(self._row.number.sum()) > max(LISTED, 4 * count.numel()):
            limit = LISTED
        for part in parts(slice(0, groups), slice(0, batch), self._row.order.shape[1], limit):
            g, i, j = self._row.pairs(*part)
            own = self.relations.positive_at(g, i, j).to(count.dtype)
            count.index_put_((g, i), -own, accumulate=True)
        return count

    def few(self, groups: slice, rows: slice) -> bool:
        """Whether the positives of a tile are few enough to be listed."""
        number = self._positive.number[groups, rows]
        logits = number.numel() * self._positive.order.shape[1]
        return int(number.sum()) <= max(LISTED, logits // 64)

    def listed(self, groups: slice, rows: slice) -> Listed:
        """Pairs of a tile ``(g, t, N)``; their positions come row by row."""
        g, i, j = self._positive.pairs(groups, rows)
        if self._row is not None:
            other = ~self.relations.same_row_at(g, i, j)
            g, i, j = g[other], i[other], j[other]
        line = (g - groups.start) * (rows.stop - rows.start) + (i - rows.start)
        dropped = torch.cat(self._dropped(groups, rows))
        return Listed(line * self._positive.order.shape[1] + j, line, dropped)

    def masked(self, groups: slice, rows: slice) -> Masked:
        """The same pairs as masks; dropped ones still as a list where they are few."""
        part = self.relations.part(groups, rows)
        fields = [field for field in (self._row, self._ignore) if field is not None]
        if sum(int(field.number[groups, rows].sum()) for field in fields) > LISTED:
            return Masked(*part.masks())
        positive = replace(part, row=None, ignore=None).masks()[0]
        same, ignored = self._dropped(groups, rows)
        positive.view(-1).index_fill_(0, same, False)
        return Masked(positive, torch.cat([same, ignored]))

    def _dropped(self, groups: slice, rows: slice) -> tuple[Tensor, Tensor]:
        """Flat positions of the same row, and of ignored pairs."""
        width, height = self._positive.order.shape[1], rows.stop - rows.start

        def flat(g: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return ((g - groups.start) * height + (i - rows.start)) * width + j

        same = ignored = torch.empty(0, dtype=torch.int64, device=self._positive.order.device)
        if self._row is not None:
            same = flat(*self._row.pairs(groups, rows))
        if self._ignore is not None:
            g, i, j = self._ignore.pairs(groups, rows)
            false = ~self.relations.positive_at(g, i, j)
            ignored = flat(g[false], i[false], j[false])
        return same, ignored


def parts(groups: slice, rows: slice, width: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Parts of ``groups`` x ``rows`` of at most ``limit`` logits: whole groups where these fit."""
    height = rows.stop - rows.start
    many = max(limit // (height * width), 1)
    few = max(min(limit // width, height), 1)
    for g in range(groups.start, groups.stop, many):
        for r in range(rows.start, rows.stop, few):
            yield slice(g, min(g + many, groups.stop)), slice(r, min(r + few, rows.stop))


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
        g = line // height + groups.start
        i = line % height + rows.start
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
    if not len(x) and not shape[-1]:
        raise UserError(f"{name} has no rows, expected at least one: skip the loss without rows")
    if x.device != device:
        raise ValueError(f"{name} is on {x.device}, expected {device}, where the embeddings are")
    if x.shape not in (shape[-1:], shape):
        shapes = str(shape[-1:]) + (f" or {shape}" if len(shape) > 1 else "")
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {shapes}, one id per row")
    if real:
        x = x.detach() if x.dtype.is_floating_point else x.float()
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} holds a value that is not finite, expected finite targets")
    elif x.dtype not in _INTEGERS + _UNSIGNED:
        raise TypeError(f"{name} has dtype {x.dtype}, expected integers, such as torch.int64")
    else:
        unsigned, x = x.dtype in _UNSIGNED, x.long()
        if unsigned and bool((x < 0).any()):
            raise ValueError(f"{name} holds an id of 2^63 or more, expected ids that int64 holds")
    return x.expand(shape).reshape(-1, shape[-1])
