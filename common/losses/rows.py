"""Rows of embeddings: checked, in full precision, and summed over one process or all."""

import torch
from torch import Tensor

from tspcrep.common.distributed import gather
from tspcrep.common.losses.checks import check_finite


def exact_rows(**rows: Tensor) -> tuple[Tensor, ...]:
    """The named tensors ``(..., N, D)`` in float32 or better: of one shape, none of it 0, finite.

    Raises:
        ValueError: naming the tensor and its shape or dtype.
        UserError: naming the first row that is not finite.
    """
    shape = next(iter(rows.values())).shape
    first = next(iter(rows))
    for name, x in rows.items():
        if not x.dtype.is_floating_point:
            raise ValueError(f"{name} has dtype {x.dtype}, expected a floating-point dtype")
        if x.ndim < 2 or 0 in x.shape:
            raise ValueError(f"{name} has shape {tuple(x.shape)}, expected (..., rows, D), none 0")
        if x.shape != shape:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, expected {tuple(shape)} as {first}"
            )
        check_finite(f"{name} row", x)
    return tuple(x.to(torch.promote_types(x.dtype, torch.float32)) for x in rows.values())


def full_precision(x: Tensor) -> torch.autocast:
    """Products in the dtype of their rows, also where training runs under autocast."""
    return torch.autocast(x.device.type, enabled=False)


def total(x: Tensor, distributed: bool) -> Tensor:
    """``x`` summed over all processes, with gradient, or ``x`` itself.

    Every rank then holds the same number. As with :func:`tspcrep.common.distributed.gather`, the
    gradient is summed over ranks, and DistributedDataParallel's average makes it that of one
    process.
    """
    return gather(x[None]).sum(0) if distributed else x


def centred(x: Tensor, distributed: bool) -> tuple[Tensor, Tensor]:
    """Rows ``(..., N, D)`` less their mean, and their number: here, or over all processes."""
    count = total(x.new_tensor(float(x.shape[-2])), distributed)
    return x - total(x.sum(-2, keepdim=True), distributed) / count, count
