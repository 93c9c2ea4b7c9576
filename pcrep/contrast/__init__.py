"""Contrastive objectives that train an encoder of point clouds: one file each, one table of all.

A new objective is a subclass of :class:`pcrep.contrast.objective.Objective` in a file of its own
and its class in :data:`OBJECTIVES`; tools, reports and benchmarks read the table.
"""

from typing import TYPE_CHECKING, Literal

from pcrep.contrast.both import FACAndDistillation
from pcrep.contrast.distillation import DistillationConfig, SelfDistillation
from pcrep.contrast.fac import FAC, FACConfig
from pcrep.contrast.objective import Objective, PretrainingConfig
from pcrep.contrast.pointcontrast import PointContrast
from pcrep.contrast.scene_contexts import ContrastiveSceneContexts
from pcrep.contrast.segcontrast import SegContrast
from pcrep.encoders.unet import SparseUNet

OBJECTIVES: dict[str, type[Objective]] = {
    objective.name: objective
    for objective in (
        *(FAC, PointContrast, ContrastiveSceneContexts, SegContrast),
        *(SelfDistillation, FACAndDistillation),
    )
}
"""By the name that ``--method`` of ``tools/pretrain_fac.py`` takes."""

if TYPE_CHECKING:
    ObjectiveName = str
else:
    ObjectiveName = Literal[tuple(OBJECTIVES)]


def new_objective(
    name: str,
    encoder: SparseUNet,
    config: PretrainingConfig,
    fac: FACConfig | None = None,
    distillation: DistillationConfig | None = None,
) -> Objective:
    """The objective of that name around an encoder, with the options of its own that it takes."""
    own = {
        FAC.name: (fac,),
        SelfDistillation.name: (distillation,),
        FACAndDistillation.name: (fac, distillation),
    }
    return OBJECTIVES[name](encoder, config, *own.get(name, ()))
