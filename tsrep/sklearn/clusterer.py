"""A scikit-learn clusterer of series: k-means on an encoder's vectors."""

from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans

from tsrep.features.ragged import checked_panel
from tsrep.features.ridge import BlockScale
from tsrep.sklearn.fusion import OfBlocks


class ContrastiveClusterer(OfBlocks, ClusterMixin, BaseEstimator):
    """Clusters of series: k-means on standardised vectors of an encoder.

    Parameters
    ----------
    n_clusters : number of clusters; at most the number of series.
    features : "encoder" by default, see :class:`tsrep.sklearn.ContrastiveClassifier`.
    encoder : a name, path or encoder, or a transformer that learns in ``fit``.
    random_state : seed of k-means' starts and of random convolutions.

    Attributes
    ----------
    labels_ : clusters (N,) of the series that were fitted.
    parts_ : the fitted transformers, one for each block of features.
    scale_ : the fitted :class:`tsrep.features.ridge.BlockScale`.
    kmeans_ : the fitted ``sklearn.cluster.KMeans``.
    n_channels_ : channels seen in ``fit``.

    X is (N, T, C), or (N, T) for series of one channel; NaN where missing, and behind the end of
    shorter series. Raises ``ValueError`` for an infinite value, fewer series than clusters, or
    other channels than were fitted.
    """

    def __init__(self, n_clusters=8, *, features="encoder", encoder="series-small", random_state=0):
        self.n_clusters = n_clusters
        self.features = features
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X, y=None):
        """Cluster ``X (N, T, C)``; y is ignored."""
        values = checked_panel(X, self, least_steps=2)
        blocks = self._fit_blocks(values)
        self.scale_ = BlockScale.fit(blocks)
        self.kmeans_ = KMeans(self.n_clusters, n_init=10, random_state=self.random_state)
        self.labels_ = self.kmeans_.fit_predict(self.scale_(blocks))
        return self

    def predict(self, X):
        """The nearest cluster (N,) of each series."""
        blocks = self._blocks(X)
        return self.kmeans_.predict(self.scale_(blocks))
