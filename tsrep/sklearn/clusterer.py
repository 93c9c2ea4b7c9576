"""A scikit-learn clusterer of series: k-means on an encoder's vectors."""

from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from tsrep.features.ragged import check_channels, checked_panel
from tsrep.features.ridge import BlockScale
from tsrep.sklearn.fusion import fitted_blocks


class ContrastiveClusterer(ClusterMixin, BaseEstimator):
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
        self.n_channels_ = values.shape[2]
        self.parts_ = fitted_blocks(self, values)
        blocks = [part.transform(values) for part in self.parts_]
        self.scale_ = BlockScale.fit(blocks)
        self.kmeans_ = KMeans(self.n_clusters, n_init=10, random_state=self.random_state)
        self.labels_ = self.kmeans_.fit_predict(self.scale_(blocks))
        return self

    def predict(self, X):
        """The nearest cluster (N,) of each series."""
        check_is_fitted(self)
        values = checked_panel(X, self, least_steps=2)
        check_channels(values, self.n_channels_, self)
        return self.kmeans_.predict(self.scale_([part.transform(values) for part in self.parts_]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.non_deterministic = self.random_state is None
        return tags
