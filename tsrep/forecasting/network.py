"""A forecaster trained end to end: instance normalisation, a backbone, a head.

    data = ForecastWindows(values, split.train, look_back=168, horizon=24)
    model = ForecasterConfig(backbone="transformer").build(channels=7, horizon=24)
    ahead = model(past)                                   # (B, L, C) -> (B, H, C)

The training strategies are in :mod:`tsrep.forecasting.training`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from tspcrep.common.dropout import Dropout
from tspcrep.common.elementwise import softplus
from tspcrep.common.errors import UserError
from tspcrep.common.modes import evaluating
from tsrep.encoders import Encoder
from tsrep.encoders.config import Backbone, build_backbone
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.windows import ForecastBatch, ForecastWindows


@dataclass(frozen=True)
class ForecasterConfig:
    """Configuration of a :class:`Forecaster`."""

    backbone: Backbone = "transformer"
    """Network that encodes the look-back window."""
    look_back: int | None = None
    """Steps of the look-back window; by default 336, or a quarter of the train rows if less."""
    dim: int = 64
    """Channels of the backbone's output."""
    depth: int | None = None
    """Layers of the backbone; by default 2, or as many convolutions as cover the look-back."""
    heads: int = 4
    """Attention heads of the Transformer."""
    patch: int = 24
    """Steps per patch; the head reads one vector per patch, whatever the backbone."""
    dropout: float = 0.2
    """Dropout rate in the backbone and before the head."""
    channels: Literal["independent", "joint"] = "independent"
    """Whether the network reads each channel by itself, or all channels together."""
    normalise: Literal["last", "revin", "none"] = "last"
    """Normalise each window by its last value, or by mean and deviation; undone on the forecast."""
    head: Literal["linear", "mlp"] = "linear"
    """Head that maps the window's vectors to the horizon."""
    quantiles: tuple[float, ...] = ()
    """Quantiles to forecast, trained by pinball loss, instead of the mean."""

    def __post_init__(self) -> None:
        for name in ("look_back", "dim", "depth", "patch"):
            found = getattr(self, name)
            if found is not None and found < 1:
                raise UserError(f"{name}: found {found}, expected at least 1")
        if self.look_back is not None and self.patch > self.look_back:
            raise UserError(
                f"patch: found {self.patch}, expected at most the look-back of {self.look_back}"
            )
        q = self.quantiles
        if any(not 0 < one < 1 for one in q) or list(q) != sorted(set(q)):
            raise UserError(f"quantiles: found {q}, expected rising numbers between 0 and 1")

    def fitting(self, rows: int) -> "ForecasterConfig":
        """This configuration with its look-back, which the train ``rows`` of a series set."""
        if self.look_back is not None:
            return self
        look_back = max(1, min(336, rows // 4))
        return replace(self, look_back=look_back, patch=min(self.patch, look_back))

    @property
    def steps(self) -> int:
        """The look-back of a configuration that has one, as after :meth:`fitting`."""
        if self.look_back is None:
            raise ValueError("look_back is None, expected a number of steps: call fitting first")
        return self.look_back

    def build(self, channels: int, horizon: int, **inputs) -> "Forecaster":
        """The untrained network, see :class:`Forecaster`."""
        return Forecaster(self, channels, horizon, **inputs)

    def encoder(self, in_channels: int) -> Encoder:
        """The untrained backbone."""
        depth = self.depth
        if depth is not None and self.backbone == "dilated":
            depth -= 1  # fitted forecasters count its widening block too
        return build_backbone(
            self.backbone,
            in_channels,
            self.dim,
            depth,
            reach=self.steps,
            hidden=self.dim,
            heads=self.heads,
            patch=self.patch,
            dropout=self.dropout,
            causal=self.backbone != "transformer",  # whose patches do not overlap
        )


class Forecaster(nn.Module):
    """``past (B, L, C + E), known (B, L + H, F) -> (B, H, C)``, or ``(B, H, C, Q)`` quantiles.

        s = (x - level) / scale            level: the last value (scale 1), or mean and deviation
        v = [z_p, z_2p, .., z_L]           z = backbone([s ; known]), one vector per patch
        y = level + scale (head(v) + W known_future)

    Subtracting the last value is NLinear's normalisation (Zeng et al. 2023, sec. 4), mean and
    deviation RevIN's (Kim et al. 2022) without its affine map. Patches and the flat head are
    PatchTST's (Nie et al. 2023, sec. 3.1). Zhang et al. (2023) read the last H states point by
    point, which ties the look-back to the horizon; here one network serves every horizon up to H.

    Parameters
    ----------
    channels : number C of channels to forecast. With ``channels="independent"`` in the
        configuration, the network reads each by itself, together with the E exogenous channels, and
        accepts any number of them.
    horizon : H, in steps.
    known : number F of inputs known ahead, such as the calendar or planned exogenous values. Their
        effect at the time of the forecast is linear.
    past : number E of exogenous channels known only up to the present.

    Missing values must be filled, see :func:`tsrep.datasets.series.filled`. Quantiles cannot cross:
    the network predicts the lowest one and positive increments.
    """

    def __init__(
        self,
        config: ForecasterConfig,
        channels: int,
        horizon: int,
        known: int = 0,
        past: int = 0,
    ):
        super().__init__()
        self.config, self.channels, self.horizon = config, channels, horizon
        self.known, self.past = known, past
        self.independent = config.channels == "independent"
        width = 1 if self.independent else channels
        self.encoder = config.encoder(width + past + known)
        self.dim = config.dim * (-(-config.steps // config.patch))
        outputs = horizon * width * max(1, len(config.quantiles))
        self.drop = Dropout(config.dropout)
        self.head: nn.Module = nn.Linear(self.dim, outputs)
        if config.head == "mlp":
            self.head = nn.Sequential(nn.Linear(self.dim, 128), nn.GELU(), nn.Linear(128, outputs))
        self.ahead = nn.Linear(known, width, bias=False) if known else None

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        seen, level, scale = self.seen(past, known)
        outputs = self.head(self.drop(self.vectors(seen)))
        return self.in_units(outputs, level, scale, known)

    def seen(self, past: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's input ``(B', L, C')``, and level and scale ``(B, 1, C)``.

        B' is B, or B * C if channels are independent.
        """
        self._check(past, known)
        level, scale = self._normalisation(past)
        x = (past - level) / scale
        level, scale = (t[..., : self.channels_of(past)] for t in (level, scale))
        beside = [] if known is None else [known[:, : past.shape[1]]]
        if not self.independent:
            return torch.cat([x, *beside], -1), level, scale
        own, exogenous = x.split([x.shape[2] - self.past, self.past], -1)
        count = own.shape[2]
        rows = own.transpose(1, 2).flatten(0, 1)[..., None]  # (B * C, L, 1)
        beside = [part.repeat_interleave(count, 0) for part in (exogenous, *beside)]
        return torch.cat([rows, *beside], -1), level, scale

    def vectors(self, seen: Tensor) -> Tensor:
        """The representation that the head reads: ``(B', L, C') -> (B', patches * dim)``."""
        return self.encoder.every(seen, self.config.patch).flatten(1)

    def summary(self, seen: Tensor) -> Tensor:
        """One vector per window, the mean over its patches: ``(B', L, C') -> (B', dim)``."""
        return self.vectors(seen).unflatten(1, (-1, self.config.dim)).mean(1)

    def in_units(
        self, outputs: Tensor, level: Tensor, scale: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """The head's outputs ``(B', H * C * Q)`` as forecasts ``(B, H, C[, Q])``."""
        batch, _, channels = level.shape
        quantiles = len(self.config.quantiles)
        count = max(1, quantiles)
        if self.independent:  # (B * C, H * Q)
            y = outputs.view(batch, channels, self.horizon, count).transpose(1, 2)
        else:
            y = outputs.view(batch, self.horizon, channels, count)
        if count > 1:
            steps = softplus(y[..., 1:])
            y = torch.cat([y[..., :1], y[..., :1] + steps.cumsum(-1)], -1)
        if self.ahead is not None and known is not None:
            y = y + self.ahead(known[:, -self.horizon :])[..., None]
        y = level[..., None] + scale[..., None] * y
        return y if quantiles else y[..., 0]

    def channels_of(self, past: Tensor) -> int:
        return past.shape[2] - self.past

    def _normalisation(self, past: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.normalise == "last":
            return past[:, -1:], torch.ones_like(past[:, -1:])
        if self.config.normalise == "revin":
            mean = past.mean(1, keepdim=True)
            return mean, (past.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return torch.zeros_like(past[:, :1]), torch.ones_like(past[:, :1])

    def _check(self, past: Tensor, known: Tensor | None) -> None:
        channels = self.channels_of(past)
        if channels < 1 or (not self.independent and channels != self.channels):
            raise UserError(
                f"past has {past.shape[2]} channels, expected {self.channels} to forecast and "
                f"{self.past} exogenous: give the columns that the forecaster was trained on"
            )
        if past.shape[1] != self.config.look_back:
            raise UserError(
                f"past has {past.shape[1]} steps, expected the look-back of {self.config.look_back}"
            )
        shape = None if known is None else tuple(known.shape[1:])
        expected = (self.config.look_back + self.horizon, self.known) if self.known else None
        if shape != expected:
            raise UserError(
                f"known inputs have shape {shape}, expected {expected}: (look-back + horizon, "
                "columns that the forecaster was trained with)"
            )


def forecast_loss(
    ahead: Tensor, future: Tensor, horizons: Sequence[int], quantiles: Sequence[float] = ()
) -> Tensor:
    """Mean squared error up to each horizon, averaged over horizons; missing labels are left out.

    With ``quantiles``, the mean pinball loss ``max(q e, (q - 1) e)``, ``e = y - y_q`` (Koenker and
    Bassett 1978), instead. The average of a published table is this mean over horizons, so one
    training serves all its rows.

    ahead: (B, H, C), or (B, H, C, Q) quantiles. future: (B, H, C), NaN where missing.
    """
    known, future = ~future.isnan(), future.nan_to_num()
    if quantiles:
        error = future[..., None] - ahead
        q = torch.tensor(quantiles, dtype=ahead.dtype, device=ahead.device)
        loss = torch.maximum(q * error, (q - 1) * error)
        loss = torch.where(known[..., None], loss, 0.0).mean(-1)
    else:
        loss = torch.where(known, ahead - future, 0.0).square()
    places = torch.tensor(horizons, device=loss.device) - 1
    total, count = (t.sum((0, 2)).cumsum(0)[places] for t in (loss, known))
    return (total / count.clamp_min(1)).mean()


def over_windows(
    model: nn.Module,
    data: ForecastWindows,
    read: Callable[[ForecastBatch], tuple[Tensor, ...]],
    batch_size: int,
    what: str = "forecast",
) -> list[np.ndarray]:
    """The tensors that ``read`` returns for a batch, concatenated over all windows.

    The model is in evaluation mode meanwhile, and batches are on its device.
    """
    device, found = next(model.parameters()).device, []
    with evaluating(model), torch.inference_mode():
        for start in tqdm(range(0, len(data), batch_size), desc=what, delay=2, leave=False):
            rows = range(start, min(len(data), start + batch_size))
            batch = data.__getitems__(rows).to(device)
            found.append([part.cpu().numpy() for part in read(batch)])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def predictions(
    model: nn.Module, data: ForecastWindows, batch_size: int = 256, what: str = "forecast"
) -> np.ndarray:
    """Forecasts from every origin of ``data``: float32 (origins, H, C[, Q])."""
    size = max(1, batch_size // data.channels)
    (ahead,) = over_windows(model, data, lambda b: (model(b.past, b.known),), size, what)
    return ahead


def validation_error(
    model: nn.Module,
    data: ForecastWindows,
    horizons: Sequence[int],
    quantiles: Sequence[float] = (),
) -> float:
    """:func:`forecast_loss` on all windows of ``data``."""
    ahead = torch.from_numpy(predictions(model, data, what="validate"))
    future = data.__getitems__(range(len(data))).future
    return float(forecast_loss(ahead, future, horizons, quantiles))


def as_forecast(ahead: np.ndarray, data: ForecastWindows, horizon: int) -> Forecast:
    """The first ``horizon`` steps of :func:`predictions` as a :data:`Forecast`."""
    place = np.full(int(data.starts[-1]) + 1, -1)
    place[data.starts] = np.arange(len(data.starts))
    return lambda starts: ahead[place[starts], :horizon]


def median(config: ForecasterConfig, ahead: np.ndarray) -> np.ndarray:
    """The point forecast (..., H, C): the outputs, or the quantile nearest the median."""
    if not config.quantiles:
        return ahead
    return ahead[..., int(np.abs(np.subtract(config.quantiles, 0.5)).argmin())]


def width(config: ForecasterConfig, ahead: np.ndarray) -> np.ndarray:
    """Distance between the outermost quantiles (..., H, C); 1 if there are fewer than two."""
    if len(config.quantiles) < 2:
        return np.ones_like(median(config, ahead))
    return np.maximum(ahead[..., -1] - ahead[..., 0], 1e-6)
