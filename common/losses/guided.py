"""GIST: a guide's similarities decide which candidates are false negatives and left out."""

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.checks import positive
from tspcrep.common.losses.rows import exact_rows, full_precision


def guided_info_nce(
    first: Tensor,
    second: Tensor,
    guide_first: Tensor,
    guide_second: Tensor,
    temperature: float | Tensor = 0.01,
    margin: float = 0.0,
    within: bool = True,
) -> Tensor:
    """InfoNCE without the candidates that a guide finds closer than the positive.

        L_i = -s(x_i, y_i) / T + log [ exp(s(x_i, y_i) / T) + sum over what is kept of
              exp(s(x_i, y_j) / T),  exp(s(x_i, x_j) / T),  exp(s(y_i, y_j) / T),  j != i ]
        kept:  g_ij <= g(x_i, y_i) - margin,   g: the guide's cosine of the same pair

    Solatorio, "GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding
    Fine-tuning", with the temperature of its widely used implementation (sentence-transformers),
    which also has the margin. A guide may be an earlier encoder, or raw values: statistics of a
    window, the colour and height of a segment. Where the guide drops nobody, and with
    ``within=False``, it is :class:`tspcrep.common.losses.InfoNCE`. Who is dropped does not follow
    from ids, so three matrices ``B x B`` are held.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples.
        guide_first, guide_second: the guide's embeddings ``(B, E)`` of the same rows; no gradient.
        temperature: divides the cosines.
        margin: the higher, the more is dropped; -2 drops nobody.
        within: pairs of the same view are negatives too.
    """
    positive("temperature", temperature)
    first, second = exact_rows(first=first, second=second)
    guides = exact_rows(guide_first=guide_first.detach(), guide_second=guide_second.detach())
    if first.ndim != 2 or len(guides[0]) != len(first):
        raise ValueError(
            f"guide_first has shape {tuple(guide_first.shape)} for rows of shape "
            f"{tuple(first.shape)}, expected one row (E,) for each row (D,)"
        )
    u, g = ([unit(x) for x in pair] for pair in ((first, second), guides))
    own = torch.eye(len(first), dtype=torch.bool, device=first.device)
    blocks = ((0, 1), (0, 0), (1, 1)) if within else ((0, 1),)
    with full_precision(first):
        most = (g[0] * g[1]).sum(-1, keepdim=True) - margin  # (B, 1)
        logits = torch.cat([u[a] @ u[b].T for a, b in blocks], 1) / temperature
        dropped = torch.cat([g[a] @ g[b].T > most for a, b in blocks], 1)
    # The positive stays whatever the margin; a row is never its own negative.
    keep = torch.cat([own] + [torch.zeros_like(own)] * (len(blocks) - 1), 1)
    drop = torch.cat([torch.zeros_like(own)] + [own] * (len(blocks) - 1), 1)
    partition = logits.masked_fill((dropped & ~keep) | drop, -torch.inf).logsumexp(1)
    return (partition - logits.diagonal()).mean()


class GuidedInfoNCE(nn.Module):
    """:func:`guided_info_nce` as a module."""

    def __init__(self, temperature: float = 0.01, margin: float = 0.0, within: bool = True) -> None:
        super().__init__()
        self.temperature, self.margin, self.within = temperature, margin, within

    def forward(
        self, first: Tensor, second: Tensor, guide_first: Tensor, guide_second: Tensor
    ) -> Tensor:
        guides = guide_first, guide_second
        return guided_info_nce(first, second, *guides, self.temperature, self.margin, self.within)
