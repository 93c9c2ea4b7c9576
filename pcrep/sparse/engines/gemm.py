"""Gather-multiply-scatter kernels of the numba engine.

A sparse convolution is one small matrix product per tap, between scattered rows. At the 32 to 128
channels of a U-Net, copying rows to a buffer and back costs more than the product itself. The two
micro-kernels here read rows in place: sums of eight rows by two vectors stay in registers, as in a
BLAS, but without packing of the left operand.

They are written as LLVM vector instructions, because a compiler may not keep sums in registers when
arrays could overlap. LLVM maps the vectors to those of the machine.
"""

import numpy as np
from llvmlite import binding, ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tspcrep.common.jit import parallel

TILE = 512
"""Rows of an output tile; its sums and the rows it reads fit the L2 cache of a core."""
_BLOCK = 32
"""Input channels whose weight gradients, over all taps, are summed by one task."""
_PARTIAL_BYTES = 4 << 20

try:
    _FEATURES = binding.get_host_cpu_features()
except RuntimeError:  # LLVM does not know this processor
    _FEATURES = {}
_VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
_ROWS = 8 if _VECTOR_BYTES == 64 else 4  # 8 x 2 sums need the 32 registers of AVX-512


def lanes(dtype: np.dtype) -> int:
    """Elements of a vector; columns of every matrix are padded to a multiple of it."""
    return _VECTOR_BYTES // np.dtype(dtype).itemsize


def _pointer(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _fma(builder, a, b, c):
    """``a * b + c``, fused where the machine can."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


class _Vectors:
    """Loads, stores and broadcasts of vectors of an array's element type."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.bytes = dtype.bitwidth // 8
        self.element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.lanes = _VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(self.element, self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)
        zeros = [ir.Constant(ir.IntType(32), 0)] * self.lanes
        self.zero_mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), zeros)

    def at(self, base, offset):
        return self.builder.bitcast(self.builder.gep(base, [offset]), self.vector.as_pointer())

    def load(self, base, offset):
        value = self.builder.load(self.at(base, offset))
        value.align = self.bytes  # rows start anywhere; the default would demand 64 bytes
        return value

    def store(self, value, base, offset):
        self.builder.store(value, self.at(base, offset)).align = self.bytes

    def broadcast(self, base, offset):
        scalar = self.builder.load(self.builder.gep(base, [offset]))
        one = self.builder.insert_element(self.undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, self.undefined, self.zero_mask)


def _row_product(rows: int, vectors: int):
    """``out[o_r, col:] += x[i_r] @ w`` for ``rows`` pairs (i_r, o_r), ``vectors`` vectors wide."""

    @intrinsic
    def kernel(typing, x, w, w_start, out, col, ins, outs, pair):
        integer = types.intp
        signature = types.void(x, w, integer, out, integer, ins, outs, integer)

        def generate(context, builder, sig, args):
            x_type, w_type, _, out_type, _, ins_type, outs_type, _ = sig.args
            xs, ws, w0, ys, column, in_rows, out_rows, first = args
            v = _Vectors(builder, x_type.dtype)
            word = ir.IntType(64)
            x_array = context.make_array(x_type)(context, builder, xs)
            y_array = context.make_array(out_type)(context, builder, ys)
            channels = cgutils.unpack_tuple(builder, x_array.shape)[1]
            width = cgutils.unpack_tuple(builder, y_array.shape)[1]
            w_base = _pointer(context, builder, w_type, ws)
            in_base = _pointer(context, builder, ins_type, in_rows)
            out_base = _pointer(context, builder, outs_type, out_rows)

            x_rows, y_rows = [], []
            for r in range(rows):
                at = builder.add(first, ir.Constant(word, r))
                i = builder.sext(builder.load(builder.gep(in_base, [at])), word)
                o = builder.sext(builder.load(builder.gep(out_base, [at])), word)
                x_rows.append(builder.gep(x_array.data, [builder.mul(i, channels)]))
                y_rows.append(
                    builder.gep(y_array.data, [builder.add(builder.mul(o, width), column)])
                )
            sums = []
            for r in range(rows):
                for n in range(vectors):
                    slot = cgutils.alloca_once(builder, v.vector)
                    builder.store(v.load(y_rows[r], ir.Constant(word, n * v.lanes)), slot)
                    sums.append(slot)
            step = ir.Constant(word, vectors * v.lanes)
            with cgutils.for_range(builder, channels) as loop:
                w_at = builder.add(w0, builder.mul(loop.index, step))
                b = [
                    v.load(w_base, builder.add(w_at, ir.Constant(word, n * v.lanes)))
                    for n in range(vectors)
                ]
                for r in range(rows):
                    a = v.broadcast(x_rows[r], loop.index)
                    for n in range(vectors):
                        slot = sums[r * vectors + n]
                        builder.store(_fma(builder, a, b[n], builder.load(slot)), slot)
            for r in range(rows):
                for n in range(vectors):
                    v.store(
                        builder.load(sums[r * vectors + n]),
                        y_rows[r],
                        ir.Constant(word, n * v.lanes),
                    )
            return context.get_dummy_value()

        return signature, generate

    return kernel


def _outer_product(rows: int, vectors: int):
    """``dw[c : c + rows, col:] += sum_p x[i_p, c : c + rows]^T g[o_p, col:]`` over pairs p."""

    @intrinsic
    def kernel(typing, x, c, g, col, dw, dw_start, ins, outs, begin, end):
        integer = types.intp
        signature = types.void(x, integer, g, integer, dw, integer, ins, outs, integer, integer)

        def generate(context, builder, sig, args):
            x_type, _, g_type, _, dw_type, _, ins_type, outs_type, _, _ = sig.args
            xs, channel, gs, column, dws, dw0, in_rows, out_rows, first, last = args
            v = _Vectors(builder, x_type.dtype)
            word = ir.IntType(64)
            x_array = context.make_array(x_type)(context, builder, xs)
            g_array = context.make_array(g_type)(context, builder, gs)
            channels = cgutils.unpack_tuple(builder, x_array.shape)[1]
            width = cgutils.unpack_tuple(builder, g_array.shape)[1]
            dw_base = _pointer(context, builder, dw_type, dws)
            in_base = _pointer(context, builder, ins_type, in_rows)
            out_base = _pointer(context, builder, outs_type, out_rows)

            def place(r, n):
                row = builder.add(dw0, builder.mul(ir.Constant(word, r), width))
                return builder.add(row, ir.Constant(word, n * v.lanes))

            sums = []
            for r in range(rows):
                for n in range(vectors):
                    slot = cgutils.alloca_once(builder, v.vector)
                    builder.store(v.load(dw_base, place(r, n)), slot)
                    sums.append(slot)
            with cgutils.for_range_slice(builder, first, last, ir.Constant(word, 1), inc=True) as (
                pair,
                _,
            ):
                i = builder.sext(builder.load(builder.gep(in_base, [pair])), word)
                o = builder.sext(builder.load(builder.gep(out_base, [pair])), word)
                x_row = builder.add(builder.mul(i, channels), channel)
                g_row = builder.add(builder.mul(o, width), column)
                b = [
                    v.load(g_array.data, builder.add(g_row, ir.Constant(word, n * v.lanes)))
                    for n in range(vectors)
                ]
                for r in range(rows):
                    a = v.broadcast(x_array.data, builder.add(x_row, ir.Constant(word, r)))
                    for n in range(vectors):
                        slot = sums[r * vectors + n]
                        builder.store(_fma(builder, a, b[n], builder.load(slot)), slot)
            for r in range(rows):
                for n in range(vectors):
                    v.store(builder.load(sums[r * vectors + n]), dw_base, place(r, n))
            return context.get_dummy_value()

        return signature, generate

    return kernel


_many_wide, _many_narrow = _row_product(_ROWS, 2), _row_product(_ROWS, 1)
_one_wide, _one_narrow = _row_product(1, 2), _row_product(1, 1)
_outer_many_wide, _outer_many_narrow = _outer_product(_ROWS, 2), _outer_product(_ROWS, 1)
_outer_one_wide, _outer_one_narrow = _outer_product(1, 2), _outer_product(1, 1)


@parallel
def gather_product(x, w, ins, outs, start, vector, out):
    """``out[o] = sum x[i] @ w[k]`` over the pairs (i, o) of all taps k; output tiles in parallel.

    Each row is summed over taps in order, so results are bit-equal for any tiles and threads.

    x : (N, C). w : packed by :func:`pack`, flat. ins, outs : (P,) int32, sorted by (tile, tap).
    start : (tiles, K + 1) bounds of the pairs. vector : lanes. out : (M, D), D a multiple of lanes.
    """
    tiles, taps = start.shape[0], start.shape[1] - 1
    channels, width = x.shape[1], out.shape[1]
    panels = (width + 2 * vector - 1) // (2 * vector)
    for task in prange(tiles * panels):
        tile, col = task // panels, (task % panels) * 2 * vector
        wide = col + 2 * vector <= width
        out[tile * TILE : (tile + 1) * TILE, col : col + 2 * vector] = 0
        for k in range(taps):
            p, end = start[tile, k], start[tile, k + 1]
            w_start = (k * width + col) * channels
            if wide:
                while p + _ROWS <= end:
                    _many_wide(x, w, w_start, out, col, ins, outs, p)
                    p += _ROWS
                while p < end:
                    _one_wide(x, w, w_start, out, col, ins, outs, p)
                    p += 1
            else:
                while p + _ROWS <= end:
                    _many_narrow(x, w, w_start, out, col, ins, outs, p)
                    p += _ROWS
                while p < end:
                    _one_narrow(x, w, w_start, out, col, ins, outs, p)
                    p += 1


@parallel
def gather_outer(x, g, ins, outs, start, vector, partial):
    """``sum x[i]^T g[o]`` over the pairs (i, o) of each tap k, by (run of tiles, channels of x).

    partial : (runs, K, C, D) zeros. Each run of tiles is summed separately; the runs are then added
    in order into ``partial[0]``, so results are bit-equal for any number of threads.
    """
    tiles, taps = start.shape[0], start.shape[1] - 1
    runs, channels, width = partial.shape[0], x.shape[1], g.shape[1]
    blocks = (channels + _BLOCK - 1) // _BLOCK
    flat = partial.reshape(-1)
    for task in prange(runs * blocks):
        run, block = task // blocks, task % blocks
        stop = min((block + 1) * _BLOCK, channels)
        for tile in range(run * tiles // runs, (run + 1) * tiles // runs):
            for k in range(taps):
                begin, end = start[tile, k], start[tile, k + 1]
                if begin == end:
                    continue
                for col in range(0, width, 2 * vector):
                    wide = col + 2 * vector <= width
                    c = block * _BLOCK
                    while c < stop:
                        at = ((run * taps + k) * channels + c) * width + col
                        if c + _ROWS <= stop:
                            if wide:
                                _outer_many_wide(x, c, g, col, flat, at, ins, outs, begin, end)
                            else:
                                _outer_many_narrow(x, c, g, col, flat, at, ins, outs, begin, end)
                            c += _ROWS
                        else:
                            if wide:
                                _outer_one_wide(x, c, g, col, flat, at, ins, outs, begin, end)
                            else:
                                _outer_one_narrow(x, c, g, col, flat, at, ins, outs, begin, end)
                            c += 1
    size = flat.size // runs
    for i in prange(size):
        for run in range(1, runs):
            flat[i] += flat[run * size + i]


def runs_of_tiles(tiles: int, size: int, itemsize: int) -> int:
    """Number of runs that :func:`gather_outer` divides the tiles into: up to 16, within 4 MB."""
    return max(1, min(16, tiles, _PARTIAL_BYTES // (size * itemsize)))


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
