"""A sktime classifier: logistic regression on the vectors of a contrastive encoder."""

from typing import ClassVar

import numpy as np
from sktime.classification.base import BaseClassifier

from tspcrep.common.classifiers import linear_probe
from tsrep.sktime.panels import PANEL_MTYPES, encoder_of, stacked


class ContrastiveClassifier(BaseClassifier):
    """Logistic regression on the vectors of an encoder trained by contrastive learning (AutoTCL).

    The encoder sees no labels; the regression is :func:`tspcrep.common.classifiers.linear_probe`.
    For another classifier on the same vectors, compose ``ContrastiveTransformer() * SVC()``. With
    many labels, MiniRocket is hard to beat.

    Parameters
    ----------
    C : inverse regularisation strength; by default chosen by cross-validation.
    others : see :class:`tsrep.sklearn.ContrastiveEncoder`, which makes the vectors.

    Attributes
    ----------
    encoder_ : the fitted :class:`tsrep.sklearn.ContrastiveEncoder`.
    probe_ : the fitted :class:`tspcrep.common.classifiers.Classifier`.

    Instances may be of unequal length, values may be missing; any number of channels.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsrep.sktime import ContrastiveClassifier
    >>> X, y = load_unit_test(split="train", return_X_y=True)
    >>> ContrastiveClassifier(dim=8, max_steps=2).fit(X, y).predict(X).shape
    (20,)
    """

    _tags: ClassVar = {
        "authors": ["tspcrep"],
        "maintainers": ["tspcrep"],
        "X_inner_mtype": PANEL_MTYPES,
        "y_inner_mtype": "numpy1D",
        "capability:multivariate": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
        "capability:missing_values": True,
        "capability:unequal_length": True,
        "capability:predict_proba": True,
    }

    def __init__(
        self,
        C=None,
        backbone="dilated",
        dim=64,
        depth=None,
        channels="independent",
        window=512,
        augmentation="parametric",
        max_steps=100,
        batch_size=16,
        learning_rate=1e-3,
        device="auto",
        random_state=0,
    ):
        self.C = C
        self.backbone = backbone
        self.dim = dim
        self.depth = depth
        self.channels = channels
        self.window = window
        self.augmentation = augmentation
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        values = stacked(X)
        self.encoder_ = encoder_of(self, "vector").fit(values)
        chosen = {} if self.C is None else {"penalties": (self.C,)}
        self.probe_ = linear_probe(self.encoder_.transform(values), y, **chosen)
        return self

    def _predict(self, X) -> np.ndarray:
        return self.probe_.predict(self.encoder_.transform(stacked(X)))

    def _predict_proba(self, X) -> np.ndarray:
        return self.probe_.model.predict_proba(self.encoder_.transform(stacked(X)))

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        tiny = {"C": 1.0, "dim": 4, "depth": 1, "window": 8, "max_steps": 1, "batch_size": 4}
        return [tiny, {**tiny, "backbone": "tcn", "channels": "joint"}]
