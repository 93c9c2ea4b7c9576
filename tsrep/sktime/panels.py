"""sktime's panels as arrays (N, T, C)."""

import numpy as np
import pandas as pd

from tsrep.sklearn.encoder import ContrastiveEncoder

PANEL_MTYPES = ["df-list", "numpy3D"]
"""Formats accepted from sktime: (N, C, T) of equal lengths, or one DataFrame per instance."""

PANEL_TAGS = {
    "authors": ["tspcrep"],
    "maintainers": ["tspcrep"],
    "X_inner_mtype": PANEL_MTYPES,
    "capability:multivariate": True,
    "capability:random_state": True,
    "property:randomness": "derandomized",
    "capability:missing_values": True,
    "capability:unequal_length": True,
}
"""sktime's tags of an estimator of whole instances."""


def stacked(X) -> np.ndarray:
    """(N, T, C) float64, NaN behind the end of shorter instances, of one of ``PANEL_MTYPES``."""
    if isinstance(X, np.ndarray):
        return X.transpose(0, 2, 1).astype(np.float64)
    values = np.full((len(X), max(map(len, X)), X[0].shape[1]), np.nan)
    for n, frame in enumerate(X):
        values[n, : len(frame)] = frame.to_numpy(np.float64)
    return values


def unstacked(values: np.ndarray, like):
    """``values (N, T, D)`` as the panel ``like``, one of ``PANEL_MTYPES``, with its indices."""
    if isinstance(like, np.ndarray):
        return values.transpose(0, 2, 1).astype(np.float64)
    return [
        pd.DataFrame(part[: len(frame)].astype(np.float64), index=frame.index)
        for part, frame in zip(values, like, strict=True)
    ]


def encoder_of(estimator, output: str) -> ContrastiveEncoder:
    """The scikit-learn transformer with the parameters of a sktime estimator."""
    names = ContrastiveEncoder().get_params()
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k in names}
    return ContrastiveEncoder(**{**params, "output": output})


def tiny_encoder() -> ContrastiveEncoder:
    """A small and quick one, for the tests that sktime runs on every estimator."""
    return ContrastiveEncoder(dim=4, depth=1, window=8, max_steps=1, batch_size=4)
