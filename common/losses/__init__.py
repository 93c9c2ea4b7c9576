"""Contrastive losses: pure functions of embeddings, and thin modules; one file a family."""

from tspcrep.common.losses.bottleneck import (
    BottleneckContrast,
    VariationalGate,
    bottleneck_contrast,
)
from tspcrep.common.losses.cacr import CACR, cacr
from tspcrep.common.losses.decoupled import DCL, DHEL, dcl, dclw, dhel
from tspcrep.common.losses.distillation import (
    DINO,
    SwAV,
    centred_targets,
    sinkhorn,
    swapped_prediction,
)
from tspcrep.common.losses.guided import GuidedInfoNCE, guided_info_nce
from tspcrep.common.losses.hard import HardInfoNCE, hard_info_nce
from tspcrep.common.losses.info_nce import InfoNCE, MoCo, NTXent, moco, nt_xent
from tspcrep.common.losses.isotropy import LeJEPA, le_jepa, random_directions, sig_reg
from tspcrep.common.losses.koleo import KoLeo, koleo
from tspcrep.common.losses.masked import MaskedPrediction, masked_prediction
from tspcrep.common.losses.meta import MetaContrast, margin_regulariser, meta_contrast
from tspcrep.common.losses.mixup import M3CoL, MixupInfoNCE, draw_mixup, m3col, mixup_info_nce
from tspcrep.common.losses.multihead import MultiheadInfoNCE, multihead_info_nce
from tspcrep.common.losses.multiview import MVDHEL, MVInfoNCE, mv_dhel, mv_info_nce
from tspcrep.common.losses.prototypes import (
    IntentContrast,
    PrototypeContrast,
    intent_contrast,
    prototype_contrast,
    spherical_k_means,
)
from tspcrep.common.losses.redundancy import BarlowTwins, VICReg, barlow_twins, vic_reg
from tspcrep.common.losses.sepclr import SepCLR, joint_entropy, sep_clr
from tspcrep.common.losses.siglip import SigLIP, siglip
from tspcrep.common.losses.subspace import GatedInfoNCE, SubspaceGate, gated_info_nce
from tspcrep.common.losses.supervised import (
    SoftInfoNCE,
    SupCon,
    lonely_rows,
    soft_info_nce,
    sup_con,
    tree_memberships,
)
from tspcrep.common.losses.supremix import SupReMix, supremix
from tspcrep.common.losses.triplet import SimilarityQueries, similarity_queries

__all__ = [
    "CACR",
    "DCL",
    "DHEL",
    "DINO",
    "MVDHEL",
    "BarlowTwins",
    "BottleneckContrast",
    "GatedInfoNCE",
    "GuidedInfoNCE",
    "HardInfoNCE",
    "InfoNCE",
    "IntentContrast",
    "KoLeo",
    "LeJEPA",
    "M3CoL",
    "MVInfoNCE",
    "MaskedPrediction",
    "MetaContrast",
    "MixupInfoNCE",
    "MoCo",
    "MultiheadInfoNCE",
    "NTXent",
    "PrototypeContrast",
    "SepCLR",
    "SigLIP",
    "SimilarityQueries",
    "SoftInfoNCE",
    "SubspaceGate",
    "SupCon",
    "SupReMix",
    "SwAV",
    "VICReg",
    "VariationalGate",
    "barlow_twins",
    "bottleneck_contrast",
    "cacr",
    "centred_targets",
    "dcl",
    "dclw",
    "dhel",
    "draw_mixup",
    "gated_info_nce",
    "guided_info_nce",
    "hard_info_nce",
    "intent_contrast",
    "joint_entropy",
    "koleo",
    "le_jepa",
    "lonely_rows",
    "m3col",
    "margin_regulariser",
    "masked_prediction",
    "meta_contrast",
    "mixup_info_nce",
    "moco",
    "multihead_info_nce",
    "mv_dhel",
    "mv_info_nce",
    "nt_xent",
    "prototype_contrast",
    "random_directions",
    "sep_clr",
    "sig_reg",
    "siglip",
    "similarity_queries",
    "sinkhorn",
    "soft_info_nce",
    "spherical_k_means",
    "sup_con",
    "supremix",
    "swapped_prediction",
    "tree_memberships",
    "vic_reg",
]
