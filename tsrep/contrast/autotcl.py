"""AutoTCL: contrastive learning with views made by a learned augmentation network.

Zheng et al., "Parametric Augmentation for Time Series Contrastive Learning", ICLR 2024. Two phases
alternate. The augmentation network minimises the principle of relevant information (PRI, Eq. 10):
a view keeps few steps, yet its embedding stays close to that of the series. The encoder minimises
InfoNCE between a series and its view, plus a local contrastive loss within the view (Eq. 15).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim.swa_utils import AveragedModel

from tspcrep.common.distributed import gather, own_rows, share
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import InfoNCE
from tspcrep.common.methods import Embeddings, Method, Phase
from tspcrep.common.metrics import diagnostics
from tsrep.contrast.view_network import (
    View,
    ViewNetwork,
    expected_l0,
    gaussian_mmd,
    linear_mmd,
    random_view,
    temporal_consistency,
)
from tsrep.datasets.windows import Windows
from tsrep.encoders import Encoder
from tsrep.encoders.base import largest


@dataclass(frozen=True)
class AutoTCLConfig:
    """Settings of AutoTCL. Symbols in brackets are the paper's."""

    augmentation: Literal["parametric", "adversarial", "random", "none"] = "parametric"
    """Views learned by PRI (the paper), learned adversarially, random, or the series itself."""
    factorise: bool = True
    """Learn which time steps to keep [h]."""
    transform: bool = True
    """Learn factors to multiply the kept steps by [g]."""
    noise: bool = True
    """Drop half of the time steps in the first hidden layer of the view [eta]."""
    head: int = 64
    """Output dimension of the projection head before the contrast; 0 for none, as in the paper."""
    temperature: float = 0.2
    """Temperature of both contrastive losses. The paper gives none; its code uses 1."""
    local_weight: float = 0.1
    """Weight of the local contrastive loss [alpha]."""
    size_weight: float = 0.1
    """Weight of the expected fraction of steps kept [beta]."""
    consistency_weight: float = 0.1
    """Weight of the temporal consistency of the mask [lambda]."""
    mmd: Literal["linear", "gaussian"] = "linear"
    """Distance between embeddings of series and views: Eq. 8, or that of the released code."""
    augment_every: int = 2
    """Update the augmentation network once in this many epochs [M]."""
    learning_rate: float = 3e-4
    """Learning rate of the encoder. With the paper's 1e-3, an untrained encoder wins on ETTh2."""
    augmentation_rate: float = 1e-3
    """Learning rate of the augmentation network."""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.augment_every < 1 or self.head < 0:
            raise UserError(
                f"temperature {self.temperature}, augment_every {self.augment_every}, head "
                f"{self.head}: expected a temperature above 0, at least 1 epoch, a width of 0 or "
                "more"
            )
        if self.augmentation == "adversarial" and not (self.factorise or self.transform):
            raise UserError(
                "augmentation 'adversarial' without factorise and transform has nothing to learn; "
                "set one of them or take augmentation 'none'"
            )


class AutoTCL(Method):
    """AutoTCL as a method for :func:`tspcrep.common.training.fit`, on batches of
    :class:`tsrep.datasets.windows.Windows`.

    Parameters
    ----------
    encoder : the network to train. eta masks the output of its ``embed``, the first hidden layer.
    config : see :class:`AutoTCLConfig`.

    Losses are computed on the batches of all processes together: embeddings are gathered, and
    random numbers are drawn for all rows before each process takes its own.

    ``averaged`` holds the running mean of the encoder's weights over all steps; the paper evaluates
    this encoder.

    Departures from the paper (the errors of its released code are not reproduced either):

    - A projection head follows the encoder (SimCLR, sec. 4.2). Without it the contrastive loss
      removes information from the representation, and forecasts from a trained encoder are worse
      than from an untrained one.
    - MMD compares embeddings of unit length, so its weight does not depend on the scale of the
      encoder.
    - Embeddings are max-pooled over time, without missing steps, before the global contrast, as in
      TS2Vec; the paper does not say how.
    - Local contrast, Eq. 13-14: the view is cut into segments. In each, the first third is an
      anchor and the second third its positive; negatives are the second thirds of the other
      segments. The last third is a gap, so that no negative is adjacent to its anchor.
    """

    def __init__(self, encoder: Encoder, config: AutoTCLConfig | None = None):
        super().__init__()
        self.config = config = config or AutoTCLConfig()
        self.encoder = encoder
        self.averaged = AveragedModel(encoder)
        self.learned = config.augmentation in ("parametric", "adversarial")
        if self.learned:
            self.augmentation = ViewNetwork(
                encoder.in_channels, factorise=config.factorise, transform=config.transform
            )
        self.head = ProjectionHead(encoder.dim, config.head) if config.head else nn.Identity()
        self.info_nce = InfoNCE(config.temperature)

    def phases(self) -> list[Phase]:
        c = self.config
        trained = [*self.encoder.parameters(), *self.head.parameters()]
        encoder = Phase("encoder", trained, c.learning_rate)
        if not self.learned:
            return [encoder]
        parameters = list(self.augmentation.parameters())
        return [Phase("augmentation", parameters, c.augmentation_rate, c.augment_every), encoder]

    def loss(self, batch: Windows, phase: str) -> dict[str, Tensor]:
        return self.contrast(self.embed(batch, phase), phase)

    def embed(self, batch: Windows, phase: str) -> Embeddings:
        """What :meth:`contrast` compares, one row per series, so that a batch can be embedded in
        chunks: pooled series and views, then the mask's logit and values ("augmentation") or the
        anchors and positives of the local contrast ("encoder")."""
        x = batch.values  # (B, T, C)
        view = self.view(x)
        if phase == "augmentation":
            with torch.no_grad():  # the series' embedding does not depend on the augmentation
                z = largest(self.encoder(x), x)
            return z, largest(self.encode_view(view.values), x), view.logit, view.keep
        z, v = self.encoder(x), self.encode_view(view.values)  # (B, T, D)
        return largest(z, x), largest(v, x), *_segments(v)

    def contrast(self, embeddings: Embeddings, phase: str) -> dict[str, Tensor]:
        """The losses of :meth:`embed`'s rows, those of all processes together."""
        if phase == "augmentation":
            return self.augmentation_loss(*embeddings)
        return self.encoder_loss(*embeddings)

    def view(self, x: Tensor) -> View:
        """A view of each series, before eta is applied."""
        batch, steps, channels = x.shape
        uniform = own_rows(lambda n: torch.rand(n, steps, 1, device=x.device), batch)
        uniform = uniform.clamp(1e-6, 1 - 1e-6)
        if self.learned:
            return self.augmentation(x, uniform)
        if self.config.augmentation == "random":
            normal = own_rows(lambda n: torch.randn(n, 1, channels, device=x.device), batch)
            return random_view(x, uniform, normal)
        ones = torch.ones_like(uniform)
        return View(x, ones, ones, torch.ones_like(x))

    def augmentation_loss(
        self, z: Tensor, v: Tensor, logit: Tensor, keep: Tensor
    ) -> dict[str, Tensor]:
        """Eq. 10: ``beta E||h||_0 + D(f(x), f(v)) + lambda L_t``, or the negative contrast.

        z, v: (B, D) pooled series and views. logit, keep: (B, T, 1) of the mask.
        """
        z, v = gather(z), gather(v)
        if self.config.augmentation == "adversarial":
            return {"loss": -self._info_nce(z, v)}
        batch, steps, _ = keep.shape
        size = share(expected_l0(logit), batch)
        mmd = linear_mmd if self.config.mmd == "linear" else gaussian_mmd
        fidelity = mmd(normalize(z, dim=-1), normalize(v, dim=-1))
        chosen = own_rows(lambda n: _draw_steps(n, steps, keep.device), batch).unbind(1)
        consistency = share(temporal_consistency(keep, *chosen), batch)
        c = self.config
        total = c.size_weight * size + fidelity + c.consistency_weight * consistency
        return {"loss": total, "size": size, "fidelity": fidelity, "consistency": consistency}

    def encoder_loss(
        self, z: Tensor, v: Tensor, anchors: Tensor, positives: Tensor
    ) -> dict[str, Tensor]:
        """Eq. 15: global InfoNCE of (x, v) plus alpha times the local contrast of v, Eq. 13-14.

        z, v: (B, D) pooled series and views. anchors, positives: (B, S, D) segments of the view;
        the local contrast is 0 if the window is too short for two.
        """
        series, views = (self.head(gather(y)) for y in (z, v))  # of all processes
        instance = self.info_nce(series, views)
        short = anchors.shape[1] < 2
        local = v.new_zeros(()) if short else self._info_nce(anchors, positives)
        local = share(local, len(z))
        total = instance + self.config.local_weight * local
        scores = diagnostics(series, views, self.config.temperature) if len(series) > 1 else {}
        return {"loss": total, "instance": instance, "local": local, **scores}

    def _info_nce(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        """InfoNCE of (..., B, D) embeddings behind the head; row i finds row i."""
        return self.info_nce(self.head(anchors), self.head(candidates))

    def encode_view(self, values: Tensor) -> Tensor:
        """Encode a view under eta: steps are masked after the first layer with probability .5."""
        if not self.config.noise:
            return self.encoder(values)
        batch, steps, _ = values.shape
        uniform = own_rows(lambda n: torch.rand(n, steps, 1, device=values.device), batch)
        mask = (uniform < 0.5).to(values.dtype)
        return self.encoder.body(mask * self.encoder.embed(values))

    def after_step(self) -> None:
        self.averaged.update_parameters(self.encoder)


def _segments(v: Tensor, count: int = 8) -> tuple[Tensor, Tensor]:
    """Cut (B, T, D) into at most ``count`` segments: their first and second thirds, (B, S, D) each,
    pooled; of a window too short for two segments none, S = 0."""
    batch, steps, dim = v.shape
    count = min(count, steps // 3)
    if count < 2:
        return v.new_zeros(batch, 0, dim), v.new_zeros(batch, 0, dim)
    third = steps // count // 3
    cut = v[:, : count * 3 * third].reshape(batch, count, 3, third, dim)
    first, second, _gap = cut.amax(3).unbind(2)
    return first, second


def _draw_steps(batch: int, steps: int, device: torch.device) -> Tensor:
    """Random anchor, neighbouring and far step of each sample, (B, 3).

    The neighbour is the step before or after; the far step is at least a quarter of the window
    away, counted cyclically.
    """
    anchor = torch.randint(0, steps, (batch,), device=device)
    side = 2 * torch.randint(0, 2, (batch,), device=device) - 1
    near = torch.where((anchor + side >= 0) & (anchor + side < steps), anchor + side, anchor - side)
    distance = torch.randint(steps // 4, steps - steps // 4 + 1, (batch,), device=device)
    return torch.stack([anchor, near, (anchor + distance) % steps], 1)
