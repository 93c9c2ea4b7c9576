"""Micro-kernels of the numba engine, as LLVM vector instructions.

A compiler may not keep sums in registers when arrays could overlap, so the loops that matter are
written out: sums of several rows by two vectors stay in registers, as in a BLAS. LLVM maps the
vectors to those of the machine.
"""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

try:
    _FEATURES = binding.get_host_cpu_features()
except RuntimeError:  # LLVM does not know this processor
    _FEATURES = {}
_VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
ROWS = 8 if _VECTOR_BYTES == 64 else 6
"""Rows of sums: 6 x 2 and their operands fill the 16 registers of AVX2; AVX-512 has 32."""


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


def row_product(rows: int, vectors: int):
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


def outer_product(rows: int, vectors: int):
    """``dw[c : c + rows, col:] += sum_p x[p, c : c + rows]^T g[p, col:]`` for p below ``count``."""

    @intrinsic
    def kernel(typing, x, c, g, col, dw, dw_start, width, count):
        integer = types.intp
        signature = types.void(x, integer, g, integer, dw, integer, integer, integer)

        def generate(context, builder, sig, args):
            x_type, _, g_type, _, dw_type, _, _, _ = sig.args
            xs, channel, gs, column, dws, dw0, width, count = args
            v = _Vectors(builder, x_type.dtype)
            word = ir.IntType(64)
            x_array = context.make_array(x_type)(context, builder, xs)
            g_array = context.make_array(g_type)(context, builder, gs)
            x_width = cgutils.unpack_tuple(builder, x_array.shape)[1]
            g_width = cgutils.unpack_tuple(builder, g_array.shape)[1]
            dw_base = _pointer(context, builder, dw_type, dws)

            def place(r, n):
                row = builder.add(dw0, builder.mul(ir.Constant(word, r), width))
                return builder.add(row, ir.Constant(word, n * v.lanes))

            sums = []
            for r in range(rows):
                for n in range(vectors):
                    slot = cgutils.alloca_once(builder, v.vector)
                    builder.store(v.load(dw_base, place(r, n)), slot)
                    sums.append(slot)
            with cgutils.for_range(builder, count) as loop:
                x_row = builder.add(builder.mul(loop.index, x_width), channel)
                g_row = builder.add(builder.mul(loop.index, g_width), column)
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


@intrinsic
def copy(typing, x, x_start, count, out, out_start):
    """``out[out_start:][:count] = x[x_start:][:count]`` of contiguous arrays."""
    integer = types.intp

    def generate(context, builder, sig, args):
        x_type, _, _, out_type, _ = sig.args
        xs, begin, count, outs, to = args
        v = _Vectors(builder, x_type.dtype)
        source = builder.gep(_pointer(context, builder, x_type, xs), [begin])
        target = builder.gep(_pointer(context, builder, out_type, outs), [to])
        word = ir.IntType(64)
        lanes = ir.Constant(word, v.lanes)
        whole = builder.mul(builder.sdiv(count, lanes), lanes)
        zero, one = ir.Constant(word, 0), ir.Constant(word, 1)
        with cgutils.for_range_slice(builder, zero, whole, lanes, inc=True) as (at, _):
            v.store(v.load(source, at), target, at)
        with cgutils.for_range_slice(builder, whole, count, one, inc=True) as (at, _):
            builder.store(builder.load(builder.gep(source, [at])), builder.gep(target, [at]))
        return context.get_dummy_value()

    return types.void(x, integer, integer, out, integer), generate
