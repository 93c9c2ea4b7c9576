"""A network on the voxels of one cloud as a program of torch's own operators."""

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from pcrep.sparse import SparseTensor


def export_program(network: nn.Module, x: SparseTensor) -> ExportedProgram:
    """Export ``network`` on the voxels of ``x`` with ``torch.export``.

    The program takes features (N, C) on those voxels and returns the network's (M, D). It holds
    the weights, and the kernel maps as constants: other voxels need another program. It is of
    plain operators, so ``torch.export.save`` keeps it and ``torch.export.load`` runs it where this
    package is not installed. The export is the non-strict one, which runs the network's Python.

    Parameters
    ----------
    network : maps a SparseTensor to a SparseTensor, such as a SparseUNet, in evaluation mode.
    x : a cloud of ``engine="torch"``, the only one whose operators ``torch.export`` knows.

    Raises
    ------
    ValueError
        The engine is another, the network is in training mode, or it returns no SparseTensor.
    """
    engine = x.maps.engine.name
    if engine != "torch":
        raise ValueError(
            f"x has engine {engine!r}, expected 'torch', whose operators torch.export knows; "
            "make it with SparseTensor(..., engine='torch')"
        )
    if network.training:
        raise ValueError(
            "the network is in training mode, whose statistics change with each call, expected "
            "evaluation mode; call .eval()"
        )
    features = x.features.detach()
    on_voxels = _OnVoxels(network, x)
    with torch.no_grad():
        on_voxels(features)  # computes the kernel maps, which become constants
    return torch.export.export(on_voxels, (features,), strict=False)


class _OnVoxels(nn.Module):
    """A network as a function of the features alone."""

    def __init__(self, network: nn.Module, x: SparseTensor):
        super().__init__()
        self.network, self.maps, self.stride = network, x.maps, x.stride

    def forward(self, features: Tensor) -> Tensor:
        y = self.network(SparseTensor.on(self.maps, self.stride, features))
        if not isinstance(y, SparseTensor):
            raise ValueError(f"the network returns a {type(y).__name__}, expected a SparseTensor")
        return y.features
