"""Engines: one set of primitives on plain torch, numba, Triton or MinkowskiEngine."""

from torch import device as Device  # `torch` here would become the submodule of that name

from pcrep.sparse.engines.base import Engine, EngineName, Geometry

__all__ = ["Engine", "EngineName", "Geometry", "create"]


def create(name: EngineName, device: Device | str = "cpu") -> Engine:
    """Create an engine for the voxels of one cloud.

    Parameters
    ----------
    name : ``torch`` (any device, the reference), ``numba`` (CPU), ``triton`` (GPU), ``minkowski``
        (CPU, MinkowskiEngine itself), or ``auto``: numba on a CPU, triton on a CUDA or ROCm GPU,
        torch elsewhere.
    device : device of the cloud.

    Raises
    ------
    ValueError
        The name is unknown, the engine does not run on this device, or its package is not
        installed; the message holds the command that installs it.
    """
    device = Device(device)
    if name == "auto":
        name = "numba" if device.type == "cpu" else "triton" if device.type == "cuda" else "torch"
    where = {"torch": device.type, "numba": "cpu", "triton": "cuda", "minkowski": "cpu"}
    if name not in where:
        raise ValueError(f"engine is {name!r}, expected 'auto' or one of {', '.join(where)}")
    if where[name] != device.type:
        raise ValueError(
            f"engine {name!r} computes on {where[name]}, found coordinates on {device}; move them, "
            "or take engine='auto'"
        )
    if name == "torch":
        from pcrep.sparse.engines.torch import Torch

        return Torch()
    if name == "numba":
        from pcrep.sparse.engines.numba import Numba

        return Numba()
    if name == "triton":
        from pcrep.sparse.engines.triton import Triton

        return Triton()
    from pcrep.sparse.engines.minkowski import Minkowski

    return Minkowski()
