"""Downstream tasks: forecasting and classification, and their tables."""
