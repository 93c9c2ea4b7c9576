"""MCLRec: augmenters that learn, in feature space, to make views of embeddings."""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import of_one_sample, positive
from tspcrep.common.losses.rows import exact_rows, full_precision
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def margin_regulariser(first: Tensor, second: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Keeps the positive's score near the hardest negative's, and the other negatives' near both.

        R = mean_i relu(p_i - min(p_i, n_i)) + mean_ij relu(max(p_i, n_i) - n_ij)
        p_i = <z_i, z_i+> / T,   n_ij = <z_i, z_j> / T for the rows of other samples,
        n_i = max_j n_ij

    Qin et al., "Meta-optimized Contrastive Learning for Sequential Recommendation" (MCLRec), the
    contrastive regularisation, as its code computes it over both views ``(2B, D)``. Without it the
    learned augmenters find views that are trivially alike. As ``n_i`` is the largest ``n_ij``, no
    term of the second mean is below 0. It is 0 for equal rows. Memory is ``(2B)^2``.

    Args:
        first, second: two views ``(B, D)``, not normalised here. For a single sample it is 0.
        temperature: divides the products.
    """
    positive("temperature", temperature)
    z = torch.cat(exact_rows(first=first, second=second))  # (2B, D)
    if len(z) == 2:
        return of_one_sample(z)
    sample = torch.arange(len(z), device=z.device) % len(first)
    same = sample[:, None] == sample
    with full_precision(z):
        scores = z @ z.T / temperature
    mate = scores.gather(1, torch.arange(len(z), device=z.device).roll(len(first))[:, None])[:, 0]
    negative = scores[~same].view(len(z), -1)  # (2B, 2B - 2)
    hardest = negative.max(1).values
    pull = (mate - torch.minimum(mate, hardest)).mean()
    return pull + (torch.maximum(mate, hardest)[:, None] - negative).mean()


def meta_contrast(
    first: Tensor,
    second: Tensor,
    augmented_first: Tensor,
    augmented_second: Tensor,
    temperature: float | Tensor = 1.0,
    regulariser: float = 0.1,
) -> Tensor:
    """Contrast of embeddings with the learned views of their other view.

        L = N(z1, z4) + N(z2, z3) + N(z3, z4) + regulariser [R(z1, z4) + R(z2, z3) + R(z3, z4)]
        z3 = A1(z1),  z4 = A2(z2),  N: NT-Xent of inner products,  R: the margin regulariser

    MCLRec, with its released temperature and weight. There a batch has three updates: encoder,
    augmenters, encoder, the first and last with a weight of .01 to .1 beside the main loss; as
    released that is plain alternation, without a derivative through an update. Here these are two
    phases of a Method, "encoder" and "augmenter" (:class:`tspcrep.common.features.LearnedAugmenter`
    holds the parameters of the second). With augmenters that return their input, unit rows and
    ``regulariser=0`` it is three times :func:`tspcrep.common.losses.nt_xent`.

    Args:
        first, second: embeddings of two views ``(B, D)``.
        augmented_first, augmented_second: ``z3`` and ``z4``, ``(B, D)``.
        temperature: divides the products.
        regulariser: weight of the margin regulariser.
    """
    rows = exact_rows(
        first=first,
        second=second,
        augmented_first=augmented_first,
        augmented_second=augmented_second,
    )
    pairs = Pairs.views(len(first), 2, first.device)
    loss = rows[0].new_zeros(())
    for a, b in ((0, 3), (1, 2), (2, 3)):
        z = torch.cat([rows[a], rows[b]])
        loss = loss + info_nce(z, z, pairs, temperature)
        if regulariser:
            loss = loss + regulariser * margin_regulariser(rows[a], rows[b], temperature)
    return loss


class MetaContrast(nn.Module):
    """:func:`meta_contrast` as a module; augmenters are the method's."""

    def __init__(self, temperature: float = 1.0, regulariser: float = 0.1) -> None:
        super().__init__()
        self.temperature, self.regulariser = temperature, regulariser

    def forward(
        self, first: Tensor, second: Tensor, augmented_first: Tensor, augmented_second: Tensor
    ) -> Tensor:
        views = first, second, augmented_first, augmented_second
        return meta_contrast(*views, self.temperature, self.regulariser)
