"""Heads between the encoder and the loss; thrown away after pretraining."""

from itertools import pairwise

from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """``layers - 1`` times linear, batch norm, ReLU; then linear. ``(..., in_dim) -> (..., dim)``.

    SimCLR's head has two layers, MoCo v2's too; SimCLR v2's and BYOL's wider ones are reached with
    ``layers`` and ``hidden``. Batch statistics are taken over all rows, whatever dimensions lead.

    Args:
        in_dim: of the encoder.
        dim: of the space of the loss.
        hidden: width in between; ``in_dim`` when left out.
        layers: linear layers.
        batch_norm: normalise hidden rows over the batch. Over several processes the statistics are
            each process's own unless the head is converted to ``SyncBatchNorm``.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int = 128,
        hidden: int | None = None,
        layers: int = 2,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is {layers}, expected at least 1")
        hidden = hidden or in_dim
        widths = [in_dim] + [hidden] * (layers - 1)
        blocks: list[nn.Module] = []
        for width, after in pairwise(widths):
            blocks.append(nn.Linear(width, after, bias=not batch_norm))
            if batch_norm:
                blocks.append(nn.BatchNorm1d(after))
            blocks.append(nn.ReLU())
        self.net = nn.Sequential(*blocks, nn.Linear(widths[-1], dim))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.net(x.reshape(-1, x.shape[-1]))
        return rows.view(*x.shape[:-1], -1)


class PredictionHead(ProjectionHead):
    """The predictor of BYOL, SimSiam, MoCo v3: two layers with batch norm, ``dim`` to ``dim``."""

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__(dim, dim, hidden, layers=2, batch_norm=True)
