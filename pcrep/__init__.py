"""Representation learning for 3D point clouds."""
