"""Downstream tasks of series, and their tables."""
