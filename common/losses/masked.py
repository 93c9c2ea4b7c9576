"""Masked latent prediction: a teacher's latents at masked places, predicted from the rest."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, smooth_l1_loss

from tspcrep.common.errors import UserError
from tspcrep.common.features import unit
from tspcrep.common.losses.checks import same_shape
from tspcrep.common.losses.rows import exact_rows


def masked_prediction(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    form: Literal["smooth_l1", "cosine"] = "smooth_l1",
    beta: float = 1.0,
    normalise: bool = True,
) -> Tensor:
    """Distance of predicted latents from a teacher's, at masked places alone.

        L = mean_{p masked} d(y_p, t_p),   t = layer_norm(teacher's latents), no gradient
        "smooth_l1":  d = mean_d  e_d^2 / (2 beta) if |e_d| < beta else |e_d| - beta / 2,  e = y - t
        "cosine":     d = 1 - cos(y, t)

    Assran et al., "Self-Supervised Learning from Images with a Joint-Embedding Predictive
    Architecture" (I-JEPA), whose code takes ``beta`` 1 and normalised targets where the paper has a
    squared distance; Baevski et al., "data2vec", whose targets are the mean of the teacher's
    last normalised layers, with ``beta`` 2 for images. ``beta L`` tends to half the mean squared
    error as ``beta`` grows. Latents elsewhere are not read and may be NaN, as where a series is
    missing.

    Args:
        predictions: ``(..., D)``: steps of a window, points or segments of a scene.
        targets: ``(..., D)``, of the teacher on the whole input.
        mask: ``(...)`` bool: true where the student's input was masked.
        form: distance.
        beta: where the smooth L1 distance turns linear.
        normalise: each target to mean 0 and variance 1 over ``D``.

    Over several processes weight by the masked places:
    ``share(masked_prediction(y, t, mask), int(mask.sum()))``.
    """
    same_shape("targets", targets, "predictions", predictions)
    if mask.dtype != torch.bool or mask.shape != predictions.shape[:-1]:
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}, expected bool of shape "
            f"{tuple(predictions.shape[:-1])}, one for each latent"
        )
    if not bool(mask.any()):
        raise UserError("mask is false everywhere, expected a masked place: raise the share masked")
    if form not in ("smooth_l1", "cosine"):
        raise ValueError(f"form is {form!r}, expected 'smooth_l1' or 'cosine'")
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta is {beta}, expected a finite number above 0")
    y, t = exact_rows(predictions=predictions[mask], targets=targets.detach()[mask])  # (M, D)
    if normalise:
        t = layer_norm(t, t.shape[-1:])
    if form == "cosine":
        return (1 - (unit(y) * unit(t)).sum(-1)).mean()
    return smooth_l1_loss(y, t, beta=beta)


class MaskedPrediction(nn.Module):
    """:func:`masked_prediction` as a module."""

    def __init__(
        self,
        form: Literal["smooth_l1", "cosine"] = "smooth_l1",
        beta: float = 1.0,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.form, self.beta, self.normalise = form, beta, normalise

    def forward(self, predictions: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        options = self.form, self.beta, self.normalise
        return masked_prediction(predictions, targets, mask, *options)
