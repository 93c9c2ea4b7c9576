"""What the methods that learn from a corpus of series share: their settings, and random crops."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tspcrep.common.distributed import own_rows
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class CorpusConfig:
    """Settings of the methods that learn from a corpus."""

    cut: float = 0.2
    """Largest share of a series that a crop leaves out; Mantis' .2."""
    masked: float = 0.5
    """Share of the patches of a crop that are hidden, drawn at random; for kind patch_transformer
    only. In the contrast of crops they are left out, which halves the cost of a step."""
    width: int = 64
    """Dimension behind the projection head, in which crops are compared."""
    temperature: float = 0.1
    """Temperature: divides the cosine similarities; Mantis' and DINO's .1."""
    prototypes: int = 1024
    """Number of prototypes of the distillation; DINO's 65,536 are for a million images."""
    small: int = 2
    """Number of small crops, of 10 to 40 % of a series, which the student alone sees."""
    momentum: float = 0.99
    """Momentum of the teacher of distillation and masked patches; UTICA's .992 for more steps."""
    learning_rate: float = 2e-3
    """Learning rate of AdamW; CauKer's."""
    weight_decay: float = 0.05
    """Weight decay of AdamW."""

    def __post_init__(self) -> None:
        for name in ("cut", "masked", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"{name}: found {getattr(self, name)}, expected a share from 0 to below 1"
                )
        for name in ("width", "temperature", "prototypes", "learning_rate"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        for name in ("small", "weight_decay"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 0")


def random_crop(x: Tensor, most: float, least: float = 0.0) -> Tensor:
    """A random crop of each series of ``x (B, T, C)``: what is cut away is missing (NaN).

    A share drawn uniformly from ``least`` to ``most`` of the T steps is left out, at both ends in
    random proportion, but never the whole series.
    """
    batch, steps, _ = x.shape
    draws = own_rows(lambda n: torch.rand(n, 2, 1, device=x.device), batch)
    share, side = draws.unbind(1)  # (B, 1)
    kept = ((1 - least - (most - least) * share) * steps).ceil().clamp_min(1)
    first = (side * (steps - kept + 1)).floor()
    step = torch.arange(steps, device=x.device)
    inside = (step >= first) & (step < first + kept)  # (B, T)
    return torch.where(inside[..., None], x, torch.nan)


def random_order(rows: int, patches: int, device: torch.device) -> Tensor:
    """A random order of the patches of each series, (rows, patches)."""
    return own_rows(lambda n: torch.rand(n, patches, device=device), rows).argsort(1)
