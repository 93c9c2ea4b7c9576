"""Vectors of series, as a sktime transformer."""

from typing import ClassVar

import pandas as pd
from sktime.transformations.base import BaseTransformer

from tsrep.sklearn.encoder import check_choice
from tsrep.sktime.panels import PANEL_MTYPES, encoder_of, stacked, unstacked


class ContrastiveTransformer(BaseTransformer):
    """Vectors of series, from an encoder trained on them by contrastive learning (AutoTCL).

    Parameters
    ----------
    output : "vector", one row per instance, to classify, cluster or compare series; or "steps", a
        multivariate series with the index of the input, whose row t depends on no later row.
    others : see :class:`tsrep.sklearn.ContrastiveEncoder`, which does the work.

    Attributes
    ----------
    encoder_ : the fitted :class:`tsrep.sklearn.ContrastiveEncoder`.

    A panel may have instances of unequal length; values may be missing; any number of channels. A
    single series is a panel of one instance.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsrep.sktime import ContrastiveTransformer
    >>> X, _ = load_unit_test(return_X_y=True)
    >>> ContrastiveTransformer(dim=8, max_steps=2).fit_transform(X).shape
    (42, 8)
    """

    _tags: ClassVar = {
        "authors": ["tspcrep"],
        "maintainers": ["tspcrep"],
        "scitype:transform-input": "Series",
        "scitype:transform-output": "Primitives",
        "scitype:instancewise": False,
        "X_inner_mtype": PANEL_MTYPES,
        "y_inner_mtype": "None",
        "fit_is_empty": False,
        "capability:multivariate": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
        "capability:missing_values": True,
        "capability:missing_values:removes": True,
        "capability:unequal_length": True,
        "capability:unequal_length:removes": True,
        "capability:categorical_in_X": False,
    }

    def __init__(
        self,
        output="vector",
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
        self.output = output
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
        if output == "steps":
            self.set_tags(
                **{
                    "scitype:transform-output": "Series",
                    "transform-returns-same-time-index": True,
                    "capability:unequal_length:removes": False,
                }
            )

    def _fit(self, X, y=None):
        check_choice("output", self.output, ("vector", "steps"))
        self.encoder_ = encoder_of(self, self.output).fit(stacked(X))
        return self

    def _transform(self, X, y=None):
        vectors = self.encoder_.transform(stacked(X))
        if self.output == "steps":
            return unstacked(vectors, X)
        return pd.DataFrame(vectors.astype(float))

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        tiny = {"dim": 4, "depth": 1, "window": 8, "max_steps": 1, "batch_size": 4}
        return [tiny, {**tiny, "output": "steps", "backbone": "lstm", "channels": "joint"}]
