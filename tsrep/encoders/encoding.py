"""Encode series: one vector per time step, or one per instance."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.modes import evaluating
from tsrep.datasets.series import warn_of_axes
from tsrep.encoders.base import Encoder, Memory, largest

CHUNK = 1 << 15  # steps of a causal pass at a time: bounds memory on long series


def encode(
    encoder: Encoder,
    values: np.ndarray,
    *,
    window: int | None = None,
    pool: bool = False,
    apart: bool = False,
    batch_size: int = 256,
) -> np.ndarray:
    """Vectors of each time step (N, T, D), or of each instance (N, D).

    Parameters
    ----------
    encoder : (B, T, C) -> (B, T, D).
    values : (N, T, C) float; NaN where missing, and after the end of a shorter instance, whose
        vectors are those that it has alone.
    window : the vector of step t is that of the last step of the window ``t - window + 1 .. t``, as
        in the papers for encoders that are not causal (they use 201). By default a causal encoder
        reads the series in one pass, and an encoder that is not causal reads each series whole.
    pool : one vector for each instance, ``encoder.summary``: the maximum over its steps without
        the missing ones, or what else the encoder says. With ``window`` always the maximum.
    apart : let an encoder of one channel read each of K channels by itself; their vectors are
        concatenated, K D numbers in place of D.
    batch_size : number of instances, or windows, encoded at once.

    Raises
    ------
    UserError
        The number of channels is not the encoder's; ``window`` is less than 1.
    """
    values = np.require(values, np.float32, "W")  # torch warns of arrays that it could not write
    if apart and values.ndim == 3:
        warn_of_axes(values)
        parts = encoder.apart(values)
        together = np.concatenate(parts)  # all channels in one batch
        found = encode(encoder, together, window=window, pool=pool, batch_size=batch_size)
        return np.concatenate(np.split(found, len(parts)), axis=-1)
    if values.ndim != 3 or values.shape[2] != encoder.in_channels:
        raise UserError(
            f"values: found shape {values.shape}, expected (instances, steps, "
            f"{encoder.in_channels}), the channels of the encoder"
            + ("; apart=True reads each channel by itself" if encoder.in_channels == 1 else "")
        )
    if window is not None and window < 1:
        raise UserError(f"window: found {window}, expected at least 1 step")
    device = next(encoder.parameters()).device
    with evaluating(encoder), torch.inference_mode():
        x = torch.from_numpy(values)
        if window is None:
            vectors = _whole(encoder, x, device, batch_size, pool)
        else:
            vectors = _windowed(encoder, x, window, device, batch_size, pool)
        return np.concatenate([z.numpy() for z in vectors])


def encode_in_chunks(
    encoder: Encoder, values: np.ndarray, *, window: int | None = None, chunk: int = CHUNK
) -> Iterator[tuple[slice, np.ndarray]]:
    """:func:`encode` one series ``values (T, C)``, a few rows at a time.

    Yields rows and their vectors (t, D), equal to those of the whole series, so that the vectors of
    all steps are never in memory together. An encoder that is not causal reads the series whole, in
    one chunk, unless there is a window.
    """
    if window is None and not encoder.causal:
        yield slice(0, len(values)), encode(encoder, values[None])[0]
        return
    if window is None:
        stream = Stream(encoder)
    for start in range(0, len(values), chunk):
        rows = slice(start, min(start + chunk, len(values)))
        if window is None:
            yield rows, stream.push(values[rows])
        else:
            past = min(start, window - 1)
            found = encode(encoder, values[None, start - past : rows.stop], window=window)
            yield rows, found[0, past:]


class Stream:
    """Encode samples as they arrive, with a causal encoder, at a constant cost per sample.

        stream = Stream(encoder)
        for sample in source:                # (1, C)
            vector = stream.push(sample)     # (1, D), equal to encoding the whole series

    ``push`` takes any number of steps (T, C) and returns as many vectors (T, D).
    """

    def __init__(self, encoder: Encoder):
        if not encoder.causal:
            raise UserError("this encoder is not causal: a stream needs one that looks back only")
        self.encoder = encoder
        self.memory: Memory = {}

    def push(self, samples: np.ndarray) -> np.ndarray:
        samples = np.require(samples, np.float32, "W")
        if samples.ndim != 2 or samples.shape[1] != self.encoder.in_channels:
            raise UserError(
                f"samples: found shape {samples.shape}, expected (steps, "
                f"{self.encoder.in_channels}), the channels of the encoder"
            )
        x = torch.from_numpy(samples).to(next(self.encoder.parameters()).device)
        with evaluating(self.encoder), torch.inference_mode():
            return self.encoder(x[None], self.memory)[0].cpu().numpy()


def _whole(
    encoder: Encoder, values: Tensor, device: torch.device, batch_size: int, pool: bool
) -> Iterator[Tensor]:
    """Vectors (b, T, D), or (b, D), of a few instances at a time; long causal passes in chunks."""
    n, steps, _ = values.shape
    batch = max(1, min(batch_size, CHUNK // max(steps, 1)))
    for start in tqdm(range(0, n, batch), desc="encode", delay=2, leave=False):
        x = values[start : start + batch].to(device)
        if not encoder.causal or steps <= CHUNK:
            yield (encoder.summary(x) if pool else encoder(x)).cpu()
            continue
        memory: Memory = {}
        z = torch.cat([encoder(piece, memory).cpu() for piece in x.split(CHUNK, 1)], 1)
        yield largest(z, x.cpu()) if pool else z


def _windowed(
    encoder: Encoder,
    values: Tensor,
    window: int,
    device: torch.device,
    batch_size: int,
    pool: bool,
) -> Iterator[Tensor]:
    """As ``_whole``, each step seen through its own window; missing values before the first."""
    for x in values:
        padded = torch.cat([x.new_full((window - 1, x.shape[1]), torch.nan), x])
        windows = padded.unfold(0, window, 1).transpose(1, 2)  # (T, window, C), a view
        pieces = [
            encoder.last(part.to(device)).cpu()
            for part in tqdm(windows.split(batch_size), desc="encode", delay=2, leave=False)
        ]
        z = torch.cat(pieces)[None]
        yield largest(z, x[None]) if pool else z
