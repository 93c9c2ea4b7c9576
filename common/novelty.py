"""Novelty of rows relative to those seen so far: the bonus of Contrastive UCB."""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import check_finite


class Novelty(nn.Module):
    """Novelty of rows from the Gram matrix of all rows seen.

        score(f) = sqrt(f' (penalty I + sum_n f_n f_n')^-1 f)

    Qiu et al., "Contrastive UCB: Provably Efficient Contrastive Self-Supervised Learning in Online
    Reinforcement Learning": its exploration bonus, less the factor, read here as an anomaly score
    of windows or segments. It is the square root of a ridge regression's leverage: rows seen often
    score low, and a direction never seen scores ``||f|| / sqrt(penalty)``. The state is ``D^2``
    numbers in float64, whatever the number of rows; rows may come in any order and in parts.

    Args:
        dim: of the rows.
        penalty: ``lambda``; the released code's 1.
    """

    gram: Tensor

    def __init__(self, dim: int, penalty: float = 1.0) -> None:
        super().__init__()
        if not 0 < penalty < float("inf"):
            raise ValueError(f"penalty is {penalty}, expected a finite number above 0")
        self.penalty = penalty
        self.register_buffer("gram", torch.zeros(dim, dim, dtype=torch.float64))

    @torch.no_grad()
    def see(self, rows: Tensor) -> "Novelty":
        """Add rows ``(N, dim)`` to those seen."""
        f = self._rows(rows)
        self.gram += f.T @ f
        return self

    @torch.no_grad()
    def forward(self, rows: Tensor) -> Tensor:
        """Scores ``(N,)`` of rows ``(N, dim)``, in float64."""
        f = self._rows(rows)
        gram = self.gram + self.penalty * torch.eye(len(self.gram), device=f.device).to(f)
        # With gram = L L', f' gram^-1 f = ||L^-1 f||^2.
        lower = torch.linalg.cholesky(gram)
        return torch.linalg.solve_triangular(lower, f.T, upper=False).norm(dim=0)

    def _rows(self, rows: Tensor) -> Tensor:
        if rows.ndim != 2 or rows.shape[1] != len(self.gram):
            raise ValueError(f"rows have shape {tuple(rows.shape)}, expected (N, {len(self.gram)})")
        check_finite("row", rows)
        return rows.detach().to(self.gram)
