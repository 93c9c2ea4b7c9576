"""A scikit-learn transformer of series into vectors: arrays (N, T, C) -> (N, D).

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tsrep.sklearn import ContrastiveEncoder

model = make_pipeline(ContrastiveEncoder(), LogisticRegression())
model.fit(X, y)                          # X (N, T, C), NaN where missing
"""

from typing import Literal

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from tspcrep.common.errors import UserError
from tspcrep.common.training import Training
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.contrast.pretraining import WindowConfig, train_encoder, training_windows
from tsrep.datasets.series import Scaler
from tsrep.encoders import Encoder
from tsrep.encoders.config import build_backbone
from tsrep.encoders.encoding import encode
from tsrep.encoders.level import centred, level_window
from tsrep.features.ragged import SeriesEstimator, check_channels, checked_panel


class ContrastiveEncoder(
    SeriesEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Vectors of series, from an encoder trained by contrastive learning (AutoTCL) in ``fit``.

    Parameters
    ----------
    output : "vector", one vector per instance, the maximum over its steps, from an encoder that is
        not causal; or "steps", one vector per step, from a causal encoder, so that the vector of a
        step depends on no later step. A TCN or an LSTM is always causal.
    backbone : "dilated" (TS2Vec's dilated convolutions), "transformer", "tcn" or "lstm"; with
        ``output="vector"`` also "patch_transformer".
    dim : channels of the encoder; a vector of an instance has as many numbers, or 4 dim + 3 with
        "patch_transformer". A Transformer has as many heads, up to 4, as fit.
    depth : its layers; by default 2 (Transformer, LSTM), or as many convolutions as look back
        ``window`` steps.
    channels : "independent", one encoder reads each channel by itself and the vectors are
        concatenated; or "joint", the encoder reads all channels together.
    window : maximal length of a training window in steps.
    augmentation : how views are made, see :class:`tsrep.contrast.autotcl.AutoTCLConfig`.
    max_steps : training steps; 0 leaves the encoder at its random initialisation, the control that
        a trained encoder has to beat.
    batch_size, learning_rate : batch size and learning rate of the training.
    device : where to train, "auto", "cpu" or "cuda". The trained encoder is moved to the CPU.
    random_state : seed of initialisation and training. The same seed and data give the same
        vectors; None draws a new seed each time.

    Attributes
    ----------
    encoder_ : the trained encoder, an ``nn.Module`` for :func:`tsrep.encode` and
        :func:`tsrep.encoders.files.save_encoder`.
    scaler_ : mean and deviation of each channel in ``fit``.
    n_channels_ : channels seen in ``fit``.

    X is (N, T, C), or (N, T) for series of one channel; NaN where missing, and behind the end of
    shorter series. Other lengths may be transformed than were fitted. Raises ``ValueError`` for an
    infinite value, no instance, a channel without a number, or other channels than were fitted.
    """

    def __init__(
        self,
        output="vector",
        *,
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

    def fit(self, X, y=None):
        """Train the encoder on ``X (N, T, C)``; y is ignored."""
        check_choice("output", self.output, ("vector", "steps"))
        check_choice("channels", self.channels, ("independent", "joint"))
        values = checked_panel(X, self, least_steps=2)
        self.scaler_ = Scaler.fit(values, where="X", keep_constant=True)
        self.n_channels_ = values.shape[2]
        scaled = self.scaler_.transform(values)
        seed = draw_seed(self.random_state)
        encoder = build_encoder(
            self.backbone,
            1 if self.channels == "independent" else self.n_channels_,
            self.dim,
            self.depth,
            min(self.window, values.shape[1]),
            causal=self.output == "steps",
            level_window=level_window(None) if self.output == "steps" else 0,
            seed=seed,
        )
        self.encoder_ = trained(
            encoder,
            scaled,
            self.window,
            AutoTCLConfig(augmentation=self.augmentation, learning_rate=self.learning_rate),
            training(self.max_steps, self.batch_size, self.device),
            seed,
        )
        one = encode(self.encoder_, scaled[:1], pool=True, apart=True)
        self._n_features_out = one.shape[1]
        return self

    def transform(self, X):
        """Vectors (N, D) of ``X (N, T, C)``, or (N, T, D) with ``output="steps"``; float32."""
        check_is_fitted(self)
        values = checked_panel(X, self, least_steps=2)
        check_channels(values, self.n_channels_, self)
        scaled = self.scaler_.transform(values)
        return encode(self.encoder_, scaled, pool=self.output == "vector", apart=True)


def build_encoder(
    backbone: str,
    in_channels: int,
    dim: int,
    depth: int | None,
    reach: int,
    *,
    causal: bool,
    level_window: int,
    seed: int,
) -> Encoder:
    """An untrained encoder, its weights drawn with ``seed``; see :class:`ContrastiveEncoder`.

    reach: steps that convolutions look back if ``depth`` is None. level_window: steps of the
    trailing mean that is removed from its input; 0 for none.
    """
    heads = max(h for h in (1, 2, 4) if dim % (2 * h) == 0 or h == 1)
    options = {"reach": reach, "causal": causal, "hidden": min(dim, 64), "heads": heads}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_backbone(backbone, in_channels, dim, depth, **options)
    if causal and not network.causal:
        raise UserError(
            f"backbone: {backbone!r} looks ahead, expected one that looks back only for a vector "
            "of each step: dilated, transformer, tcn or lstm"
        )
    return centred(network, level_window).eval()


def trained(
    encoder: Encoder,
    values: np.ndarray,
    window: int,
    method: AutoTCLConfig,
    training: Training | None,
    seed: int,
) -> Encoder:
    """The encoder after training on ``values (N, T, C)``, scaled, in evaluation mode on the CPU.

    training: None leaves the encoder as it is. Nothing is written, and torch's own random numbers
    go on as if nothing had been drawn.
    """
    if training is None:
        return encoder
    length = min(window, values.shape[1])
    windows = training_windows(values, encoder, WindowConfig(length, max(1, length // 12)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return train_encoder(encoder, windows, method, training, seed).cpu().eval()


def training(
    max_steps: int, batch_size: int, device: Literal["auto", "cpu", "cuda"]
) -> Training | None:
    """A training of exactly ``max_steps`` steps, however little data there is; None for 0 steps."""
    if max_steps < 0:
        raise UserError(f"max_steps: found {max_steps}, expected at least 0")
    if max_steps == 0:
        return None
    # An epoch has at least one step.
    return Training(epochs=max_steps, max_steps=max_steps, batch_size=batch_size, device=device)


def draw_seed(random_state) -> int:
    """The seed for a ``random_state`` (int, None, RandomState or Generator)."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)


def check_choice(name: str, found: object, expected: tuple[str, ...]) -> None:
    if found not in expected:
        raise UserError(f"{name}: found {found!r}, expected one of {', '.join(expected)}")
