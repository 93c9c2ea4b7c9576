"""Downstream tasks of point clouds, and their scores."""
