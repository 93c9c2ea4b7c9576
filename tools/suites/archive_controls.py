"""Features and heads of the controls: MiniRocket of sktime, Catch22, the values themselves."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from tsrep.features.ragged import Ragged


class MiniRocket(TransformerMixin, BaseEstimator):
    """sktime's MiniRocket (Dempster et al., KDD 2021); see :func:`complete`."""

    def __init__(self, seed: int = 0):
        self.seed = seed

    def fit(self, X, y=None):
        from sktime.transformations.rocket import MiniRocketMultivariate

        self.rocket_ = MiniRocketMultivariate(random_state=self.seed, n_jobs=1)
        self.rocket_.fit(complete(X).transpose(0, 2, 1))
        return self

    def transform(self, X):
        return np.asarray(self.rocket_.transform(complete(X).transpose(0, 2, 1)))


class Catch22(TransformerMixin, BaseEstimator):
    """22 features of each channel (Lubba et al., DMKD 2019), beside mean and deviation."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        import pycatch22

        series = Ragged.of(X)
        found = [
            [pycatch22.catch22_all(c.tolist(), catch24=True)["values"] for c in series.one(n).T]
            for n in range(len(series))
        ]
        values = np.nan_to_num(np.array(found, dtype=np.float64), posinf=0, neginf=0)
        return values.reshape(len(series), -1).clip(-1e30, 1e30)


class RawValues(TransformerMixin, BaseEstimator):
    """The values of all steps, side by side; see :func:`complete`."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return complete(X).reshape(len(X), -1)


class PapersRidge:
    """The ridge that MiniRocket's paper uses."""

    def fit(self, blocks, y):
        from sklearn.linear_model import RidgeClassifierCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
        self.model = make_pipeline(StandardScaler(with_mean=False), ridge)
        self.model.fit(np.hstack(blocks), y)
        return self

    def predict(self, blocks):
        return self.model.predict(np.hstack(blocks))


class Forest(PapersRidge):
    """The random forest that Catch22 is published with."""

    def __init__(self, seed: int):
        self.seed = seed

    def fit(self, blocks, y):
        from sklearn.ensemble import RandomForestClassifier

        self.model = RandomForestClassifier(200, random_state=self.seed).fit(np.hstack(blocks), y)
        return self


def complete(X: np.ndarray) -> np.ndarray:
    """(N, T, C) float64 without missing values: those inside a series lie on the line between their
    neighbours, and shorter series end in zeros, their mean, as the archive's own equal lengths do.
    """
    series, found = Ragged.of(X), np.zeros(X.shape)
    for n in range(len(series)):
        known = series.one(n)
        found[n, : len(known)] = known
    return found
