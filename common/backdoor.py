"""A check of a trained encoder for backdoors: a few unlike inputs that it maps to one place."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tspcrep.common.losses.checks import check_finite


@dataclass(frozen=True)
class TriggerCluster:
    """Result of :func:`find_trigger_cluster`.

    Attributes:
        rows: ``(M,)`` places of the suspected rows in order; none where nothing stands out.
        scores: ``(N,)`` contraction around each row relative to the typical row, in robust
            deviations.
        centre: ``(D,)`` unit mean of the suspected embeddings; 0 where there are none. Rows that
            arrive later can be compared with it.
    """

    rows: Tensor
    scores: Tensor
    centre: Tensor


@torch.no_grad()
def find_trigger_cluster(
    embeddings: Tensor,
    inputs: Tensor,
    neighbours: int = 5,
    threshold: float = 3.5,
    most: float = 0.1,
) -> TriggerCluster:
    """The rows that a trigger may have drawn together.

        c_i = log mean_j ||x_i - x_j|| - log mean_j ||u_i - u_j||,   u = z / ||z||, j: nearest of i
        score_i = (c_i - median c) / (1.4826 median |c - median c|)

    Sun et al., "Backdoor Contrastive Learning via Bi-level Trigger Optimization" (BLTO) poisons
    about 1 % of the data with a pattern that survives augmentation; training then maps whatever
    carries it to one place. So a few inputs that have little in common lie closer together than the
    encoder brings others: ``c`` is high. The check is ours; their paper has the attack alone.
    Suspected is the largest group of rows above ``threshold`` that are linked as neighbours, if it
    has more than ``neighbours`` rows and at most a share of ``most``. A rare class to whose variety
    the encoder is invariant looks the same: look at the rows before they are dropped. Rotations
    and scales change nothing, nor do shifts of the inputs. On the tests' set of 800 windows, six
    seeds: all rows and no other where 2 or 4 % are poisoned, every second time at 1 %, and never an
    alarm on clean data.

    Args:
        embeddings: ``(N, D)``; their cosines count.
        inputs: ``(N, F)`` of the same rows, flattened: values of a window, features of a segment.
        neighbours: of a row; fewer than there are poisoned rows.
        threshold: in robust deviations; Iglewicz and Hoaglin's 3.5 for outliers.
        most: largest share of rows that is still a trigger and no class.
    """
    for name, x in (("embeddings", embeddings), ("inputs", inputs)):
        if x.ndim != 2 or len(x) != len(embeddings):
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, expected two matrices (N, D) and (N, F)"
            )
        check_finite(f"{name} row", x)
    if not 1 <= neighbours < len(embeddings):
        raise ValueError(f"neighbours is {neighbours}, expected 1 to {len(embeddings) - 1}")
    if not threshold > 0 or not 0 < most <= 1:
        raise ValueError(
            f"threshold is {threshold} and most {most}, expected above 0, and above 0 to 1"
        )
    u, x = normalize(embeddings.double(), dim=-1), inputs.double()
    near = _nearest(u, neighbours)
    contraction = _log_distance(x, near) - _log_distance(u, near)
    centred = contraction - contraction.median()
    scores = centred / (1.4826 * centred.abs().median()).clamp_min(1e-12)
    rows = _largest_group(near, scores > threshold)
    if not neighbours < len(rows) <= most * len(u):
        rows = rows[:0]
    centre = normalize(u[rows].sum(0), dim=0).to(embeddings.dtype)
    return TriggerCluster(rows, scores, centre)


def _nearest(u: Tensor, count: int) -> Tensor:
    """Places ``(N, count)`` of the other rows with the largest cosines."""
    places = []
    for start in range(0, len(u), 1024):
        cosine = u[start : start + 1024] @ u.T
        cosine.diagonal(start).fill_(-math.inf)
        places.append(cosine.topk(count).indices)
    return torch.cat(places)


def _log_distance(x: Tensor, near: Tensor) -> Tensor:
    """``log`` of the mean distance ``(N,)`` to the given rows, above what rounding leaves of 0."""
    size = (x - x.mean(0)).square().sum(1).mean().sqrt().clamp_min(1e-300)
    distance = torch.stack([(x - x[j]).norm(dim=1) for j in near.T]).mean(0)
    return (distance / size).clamp_min(1e-9).log()


def _largest_group(near: Tensor, flagged: Tensor) -> Tensor:
    """Places of the largest group of flagged rows that are linked as neighbours, in order."""
    label = torch.arange(len(near), device=near.device)
    own = label[:, None].expand_as(near)
    linked = flagged[:, None] & flagged[near]
    a, b = own[linked], near[linked]
    while True:  # each row takes the smallest label among its neighbours, until none changes
        low = torch.minimum(label[a], label[b])
        new = label.scatter_reduce(0, a, low, "amin").scatter_reduce(0, b, low, "amin")
        if new.equal(label):
            break
        label = new
    sizes = label[flagged].bincount(minlength=len(near))
    return (flagged & (label == sizes.argmax())).nonzero()[:, 0]
