"""A sktime clusterer: k-means on vectors of an encoder."""

from typing import ClassVar

import numpy as np
from sktime.clustering.base import BaseClusterer

from tsrep import sklearn
from tsrep.sktime.panels import PANEL_TAGS, stacked, tiny_encoder


class ContrastiveClusterer(BaseClusterer):
    """Clusters of series, by k-means on vectors of an encoder.

    Parameters
    ----------
    n_clusters, features, encoder, random_state : see :class:`tsrep.sklearn.ContrastiveClusterer`,
        which does the work.

    Attributes
    ----------
    model_ : the fitted :class:`tsrep.sklearn.ContrastiveClusterer`.
    labels_ : clusters of the instances that were fitted.

    Instances may be of unequal length, values may be missing; any number of channels.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsrep.sktime import ContrastiveClusterer
    >>> X, _ = load_unit_test(split="train", return_X_y=True)
    >>> ContrastiveClusterer(2, features="random").fit_predict(X).shape
    (20,)
    """

    _tags: ClassVar = {
        **PANEL_TAGS,
        "capability:out_of_sample": True,
        "capability:predict": True,
        "capability:predict_proba": False,
    }

    def __init__(self, n_clusters=8, features="encoder", encoder="series-small", random_state=0):
        self.n_clusters = n_clusters
        self.features = features
        self.encoder = encoder
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y=None):
        model = sklearn.ContrastiveClusterer(**self.get_params(deep=False))
        self.model_ = model.fit(stacked(X))
        self.labels_ = self.model_.labels_
        return self

    def _predict(self, X, y=None) -> np.ndarray:
        return self.model_.predict(stacked(X))

    def _check_clusterer_input(self, X, enforce_min_instances=1):
        # sktime's own check keeps the metadata of the X that it saw last, in ``predict`` too, where
        # its tests allow no change of state.
        kept = self._X_metadata if self.is_fitted else None
        X = super()._check_clusterer_input(X, enforce_min_instances)
        self._X_metadata = kept or self._X_metadata
        return X

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        return [
            {"n_clusters": 2, "features": "random"},
            {"n_clusters": 3, "encoder": tiny_encoder()},
        ]
