"""Branch-free exp, exp2, expm1, log and log1p, for loops that must vectorise.

Numba's own versions call the C library once per element, which keeps LLVM from vectorising the loop around them. These
are straight-line code: argument reduction, one polynomial, exponent bits put together in integers, special values by
selects. The error is at most 2 units in the last place over the whole range, subnormal results included; `exp2` alone
leaves these out, being the one that the transport kernels spend their time in.

The polynomials interpolate at Chebyshev points, worked out in 60-digit arithmetic:
(exp(r) - 1 - r) / r**2 on |r| <= 0.5005 log 2, (2**r - 1) / r on |r| <= 0.5005, and (2 atanh(s) - 2 s) / s**3 in
z = s**2 for s <= 1.0005 (sqrt 2 - 1) / (sqrt 2 + 1).

Calls from Python raise; the functions exist inside compiled code only.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from numopt.kernels._numba._jit import CONTRACT


class _Format(NamedTuple):
    """What the algorithms need to know of a floating format, every number in the format itself."""

    real: Any
    integer: Any
    mantissa_bits: int
    bias: int
    round_bias: float  # 1.5 * 2**mantissa_bits: adding it rounds to an integer that lies in the low bits of the sum
    ln2_hi: float  # a multiple of log 2's leading bits that is exact for all exponents
    ln2_lo: float
    overflow: float  # exp is infinite above
    underflow: float  # exp is zero below
    expm1_floor: float  # expm1 is -1 below
    tiny: float  # the smallest normal number
    exp_terms: tuple[float, ...]
    exp2_terms: tuple[float, ...]
    log_terms: tuple[float, ...]


_DOUBLE = _Format(
    real=np.float64,
    integer=np.int64,
    mantissa_bits=52,
    bias=1023,
    round_bias=1.5 * 2.0**52,
    ln2_hi=0.6931471803691238,
    ln2_lo=1.9082149292705877e-10,
    overflow=709.7827128933841,
    underflow=-746.0,
    expm1_floor=-38.0,
    tiny=2.2250738585072014e-308,
    exp_terms=(
        0.5000000000000001,
        0.16666666666666669,
        0.041666666666623824,
        0.008333333333330039,
        0.0013888888917367081,
        0.00019841269863171557,
        2.4801521057868204e-05,
        2.7557268276905696e-06,
        2.7620201591031547e-07,
        2.5100472505694996e-08,
    ),
    exp2_terms=(
        0.6931471805599453,
        0.24022650695910097,
        0.05550410866482432,
        0.009618129107606715,
        0.0013333558145808934,
        0.0001540353044202707,
        1.5252734384682996e-05,
        1.3215442410711872e-06,
        1.0177840917773701e-07,
        7.072621356539349e-09,
        4.4871236763526455e-10,
    ),
    log_terms=(
        0.666666666666667,
        0.3999999999989889,
        0.28571428626253836,
        0.22222211089379496,
        0.1818289243253687,
        0.15331611722055008,
        0.14617807153417325,
    ),
)

_SINGLE = _Format(
    real=np.float32,
    integer=np.int32,
    mantissa_bits=23,
    bias=127,
    round_bias=1.5 * 2.0**23,
    ln2_hi=0.693145751953125,
    ln2_lo=1.4286068203094173e-06,
    overflow=88.72283,
    underflow=-104.0,
    expm1_floor=-18.0,
    tiny=1.1754943508222875e-38,
    exp_terms=(0.5, 0.16666576, 0.041666552, 0.008363233, 0.001392625),
    exp2_terms=(0.6931472, 0.2402265, 0.05550357, 0.009618082, 0.0013390979, 0.00015453262),
    log_terms=(0.66666687, 0.3998876, 0.29580986),
)


_intrinsic: Any = intrinsic  # its annotations know Python calls only, and these take what Numba passes


@_intrinsic
def _to_bits(typing_context, x):
    """Return the bits of a float as an integer of the same width."""
    integer = types.int64 if x == types.float64 else types.int32

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(integer))

    return integer(x), codegen


@_intrinsic
def _from_bits(typing_context, bits):
    """Return the float that the bits of an int64 or int32 stand for."""
    real = types.float64 if bits == types.int64 else types.float32

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(real))

    return real(bits), codegen


def _inline(function):
    """Compile a helper without a cache of its own: it is part of the kernels that call it."""
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(CONTRACT))(function)


def _build(form: _Format) -> dict[str, Any]:
    """Write the functions for one format; the numbers below become constants of the compiled code."""
    real, integer = form.real, form.integer
    mantissa_bits, bias, one_bit = integer(form.mantissa_bits), integer(form.bias), integer(1)
    largest_exponent = integer(form.bias - 1)
    zero, half, one, two = real(0.0), real(0.5), real(1.0), real(2.0)
    log2e, ln2_hi, ln2_lo = real(1.4426950408889634), real(form.ln2_hi), real(form.ln2_lo)
    round_bias, round_bits = real(form.round_bias), real(form.round_bias).view(integer)
    overflow, underflow, expm1_floor = real(form.overflow), real(form.underflow), real(form.expm1_floor)
    tiny, rescale, rescale_exponent = real(form.tiny), real(2.0**form.mantissa_bits), real(form.mantissa_bits)
    infinity, nan = real(np.inf), real(np.nan)
    # The bits of sqrt(1/2): less these, an argument's exponent field is that after reduction to [sqrt 1/2, sqrt 2).
    root_bits = real(np.sqrt(0.5)).view(integer)
    exp2_zero = real(-form.bias)
    if real is np.float64:
        b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10 = map(real, form.exp2_terms)
        e0, e1, e2, e3, e4, e5, e6, e7, e8, e9 = map(real, form.exp_terms)
        l0, l1, l2, l3, l4, l5, l6 = map(real, form.log_terms)

        @_inline
        def exp2_polynomial(r):
            # Even and odd powers apart: the latency of one long chain is what would limit the loop.
            z = r * r
            even = b0 + z * (b2 + z * (b4 + z * (b6 + z * (b8 + z * b10))))
            return even + r * (b1 + z * (b3 + z * (b5 + z * (b7 + z * b9))))

        @_inline
        def exp_polynomial(r):
            upper = e5 + r * (e6 + r * (e7 + r * (e8 + r * e9)))
            return e0 + r * (e1 + r * (e2 + r * (e3 + r * (e4 + r * upper))))

        @_inline
        def log_polynomial(z):
            return l0 + z * (l1 + z * (l2 + z * (l3 + z * (l4 + z * (l5 + z * l6)))))

    else:
        b0, b1, b2, b3, b4, b5 = map(real, form.exp2_terms)
        e0, e1, e2, e3, e4 = map(real, form.exp_terms)
        l0, l1, l2 = map(real, form.log_terms)

        @_inline
        def exp2_polynomial(r):
            z = r * r
            return (b0 + z * (b2 + z * b4)) + r * (b1 + z * (b3 + z * b5))

        @_inline
        def exp_polynomial(r):
            return e0 + r * (e1 + r * (e2 + r * (e3 + r * e4)))

        @_inline
        def log_polynomial(z):
            return l0 + z * (l1 + z * l2)

    # `integer(...)` around every integer operation: Numba widens int32 to int64, which would halve the vector width.
    @_inline
    def reduce(x):
        """Return r_hi, r_lo, k with x = k log 2 + r_hi + r_lo and |r| <= log(2) / 2."""
        shifted = x * log2e + round_bias
        k = shifted - round_bias
        return x - k * ln2_hi, -(k * ln2_lo), integer(_to_bits(shifted) - round_bits)

    @_inline
    def power_of_two(exponent):
        return _from_bits(integer(integer(exponent + bias) << mantissa_bits))

    @_inline
    def exp(x):
        r_hi, r_lo, exponent = reduce(max(min(x, overflow), underflow))
        r = r_hi + r_lo
        value = one + (r_hi + (r_lo + r * r * exp_polynomial(r)))
        # Two factors: 2**exponent alone leaves the normal range where the result is subnormal or the largest binade.
        first = integer(exponent >> one_bit)
        value = value * power_of_two(first) * power_of_two(integer(exponent - first))
        value = infinity if x > overflow else value
        return value if x == x else x

    @_inline
    def exp2(x):
        clamped = exp2_zero if x < exp2_zero else x
        shifted = clamped + round_bias
        r = clamped - (shifted - round_bias)
        value = one + r * exp2_polynomial(r)
        # The exponent goes straight into the bits, which are 0 for 2**exp2_zero. It fits in the topmost binade,
        # where 2**r < 1. NaN has no low bits and stays what it is.
        return _from_bits(integer(_to_bits(value) + integer(_to_bits(shifted) << mantissa_bits)))

    @_inline
    def expm1(x):
        r_hi, r_lo, exponent = reduce(max(min(x, overflow), expm1_floor))
        r = r_hi + r_lo
        tail = r_lo + r * r * exp_polynomial(r)
        # 2**k (1 + r_hi + tail) - 1 in units of 2**k, where the sum 1 - 2**-k + r_hi keeps its rounding error.
        # 2**-k no longer counts, nor is it a normal number, at the largest k.
        offset = one - power_of_two(integer(-min(exponent, largest_exponent)))
        total = offset + r_hi
        virtual = total - offset
        lost = (offset - (total - virtual)) + (r_hi - virtual)
        # 2**(k - 1) twice, since 2**k is no number at the largest k.
        value = (total + (lost + tail)) * power_of_two(integer(exponent - one_bit)) * two
        value = infinity if x > overflow else value
        # x itself keeps the sign of zero and the last bit of subnormal numbers.
        value = x if abs(x) < tiny else value
        return value if x == x else x

    @_inline
    def log_reduced(f, k, correction):
        """Return k log 2 + log(1 + f) + correction."""
        s = f / (two + f)
        z = s * s
        halved = half * f * f
        return k * ln2_hi - ((halved - (s * (halved + z * log_polynomial(z)) + (k * ln2_lo + correction))) - f)

    @_inline
    def split(x):
        """Return f, k with x = 2**k (1 + f) and 1 + f in [sqrt 1/2, sqrt 2), for normal x."""
        bits = _to_bits(x)
        exponent = integer(integer(bits - root_bits) >> mantissa_bits)
        f = _from_bits(integer(bits - integer(exponent << mantissa_bits))) - one
        # The integer goes back to a float through the bits of round_bias: AVX2 converts no int64.
        return f, _from_bits(integer(exponent + round_bits)) - round_bias

    @_inline
    def log_edges(x, value):
        """Put in the values at infinity, at zero, below zero and at NaN."""
        value = infinity if x == infinity else value
        value = -infinity if x == zero else value
        return value if x >= zero else nan

    @_inline
    def log(x):
        small = x < tiny
        f, k = split(x * rescale if small else x)
        return log_edges(x, log_reduced(f, k - rescale_exponent if small else k, zero))

    @_inline
    def log1p(x):
        u = one + x
        # What the sum lost, taken from the larger term.
        lost = one - (u - x) if x > one else x - (u - one)
        f, k = split(u)
        value = log_edges(u, log_reduced(f, k, lost / u))
        return x if abs(x) < tiny else value

    return {"exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log1p": log1p}


_BY_TYPE = {types.float64: _build(_DOUBLE), types.float32: _build(_SINGLE)}


def exp(x):
    """Return e**x in the format of `x`."""
    raise NotImplementedError


def exp2(x):
    """Return 2**x in the format of `x`, for an x below the exponent where it overflows: no test is made.

    Below the smallest normal number it is something between 0 and that number, and 0 below half of it.
    """
    raise NotImplementedError


def expm1(x):
    """Return e**x - 1 in the format of `x`, accurate near zero."""
    raise NotImplementedError


def log(x):
    """Return the natural logarithm in the format of `x`."""
    raise NotImplementedError


def log1p(x):
    """Return log(1 + x) in the format of `x`, accurate near zero."""
    raise NotImplementedError


def _register(name: str, stub: Any) -> None:
    def choose(x):
        function = _BY_TYPE.get(x, {}).get(name)
        if function is None:
            return None
        return lambda x: function(x)

    overload(stub)(choose)


for _stub in (exp, exp2, expm1, log, log1p):
    _register(_stub.__name__, _stub)
