"""The Siamese correspondence network of FAC: a learned mask on the channels of each feature."""

from torch import Tensor, nn

from tspcrep.common.elementwise import sigmoid


class CorrespondenceNetwork(nn.Module):
    """``F = reshape(h(E) * E)``, ``E = reshape(D)``: features (N, dim) to features (N, dim).

    Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023,
    framework figure. It is used in pretraining only; both views pass through it.

    Given by the published record: the backbone's features D of each view are reshaped to maps E of
    ``f_c`` channels; a projector h makes a mask ``S = h(E)``; ``H = S * E``, element by element, is
    reshaped back to F, and the feature contrast compares F. Its weights are the same for both views
    ("Siamese"), and the key's path has no gradient.

    Our choices, where neither text nor code says: E is the feature of a single point, cut into
    ``channels`` pieces of ``dim / channels`` numbers, so that the network acts on each point
    independently and a scene may have any number of points; h is two 1 x 1 convolutions over the
    channels with a ReLU in between and a final sigmoid, so that the mask lies in 0 .. 1; the key
    passes through the query's current weights, not through a moving average.

    Args:
        dim: feature dimension, a multiple of ``channels``.
        channels: f_c, channels of the maps.
        hidden: channels between the two convolutions.
    """

    def __init__(self, dim: int, channels: int = 8, hidden: int = 32) -> None:
        super().__init__()
        if channels < 1 or dim % channels:
            raise ValueError(f"channels is {channels}, expected a divisor of dim = {dim}")
        self.channels = channels
        self.projector = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        maps = features.reshape(len(features), self.channels, -1)  # (N, f_c, dim / f_c)
        # As linear maps of the channels: the gradient of a Conv1d depends on the number of threads.
        mask = sigmoid(self.projector(maps.mT).mT)
        return (mask * maps).reshape(features.shape)
