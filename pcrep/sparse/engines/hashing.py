"""Hash tables of voxels on the CPU: unique rows and neighbour pairs, in numba.

A voxel is one 64-bit key, ``batch | x | y | z`` with 9 and three times 18 bits, so that a
neighbour's key is the voxel's plus a constant. That needs coordinates whose neighbours stay within
their 18 bits; :mod:`pcrep.sparse.kernel_map` checks it before anything comes here.
"""

import numpy as np
from numba import njit, prange

from pcrep.sparse.engines.base import BITS, LIMIT

_EMPTY = -1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing
_KEY_BITS = 64


@njit(cache=True, inline="always")
def pack(batch, x, y, z):
    """The key of one voxel, int64 and never negative."""
    key = (np.int64(batch) << BITS) + np.int64(x) + LIMIT
    key = (key << BITS) + np.int64(y) + LIMIT
    return (key << BITS) + np.int64(z) + LIMIT


@njit(cache=True)
def pack_rows(coordinates):
    """(N, 4) integers -> (N,) keys."""
    keys = np.empty(len(coordinates), np.int64)
    for i in range(len(coordinates)):
        c = coordinates[i]
        keys[i] = pack(c[0], c[1], c[2], c[3])
    return keys


@njit(cache=True, inline="always")
def _home(key, shift):
    """The slot where the search for a key starts."""
    return np.int64((np.uint64(key) * _MULTIPLIER) >> shift)


@njit(cache=True)
def _shift(capacity):
    """64 - log2 of the capacity: what :func:`_home` shifts by."""
    bits = 0
    while (1 << bits) < capacity:
        bits += 1
    return np.uint64(_KEY_BITS - bits)


@njit(cache=True)
def insert(keys):
    """Number keys in the order in which they first appear.

    keys : (N,). Returns slots (capacity, 2) int64 of [key, number], ``first`` (M,) int64 rows of
    first appearance, and ``number`` (N,) int64 of every row.
    """
    capacity = 2
    while capacity < 2 * len(keys):  # at most half full: short searches
        capacity *= 2
    shift = _shift(capacity)
    slots = np.full((capacity, 2), _EMPTY, np.int64)
    first = np.empty(len(keys), np.int64)
    number = np.empty(len(keys), np.int64)
    found = 0
    for i in range(len(keys)):
        key = keys[i]
        s = _home(key, shift)
        while slots[s, 0] != key:
            if slots[s, 0] == _EMPTY:
                slots[s, 0], slots[s, 1] = key, found
                first[found] = i
                found += 1
                break
            s = (s + 1) & (capacity - 1)
        number[i] = slots[s, 1]
    return slots, first[:found].copy(), number


@njit(cache=True, inline="always")
def _find(slots, key, shift):
    """The number of a key, -1 where absent."""
    s = _home(key, shift)
    while slots[s, 0] != key:
        if slots[s, 0] == _EMPTY:
            return np.int64(_EMPTY)
        s = (s + 1) & (len(slots) - 1)
    return slots[s, 1]


@njit(parallel=True, cache=True)
def neighbours(slots, outputs, deltas, tile):
    """Table (K, N_out) int32 of the input at ``outputs + deltas[k]``, -1 where there is none.

    slots : the table of the inputs. outputs : (N_out,) keys. deltas : (K,) differences.
    """
    shift = _shift(len(slots))
    count, taps = len(outputs), len(deltas)
    table = np.empty((taps, count), np.int32)
    for t in prange((count + tile - 1) // tile):
        for k in range(taps):
            for o in range(t * tile, min((t + 1) * tile, count)):
                table[k, o] = _find(slots, outputs[o] + deltas[k], shift)
    return table


@njit(parallel=True, cache=True)
def own_neighbours(slots, keys, deltas, tile):
    """:func:`neighbours` of voxels among themselves under a centred kernel: half the searches.

    If j is the neighbour of i at tap k, then i is the neighbour of j at the opposite tap.
    """
    shift = _shift(len(slots))
    count, taps = len(keys), len(deltas)
    centre = taps // 2
    table = np.full((taps, count), _EMPTY, np.int32)
    for t in prange((count + tile - 1) // tile):
        for o in range(t * tile, min((t + 1) * tile, count)):
            table[centre, o] = o
        for k in range(centre):
            for o in range(t * tile, min((t + 1) * tile, count)):
                i = _find(slots, keys[o] + deltas[k], shift)
                table[k, o] = i
                if i >= 0:
                    table[taps - 1 - k, i] = o
    return table


@njit(parallel=True, cache=True)
def sorted_pairs(table, tile):
    """The pairs (input, output) of a table, by (tile of outputs, tap): what a product walks.

    Returns ins, outs (P,) int32 and start (tiles, K + 1) int64, the bounds of each tap's pairs.
    """
    taps, count = table.shape
    tiles = (count + tile - 1) // tile
    start = np.zeros((tiles, taps + 1), np.int64)
    for t in prange(tiles):
        for k in range(taps):
            n = 0
            for o in range(t * tile, min((t + 1) * tile, count)):
                n += table[k, o] >= 0
            start[t, k + 1] = n
    total = 0
    for t in range(tiles):
        start[t, 0] = total
        for k in range(taps):
            total += start[t, k + 1]
            start[t, k + 1] = total
    ins, outs = np.empty(total, np.int32), np.empty(total, np.int32)
    for t in prange(tiles):
        for k in range(taps):
            p = start[t, k]
            for o in range(t * tile, min((t + 1) * tile, count)):
                if table[k, o] >= 0:
                    ins[p], outs[p] = table[k, o], o
                    p += 1
    return ins, outs, start


@njit(cache=True)
def floor_rows(coordinates, stride):
    """(N, 4) coordinates -> those of their cells, ``floor(c / stride) * stride``."""
    cells = np.empty_like(coordinates)
    for i in range(len(coordinates)):
        cells[i, 0] = coordinates[i, 0]
        for axis in range(1, 4):
            cells[i, axis] = coordinates[i, axis] // stride * stride
    return cells


@njit(cache=True)
def reversed_table(table, inputs):
    """Table (K, N_in) int32 of the output that reads each input at tap k, -1 for none."""
    reverse = np.full((table.shape[0], inputs), _EMPTY, np.int32)
    for k in range(table.shape[0]):
        for o in range(table.shape[1]):
            if table[k, o] >= 0:
                reverse[k, table[k, o]] = o
    return reverse
