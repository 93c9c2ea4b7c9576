"""Gather-multiply-scatter loops of the numba engine.

A sparse convolution is one small matrix product per tap, between scattered rows. The product reads
and writes rows in place: copying them to a buffer and back would cost more than it gains at the 32
to 128 channels of a U-Net. The gradient of the weights reads each row many times, so there some
rows at a time are copied next to each other first.
"""

import numpy as np
import torch
from numba import njit, prange

from pcrep.sparse.engines.vectors import ROWS, copy, lanes, outer_product, row_product
from tspcrep.common.jit import parallel

TILE = 512
"""Rows of an output tile; its sums and the rows it reads fit the L2 cache of a core."""
_CHUNK = 64
"""Pairs whose rows are copied for the gradient of the weights."""
_CHANNELS = 128
"""Input channels whose weight gradients, for all outputs, are summed by one task at most."""
_APART = 16
"""Columns between copied rows: rows a power of two apart compete for the same cache lines."""
_PARTIAL_BYTES = 4 << 20


def _tap_product(vectors: int):
    """The products of pairs ``p`` to ``end`` of a tap, ``ROWS`` and then fewer at a time."""
    many, four, two, one = (row_product(rows, vectors) for rows in (ROWS, 4, 2, 1))

    @njit
    def product(x, w, w_start, out, col, ins, outs, p, end):
        while p + ROWS <= end:
            many(x, w, w_start, out, col, ins, outs, p)
            p += ROWS
        if p + 4 <= end:
            four(x, w, w_start, out, col, ins, outs, p)
            p += 4
        if p + 2 <= end:
            two(x, w, w_start, out, col, ins, outs, p)
            p += 2
        if p < end:
            one(x, w, w_start, out, col, ins, outs, p)

    return product


def _tap_outer(vectors: int):
    """The outer products of all channels of ``x``, ``ROWS``, then 4, then 1 at a time."""
    many, four, one = (outer_product(rows, vectors) for rows in (ROWS, 4, 1))

    @njit
    def outer(x, channels, g, col, dw, dw_start, width, count):
        c = 0
        while c < channels:
            rest = channels - c
            if rest >= ROWS and rest != 8:  # 8 is better as 4 + 4 than as 6 + 1 + 1
                many(x, c, g, col, dw, dw_start, width, count)
                rows = ROWS
            elif rest >= 4:
                four(x, c, g, col, dw, dw_start, width, count)
                rows = 4
            else:
                one(x, c, g, col, dw, dw_start, width, count)
                rows = 1
            c += rows
            dw_start += rows * width

    return outer


_product_wide, _product_narrow = _tap_product(2), _tap_product(1)
_outer_wide, _outer_narrow = _tap_outer(2), _tap_outer(1)


@parallel
def gather_product(x, w, ins, outs, start, order, vector, out):
    """``out[o] = sum x[i] @ w[k]`` over the pairs (i, o) of all taps k; output tiles in parallel.

    Each row is summed over taps in order, so results are bit-equal for any tiles and threads.

    x : (N, C). w : packed by :func:`pack`, flat. ins, outs : (P,) int32, sorted by (tile, tap).
    start : (tiles, K + 1) bounds of the pairs. order : (M,) the rows of ``out``, tile by tile.
    vector : lanes. out : (M, D), D a multiple of lanes.
    """
    tiles, taps = start.shape[0], start.shape[1] - 1
    channels, width = x.shape[1], out.shape[1]
    panels = (width + 2 * vector - 1) // (2 * vector)
    for task in prange(tiles * panels):
        tile, col = task // panels, (task % panels) * 2 * vector
        for o in order[tile * TILE : (tile + 1) * TILE]:
            out[o, col : col + 2 * vector] = 0
        for k in range(taps):
            p, end = start[tile, k], start[tile, k + 1]
            w_start = (k * width + col) * channels
            if col + 2 * vector <= width:
                _product_wide(x, w, w_start, out, col, ins, outs, p, end)
            else:
                _product_narrow(x, w, w_start, out, col, ins, outs, p, end)


@parallel
def gather_outer(x, g, ins, outs, start, share, vector, partial):
    """``sum x[i]^T g[o]`` over the pairs (i, o) of each tap k, by (run of tiles, channels of x).

    share : channels of x of a task. partial : (runs, K, C, D) zeros. Each run of tiles is summed
    separately; the runs are then added in order into ``partial[0]``, so results are bit-equal for
    any number of threads.
    """
    tiles, taps = start.shape[0], start.shape[1] - 1
    runs, channels, width = partial.shape[0], x.shape[1], g.shape[1]
    blocks = (channels + share - 1) // share
    flat = partial.reshape(-1)
    for task in prange(runs * blocks):
        run, c = task // blocks, task % blocks * share
        block = min(share, channels - c)
        xs = np.empty((_CHUNK, block + _APART), x.dtype)
        gs = np.empty((_CHUNK, width + _APART), x.dtype)
        for tile in range(run * tiles // runs, (run + 1) * tiles // runs):
            for k in range(taps):
                for begin in range(start[tile, k], start[tile, k + 1], _CHUNK):
                    count = min(_CHUNK, start[tile, k + 1] - begin)
                    for p in range(count):
                        copy(x, ins[begin + p] * channels + c, block, xs, p * xs.shape[1])
                        copy(g, outs[begin + p] * width, width, gs, p * gs.shape[1])
                    for col in range(0, width, 2 * vector):
                        at = ((run * taps + k) * channels + c) * width + col
                        if col + 2 * vector <= width:
                            _outer_wide(xs, block, gs, col, flat, at, width, count)
                        else:
                            _outer_narrow(xs, block, gs, col, flat, at, width, count)
    size = flat.size // runs
    for i in prange(size):
        for run in range(1, runs):
            flat[i] += flat[run * size + i]


def runs_of_tiles(tiles: int, size: int, itemsize: int) -> int:
    """Number of runs that :func:`gather_outer` divides the tiles into: up to 16, within 4 MB."""
    return max(1, min(16, tiles, _PARTIAL_BYTES // (size * itemsize)))


def channels_per_task(channels: int, runs: int) -> int:
    """Channels of x that a task of :func:`gather_outer` takes, so that each thread has one."""
    return min(_CHANNELS, max(4, -(-channels * runs // torch.get_num_threads())))


def pack(w: np.ndarray) -> np.ndarray:
    """Pack weights (K, C, D) into contiguous panels of two vectors, the last possibly of one.

    Panel ``j`` of tap ``k`` starts at ``(k * D + columns before it) * C`` and is (C, panel width).
    """
    taps, channels, width = w.shape
    panel = 2 * lanes(w.dtype)
    wide = width // panel * panel
    head = w[:, :, :wide].reshape(taps, channels, -1, panel).transpose(0, 2, 1, 3)
    packed = np.empty((taps, width * channels), w.dtype)
    packed[:, : wide * channels] = head.reshape(taps, -1)
    packed[:, wide * channels :] = w[:, :, wide:].reshape(taps, -1)
    return packed.reshape(-1)
