"""Checks of arguments that the losses share, and their views at length 1."""

import torch
from torch import Tensor

from tspcrep.common.errors import UserError
from tspcrep.common.features import unit


def unit_views(views: Tensor, temperature: float | Tensor | None = None) -> Tensor:
    """Unit rows of ``views (V, B, D)``, at least two views."""
    if not isinstance(views, Tensor) or not views.dtype.is_floating_point:
        what = views.dtype if isinstance(views, Tensor) else type(views).__name__
        raise TypeError(f"views is {what}, expected a floating-point tensor (V, B, D)")
    if views.ndim != 3 or views.shape[0] < 2 or not views.shape[1]:
        raise ValueError(
            f"views has shape {tuple(views.shape)}, expected (V, B, D) with V >= 2 and B >= 1"
        )
    finite = views.detach().isfinite().all(-1)
    if not bool(finite.all()):
        view, row = (~finite).nonzero()[0].tolist()
        raise UserError(f"view {view}, row {row} is not finite, expected rows without NaN or inf")
    if temperature is not None:
        positive("temperature", temperature)
    return unit(views.to(torch.promote_types(views.dtype, torch.float32)))


def two_views(first: Tensor, second: Tensor) -> Tensor:
    """Unit rows ``(2B, D)`` of two views of the same ``B`` samples, one view after the other."""
    same_shape("second", second, "first", first)
    return unit(torch.cat([first, second], -2))


def check_finite(what: str, x: Tensor) -> None:
    """Raise a UserError that names the first row of ``x (..., D)`` with NaN or inf."""
    finite = x.detach().isfinite().all(-1)
    if not bool(finite.all()):
        place = (~finite).nonzero()[0].tolist()
        row = place[0] if len(place) == 1 else tuple(place)
        raise UserError(f"{what} {row} is not finite, expected rows without NaN or inf")


def of_one_sample(*rows: Tensor) -> Tensor:
    """The loss of a sample without others, as a last batch may be: 0, and so is its gradient."""
    return torch.stack([x.sum() for x in rows]).sum() * 0.0


def same_shape(name: str, x: Tensor, as_name: str, as_x: Tensor) -> None:
    if x.shape != as_x.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, expected {tuple(as_x.shape)} as {as_name}"
        )


def one_a_row(name: str, x: Tensor, rows: int) -> None:
    if x.shape != (rows,):
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected ({rows},), one per row")


def positive(name: str, number: float | Tensor) -> None:
    if isinstance(number, Tensor):
        number = number.detach()
    if not 0 < float(number) < float("inf"):
        raise ValueError(f"{name} is {float(number)}, expected a finite number above 0")
