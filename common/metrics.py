"""Metrics of a representation during training, on rows of embeddings and without gradient.

No function stores an N x N matrix. In a process group, :func:`diagnostics` gathers the rows of all
ranks, so every rank logs the numbers that a single process would.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tspcrep.common.distributed import gather
from tspcrep.common.ops import info_nce
from tspcrep.common.ops.gaussian import log_kernel_mean


@torch.no_grad()
def _alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of positive pairs, ``E ||f(x) - f(x+)||^2``; 0 at best.

    Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", with exponent 2.
    """
    return (_unit(first) - _unit(second)).square().sum(-1).mean()


@torch.no_grad()
def _uniformity(x: Tensor, t: float = 2.0) -> Tensor:
    """``log E exp(-t ||f(x) - f(y)||^2)`` over pairs of different rows; lower is more uniform.

    0 means collapse to one point. Wang and Isola, as above, with their default ``t``.
    """
    x = _unit(x)
    return log_kernel_mean(x, 1 / (2 * t)).logsumexp(0) - math.log(len(x))


@torch.no_grad()
def _tolerance(x: Tensor, labels: Tensor) -> Tensor:
    """``E f(x)^T f(y) 1[l(x) = l(y)]`` over pairs of different rows: closeness within a label.

    Wang and Liu, "Understanding the Behaviour of Contrastive Loss". Computed from the sum of the
    rows of each label, in O(N D).
    """
    x = _unit(x)
    if labels.shape != x.shape[:1]:
        raise ValueError(f"labels has shape {tuple(labels.shape)}, expected ({len(x)},)")
    _, label = labels.unique(return_inverse=True)
    sums = x.new_zeros(int(label.max()) + 1, x.shape[1]).index_add_(0, label, x)
    return (sums.square().sum() - x.square().sum()) / (len(x) * (len(x) - 1))


@torch.no_grad()
def _effective_rank(x: Tensor) -> Tensor:
    """Exponential of the entropy of the normalised singular values, from 1 (collapse) to D.

    Roy and Vetterli, "The Effective Rank"; RankMe applies it to embeddings.
    """
    s = torch.linalg.svdvals(x.to(torch.promote_types(x.dtype, torch.float32)))
    share = s / s.sum().clamp_min(torch.finfo(s.dtype).tiny)
    return torch.special.entr(share).sum().exp()


@torch.no_grad()
def _score_histograms(first: Tensor, second: Tensor, bins: int = 50) -> dict[str, Tensor]:
    """Histograms of the cosines of positive and of negative pairs, in equal bins from -1 to 1.

    The diagnostics of "Improving Contrastive Learning by Visualizing Feature Transformation".

    Returns:
        ``edges (bins + 1,)``, the counts ``positive (bins,)`` and ``negative (bins,)``, and the
        mean and variance of both scores.
    """
    a, b = _unit(first), _unit(second)
    positive = (a * b).sum(-1).clamp(-1, 1)
    negative, total, squares = a.new_zeros(bins), a.new_zeros(()), a.new_zeros(())
    height = max((1 << 20) // len(b), 1)
    for start in range(0, len(a), height):
        score = (a[start : start + height] @ b.T).clamp_(-1, 1)
        score.diagonal(start).fill_(torch.nan)  # positives are no negatives
        score = score[score.isfinite()]
        negative += torch.histc(score, bins, -1, 1)
        total += score.sum()
        squares += score.square().sum()
    count = len(a) * (len(a) - 1)
    mean = total / count
    return {
        "edges": torch.linspace(-1, 1, bins + 1),
        "positive": torch.histc(positive, bins, -1, 1),
        "negative": negative,
        "positive_mean": positive.mean(),
        "positive_var": positive.var(correction=0),
        "negative_mean": mean,
        "negative_var": squares / count - mean.square(),
    }


@torch.no_grad()
def _hard_negative_weight(
    first: Tensor, second: Tensor, temperature: float, fraction: float = 0.08
) -> Tensor:
    """Share of the gradient on negatives that the hardest ``fraction`` of them receives.

    The gradient with respect to a negative's score is its softmax weight (Wang and Liu,
    "Understanding the Behaviour of Contrastive Loss"), so the share is a ratio of two partition
    functions, averaged over anchors: ``fraction`` if all negatives weigh the same, and towards 1 at
    low temperature.
    """
    a, b = _unit(first), _unit(second)
    hardest = max(math.ceil(fraction * (len(b) - 1)), 1)

    def partition(**options) -> Tensor:
        return info_nce(
            a,
            b,
            None,
            temperature,
            positives="none",
            denominator="negatives",
            reduction="none",
            **options,
        )

    return (partition(hardest=hardest) - partition()).exp().mean()


@torch.no_grad()
def diagnostics(
    first: Tensor, second: Tensor, temperature: float, labels: Tensor | None = None
) -> dict[str, Tensor]:
    """All metrics of this file for two views ``(B, D)``, over the rows of all ranks.

    Returns scalars, and histograms of the cosines of positive and negative pairs as
    ``positive_scores (bins,)`` and ``negative_scores (bins,)``. The tolerance is included if
    ``labels (B,)`` are given.
    """
    first, second = gather(first.detach()), gather(second.detach())
    both = torch.cat([first, second])
    found = {
        "alignment": _alignment(first, second),
        "uniformity": _uniformity(both),
        "effective_rank": _effective_rank(both),
        "hard_negative_weight": _hard_negative_weight(first, second, temperature),
    }
    if labels is not None:
        found["tolerance"] = _tolerance(first, gather(labels))
    histograms = _score_histograms(first, second)
    counts = {f"{name}_scores": histograms[name] for name in ("positive", "negative")}
    scalars = {f"{name}_score": x for name, x in histograms.items() if x.ndim == 0}
    return found | counts | {n.replace("_mean_score", "_score"): x for n, x in scalars.items()}


def _unit(x: Tensor) -> Tensor:
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"embeddings have shape {tuple(x.shape)}, expected (N, D) with N >= 2")
    return normalize(x.detach().to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
