"""A sktime classifier: a ridge on vectors of an encoder and random convolutions."""

from typing import ClassVar

import numpy as np
from sktime.classification.base import BaseClassifier

from tsrep import sklearn
from tsrep.sktime.panels import PANEL_TAGS, stacked, tiny_encoder


class ContrastiveClassifier(BaseClassifier):
    """Classes of series by a ridge on vectors of an encoder beside random convolutions.

    For another classifier on vectors alone, compose ``ContrastiveTransformer() * SVC()``.

    Parameters
    ----------
    features, encoder, random_state : see :class:`tsrep.sklearn.ContrastiveClassifier`, which does
        the work.

    Attributes
    ----------
    model_ : the fitted :class:`tsrep.sklearn.ContrastiveClassifier`.

    Instances may be of unequal length, values may be missing; any number of channels.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsrep.sktime import ContrastiveClassifier
    >>> X, y = load_unit_test(split="train", return_X_y=True)
    >>> ContrastiveClassifier(features="random").fit(X, y).predict(X).shape
    (20,)
    """

    _tags: ClassVar = {
        **PANEL_TAGS,
        "y_inner_mtype": "numpy1D",
        "capability:predict_proba": True,
    }

    def __init__(self, features="both", encoder="series-small", random_state=0):
        self.features = features
        self.encoder = encoder
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        model = sklearn.ContrastiveClassifier(**self.get_params(deep=False))
        self.model_ = model.fit(stacked(X), y)
        return self

    def _predict(self, X) -> np.ndarray:
        return self.model_.predict(stacked(X))

    def _predict_proba(self, X) -> np.ndarray:
        return self.model_.predict_proba(stacked(X))

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        return [{"features": "random"}, {"features": "encoder", "encoder": tiny_encoder()}]
