"""The general form of most contrastive losses, with its gradient, in three implementations.

    L_i = -agg_{p in P_i} l_ip + log sum_{j in D_i} w_ij exp(l_ij),   l_ij = <a_i, c_j> / T + b_j

The positives ``P_i``, the denominator ``D_i``, the weights ``w_ij`` of negatives and the
log-weights ``b_j`` of candidates follow from :class:`tspcrep.common.pairs.Pairs`.
"""

import importlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tspcrep.common.errors import UserError
from tspcrep.common.ops import dense, tiled
from tspcrep.common.ops.relations import Index, Relations
from tspcrep.common.pairs import Pairs

__all__ = ["Form", "info_nce"]

DENSE_LOGITS = 1 << 11  # measured on 2 cores: up to here the full matrix is the faster one


@dataclass(frozen=True)
class Form:
    """The sums of a loss: its numerator, and the terms of its denominator.

    - ``positives``: ``"mean"`` of ``l_ip`` outside the logarithm; ``"sum"``: ``log sum exp`` inside
      it; ``"none"``: no attraction, the log-partition alone.
    - ``denominator``: ``"all"``: positives and negatives; ``"negatives"``: these alone; ``"own"``:
      each positive in turn with the negatives.
    - ``hardest``: of the negatives, only those with a logit at least the ``hardest``-th largest.
    """

    positives: Literal["mean", "sum", "none"] = "mean"
    denominator: Literal["all", "negatives", "own"] = "all"
    hardest: int | None = None

    def __post_init__(self) -> None:
        if self.positives not in ("mean", "sum", "none"):
            raise ValueError(f"positives is {self.positives!r}, expected 'mean', 'sum' or 'none'")
        if self.denominator not in ("all", "negatives", "own"):
            raise ValueError(
                f"denominator is {self.denominator!r}, expected 'all', 'negatives' or 'own'"
            )
        if self.denominator == "own" and self.positives != "mean":
            raise ValueError("denominator='own' takes each positive by itself: positives='mean'")
        if self.hardest is not None and self.hardest < 1:
            raise ValueError(f"hardest is {self.hardest}, expected at least 1 negative")


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    pairs: Pairs | None = None,
    temperature: float | Tensor = 0.1,
    *,
    positives: Literal["mean", "sum", "none"] = "mean",
    denominator: Literal["all", "negatives", "own"] = "all",
    hardest: int | None = None,
    weight: Tensor | None = None,
    reduction: Literal["mean", "none"] = "mean",
    impl: Literal["auto", "dense", "tiled", "triton"] = "auto",
) -> Tensor:
    """InfoNCE of rows as they are, without normalisation; see the equation above.

    Args:
        anchors: ``(B, D)``, or ``(..., B, D)`` for independent groups.
        candidates: ``(N, D)``, or ``(..., N, D)`` with the anchors' leading dimensions.
        pairs: which candidates are positive, ignored or weighted; without it candidate ``i`` is
            the positive of anchor ``i``.
        temperature: divides the inner products; a number, or a tensor that may learn: a scalar or
            one value per anchor, ``(..., B)``.
        positives, denominator, hardest: see :class:`Form`.
        weight: ``(..., B)``, a constant: the mean becomes ``sum w_i L_i / sum w_i``.
        reduction: ``"mean"`` over anchors, or ``"none"`` for ``(..., B)``.
        impl: ``"dense"``, ``"tiled"``, ``"triton"``, or ``"auto"`` by size and device. All give the
            same numbers; ``reduction="mean"`` is one matrix product cheaper in ``"tiled"``. Second
            derivatives (``create_graph=True``) are exact in all, third ones in ``"dense"`` alone.

    Returns:
        The loss, in float32, or in float64 for float64 embeddings.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that do not match; a temperature not above
            0.
        UserError: no rows; an embedding or a log-weight that is not finite; an anchor without
            positive, or with nothing in its denominator (for ``"own"``: without negative); logits
            that overflow.
    """
    form = Form(positives, denominator, hardest)
    pairs = pairs or Pairs()
    _check_embeddings(anchors, candidates)
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean' or 'none'")
    *lead, batch, _ = anchors.shape
    relations = Relations.of(pairs, anchors, candidates)
    exact = torch.promote_types(anchors.dtype, torch.float32)
    weight = _weights(weight, (*lead, batch), exact, anchors.device)
    if form.positives != "none":
        _check_positives(relations.index)

    module = _choose(impl, anchors, candidates, form)
    if module is dense or (module is tiled and anchors.device.type == "cpu"):
        # A CPU gains nothing from 16-bit rows, and would widen them for every tile.
        anchors, candidates = anchors.to(exact), candidates.to(exact)
    anchors, scale = _scale(anchors, temperature)
    if pairs.log_weight is not None:
        anchors, candidates = _with_log_weight(anchors, candidates, pairs.log_weight, scale)
    a = anchors.reshape(-1, *anchors.shape[-2:])  # (G, B, D)
    c = candidates.reshape(-1, *candidates.shape[-2:])  # (G, N, D)
    with torch.autocast(anchors.device.type, enabled=False):
        if reduction == "mean" and module is tiled:
            loss = tiled.mean(a, c, relations, scale, form, weight.view(a.shape[:2]))
        else:
            loss = module.rows(a, c, relations, scale, form).view(weight.shape)
            if reduction == "mean":
                loss = (loss * weight).sum()
    if not bool(loss.isfinite().all()):
        _explain(a, c, relations, scale, form)
    return loss


def _choose(impl: str, anchors: Tensor, candidates: Tensor, form: Form):
    if impl == "auto":
        return _auto(anchors, candidates, form)
    if impl == "triton":
        return _triton()
    if impl not in ("dense", "tiled"):
        raise ValueError(f"impl is {impl!r}, expected 'auto', 'dense', 'tiled' or 'triton'")
    return dense if impl == "dense" else tiled


def _auto(anchors: Tensor, candidates: Tensor, form: Form):
    # "tiled" on a GPU too: no GPU has yet been measured on which "triton" is the faster one.
    logits = anchors.shape[:-1].numel() * candidates.shape[-2]
    return dense if logits <= DENSE_LOGITS else tiled


def _triton():
    try:
        return importlib.import_module("tspcrep.common.ops.triton")
    except ModuleNotFoundError as error:
        raise ValueError("impl='triton' needs the package triton: pip install triton") from error


def _check_embeddings(anchors: Tensor, candidates: Tensor) -> None:
    for name, x in (("anchors", anchors), ("candidates", candidates)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} is a {type(x).__name__}, expected a tensor (..., rows, D)")
        if not x.dtype.is_floating_point:
            raise TypeError(f"{name} has dtype {x.dtype}, expected a floating-point dtype")
        if x.ndim < 2:
            raise ValueError(f"{name} has shape {tuple(x.shape)}, expected (..., rows, D)")
        if 0 in x.shape:
            raise UserError(
                f"{name} has shape {tuple(x.shape)}, expected at least one row of one number: skip "
                "the loss of an empty batch"
            )
    if anchors.dtype != candidates.dtype:
        raise TypeError(
            f"candidates have dtype {candidates.dtype}, expected {anchors.dtype} as the anchors"
        )
    if anchors.device != candidates.device:
        raise ValueError(
            f"candidates are on {candidates.device}, expected {anchors.device} as the anchors"
        )
    a, c = anchors.shape, candidates.shape
    if a[:-2] != c[:-2] or a[-1] != c[-1]:
        raise ValueError(
            f"candidates have shape {tuple(c)}, expected {(*a[:-2], 'N', a[-1])} to match anchors "
            f"of shape {tuple(a)}".replace("'N'", "N")
        )
    for name, x in (("anchors", anchors), ("candidates", candidates)):
        finite = x.detach().isfinite().all(-1)
        if not bool(finite.all()):
            raise UserError(
                f"{name} row {_first(~finite)} is not finite, expected rows without NaN or inf: "
                "check the inputs, or lower the learning rate"
            )


def _check_positives(index: Index) -> None:
    lonely = index.positive_counts == 0
    if bool(lonely.any()):
        raise UserError(
            f"anchor {_first(lonely.squeeze(0))} has no positive among the candidates "
            f"({int(lonely.sum())} of {lonely.numel()} anchors have none); expected at least one: "
            "leave such anchors out, or check pairs.group and pairs.row"
        )


def _explain(a: Tensor, c: Tensor, relations: Relations, scale: float, form: Form) -> None:
    """Say which anchor's loss is not finite, and why."""
    exact = torch.promote_types(a.dtype, torch.float32)
    with torch.no_grad():
        broken = ~tiled.rows(a, c, relations, scale, form).isfinite()
        if bool(broken.any()):
            group, row = broken.nonzero()[0].tolist()
            logits = scale * (c[group].to(exact) @ a[group, row].to(exact))
            if bool(logits.isfinite().all()):
                raise UserError(
                    f"anchor {_first(broken.squeeze(0))} has no candidate left in its denominator; "
                    "expected at least one that is neither dropped nor left out"
                )
    where = f"anchor {_first(broken.squeeze(0))}" if bool(broken.any()) else "all anchors"
    raise UserError(
        f"the logits <a, c> / temperature of {where} overflow {exact}; expected numbers below "
        f"{torch.finfo(exact).max:.0e}: normalise the rows, or raise the temperature"
    )


def _first(mask: Tensor) -> str:
    """The index of the first true entry: ``3``, or ``(1, 3)`` where groups lead."""
    index = mask.nonzero()[0].tolist()
    return str(index[0] if len(index) == 1 else tuple(index))


def _weights(weight: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype, device) -> Tensor:
    """Weights that sum to 1."""
    if weight is None:
        count = torch.Size(shape).numel()
        return torch.full(shape, 1 / count, dtype=dtype, device=device)
    if weight.shape != torch.Size(shape) or weight.device != device:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} on {weight.device}, expected {tuple(shape)} "
            f"on {device}, one weight per anchor"
        )
    weight = weight.detach().to(dtype)
    total = weight.sum()
    if not bool((weight >= 0).all() & (total > 0) & total.isfinite()):
        raise ValueError("weight holds a negative or no positive number, expected weights >= 0")
    return weight / total


def _scale(anchors: Tensor, temperature: float | Tensor) -> tuple[Tensor, float]:
    """Anchors and the number that multiplies inner products, so that both make the logits."""
    if not isinstance(temperature, Tensor):
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
        return anchors, 1 / temperature
    if temperature.shape not in (torch.Size(()), anchors.shape[:-1]):
        raise ValueError(
            f"temperature has shape {tuple(temperature.shape)}, expected a scalar or "
            f"{tuple(anchors.shape[:-1])}, one temperature per anchor"
        )
    if temperature.device != anchors.device:
        raise ValueError(f"temperature is on {temperature.device}, expected {anchors.device}")
    if not bool(((temperature > 0) & temperature.isfinite()).all()):
        raise ValueError(
            f"temperature is {float(temperature.detach().min())} at its lowest, expected finite "
            "numbers above 0"
        )
    return (anchors / temperature[..., None]).to(anchors.dtype), 1.0


def _with_log_weight(
    anchors: Tensor, candidates: Tensor, log_weight: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Rows of one number more, ``<(a, 1), (c, w / scale)> scale = l + w``, so that ``w`` learns."""
    shape = candidates.shape[:-1]
    if not isinstance(log_weight, Tensor):
        raise TypeError(f"pairs.log_weight is a {type(log_weight).__name__}, expected a tensor")
    if log_weight.shape not in (shape[-1:], shape) or log_weight.device != candidates.device:
        raise ValueError(
            f"pairs.log_weight has shape {tuple(log_weight.shape)} on {log_weight.device}, "
            f"expected {tuple(shape[-1:])} on {candidates.device}, one number per candidate"
        )
    if not bool(log_weight.isfinite().all()):
        raise UserError(
            "pairs.log_weight holds a number that is not finite, expected logarithms of weights "
            "above 0: drop a candidate of weight 0 by pairs.ignore"
        )
    exact = torch.promote_types(candidates.dtype, torch.float32)
    rest, columns = log_weight.to(exact).expand(shape)[..., None] / scale, []
    for _ in range(1 if exact == candidates.dtype else 3):  # 16 bits hold a third of the digits
        columns.append(rest.to(candidates.dtype))
        rest = rest - columns[-1]
    ones = anchors.new_ones(*anchors.shape[:-1], len(columns))
    return torch.cat([anchors, ones], -1), torch.cat([candidates, *columns], -1)
