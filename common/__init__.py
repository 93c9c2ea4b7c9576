"""Contrastive learning on rows of embeddings; knows nothing of series or points."""
