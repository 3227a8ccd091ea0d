"""Eight numbers at once, for kernels that do the same to eight problems: registers as wide as the processor has.

A loop over eight numbers is unrolled before it can be vectorised, so that it stays scalar and its sums stay in memory
(3.5 times slower in `sor_batch`). Lanes exist inside compiled code only. Number w of the group i of an array of one
axis is `array[LANES * i + w]`; arithmetic rounds as it does for single numbers. Groups that start at multiples of
`ALIGNMENT` bytes are read and written twice as fast as others.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 8
ALIGNMENT = 64

_intrinsic: Any = intrinsic  # its annotations know Python calls only, and these take what Numba passes


class Lanes(types.Type):
    """The type of `LANES` numbers, real or complex."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.is_complex = isinstance(dtype, types.Complex)
        self.real = dtype.underlying_float if self.is_complex else dtype
        super().__init__(name=f"Lanes({dtype})")


_register: Any = register_model


@_register(Lanes)
class _LanesModel(models.PrimitiveModel):
    """One vector, or two for the parts of complex numbers."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        part = ir.VectorType(manager.lookup(lanes.real).get_value_type(), LANES)
        super().__init__(manager, lanes, ir.LiteralStructType([part, part]) if lanes.is_complex else part)


def _parts(builder: Any, lanes: Lanes, value: Any) -> list[Any]:
    """Return the vector, or those of real and imaginary parts."""
    return [builder.extract_value(value, k) for k in range(2)] if lanes.is_complex else [value]


def _join(context: Any, builder: Any, lanes: Lanes, parts: list[Any]) -> Any:
    """Return the value made of `_parts`."""
    if not lanes.is_complex:
        return parts[0]
    value = ir.Constant(context.get_value_type(lanes), ir.Undefined)
    for k, part in enumerate(parts):
        value = builder.insert_value(value, part, k)
    return value


def _mask(places: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


_EVEN, _ODD = (_mask(list(range(k, 2 * LANES, 2))) for k in range(2))
_TURNS = _mask([k // 2 + LANES * (k % 2) for k in range(2 * LANES)])


def _place(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> tuple[Any, int]:
    """Return the address of a group as that of one vector of real numbers, and the alignment to count on."""
    lanes = Lanes(kind.dtype)
    real = context.get_value_type(lanes.real)
    vector = ir.VectorType(real, 2 * LANES if lanes.is_complex else LANES)
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, vector.as_pointer()), [i]), context.get_abi_sizeof(real)


@_intrinsic
def load(typing_context, array, i):
    """Return group i, a uint64, of a contiguous array."""

    def codegen(context, builder, signature, args):
        lanes = signature.return_type
        place, alignment = _place(context, builder, signature.args[0], *args)
        value = builder.load(place, align=alignment)
        if not lanes.is_complex:
            return value
        parts = [builder.shuffle_vector(value, value, mask) for mask in (_EVEN, _ODD)]
        return _join(context, builder, lanes, parts)

    return Lanes(array.dtype)(array, types.uint64), codegen


@_intrinsic
def store(typing_context, array, i, value):
    """Write group i, a uint64, of a contiguous array."""

    def codegen(context, builder, signature, args):
        place, alignment = _place(context, builder, signature.args[0], *args[:2])
        parts = _parts(builder, signature.args[2], args[2])
        builder.store(builder.shuffle_vector(*parts, _TURNS) if len(parts) == 2 else parts[0], place, align=alignment)
        return context.get_dummy_value()

    return types.void(array, types.uint64, value), codegen


@_intrinsic
def zeros(typing_context, array):
    """Return zeros of the dtype of an array."""

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Lanes(array.dtype)(array), codegen


@_intrinsic
def spread(typing_context, array, value):
    """Return a number, of the dtype of an array, in all lanes."""

    def codegen(context, builder, signature, args):
        vector = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        vector = builder.insert_element(vector, args[1], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(vector, vector, _mask([0] * LANES))

    return None if isinstance(array.dtype, types.Complex) else (Lanes(array.dtype)(array, array.dtype), codegen)


def _elementwise(name: str) -> Any:
    """Return an operation that takes real and imaginary parts apart."""

    @_intrinsic
    def operation(typing_context, a, b):
        def codegen(context, builder, signature, args):
            lanes = signature.return_type
            pairs = zip(*(_parts(builder, lanes, value) for value in args), strict=True)
            return _join(context, builder, lanes, [getattr(builder, name)(*pair) for pair in pairs])

        return a(a, a), codegen

    return operation


add = _elementwise("fadd")


def _fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z of vectors, rounded once where the processor can."""
    # `llvm.fma` would call a slow library function on a processor without the instruction.
    shape = ir.FunctionType(x.type, [x.type] * 3)
    name = f"llvm.fmuladd.v{LANES}{'f32' if isinstance(x.type.element, ir.FloatType) else 'f64'}"
    function = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
    return builder.call(function, [x, y, z])


def _multiply_add(negative: bool) -> Any:
    @_intrinsic
    def operation(typing_context, a, b, c):
        def codegen(context, builder, signature, args):
            lanes = signature.return_type
            x, y, z = (_parts(builder, lanes, value) for value in args)
            if negative:
                x = [builder.fneg(part) for part in x]
            if not lanes.is_complex:
                return _fused(builder, x[0], y[0], z[0])
            real = _fused(builder, builder.fneg(x[1]), y[1], _fused(builder, x[0], y[0], z[0]))
            imaginary = _fused(builder, x[1], y[0], _fused(builder, x[0], y[1], z[1]))
            return _join(context, builder, lanes, [real, imaginary])

        return a(a, a, a), codegen

    return operation


multiply_add = _multiply_add(negative=False)
"""a * b + c."""

multiply_subtract = _multiply_add(negative=True)
"""c - a * b."""


@_intrinsic
def add_norm2(typing_context, value, total):
    """Return total + |value|^2, in double precision as `total` is."""

    def codegen(context, builder, signature, args):
        lanes, doubles = signature.args
        wide = context.get_value_type(doubles)
        total = args[1]
        for part in _parts(builder, lanes, args[0]):
            double = part if part.type == wide else builder.fpext(part, wide)
            total = _fused(builder, double, double, total)
        return total

    return total(value, total), codegen
