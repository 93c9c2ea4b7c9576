"""From a series to a fitted forecaster."""
