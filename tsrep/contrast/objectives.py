"""Contrastive losses on windows, to pretrain an encoder or to add to a forecasting loss.

    contrast = build(ContrastConfig("moco2"), encoder)
    loss = contrast(encoder, x)            # x (B, T, C), windows as the encoder sees them
    contrast.after_step(encoder)           # updates key encoder and queue

Zhang, Yan, Meng and Sylvain, "Contrastive Learning for Time Series: End-to-End or Two-Step?"
compare them, sec. 3. The state of a contrast changes in ``after_step`` only, which the training
loop calls, so validation and test windows never become negatives. (In the paper's code they do.)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.distributed import gather, own_rows, share
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import moco, nt_xent
from tspcrep.common.methods import Phase
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.queue import FeatureQueue
from tsrep.augment import Augmentation, Compose, Jitter, Scaling, Shift, TimestampMask
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
from tsrep.datasets.windows import Windows
from tsrep.encoders import Encoder

Objective = Literal["none", "moco", "moco2", "hcl", "moco2+hcl", "autotcl"]


@dataclass(frozen=True)
class ContrastConfig:
    """The contrastive loss and its settings."""

    objective: Objective = "moco2"
    """MoCo (v1, v2), TS2Vec's hierarchical contrast (hcl), both, AutoTCL, or none."""
    temperature: float = 0.2
    """Temperature: divides the cosine similarities."""
    queue: int = 512
    """Number of keys from earlier batches that serve as negatives (MoCo)."""
    momentum: float = 0.99
    """Momentum of the key encoder. The paper's .999 would hardly change in a few hundred steps."""
    width: int = 64
    """Output dimension of the projection head before the contrast."""
    strength: float = 1.0
    """Strength from 0 to 1 of the scaling, shift and jitter that make the views (MoCo)."""
    windows: int = 32
    """Most windows of a batch that are contrasted; the forecasting loss uses all of them."""

    def __post_init__(self) -> None:
        for name in ("temperature", "queue", "width", "windows"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        for name in ("momentum", "strength"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected 0 to 1")
        if self.queue < self.windows:
            raise UserError(
                f"queue: found {self.queue}, expected at least the {self.windows} windows of a "
                "batch that are contrasted"
            )


class Contrast(nn.Module):
    """A contrastive loss: ``forward(encoder, x)`` is a scalar, ``after_step`` updates its state."""

    def __init__(self, config: ContrastConfig) -> None:
        super().__init__()
        self.config = config

    def learned(self) -> list[nn.Parameter]:
        """Parameters of the contrast that are trained together with the encoder."""
        return []

    def own_phases(self) -> list[Phase]:
        """Training phases of the contrast that alternate with the encoder's."""
        return []

    def own_loss(self, x: Tensor) -> dict[str, Tensor]:
        """The losses of ``own_phases``."""
        raise NotImplementedError

    def after_step(self, encoder: Encoder) -> None:
        """Called after each training step."""


class _MomentumContrast(Contrast):
    """MoCo on time-averaged vectors: two views of a window are a positive pair, a queue negatives.

    He et al., CVPR 2020, Eq. 1. ``version`` 1: one linear layer, and views that differ by jitter;
    2 (Chen et al. 2020): a head of two layers, and views by scaling, shift and jitter, each with
    probability one half (Woo et al., "CoST"; sigma .5 in the released code of both papers). Keys of
    one batch are no negatives of each other. Until the queue holds something, the loss is 0.

    Departures: the representation is the mean over time, for query and key, where the released code
    takes a random step as the key; queue rows and queries have length 1, where that code normalises
    along the queue.
    """

    def __init__(self, encoder: Encoder, config: ContrastConfig, version: int = 2) -> None:
        super().__init__(config)
        self.head = ProjectionHead(encoder.dim, config.width, layers=version)
        self.key = MomentumEncoder(_Embedder(encoder, self.head), config.momentum)
        self.queue = FeatureQueue(config.queue, config.width)
        jitter = Jitter(0.5, p=0.5)
        self.views: Augmentation = jitter
        if version == 2:
            self.views = Compose([Scaling(0.5, p=0.5), Shift(0.5, p=0.5), jitter])
        self._keys: Tensor | None = None  # of this step, until after_step

    def learned(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def forward(self, encoder: Encoder, x: Tensor) -> Tensor:
        strength = self.config.strength
        query = _Embedder(encoder, self.head)(_view(self.views, x, strength))  # (B, width)
        keys = self.key(_view(self.views, x, strength))
        if self.training:
            self._keys = keys
        if not len(self.queue):
            return query.sum() * 0
        return share(moco(query, keys, self.queue.features, self.config.temperature), len(x))

    @torch.no_grad()
    def after_step(self, encoder: Encoder) -> None:
        if self._keys is None:  # a phase that saw no window
            return
        self.key.update(_Embedder(encoder, self.head))
        self.queue.enqueue(self._keys)
        self._keys = None


class _HierarchicalContrast(Contrast):
    """TS2Vec's contrast of two overlapping crops, at every scale of time.

    Yue et al., AAAI 2022, sec. 3.3-3.4: crops of the same window, some of whose steps are masked,
    are compared where they overlap. See :func:`_hierarchical_contrast`.
    """

    def __init__(self, encoder: Encoder, config: ContrastConfig) -> None:
        super().__init__(config)
        self.stride = encoder.stride  # crops are whole patches
        self.mask = TimestampMask()

    def forward(self, encoder: Encoder, x: Tensor) -> Tensor:
        steps = x.shape[1]
        most = steps // 4 // self.stride
        shift = self.stride * int(torch.randint(0, most + 1, ()))
        crops = [_view(self.mask, part) for part in (x[:, : steps - shift], x[:, shift:])]
        first, second = (encoder(crop) for crop in crops)  # (B, T - shift, D)
        both = steps - 2 * shift
        every = slice((both - 1) % self.stride, both, self.stride)  # a patch's steps are alike
        first, second = first[:, shift:][:, every], second[:, every]
        return _hierarchical_contrast(gather(first), gather(second), self.config.temperature)


def _hierarchical_contrast(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """The mean over scales of instance and temporal contrast, half of each.

        L = 1/S sum_s [ NT-Xent of instances at each step + NT-Xent of steps in each instance ] / 2

    Yue et al., AAAI 2022, Eq. 1-3 and Algorithm 1: each scale is the maximum over pairs of steps of
    the scale before; the last scale has a single step and therefore the instance term only.
    Departure: cosine similarities and a temperature in place of inner products, as everywhere in
    this package; the loss could otherwise be reduced by the norms, which a forecasting head uses.

    Args:
        first, second: ``(B, T, D)``, the same steps of two views, B at least 2.
        temperature: divides the cosines.
    """
    total, scales = first.new_zeros(()), 0
    while True:
        by_step = nt_xent(first.transpose(0, 1), second.transpose(0, 1), temperature)  # (T, B, D)
        scales += 1
        if first.shape[1] == 1:
            return (total + by_step / 2) / scales
        total = total + (by_step + nt_xent(first, second, temperature)) / 2
        first, second = (
            F.max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (first, second)
        )


def _view(augmentation: Augmentation, x: Tensor, strength: float = 1.0) -> Tensor:
    """A view of each row, drawn as one process draws it that has the rows of all."""
    whole = gather(x)
    return own_rows(lambda count: augmentation(whole, strength=strength), len(x))


class _LearnedContrast(Contrast):
    """AutoTCL's contrast, whose augmentation network is trained in alternation with the encoder."""

    def __init__(self, encoder: Encoder, config: ContrastConfig) -> None:
        super().__init__(config)
        settings = AutoTCLConfig(head=config.width, temperature=config.temperature, augment_every=1)
        self.method = AutoTCL(encoder, settings)

    def learned(self) -> list[nn.Parameter]:
        return list(self.method.head.parameters())

    def own_phases(self) -> list[Phase]:
        return [phase for phase in self.method.phases() if phase.name == "augmentation"]

    def own_loss(self, x: Tensor) -> dict[str, Tensor]:
        return self.method.loss(_windows(x), "augmentation")

    def forward(self, encoder: Encoder, x: Tensor) -> Tensor:
        return self.method.loss(_windows(x), "encoder")["loss"]


class _Both(Contrast):
    """The mean of two contrasts."""

    def __init__(self, first: Contrast, second: Contrast) -> None:
        super().__init__(first.config)
        self.parts = nn.ModuleList([first, second])

    def contrasts(self) -> list[Contrast]:
        return [part for part in self.parts if isinstance(part, Contrast)]

    def learned(self) -> list[nn.Parameter]:
        return [parameter for part in self.contrasts() for parameter in part.learned()]

    def forward(self, encoder: Encoder, x: Tensor) -> Tensor:
        first, second = self.parts
        return (first(encoder, x) + second(encoder, x)) / 2

    def after_step(self, encoder: Encoder) -> None:
        for part in self.contrasts():
            part.after_step(encoder)


def build(config: ContrastConfig, encoder: Encoder) -> Contrast | None:
    """The contrast for an encoder ``(B, T, C) -> (B, T, D)``; None for the objective ``none``."""
    if config.objective == "none":
        return None
    if config.objective == "autotcl":
        return _LearnedContrast(encoder, config)
    if config.objective == "hcl":
        return _HierarchicalContrast(encoder, config)
    momentum = _MomentumContrast(encoder, config, version=1 if config.objective == "moco" else 2)
    if config.objective == "moco2+hcl":
        return _Both(momentum, _HierarchicalContrast(encoder, config))
    return momentum


def _windows(x: Tensor) -> Windows:
    """A batch (B, T, C) in the form that AutoTCL takes."""
    return Windows(x, torch.arange(len(x)))


class _Embedder(nn.Module):
    """Encoder, mean over time, head: ``(B, T, C) -> (B, width)``."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))
