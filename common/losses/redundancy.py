"""Losses without negatives that keep dimensions apart: VICReg and Barlow Twins.

Overlapping windows and repeated segments are no false negatives here: no row is pushed away.
"""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import of_one_sample
from tspcrep.common.losses.rows import centred, exact_rows, full_precision, total


def vic_reg(
    first: Tensor,
    second: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    *,
    distributed: bool = False,
) -> Tensor:
    """Variance-invariance-covariance regularisation.

        L = invariance  mean_id (z_id - z'_id)^2
          + variance    [v(Z) + v(Z')] / 2,   v(Z) = mean_d relu(1 - sqrt(Var_d(Z) + 1e-4))
          + covariance  [c(Z) + c(Z')],       c(Z) = 1/D sum_{d != e} Cov_de(Z)^2

    Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning", Eqs. 1 to 6, with the weights of Section 4.2. As in the released code, the first term
    is a mean over dimensions too and the second is halved; the equations do neither. It is 0
    for equal views whose dimensions are uncorrelated with variance of at least 1.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples, not
            normalised. A single sample, which has no variance, has the loss 0.
        invariance, variance, covariance: weights of the terms.
        distributed: the rows are this process's share, and means, variances and covariances are
            those of the rows of all processes: ``D^2`` numbers are exchanged instead of all rows.
    """
    first, second = exact_rows(first=first, second=second)
    with full_precision(first):
        z, count = centred(torch.stack([first, second]), distributed)  # (2, B, D)
        if count < 2:
            return of_one_sample(first, second)
        dim = z.shape[-1]
        apart = total((first - second).square().sum(), distributed) / (count * dim)
        cov = total(z.mT @ z, distributed) / (count - 1)  # (2, D, D)
        var = cov.diagonal(dim1=-2, dim2=-1)
        low = (1 - (var + 1e-4).sqrt()).relu().mean()
        redundant = (cov - var.diag_embed()).square().sum() / dim
    return invariance * apart + variance * low + covariance * redundant


def barlow_twins(
    first: Tensor, second: Tensor, off_diagonal: float = 0.0051, *, distributed: bool = False
) -> Tensor:
    """The cross-correlation of two views is drawn to the identity.

        L = sum_d (1 - C_dd)^2 + off_diagonal sum_{d != e} C_de^2
        C_de = mean_i [ (z_id - mean_d) (z'_ie - mean'_e) ] / (std_d std'_e)

    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", Eqs. 1 and 2,
    with the released weight (5e-3 in the paper). Deviations are the biased ones and 1e-5 is added
    to each variance, as BatchNorm without affine parameters does in the released code. It is 0 for
    equal views with uncorrelated dimensions, and ``D`` for collapsed ones.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples, not
            normalised. A single sample, which has no variance, has the loss 0.
        off_diagonal: weight of the second sum.
        distributed: as for :func:`vic_reg`. The released code takes deviations over the rows of one
            process.
    """
    first, second = exact_rows(first=first, second=second)
    with full_precision(first):
        z, count = centred(torch.stack([first, second]), distributed)  # (2, B, D)
        if count < 2:
            return of_one_sample(first, second)
        var = total(z.square().sum(-2), distributed) / count  # (2, D)
        z = z / (var + 1e-5).sqrt()[:, None]
        correlation = total(z[0].T @ z[1], distributed) / count  # (D, D)
        same = correlation.diagonal()
        redundant = (correlation - same.diag()).square().sum()
        return (1 - same).square().sum() + off_diagonal * redundant


class VICReg(nn.Module):
    """:func:`vic_reg` as a module."""

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        distributed: bool = False,
    ) -> None:
        super().__init__()
        self.weights = invariance, variance, covariance
        self.distributed = distributed

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return vic_reg(first, second, *self.weights, distributed=self.distributed)


class BarlowTwins(nn.Module):
    """:func:`barlow_twins` as a module."""

    def __init__(self, off_diagonal: float = 0.0051, distributed: bool = False) -> None:
        super().__init__()
        self.off_diagonal, self.distributed = off_diagonal, distributed

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return barlow_twins(first, second, self.off_diagonal, distributed=self.distributed)
