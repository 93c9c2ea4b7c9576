"""A ridge as a classifier of rows of features, with probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from tsrep.features.ridge import BlockRidge

PENALTIES = tuple(np.logspace(-7, -2, 11))
"""Larger ones make few labels too cautious: the least squared error is then that of a constant."""
SHARPNESS = np.logspace(-1, 2, 31)


@dataclass(frozen=True, eq=False)
class RidgeClassifier:
    """A fitted ridge with the targets +1 for a row's class and -1 for the others.

    classes: (K,), sorted. ridge: on blocks of features. sharpness: factor of the targets in the
    softmax of the probabilities, chosen on the leave-one-out predictions.
    """

    classes: np.ndarray
    ridge: BlockRidge
    sharpness: float

    @classmethod
    def fit(cls, blocks: Sequence[np.ndarray], y: np.ndarray) -> "RidgeClassifier":
        """Fit the labels ``y (n,)`` on ``blocks``, arrays (n, d_k).

        A row that is alone in its class says nothing of the penalty and the sharpness: without it
        the class is unknown. Raises ValueError if there is a single class.
        """
        classes, positions, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has one class, {classes[0]}, expected at least 2: a classifier cannot be "
                "trained when only one class is present"
            )
        targets = 2.0 * (positions[:, None] == np.arange(len(classes))) - 1
        judged = counts[positions] > 1
        ridge = BlockRidge.fit(blocks, targets, PENALTIES, judged)
        rows = judged if judged.any() else ~judged
        return cls(classes, ridge, _sharpness(ridge.left_out[rows], positions[rows]))

    def scores(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """The predicted targets (n, K)."""
        return self.ridge.predict(blocks)

    def predict(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Classes (n,)."""
        return self.classes[self.scores(blocks).argmax(axis=1)]

    def probabilities(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """(n, K)."""
        return softmax(self.sharpness * self.scores(blocks), axis=1)


def _sharpness(left_out: np.ndarray, positions: np.ndarray) -> float:
    """The factor whose softmax has the least log loss on leave-one-out predictions (n, K)."""
    rows = np.arange(len(positions))
    losses = [-log_softmax(s * left_out, axis=1)[rows, positions].mean() for s in SHARPNESS]
    return float(SHARPNESS[int(np.argmin(losses))])
