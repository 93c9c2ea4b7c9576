"""FAC and self-distillation at once, on one encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pcrep.cloud import Cloud
from pcrep.contrast.crops import Crops
from pcrep.contrast.distillation import DistillationConfig, SelfDistillation
from pcrep.contrast.fac import FAC, FACConfig
from pcrep.contrast.objective import Objective, PretrainingConfig
from pcrep.contrast.views import Views
from pcrep.encoders.unet import SparseUNet


class FACAndDistillation(Objective):
    """L = L_FAC + L_distillation, each with a projection head and views of its own.

    encoder, config, fac, distillation : as of the two objectives.
    """

    name, title = "fac+distillation", "FAC and self-distillation"

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        fac: FACConfig | None = None,
        distillation: DistillationConfig | None = None,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.fac = FAC(encoder, self.config, fac)
        self.distillation = SelfDistillation(encoder, self.config, distillation)
        self.query = self.fac.query  # in place of a head that nothing would train

    def after_step(self) -> None:
        self.fac.after_step()
        self.distillation.after_step()

    def draw(self, clouds: Sequence[Cloud], seed: int, device: torch.device) -> tuple[Views, Crops]:
        return self.fac.draw(clouds, seed, device), self.distillation.draw(clouds, seed, device)

    def contrast(self, views: tuple[Views, Crops]) -> dict[str, Tensor]:
        fac = self.fac.contrast(views[0])
        distillation = self.distillation.contrast(views[1])["loss"]
        return {**fac, "loss": fac["loss"] + distillation, "distillation": distillation}
