"""Convert weights from and to MinkowskiEngine 0.4, MinkowskiEngine 0.5 and spconv 2.

Our layout is that of MinkowskiEngine 0.5: (K, C, D), x fastest. Differences of the others:

- MinkowskiEngine names weights ``kernel`` and stores a 1 x 1 x 1 kernel of stride 1 as (C, D) and a
  bias as (1, D).
- The 3 x 3 x 3 convolutions of networks for MinkowskiEngine 0.4 that follow
  SpatioTemporalSegmentation (such as PointContrast and Contrastive Scene Contexts) have the
  "hybrid" kernel, whose taps start at the centre. Version 0.5 silently reads them in the wrong
  order.
- spconv stores (D, k, k, k, C), the last axis of its indices fastest. A 1 x 1 x 1 kernel of stride
  1 has that shape too, but spconv multiplies by its ``view(C, D)``.
"""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from pcrep.encoders.unet import BasicBlock, SparseUNet
from pcrep.sparse import BatchNorm, Conv, ConvTranspose
from pcrep.sparse.conv import check_weight
from tspcrep.common.errors import UserError

Library = Literal["minkowski-0.5", "minkowski-0.4", "spconv"]
Axes = Literal["xyz", "zyx"]

_HYBRID = (
    *(19, 15, 23, 11, 9, 13, 21, 17, 25, 5, 3, 7, 1, 0, 2, 6, 4, 8, 20, 16, 24, 12, 10, 14),
    *(22, 18, 26),
)
"""Tap ``k`` of a hypercube kernel is tap ``HYBRID[k]`` of MinkowskiEngine 0.4's hybrid one."""


def convert(
    state: Mapping[str, Tensor],
    model: nn.Module,
    library: Library,
    names: Mapping[str, str] | None = None,
    axes: Axes = "xyz",
) -> dict[str, Tensor]:
    """Convert a state dict of another library to one for ``model.load_state_dict``.

    Parameters
    ----------
    state : the other library's state dict, from ``torch.load(..., weights_only=True)``.
    model : the network to load the weights into.
    library : source of the weights. ``minkowski-0.4`` assumes hybrid kernels in the 3 x 3 x 3
        convolutions of residual blocks and nowhere else, as in SpatioTemporalSegmentation.
    names : our module names to theirs, such as :func:`res16unet_names`; the longest matching
        prefix counts, and names without one stay the same.
    axes : order of spconv's indices: [batch, x, y, z] (``xyz``, Pointcept) or [batch, z, y, x].

    Raises
    ------
    UserError
        A weight is missing or has another shape; the message names it.
    """
    converted = {}
    for ours, theirs, conv, hybrid in _parameters(model, library, names or {}):
        if theirs not in state:
            near = ", ".join(sorted(state)[:3])
            raise UserError(f"state has no {theirs} for {ours}; it holds {near}, ...")
        value = state[theirs]
        if conv is not None and ours.endswith("weight"):
            value = _from(value, conv, library, hybrid, axes)
            try:
                check_weight(value, conv, f"{theirs} for {ours}: ")
            except ValueError as error:
                raise UserError(str(error)) from error
        elif conv is not None:
            value = value.reshape(-1)
        converted[ours] = value
    return converted


def export(
    model: nn.Module,
    library: Library,
    names: Mapping[str, str] | None = None,
    axes: Axes = "xyz",
) -> dict[str, Tensor]:
    """Convert the state dict of ``model`` to another library; the inverse of :func:`convert`."""
    state = model.state_dict()
    exported = {}
    for ours, theirs, conv, hybrid in _parameters(model, library, names or {}):
        value = state[ours]
        if conv is not None and ours.endswith("weight"):
            value = _to(value, conv, library, hybrid, axes)
        elif conv is not None and library != "spconv":
            value = value[None]
        exported[theirs] = value
    return exported


def res16unet_names(model: SparseUNet) -> dict[str, str]:
    """Module names of a :class:`SparseUNet` to those of SpatioTemporalSegmentation's Res16UNet."""
    names = {"stem.conv": "conv0p1s1", "stem.norm": "bn0"}
    levels = len(model.down)
    for i in range(levels):
        names[f"down.{i}.conv"] = f"conv{i + 1}p{2**i}s2"
        names[f"down.{i}.norm"] = f"bn{i + 1}"
        names[f"encoder.{i}"] = f"block{i + 1}"
        names[f"up.{i}.conv"] = f"convtr{levels + i}p{2 ** (levels - i)}s2"
        names[f"up.{i}.norm"] = f"bntr{levels + i}"
        names[f"decoder.{i}"] = f"block{levels + 1 + i}"
    return names


def _parameters(model: nn.Module, library: Library, names: Mapping[str, str]):
    """Per entry of the state dict: our name, their name, its convolution or None, hybrid or not."""
    if library not in ("minkowski-0.5", "minkowski-0.4", "spconv"):
        raise UserError(
            f"library is {library!r}, expected 'minkowski-0.5', 'minkowski-0.4' or 'spconv'"
        )
    modules = dict(model.named_modules())
    blocks = [name for name, module in modules.items() if isinstance(module, BasicBlock)]
    for ours in model.state_dict():
        owner, _, leaf = ours.rpartition(".")
        module = modules[owner]
        conv = module if isinstance(module, Conv | ConvTranspose) else None
        if conv is not None and leaf == "weight" and library != "spconv":
            leaf = "kernel"
        parent, _, last = owner.rpartition(".")
        if library == "spconv" and last == "bn" and isinstance(modules[parent], BatchNorm):
            owner = parent  # spconv's networks hold a plain nn.BatchNorm1d there
        hybrid = (
            library == "minkowski-0.4"
            and conv is not None
            and conv.kernel_size == (3, 3, 3)
            and any(owner.startswith(f"{block}.") for block in blocks)
        )
        yield ours, f"{_rename(owner, names)}.{leaf}".lstrip("."), conv, hybrid


def _rename(owner: str, names: Mapping[str, str]) -> str:
    for prefix in sorted(names, key=len, reverse=True):
        if owner == prefix or owner.startswith(f"{prefix}."):
            return names[prefix] + owner[len(prefix) :]
    return owner


def _from(value: Tensor, conv: Conv | ConvTranspose, library: Library, hybrid: bool, axes: Axes):
    kernel, c, d = conv.kernel_size, conv.in_channels, conv.out_channels
    if library == "spconv":
        theirs = kernel if axes == "xyz" else kernel[::-1]
        if value.shape != (d, *theirs, c):
            return value  # for check_weight to describe
        if conv.pointwise:
            return value.reshape(1, c, d)
        order = (3, 2, 1, 4, 0) if axes == "xyz" else (1, 2, 3, 4, 0)  # to [z, y, x, C, D]
        return value.permute(order).reshape(-1, c, d)
    if max(kernel) == 1 and value.shape == (c, d):
        return value[None]
    return value[list(_HYBRID)] if hybrid and value.shape == (27, c, d) else value


def _to(value: Tensor, conv: Conv | ConvTranspose, library: Library, hybrid: bool, axes: Axes):
    kernel, c, d = conv.kernel_size, conv.in_channels, conv.out_channels
    if library == "spconv":
        if conv.pointwise:
            return value.reshape(d, 1, 1, 1, c)
        order = (4, 2, 1, 0, 3) if axes == "xyz" else (4, 0, 1, 2, 3)
        return value.view(*kernel[::-1], c, d).permute(order).contiguous()
    if conv.pointwise:
        return value[0]
    if hybrid:
        taps = value.new_empty(27, c, d)
        taps[list(_HYBRID)] = value
        return taps
    return value
