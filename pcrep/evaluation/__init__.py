"""Downstream tasks on point clouds and their scores."""
