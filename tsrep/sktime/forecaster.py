"""A sktime forecaster: simple forecasts, ridges and the vectors of a contrastive encoder."""

import copy
from typing import ClassVar

import numpy as np
import pandas as pd
from sktime.datatypes import update_data
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.datasets.calendar import season
from tsrep.datasets.series import Scaler
from tsrep.encoders import Encoder
from tsrep.encoders.level import level_window
from tsrep.forecasting.exogenous import fit_beside
from tsrep.sklearn.encoder import (
    build_encoder,
    check_choice,
    draw_seed,
    trained,
    training,
)
from tsrep.sktime.frames import calendar_of, evenly_spaced, times_of, values_of
from tsrep.sktime.panels import stacked
from tsrep.sktime.rolling import Blocks, Plan, fit_blocks, plan

HORIZON = 24
"""Horizon in steps to fit for if neither ``fit`` nor a season gives one."""


class ContrastiveForecaster(BaseForecaster):
    """A choice among simple forecasts and ridges on lags, calendar and an encoder's vectors.

        y_{t+h} = y_t + w_h' [lags - y_t ; vector_t ; calendar_t ; y_t] + b' (x_{t+h} - x_t)

    The product forecaster of :func:`tsrep.forecasting.product.fit_product`: what is used, from the
    last value alone to a blend of ridges, is chosen by rolling origins over the last rows of the
    series, and then fitted again to all rows; ``blocks_.choice`` says what it was. Horizons longer
    than a quarter of the series are forecast recursively. Of a few rows, the forecast is the last
    value.

    The encoder (AutoTCL) is causal. It is trained on the series itself, or by ``pretrain`` on a
    panel of other series, each standardised by itself; ``fit`` then does not change it.

    Parameters
    ----------
    look_back : most lags that a forecast reads; by default 720, or a quarter of the series.
    others : see :class:`tsrep.sklearn.ContrastiveEncoder`. With ``channels="independent"`` the
        encoder reads each variable by itself, so the series may have other variables than the
        panel; ``max_steps=0`` leaves the encoder untrained, as a control.

    Attributes
    ----------
    encoder_ : the encoder, an ``nn.Module``; ``pretrained_encoder_`` is that of ``pretrain``.
    scaler_ : mean and deviation of each variable.
    effect_ : b above, (K, C), the effect of the exogenous series in standardised units; 0 if they
        do not improve forecasts of the last rows.
    blocks_ : the fitted forecaster of standardised values.

    Quantiles are the forecast plus quantiles of the errors on the last rows, from maps fitted
    without these rows, see :class:`tsrep.forecasting.intervals.Spread`.

    Values of y and X may be missing. ``update`` appends rows; with ``update_params`` the ridge is
    fitted again, the encoder is not. Raises ``ValueError`` for a horizon longer than the
    series, timestamps without a frequency, exogenous columns or rows that are missing at
    prediction, and infinite values.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from tsrep.sktime import ContrastiveForecaster
    >>> y = load_airline()
    >>> forecaster = ContrastiveForecaster(dim=8, max_steps=2).fit(y, fh=[1, 2, 3])
    >>> forecaster.predict().shape
    (3,)
    """

    _tags: ClassVar = {
        "authors": ["tspcrep"],
        "maintainers": ["tspcrep"],
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "requires-fh-in-fit": False,
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:update": True,
        "capability:pretrain": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }
    # The rows that a forecast needs are kept here, so sktime need not keep them too.
    _config: ClassVar = {"remember_data": False}

    def __init__(
        self,
        look_back=None,
        backbone="dilated",
        dim=64,
        depth=None,
        channels="independent",
        window=192,
        augmentation="parametric",
        max_steps=100,
        batch_size=16,
        learning_rate=3e-4,
        device="auto",
        random_state=0,
    ):
        self.look_back = look_back
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

    def __post_init__(self):
        self._y = self._X = None  # for those who set remember_data after all

    def _pretrain(self, y, X=None, fh=None):
        panel, times = self._panel(y)
        self.pretrained_encoder_ = self._trained(self._untrained(panel, times), panel)
        return self

    def _pretrain_update(self, y, X=None, fh=None):
        if not hasattr(self, "pretrained_encoder_"):  # fitted, but not pretrained so far
            return self._pretrain(y, X, fh)
        panel, _ = self._panel(y)
        encoder = copy.deepcopy(self.pretrained_encoder_)
        self._check_channels(encoder, panel.shape[2])
        self.pretrained_encoder_ = self._trained(encoder, panel)
        return self

    def _fit(self, y, X, fh):
        y, X = evenly_spaced(y, X)
        self._set_cutoff_from_y(y)
        self._cur_y, self._cur_X = y, X
        times = times_of(y.index)
        self._horizon = season(times) or HORIZON
        if fh is not None:
            self._horizon = self._steps(fh).max() + 1
            self._check_horizon(self._horizon)
        values = values_of(y, "y")
        self.scaler_ = _fit_scaler(values, y, "y")
        if hasattr(self, "pretrained_encoder_"):
            self._check_channels(self.pretrained_encoder_, y.shape[1])
            self.encoder_ = self.pretrained_encoder_
        else:
            # The encoder sees no validation row, so that its worth there is an honest guess.
            train = self.scaler_.transform(values)[None, self._plan().split.train]
            self.encoder_ = self._trained(self._untrained(train, times), train)
        self._fit_readout()
        return self

    def _update(self, y, X=None, update_params=True):
        self._cur_y = update_data(self._cur_y, y)
        if X is not None and self._cur_X is not None:
            self._cur_X = update_data(self._cur_X, X)
        self._cur_y, self._cur_X = evenly_spaced(self._cur_y, self._cur_X)
        self._set_cutoff_from_y(self._cur_y)
        if update_params:
            self._fit_readout()
        return self

    def _predict(self, fh, X):
        return self._frame(fh, self._ahead(fh, X))

    def _predict_quantiles(self, fh, X, alpha):
        steps, ahead = self._steps(fh), self.scaler_.transform(self._ahead(fh, X))
        names = self._get_varnames()
        errors = self.blocks_.spread.quantiles(alpha, steps.max() + 1)[steps]
        found = self.blocks_.product.scale.around(ahead, errors).transpose(0, 2, 1)  # (H, A, C)
        # (H, C, A): the quantiles of a variable stand side by side.
        found = self.scaler_.inverse(found).transpose(0, 2, 1)
        columns = pd.MultiIndex.from_product([names, alpha])
        index = fh.to_absolute_index(self.cutoff)
        return pd.DataFrame(found.reshape(len(steps), -1), index=index, columns=columns)

    def _fit_readout(self) -> None:
        """Fit effect_ and blocks_ to all rows so far; the encoder is not changed."""
        values = self.scaler_.transform(values_of(self._cur_y, "y"))
        times = times_of(self._cur_y.index)
        calendar, period, used = calendar_of(times), season(times), self._plan()

        def fitted(rest: np.ndarray, whole: bool) -> Blocks:
            zero = self.scaler_.zero if whole else None
            return fit_blocks(self.encoder_, rest, calendar, used, self.window, period, zero)

        if self._cur_X is None:
            self.blocks_ = fitted(values, True)
            return
        self._exogenous_scaler = _fit_scaler(values_of(self._cur_X, "X"), self._cur_X, "X")
        known = self._exogenous(self._cur_X, self._cur_y.index)
        found = fit_beside(fitted, Blocks.less_error, values, known, used.split.train)
        self.blocks_, self.effect_ = found

    def _ahead(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> np.ndarray:
        """Forecasts (H, C) in the units of y."""
        chosen = self._steps(fh)
        steps = chosen.max() + 1
        self._check_horizon(steps)
        index = self._cur_y.index
        later = ForecastingHorizon(np.arange(1, steps + 1)).to_absolute_index(self.cutoff)
        calendar = calendar_of(times_of(index), times_of(later, start=len(index)))
        values = self.scaler_.transform(values_of(self._cur_y, "y"))
        added = 0.0
        if self._cur_X is not None:
            if X is None:
                raise ValueError(
                    "X is missing: the forecaster was fitted with exogenous columns "
                    f"{list(self._cur_X.columns)}, expected them at the times of the forecast"
                )
            past = self._exogenous(self._cur_X, index)
            values = (values - past @ self.effect_).astype(np.float32)
            added = self._exogenous(X, fh.to_absolute_index(self.cutoff)) @ self.effect_
        ahead = self.blocks_.forecast(values, calendar, steps)[chosen]
        return self.scaler_.inverse(ahead + added)

    def _exogenous(self, X: pd.DataFrame, index: pd.Index) -> np.ndarray:
        """Standardised X (T, K) at the times ``index``, missing values at the mean."""
        columns = self._cur_X.columns
        missing = [name for name in columns if name not in X.columns]
        if missing:
            raise ValueError(f"X lacks columns {missing}, expected {list(columns)} as in fit")
        absent = index.difference(X.index)
        if len(absent):
            raise ValueError(
                f"X has no row for {absent[0]}, expected one for each time of y and fh"
            )
        values = values_of(X.loc[index, columns], "X")
        return np.nan_to_num(self._exogenous_scaler.transform(values))

    def _untrained(self, values: np.ndarray, times: pd.Index) -> Encoder:
        """The encoder for ``values (N, T, C)`` at its random initialisation."""
        check_choice("channels", self.channels, ("independent", "joint"))
        return build_encoder(
            self.backbone,
            1 if self.channels == "independent" else values.shape[2],
            self.dim,
            self.depth,
            self.window,
            causal=True,
            level_window=level_window(season(times)),
            seed=draw_seed(self.random_state),
        )

    def _trained(self, encoder: Encoder, values: np.ndarray) -> Encoder:
        """The encoder after training on windows of ``values (N, T, C)``, standardised."""
        rows = values.shape[1]
        config = AutoTCLConfig(augmentation=self.augmentation, learning_rate=self.learning_rate)
        steps = training(self.max_steps, self.batch_size, self.device)
        if rows < 4:  # too short for two windows that differ
            steps = None
        # A window of at most half a series leaves others to contrast with.
        window = min(self.window, max(2, rows // 2))
        return trained(encoder, values, window, config, steps, draw_seed(self.random_state))

    def _panel(self, y: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
        """Instances (N, T, C), each standardised by itself, and the times of the first."""
        levels = list(range(y.index.nlevels - 1))
        groups = list(y.groupby(level=levels, sort=False))
        frames = [evenly_spaced(frame.droplevel(levels))[0] for _, frame in groups]
        for frame in frames:
            values_of(frame, "y")
        values = stacked(frames)
        names = ["/".join(map(str, np.atleast_1d(np.asarray(name, object)))) for name, _ in groups]
        scaled = [
            _fit_scaler(part, y, f"instance {name} of y").transform(part)
            for name, part in zip(names, values, strict=True)
        ]
        return np.stack(scaled), times_of(frames[0].index)

    def _plan(self) -> Plan:
        return plan(len(self._cur_y), int(self._horizon), self.look_back)

    def _steps(self, fh: ForecastingHorizon) -> np.ndarray:
        """Positions of ``fh`` behind the cutoff, 0 for the first step."""
        return np.asarray(fh.to_indexer(self.cutoff))

    def _frame(self, fh: ForecastingHorizon, values: np.ndarray) -> pd.DataFrame:
        index = fh.to_absolute_index(self.cutoff)
        return pd.DataFrame(values, index=index, columns=self._cur_y.columns)

    def _check_horizon(self, steps: int) -> None:
        if steps > len(self._cur_y):
            raise ValueError(
                f"fh reaches {steps} steps ahead and y has {len(self._cur_y)} rows, expected at "
                "least as many rows as steps: shorten fh or add rows"
            )

    def _check_channels(self, encoder: Encoder, found: int) -> None:
        if encoder.in_channels not in (1, found):
            raise ValueError(
                f"y has {found} variables, expected {encoder.in_channels} as in pretrain: "
                'channels="independent" takes any number'
            )

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small and quick settings."""
        tiny = {"dim": 2, "depth": 1, "window": 8, "batch_size": 4}
        return [
            {**tiny, "max_steps": 1, "look_back": 4},
            {**tiny, "max_steps": 0, "backbone": "lstm", "channels": "joint"},
        ]


def _fit_scaler(values: np.ndarray, frame: pd.DataFrame, where: str) -> Scaler:
    return Scaler.fit(values, list(frame.columns), where, keep_constant=True)
