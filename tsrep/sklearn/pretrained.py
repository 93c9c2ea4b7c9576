"""A scikit-learn transformer of series into the vectors of an encoder that is already trained."""

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from tsrep.datasets.series import Scaler
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import load_encoder
from tsrep.features.ragged import SeriesEstimator, check_channels, checked_panel


class PretrainedEncoder(
    SeriesEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Vectors of series from a frozen encoder: (N, T, C) -> (N, D).

    Parameters
    ----------
    encoder : the name of weights in the package, a run folder or a file, for
        :func:`tsrep.load_encoder`, or an encoder in memory. An encoder of one channel reads each
        of K channels by itself, and their vectors stand side by side, K D numbers.

    Attributes
    ----------
    encoder_ : the encoder.
    scaler_ : mean and deviation of each channel in ``fit``; the encoder reads standardised series.
    n_channels_ : channels seen in ``fit``.

    ``fit`` sees no labels and trains nothing. X is (N, T, C), or (N, T) for series of one channel;
    NaN where missing, and behind the end of shorter series. Raises ``ValueError`` for an infinite
    value, no instance, a channel without a number, other channels than were fitted, and for an
    unknown name.
    """

    def __init__(self, encoder="series-small"):
        self.encoder = encoder

    def fit(self, X, y=None):
        """Load the encoder, measure the scale of each channel; y is ignored."""
        values = checked_panel(X, self, least_steps=2)
        named = not isinstance(self.encoder, Encoder)
        self.encoder_ = load_encoder(self.encoder) if named else self.encoder
        self.scaler_ = Scaler.fit(values, where="X", keep_constant=True)
        self.n_channels_ = values.shape[2]
        one = encode(self.encoder_, self.scaler_.transform(values[:1]), pool=True, apart=True)
        self._n_features_out = one.shape[1]
        return self

    def transform(self, X):
        """Vectors (N, D) of ``X (N, T, C)``, float32."""
        check_is_fitted(self)
        values = checked_panel(X, self, least_steps=2)
        check_channels(values, self.n_channels_, self)
        return encode(self.encoder_, self.scaler_.transform(values), pool=True, apart=True)


def vectors_of(encoder) -> TransformerMixin:
    """An unfitted transformer of series for ``encoder``, as estimators take it.

    A name, path or encoder for :class:`PretrainedEncoder`; or a transformer that learns in ``fit``,
    such as ``ContrastiveEncoder``, which is cloned.
    """
    return clone(encoder) if hasattr(encoder, "fit_transform") else PretrainedEncoder(encoder)
