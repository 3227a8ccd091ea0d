"""What the sweeps of linear solvers share: products that round once, places in arrays, and fixed shares of rows.

Sums are written out in the order they are taken, without leave to reorder, so that the serial and the parallel form of
a kernel give the same bits.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numopt.kernels._numba._jit import jit

_intrinsic: Any = intrinsic  # its annotations know Python calls only, and these take what Numba passes

# Rows of a class are dealt in at most so many shares, for any number of threads, each with a sum of its own.
MOST_SHARES = 64
# Fewer rows are not worth a share, and fewer than PARALLEL_MIN_ROWS in a class not a launch (docs/kernels.rst).
SHARE_ROWS = 1024
PARALLEL_MIN_ROWS = 20_000


@_intrinsic
def multiply_add(typing_context, a, b, c):
    """Return a * b + c, rounded once where the processor can; real or complex numbers of one type."""
    if not (a == b == c and isinstance(a, types.Float | types.Complex)):
        return None

    def codegen(context, builder, signature, args):
        kind = signature.return_type
        real = context.get_value_type(kind.underlying_float if isinstance(kind, types.Complex) else kind)
        # `llvm.fma` would call a slow library function on a processor without the instruction.
        name, shape = "llvm.fmuladd", ir.FunctionType(real, [real] * 3)
        function = builder.module.declare_intrinsic(name, [real], shape)
        if isinstance(kind, types.Float):
            return builder.call(function, args)
        x, y, z = (context.make_complex(builder, kind, value) for value in args)
        out = context.make_complex(builder, kind)
        out.real = builder.call(function, [x.real, y.real, z.real])
        out.real = builder.call(function, [builder.fneg(x.imag), y.imag, out.real])
        out.imag = builder.call(function, [x.real, y.imag, z.imag])
        out.imag = builder.call(function, [x.imag, y.real, out.imag])
        return out._getvalue()

    return a(a, a, a), codegen


@_intrinsic
def place(typing_context, index):
    """Return an index that is never negative as uint64.

    There is no sign to extend then, and no test where it is used: a negative index would count from the end.
    """
    if not isinstance(index, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        return builder.zext(args[0], ir.IntType(64)) if signature.args[0].bitwidth < 64 else args[0]

    return types.uint64(index), codegen


@jit
def norm2(value):
    """Return |value|^2 in double precision: the squares of small float32 numbers would underflow."""
    real, imaginary = np.float64(value.real), np.float64(value.imag)
    return real * real + imaginary * imaginary


@jit
def share_count(count):
    """Return in how many shares the rows of a class are dealt: a function of their number alone."""
    return min(MOST_SHARES, count // SHARE_ROWS + 1)


def largest_class(classes) -> int:
    """Return the number of rows in the largest class, 0 without classes; for Python."""
    return int(np.diff(classes).max(initial=0))
