"""Inputs of readouts, and the ridges of scikit-learn that they are compared with."""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from tsrep.datasets.series import Split
from tsrep.encoders import Centred, DilatedConv
from tsrep.evaluation.forecasts import readout_inputs
from tsrep.forecasting.probe import Inputs

HORIZON = 6


def encoder_of(channels=1):
    torch.manual_seed(0)
    return Centred(DilatedConv(channels, 5, 4, 2), window=24).eval()


def inputs_of(series, channels=1):
    return readout_inputs(encoder_of(channels), series)[0]


def plain_inputs(values, drop=0, test=0.2):
    """Inputs of values (T, C) without calendar or vectors, of which a share is left for testing."""
    rows = len(values)
    ends = int((0.8 - test) * rows), int((1 - test) * rows)
    split = Split(slice(0, ends[0]), slice(*ends), slice(ends[1], rows))
    nothing = np.zeros((1, rows, 0), np.float32)
    calendar = np.zeros((rows, 0), np.float32)
    return Inputs(values.astype(np.float32), nothing, calendar, split, drop=drop)


def ahead(values, rows):
    return np.stack([values[rows + 1 + h] for h in range(HORIZON)], axis=1)


def rows_of(inputs):
    """Origins of train and validation rows, and those of test."""
    train, valid, test = inputs.train, inputs.split.valid, inputs.split.test
    return [np.arange(part.start, part.stop - HORIZON) for part in (train, valid, test)]


def chosen_ridge(designs, values, rows, alphas, error):
    """Predictions on test rows of the scikit-learn ridge of least validation error."""
    train, valid, test = rows
    found = []
    for design in designs:
        for alpha in alphas:
            ridge = Ridge(alpha=alpha, solver="svd").fit(design[train], values(train))
            off = error(ridge.predict(design[valid]) - values(valid))
            found.append((off, len(found), ridge.predict(design[test])))
    return min(found)[2]
