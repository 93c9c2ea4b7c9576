"""Methods of contrastive learning for encoders of series, one per file."""
