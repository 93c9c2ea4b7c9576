"""The order in which the CPU engine visits voxels: along a Morton curve.

Scans come in the order of a scanner's rays, or in none. Along a Morton curve the outputs of a tile
are neighbours in space, so that the inputs which they share are read once from memory.
"""

import numpy as np

from tspcrep.common.jit import jit

_AXIS_BITS = 10
"""Bits of a coordinate that enter the curve; of larger extents the lowest bits are left out."""
_DIGIT_BITS = 11


@jit
def morton_order(coordinates):
    """Rows (N,) int32 along a Morton curve, batch by batch, of coordinates (N, 1 + axes)."""
    rows, axes = coordinates.shape[0], coordinates.shape[1] - 1
    if rows == 0:
        return np.empty(0, np.int32)
    low, extent = np.empty(axes, np.int64), np.int64(0)
    for axis in range(axes):
        column = coordinates[:, 1 + axis]
        low[axis] = column.min()
        extent = max(extent, column.max() - low[axis])
    bits = 0
    while extent >> bits:
        bits += 1
    shift = max(0, bits - _AXIS_BITS)
    bits -= shift
    spread = np.zeros(1 << bits, np.int64)  # bit b of a coordinate is bit axes * b of the code
    for value in range(1 << bits):
        for b in range(bits):
            spread[value] |= ((value >> b) & 1) << (axes * b)
    codes = np.empty(rows, np.int64)
    for i in range(rows):
        code = np.int64(coordinates[i, 0]) << (axes * bits)
        for axis in range(axes):
            code |= spread[(coordinates[i, 1 + axis] - low[axis]) >> shift] << axis
        codes[i] = code
    return _argsort(codes)


@jit
def _argsort(codes):
    """Stable argsort (N,) int32 of non-negative integers, digit by digit from the lowest."""
    order = np.arange(len(codes), dtype=np.int32)
    largest, shift = codes.max(), 0
    while largest >> shift:
        start = np.zeros((1 << _DIGIT_BITS) + 1, np.int64)
        for code in codes:
            start[((code >> shift) & ((1 << _DIGIT_BITS) - 1)) + 1] += 1
        start = np.cumsum(start)
        following = np.empty_like(order)
        for i in order:
            digit = (codes[i] >> shift) & ((1 << _DIGIT_BITS) - 1)
            following[start[digit]] = i
            start[digit] += 1
        order, shift = following, shift + _DIGIT_BITS
    return order
