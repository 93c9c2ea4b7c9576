"""SupReMix: supervised contrast for ordinal targets, with mixtures as positives and negatives."""

import torch
from torch import Tensor, nn

from tspcrep.common.features import beta, drawn_on, unit
from tspcrep.common.losses.checks import one_a_row, positive
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def supremix(
    embeddings: Tensor,
    values: Tensor,
    temperature: float = 0.3,
    band: float = 0.0,
    window: float = 5.0,
    mixtures: int = 4,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Contrast by the distance of real-valued targets.

        L_i = -1/|P_i| sum_{p in P_i} log [ exp(s_ip / T) / sum_a w_ia exp(s_ia / T) ]
        w_ia = 1 + |y_i - y_a| for negatives, 1 for positives

    over rows and mixtures alike, in one softmax. Wu et al., "Mixup Your Own Pairs"; ``T``,
    ``window`` and the mixing weights are theirs. Mixtures belong to one anchor each:

    - negative: ``b z_i + (1 - b) z_k`` for a negative ``k``, ``b ~ Beta(2, 8)``, target alike;
    - positive: ``a z_j + (1 - a) z_k`` with ``y_j < y_i < y_k``, both within ``window`` and outside
      the band, ``a = (y_k - y_i) / (y_k - y_j)``, so that its target is ``y_i``.

    Departures: targets within ``band`` are positives, because equality of real numbers finds none
    (``band=0`` is the paper's); ``mixtures`` of each kind are drawn for an anchor instead of all
    pairs; mixtures are brought to length 1 (as in the code, they carry no gradient); all logits
    share one maximum, where the released code shifts rows and mixtures apart and so sums numbers
    of different scale; an anchor at the edge, without ``j`` or ``k``, has no positive mixtures.
    ``mixtures=0`` is SupCon with weighted negatives.

    Args:
        embeddings: ``(N, D)``, all views' rows together.
        values: ``(N,)`` targets.
        temperature: divides the cosines.
        band: largest distance of targets that makes a positive.
        window: largest distance of targets that are mixed into a positive.
        mixtures: of each kind, for an anchor.
        generator: draws partners and weights.
    """
    one_a_row("values", values, len(embeddings))
    positive("temperature", temperature)
    positive("window", window)
    if mixtures < 0:
        raise ValueError(f"mixtures is {mixtures}, expected at least 0")
    z = unit(embeddings)
    row = torch.arange(len(z), device=z.device)
    pairs = Pairs(row=(row, row), value=(values, values), band=band)
    loss = info_nce(z, z, pairs, temperature, reduction="none")  # (N,)
    if not mixtures:
        return loss.mean()
    partition = info_nce(z, z, pairs, temperature, positives="none", reduction="none")
    score = partition - loss  # mean logit of real positives

    z = z.to(loss.dtype)
    y = values if values.dtype.is_floating_point else values.float()
    negative, far, has_far = _negative_mixtures(z, y, band, mixtures, generator)
    between, has_both = _positive_mixtures(z, y, band, window, mixtures, generator)
    push = torch.einsum("nd,nmd->nm", z, negative) / temperature + far.log1p()  # (N, M)
    pull = torch.einsum("nd,nmd->nm", z, between) / temperature  # (N, M)
    push = push.masked_fill(~has_far[:, None], -torch.inf)
    inside = pull.masked_fill(~has_both[:, None], -torch.inf)
    partition = torch.cat([partition[:, None], push, inside], 1).logsumexp(1)

    real = _in_band(y, band)[2] - 1  # |P_i| without mixtures, the row itself aside
    mixed = has_both * mixtures
    total = score * real + (pull * has_both[:, None]).sum(1)
    return (partition - total / (real + mixed)).mean()


def _negative_mixtures(z, y, band, mixtures, generator):
    """Mixtures ``(N, M, D)``, their targets' distance ``(N, M)``, and whether there are any."""
    order, low, count = _in_band(y, band)
    outside = len(y) - count
    rank = _draw(outside, mixtures, generator)
    rank = torch.where(rank < low[:, None], rank, rank + count[:, None])  # step over the band
    partner = order[rank.clamp_max(len(y) - 1)]
    weight = beta(tuple(partner.shape), 2.0, 8.0, z, generator)
    mixed = weight[..., None] * z[:, None] + (1 - weight[..., None]) * z[partner]
    distance = (1 - weight) * (y[:, None] - y[partner]).abs()
    return unit(mixed.detach()), distance.to(z.dtype), outside > 0


def _positive_mixtures(z, y, band, window, mixtures, generator):
    """Mixtures ``(N, M, D)`` of a lower and an upper neighbour, and whether there are both."""
    ordered, order = y.sort()
    edges = [
        torch.searchsorted(ordered, y - window, right=True),
        torch.searchsorted(ordered, y - band),
        torch.searchsorted(ordered, y + band, right=True),
        torch.searchsorted(ordered, y + window),
    ]
    lower, upper = (edges[1] - edges[0]).clamp_min(0), (edges[3] - edges[2]).clamp_min(0)
    last = len(y) - 1
    j = order[(edges[0][:, None] + _draw(lower, mixtures, generator)).clamp_max(last)]
    k = order[(edges[2][:, None] + _draw(upper, mixtures, generator)).clamp_max(last)]
    both = (lower > 0) & (upper > 0)
    span = torch.where(both[:, None], y[k] - y[j], 1.0)
    weight = ((y[k] - y[:, None]) / span).to(z.dtype)[..., None]
    return unit((weight * z[j] + (1 - weight) * z[k]).detach()), both


def _in_band(y: Tensor, band: float) -> tuple[Tensor, Tensor, Tensor]:
    """The order of targets, and where each row's band begins in it and how many it holds."""
    ordered, order = y.sort()
    low = torch.searchsorted(ordered, y - band)
    return order, low, torch.searchsorted(ordered, y + band, right=True) - low


def _draw(counts: Tensor, times: int, generator: torch.Generator | None) -> Tensor:
    """Integers below each count, ``(N, times)``; 0 where the count is 0."""
    device = drawn_on(generator, counts)
    uniform = torch.rand(len(counts), times, generator=generator, device=device).to(counts.device)
    return (uniform * counts[:, None]).long().clamp_max((counts[:, None] - 1).clamp_min(0))


class SupReMix(nn.Module):
    """:func:`supremix` as a module."""

    def __init__(
        self,
        temperature: float = 0.3,
        band: float = 0.0,
        window: float = 5.0,
        mixtures: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.temperature, self.band, self.window = temperature, band, window
        self.mixtures, self.generator = mixtures, generator

    def forward(self, embeddings: Tensor, values: Tensor) -> Tensor:
        options = self.temperature, self.band, self.window, self.mixtures, self.generator
        return supremix(embeddings, values, *options)
