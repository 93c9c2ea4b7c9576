"""Contrastive learning on rows of embeddings, independent of time series and point clouds."""
