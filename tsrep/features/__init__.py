"""Features of whole series without training, and the ridge that reads blocks of features."""

from tsrep.features.random_convolutions import RandomConvolutions

__all__ = ["RandomConvolutions"]
