"""Projection and prediction heads between the encoder and the loss, dropped after pretraining."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from tspcrep.common.batch_norm import BatchNorm


class ProjectionHead(nn.Module):
    """``layers - 1`` times linear, batch norm, ReLU; then linear. ``(..., in_dim) -> (..., dim)``.

    The head of SimCLR and of MoCo v2 has two layers; the larger ones of SimCLR v2 and BYOL follow
    from ``layers`` and ``hidden_dim``. Batch statistics are taken over all leading dimensions.

    Args:
        in_dim: dimension of the encoder's output.
        dim: dimension of the space in which the loss compares.
        hidden_dim: dimension of the hidden layers; ``in_dim`` by default.
        layers: number of linear layers.
        batch_norm: normalise each hidden layer over the batch. A batch of one row, which has no
            variance, is normalised by the running statistics. With several processes the statistics
            are those of each process, unless the head is converted to ``SyncBatchNorm``.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int = 128,
        hidden_dim: int | None = None,
        layers: int = 2,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is {layers}, expected at least 1")
        dims = [in_dim] + [hidden_dim or in_dim] * (layers - 1)
        blocks: list[nn.Module] = []
        for before, after in pairwise(dims):
            blocks.append(nn.Linear(before, after, bias=not batch_norm))
            if batch_norm:
                blocks.append(_BatchNorm(after))
            blocks.append(nn.ReLU())
        self.net = nn.Sequential(*blocks, nn.Linear(dims[-1], dim))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.net(x.reshape(-1, x.shape[-1]))
        return rows.view(*x.shape[:-1], -1)


class _BatchNorm(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class PredictionHead(ProjectionHead):
    """The predictor of BYOL, SimSiam and MoCo v3: two layers with batch norm, dim to dim."""

    def __init__(self, dim: int, hidden_dim: int | None = None) -> None:
        super().__init__(dim, dim, hidden_dim, layers=2, batch_norm=True)
