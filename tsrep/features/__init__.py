"""Vectors of whole series for a linear model: random convolutions, a ridge on blocks of features."""

from tsrep.features.random_convolutions import RandomConvolutions

__all__ = ["RandomConvolutions"]
