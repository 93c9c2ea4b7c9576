"""Hash tables of voxels on the CPU, in numba: unique rows and neighbour tables.

A voxel is a 64-bit key, ``batch | x | y | z`` of 9 bits and :data:`BITS` for each axis, so that the
key of a neighbour is that of the voxel plus a constant. Coordinates of neighbours must fit their
bits, which :mod:`pcrep.sparse.kernel_map` checks beforehand.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from pcrep.sparse.engines.base import BITS
from tspcrep.common.jit import jit, parallel

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing
_BITS3 = BITS[3]
_LIMIT3 = 1 << (_BITS3 - 1)


@jit(inline="always")
def pack(batch, x, y, z):
    """The key of one voxel of three axes, a non-negative int64."""
    key = (np.int64(batch) << _BITS3) + np.int64(x) + _LIMIT3
    key = (key << _BITS3) + np.int64(y) + _LIMIT3
    return (key << _BITS3) + np.int64(z) + _LIMIT3


def pack_rows(coordinates: np.ndarray) -> np.ndarray:
    """(N, 1 + D) integers -> (N,) keys."""
    return _pack_rows(coordinates, BITS[coordinates.shape[1] - 1])


@jit
def _pack_rows(coordinates, bits):
    keys = np.empty(len(coordinates), np.int64)
    half = 1 << (bits - 1)
    for i in range(len(coordinates)):
        key = np.int64(coordinates[i, 0])
        for axis in range(1, coordinates.shape[1]):
            key = (key << bits) + coordinates[i, axis] + half
        keys[i] = key
    return keys


@jit
def unpack_rows(keys):
    """(N,) keys of three axes -> (N, 4) int32."""
    rows = np.empty((len(keys), 4), np.int32)
    mask = (1 << _BITS3) - 1
    for i in range(len(keys)):
        rows[i, 0] = keys[i] >> (3 * _BITS3)
        rows[i, 1] = ((keys[i] >> (2 * _BITS3)) & mask) - _LIMIT3
        rows[i, 2] = ((keys[i] >> _BITS3) & mask) - _LIMIT3
        rows[i, 3] = (keys[i] & mask) - _LIMIT3
    return rows


class Table(NamedTuple):
    """Distinct keys, numbered, in an open-addressing hash table.

    slots : (capacity,) int32, the number of the key in each slot, -1 where empty. At most a third
        is filled, so that most searches end at their first slot.
    keys : (M,) int64, the key of each number.
    """

    slots: np.ndarray
    keys: np.ndarray


def insert(keys: np.ndarray) -> tuple[Table, np.ndarray, np.ndarray]:
    """Number keys (N,) in the order in which they first appear.

    Returns the table, ``first`` (M,) int64 rows of first appearance, and ``number`` (N,) int64 of
    each row. The numbers overwrite ``keys``: new memory would cost as much as the search.
    """
    # Allocated by numpy, which asks for large pages: page faults cost more than the search.
    capacity = 1 << (3 * len(keys) + 1).bit_length()  # at least 2, as a shift by 64 bits is none
    slots = np.full(capacity, -1, np.int32)
    distinct, first = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
    count = _insert(keys, slots, distinct, first)
    return Table(slots, distinct[:count]), first[:count], keys


@jit(inline="always")
def _find(slots, distinct, key, shift):
    """The number of a key and the slot where its search ends; the number is -1 where absent."""
    s = np.int64((np.uint64(key) * _MULTIPLIER) >> shift)
    number = np.int64(slots[s])
    while number >= 0 and distinct[number] != key:
        s = (s + 1) & (len(slots) - 1)
        number = np.int64(slots[s])
    return number, s


@jit
def _shift(slots):
    """64 - log2 of the capacity: the top bits of a product choose the slot."""
    bits = 0
    while (1 << bits) < len(slots):
        bits += 1
    return np.uint64(64 - bits)


@jit
def _insert(keys, slots, distinct, first):
    shift = _shift(slots)
    count = 0
    for i in range(len(keys)):
        n, s = _find(slots, distinct, keys[i], shift)
        if n < 0:
            n = count
            slots[s], distinct[n], first[n] = n, keys[i], i
            count += 1
        keys[i] = n
    return count


@parallel
def neighbours(slots, distinct, outputs, deltas, tile):
    """(K, N_out) int32 of the input at ``outputs + deltas[k]``, -1 where there is none.

    slots, distinct : the :class:`Table` of the inputs. outputs : (N_out,) keys. deltas : (K,)
    differences of keys.
    """
    shift = _shift(slots)
    count, taps = len(outputs), len(deltas)
    table = np.empty((taps, count), np.int32)
    for t in prange((count + tile - 1) // tile):
        for k in range(taps):
            for o in range(t * tile, min((t + 1) * tile, count)):
                table[k, o] = _find(slots, distinct, outputs[o] + deltas[k], shift)[0]
    return table


@parallel
def own_neighbours(slots, keys, deltas, tile):
    """:func:`neighbours` of voxels among themselves under a centred kernel: half the searches.

    If j is the neighbour of i at tap k, then i is the neighbour of j at the opposite tap. An extra
    column receives the writes of absent neighbours, which avoids an unpredictable branch.
    """
    shift = _shift(slots)
    count, taps = len(keys), len(deltas)
    centre = taps // 2
    table = np.full((taps, count + 1), -1, np.int32)
    for t in prange((count + tile - 1) // tile):
        for o in range(t * tile, min((t + 1) * tile, count)):
            table[centre, o] = o
        for k in range(centre):
            for o in range(t * tile, min((t + 1) * tile, count)):
                i = _find(slots, keys, keys[o] + deltas[k], shift)[0]
                table[k, o] = i
                table[taps - 1 - k, i if i >= 0 else count] = o
    return table


@parallel
def sorted_pairs(table, order, tile):
    """The pairs (input, output) of a table, sorted by (tile of outputs, tap, place in the order).

    table : (K, N_out or more). order : (N_out,) int32, outputs as they are visited; a tile is the
    next ``tile`` of them. Returns ins, outs (P,) int32 and start (tiles, K + 1) int64, the bounds
    of each tap's pairs.
    """
    taps, count = len(table), len(order)
    tiles = (count + tile - 1) // tile
    visited = np.empty((taps, count), np.int32)  # the table in this order
    start = np.zeros((tiles, taps + 1), np.int64)
    for t in prange(tiles):
        first, last = t * tile, min((t + 1) * tile, count)
        for k in range(taps):
            for at in range(first, last):
                visited[k, at] = table[k, np.uint64(order[at])]
            n = 0
            for at in range(first, last):
                n += visited[k, at] >= 0
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
            p, end = start[t, k], start[t, taps]
            for at in range(t * tile, min((t + 1) * tile, count)):
                i = visited[k, at]
                if p < end:  # write always, advance if valid: the branch i >= 0 is unpredictable
                    ins[p], outs[p] = i, order[at]
                p += i >= 0
    return ins, outs, start


@jit
def floor_rows(coordinates, strides):
    """Coordinates (N, 1 + D) -> those of their cells, ``floor(c / stride) * stride``."""
    cells = np.empty_like(coordinates)
    for i in range(len(coordinates)):
        cells[i, 0] = coordinates[i, 0]
        for axis in range(len(strides)):
            stride = strides[axis]
            cells[i, axis + 1] = coordinates[i, axis + 1] // stride * stride
    return cells


@jit
def reversed_table(table, inputs):
    """Table (K, N_in) int32 of the output that reads each input at tap k, -1 for none."""
    reverse = np.full((table.shape[0], inputs), -1, np.int32)
    for k in range(table.shape[0]):
        for o in range(table.shape[1]):
            if table[k, o] >= 0:
                reverse[k, table[k, o]] = o
    return reverse
