"""Contrastive losses: pure functions of embeddings, and thin modules; one file a family."""

from common.losses.info_nce import InfoNCE, NTXent, moco, nt_xent

__all__ = ["InfoNCE", "NTXent", "moco", "nt_xent"]
