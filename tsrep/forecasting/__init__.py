"""Forecasting: networks and ridges, their training, and the fitted forecaster."""
