"""Who is positive, ignored or weighted, by ids of rows and never by a dense mask."""

from dataclasses import dataclass

import torch
from torch import Tensor

Ids = tuple[Tensor, Tensor]
Values = tuple[Tensor, Tensor]

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


@dataclass(frozen=True)
class Pairs:
    """How anchors ``i`` and candidates ``j`` relate, from one number a row and field.

    Each field is a pair of vectors, ``(anchors (B,), candidates (N,))``, or None. With leading
    batch dimensions (anchors ``(G, B, D)``) a vector is shared by all groups, or has shape
    ``(G, B)``, ``(G, N)``. The fields are read in this order:

    - ``row``: same row, so the candidate is the anchor itself. The pair is dropped.
    - ``group``: same group (sample, label, segment, cluster). The pair is positive.
    - ``band``: with ``value``, takes the place of ``group``: positive when
      ``|value_i - value_j| <= band``. Equality of floats would find no positive at all.
    - ``ignore``: same id, yet not positive, so a false negative. The pair is dropped.
    - ``value``: ordinal target. What is left is negative, weighted by ``1 + |value_i - value_j|``
      (distance magnifying of SupReMix, "Mixup Your Own Pairs", section 3.3).

    A negative id equals nothing, not even itself: an unlabelled row has no positive of its own and
    is a plain negative of every other row. Without ``group`` and ``band``, candidate ``i`` is the
    positive of anchor ``i``, and candidates from ``B`` on (a queue) are negatives.
    """

    row: Ids | None = None
    group: Ids | None = None
    ignore: Ids | None = None
    value: Values | None = None
    band: float | None = None

    @classmethod
    def views(cls, batch: int, views: int = 2, device: torch.device | str = "cpu") -> "Pairs":
        """``views`` views of ``batch`` samples, stacked view by view: ``(views * batch, D)``.

        Anchors and candidates are the same rows: a row is dropped for itself, the other views of
        its sample are its positives.
        """
        row = torch.arange(views * batch, device=device)
        sample = row % batch
        return cls(row=(row, row), group=(sample, sample))

    @classmethod
    def labels(cls, labels: Tensor) -> "Pairs":
        """Rows ``(B,)`` against themselves: same label is positive, the row itself is dropped."""
        row = torch.arange(labels.shape[-1], device=labels.device)
        return cls(row=(row, row), group=(labels, labels))

    def resolve(self, lead: tuple[int, ...], anchors: int, candidates: int, device) -> "Pairs":
        """Check every field and bring it to ``(G or 1, B)``, ``(G or 1, N)``.

        Afterwards plain ``==`` of ids answers each question: ids below 0 are replaced by -1 among
        the anchors and -2 among the candidates, and ``group`` stands where it was left out.
        """
        if self.band is not None:
            if self.value is None or self.group is not None:
                raise ValueError("pairs.band needs pairs.value and takes the place of pairs.group")
            if not self.band >= 0:
                raise ValueError(f"pairs.band is {self.band}, expected a number >= 0")
        group = self.group
        if group is None and self.band is None:
            if candidates < anchors:
                raise ValueError(
                    f"pairs.group is missing and there are {candidates} candidates for {anchors} "
                    "anchors; expected pairs.group, or candidate i as the positive of anchor i"
                )
            group = (
                torch.arange(anchors, device=device),
                torch.arange(candidates, device=device),
            )

        def field(name: str, pair: tuple[Tensor, Tensor] | None, integers: bool):
            if pair is None:
                return None
            sides = zip(pair, ("anchors", "candidates"), (anchors, candidates), strict=True)
            return tuple(
                _check(f"pairs.{name}[{side}]", x, lead, length, device, integers)
                for x, side, length in sides
            )

        def ids(name: str, pair: Ids | None) -> Ids | None:
            pair = field(name, pair, integers=True)
            if pair is None:
                return None
            a, c = pair
            return torch.where(a < 0, -1, a), torch.where(c < 0, -2, c)

        return Pairs(
            row=ids("row", self.row),
            group=ids("group", group),
            ignore=ids("ignore", self.ignore),
            value=field("value", self.value, integers=False),
            band=self.band,
        )

    def positive_counts(self) -> Tensor:
        """How many positives each anchor has, ``(G or 1, B)``, in O((B + N) log N)."""
        fields = [self.group or self.value] + ([self.row] if self.row else [])
        lead = max(len(x) for pair in fields for x in pair)
        whole = [tuple(x.expand(lead, -1).contiguous() for x in pair) for pair in fields]
        a, c = whole[0]
        low, high = (a, a) if self.band is None else (a - self.band, a + self.band)
        ordered = c.sort(-1).values
        count = torch.searchsorted(ordered, high, right=True) - torch.searchsorted(ordered, low)
        if self.row is None:
            return count
        g, i, j = _equal(*whole[1])  # an anchor's own row is no positive of it
        own = (c[g, j] >= low[g, i]) & (c[g, j] <= high[g, i])
        return count.index_put((g, i), -own.to(count.dtype), accumulate=True)

    def tile(self, groups: slice, rows: slice) -> "Masks":
        """The relations of a tile of a resolved ``Pairs``: ``(g, t, N)`` for each mask."""

        def sides(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            a, c = (x if len(x) == 1 else x[groups] for x in pair)
            return a[:, rows, None], c[:, None, :]

        if self.band is not None:
            a, c = sides(self.value)
            positive = (c >= a - self.band) & (c <= a + self.band)
        else:
            a, c = sides(self.group)
            positive = a == c
        dropped = None
        if self.ignore is not None:
            a, c = sides(self.ignore)
            dropped = (a == c) & ~positive
        if self.row is not None:
            a, c = sides(self.row)
            same = a == c
            positive = positive & ~same
            dropped = same if dropped is None else dropped | same
        weight = None
        if self.value is not None:
            a, c = sides(self.value)
            weight = (a - c).abs_().log1p_().masked_fill_(positive, 0.0)
        return Masks(positive, dropped, weight)


@dataclass(frozen=True)
class Masks:
    """Relations of ``t`` anchors to all ``N`` candidates, each ``(g or 1, t, N)``."""

    positive: Tensor  # bool
    dropped: Tensor | None  # bool
    log_weight: Tensor | None  # log w_ij, 0 for positives


def _check(name: str, x: Tensor, lead: tuple[int, ...], length: int, device, integers: bool):
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}, expected a tensor of shape ({length},)")
    if x.device != device:
        raise ValueError(f"{name} is on {x.device}, expected {device}, where the embeddings are")
    if x.shape not in ((length,), (*lead, length)):
        shapes = f"({length},)" + (f" or {(*lead, length)}" if lead else "")
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {shapes}, one id a row")
    if integers and x.dtype not in _INTEGERS:
        raise TypeError(f"{name} has dtype {x.dtype}, expected integers, such as torch.int64")
    if not integers:
        if not x.dtype.is_floating_point:
            x = x.float()
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} holds a value that is not finite, expected finite targets")
        x = x.detach()
    return x.reshape(-1, length)


def _equal(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (group, anchor, candidate) of all pairs of equal ids in ``(G, B)``, ``(G, N)``."""
    ordered, order = c.sort(-1)
    low = torch.searchsorted(ordered, a)
    number = torch.searchsorted(ordered, a, right=True) - low
    g, i = number.nonzero(as_tuple=True)
    number = number[g, i]
    pair = torch.arange(len(g), device=a.device).repeat_interleave(number)
    step = torch.arange(len(pair), device=a.device) - (number.cumsum(0) - number)[pair]
    g, i = g[pair], i[pair]
    return g, i, order[g, low[g, i] + step]
