"""Representation learning for time series."""
