"""Which candidates are positive, ignored or weighted for each anchor: one id per row, no mask."""

from dataclasses import dataclass

import torch
from torch import Tensor

Ids = tuple[Tensor, Tensor]
Values = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Pairs:
    """Which candidates are positive, negative or ignored for each anchor, given as ids of rows.

    Each field is a pair of vectors, ``(anchors (B,), candidates (N,))``, or None. With leading
    batch dimensions (anchors ``(G, B, D)``) a vector is shared by all groups, or has shape
    ``(G, B)``, ``(G, N)``. Ids have any integer dtype, or are bool. The fields are read in this
    order:

    - ``row``: same row, so the candidate is the anchor itself. The pair is dropped.
    - ``group``: same group (sample, label, segment, cluster). The pair is positive.
    - ``band``: with ``value``, takes the place of ``group``: positive when
      ``|value_i - value_j| <= band``. Equality of floats would find no positive at all.
    - ``ignore``: same id, yet not positive, so a false negative. The pair is dropped.
    - ``value``: ordinal target. What is left is negative, weighted by ``1 + |value_i - value_j|``
      (distance magnifying of SupReMix, "Mixup Your Own Pairs").
    - ``log_weight``: ``(N,)`` real numbers ``b_j``, of the candidates alone, added to the logits
      ``<a_i, c_j> / T`` of positives and negatives. ``-log q_j`` corrects for candidates drawn with
      probability ``q_j`` (logQ; Yi et al., "Sampling-Bias-Corrected Neural Modeling"); CSGCL adds
      the strength of a node's community. Takes a gradient where it requires one.

    A negative id equals nothing, not even itself: an unlabelled row has no positive and is a
    negative of every other row. Without ``group`` and ``band``, candidate ``i`` is the
    positive of anchor ``i``, and candidates from ``B`` on (a queue) are negatives.
    """

    row: Ids | None = None
    group: Ids | None = None
    ignore: Ids | None = None
    value: Values | None = None
    band: float | None = None
    log_weight: Tensor | None = None

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
