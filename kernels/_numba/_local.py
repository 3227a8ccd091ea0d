"""What compiled code lacks: small arrays on the stack, and the place of the lowest bit that is set.

Calls from Python raise; the functions exist inside compiled code only. `carray(local_memory(like, size), size)` is an
array of `size` numbers of the dtype of `like`, not initialised. It lives as long as the function that makes it runs:
it may be passed down, never returned.
"""

from typing import Any

from llvmlite import ir
from numba import carray as carray  # type: ignore[attr-defined]
from numba import types
from numba.extending import intrinsic

_intrinsic: Any = intrinsic  # its annotations know Python calls only, and these take what Numba passes


@_intrinsic(prefer_literal=True)
def local_memory(typing_context, like, size):
    """Return a pointer to `size` uninitialised numbers on the stack; `size` is a constant."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    length = size.literal_value

    def codegen(context, builder, signature, args):
        element = context.get_value_type(signature.return_type.dtype)
        # In the entry block: memory taken inside a loop is not given back before the function ends.
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(element, length))
        return builder.bitcast(memory, element.as_pointer())

    return types.CPointer(like.dtype)(like, size), codegen


@_intrinsic
def lowest_bit(typing_context, bits):
    """Return the place of the lowest bit of a uint64 other than 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen
