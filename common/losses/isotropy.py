"""LeJEPA: views agree, and random sketches of their embeddings are drawn to a Gaussian."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tspcrep.common.features import drawn_on
from tspcrep.common.losses.rows import exact_rows, full_precision, total


def sig_reg(
    embeddings: Tensor,
    directions: Tensor,
    knots: int = 17,
    reach: float = 5.0,
    *,
    distributed: bool = False,
) -> Tensor:
    """Sketched isotropic Gaussian regularisation: each sketch of the rows is a standard normal.

        L = mean_a N int_{-reach}^{reach} |phi_a(t) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt
        phi_a(t) = mean_n exp(i t <a, z_n>)

    Balestriero and LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the
    Heuristics", the Epps-Pulley form of SIGReg, with their interval and number of knots of the
    trapezoidal rule; the released example takes ``reach=3, knots=33``. The integrand is even, so
    only ``t >= 0`` is evaluated. With a wide interval it is the closed form of Epps and Pulley's
    statistic. Memory is ``N M (knots + 1) / 2``.

    Args:
        embeddings: ``(..., N, D)``, not normalised; leading dimensions (views) are averaged.
        directions: unit columns ``(D, M)`` of :func:`random_directions`, new ones for each step;
            the same on all processes.
        knots: odd number of knots on the whole interval.
        reach: end of the interval.
        distributed: the rows are this process's share, and ``phi`` is that of the rows of all
            processes, as is ``N``.
    """
    if knots < 3 or knots % 2 == 0:
        raise ValueError(f"knots is {knots}, expected an odd number of at least 3")
    if not 0 < reach < float("inf"):
        raise ValueError(f"reach is {reach}, expected a finite number above 0")
    (z,) = exact_rows(embeddings=embeddings)
    if directions.ndim != 2 or len(directions) != z.shape[-1]:
        raise ValueError(
            f"directions have shape {tuple(directions.shape)}, expected ({z.shape[-1]}, M)"
        )
    t = torch.linspace(0, reach, (knots + 1) // 2, dtype=z.dtype, device=z.device)
    normal = (-t.square() / 2).exp()
    width = torch.full_like(t, 2 * reach / (len(t) - 1))
    width[[0, -1]] /= 2
    with full_precision(z):
        phase = (z @ directions.to(z))[..., None] * t  # (..., N, M, T)
        count = total(z.new_tensor(float(z.shape[-2])), distributed)
        real = total(phase.cos().sum(-3), distributed) / count  # (..., M, T)
        imaginary = total(phase.sin().sum(-3), distributed) / count
        error = (real - normal).square() + imaginary.square()
        return count * (error @ (width * normal)).mean()


def random_directions(
    dim: int, count: int, like: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Unit columns ``(dim, count)``, uniform on the sphere, in the dtype and place of ``like``."""
    if dim < 1 or count < 1:
        raise ValueError(f"dim is {dim} and count {count}, expected at least 1 of each")
    device = drawn_on(generator, like)
    drawn = torch.randn(dim, count, generator=generator, device=device, dtype=torch.float64)
    return normalize(drawn, dim=0).to(like)


def le_jepa(
    views: Tensor,
    directions: Tensor,
    weight: float = 0.05,
    global_views: int | None = None,
    *,
    distributed: bool = False,
) -> Tensor:
    """Views of a sample are drawn to their mean, the views of all samples to a Gaussian.

        L = (1 - weight) mean_{v,i,d} (z_vid - mean_{g <= global_views} z_gid)^2
          + weight mean_v SIGReg(Z_v)

    Balestriero and LeCun, "LeJEPA", with their one weight. As in the released example, the
    distance is a mean over dimensions. With ``weight=1`` it is :func:`sig_reg`.

    Args:
        views: ``(V, B, D)``, ``V >= 2``; global views come first.
        directions: of :func:`sig_reg`.
        weight: of the regulariser, 0 to 1.
        global_views: number of views whose mean is the target; all when left out.
        distributed: as for :func:`sig_reg`.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}, expected 0 to 1")
    (z,) = exact_rows(views=views)
    if z.ndim != 3 or len(z) < 2:
        raise ValueError(f"views has shape {tuple(z.shape)}, expected (V, B, D) with V >= 2")
    if global_views is not None and not 1 <= global_views <= len(z):
        raise ValueError(f"global_views is {global_views}, expected 1 to {len(z)}")
    apart = (z - z[:global_views].mean(0)).square().mean((0, 2))  # (B,)
    count = total(apart.new_tensor(float(len(apart))), distributed)
    agreement = total(apart.sum(), distributed) / count
    return (1 - weight) * agreement + weight * sig_reg(z, directions, distributed=distributed)


class LeJEPA(nn.Module):
    """:func:`le_jepa` with new directions in each call.

    They are drawn from the number of calls so far, a buffer: alike on all processes, and the same
    again after a run is resumed.

    Args:
        weight: of the regulariser.
        directions: how many; the released example's 256 (the paper's large runs take 1,024).
        global_views, distributed: of :func:`le_jepa`.
    """

    calls: Tensor

    def __init__(
        self,
        weight: float = 0.05,
        directions: int = 256,
        global_views: int | None = None,
        distributed: bool = False,
    ) -> None:
        super().__init__()
        self.weight, self.directions = weight, directions
        self.global_views, self.distributed = global_views, distributed
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, views: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(self.calls))
        self.calls += 1
        like = views.new_empty(0, dtype=torch.promote_types(views.dtype, torch.float32))
        a = random_directions(views.shape[-1], self.directions, like, generator)
        return le_jepa(views, a, self.weight, self.global_views, distributed=self.distributed)
