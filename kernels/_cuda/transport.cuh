// What the transport kernels share: 2^x, exponents of a plan's entries, sums of several rows over a warp.
//
// The exponents are in base 2: with `scale` = inv_reg log2(e), P_ij = 2^((f_i + g_j - C_ij) scale).
#pragma once

#include "common.cuh"

namespace numopt {

// What the algorithms need to know of a floating format.
template <typename Real>
struct Format;

template <>
struct Format<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr double underflow = -1022;  // 2^x is taken as zero below
    // Below all exponents that occur; finite, because differences from it are taken.
    static constexpr double lowest = -1e300;
    // Sums relative to a reference stay finite while no exponent is further above it.
    static constexpr double slack = 64;
};

template <>
struct Format<float> {
    static constexpr int mantissa_bits = 23;
    static constexpr float underflow = -126;
    static constexpr float lowest = -1e37f;
    static constexpr float slack = 32;
};

template <typename Real>
__device__ inline Real infinity() {
    return static_cast<Real>(from_words(0x7ff00000u, 0u));
}

constexpr double log2_e = 1.4426950408889634;
constexpr double ln_2 = 0.6931471805599453;

// 2^x without branches: 0 below -1022 (no subnormal results), infinity from 1022 on, NaN for NaN.
//
// |x - k| <= 1/2 by adding and taking away 1.5 * 2^52, whose sum holds k in its low word; then the polynomial of
// kernels/_numba/_math.py, and k added to the exponent bits. The special cases are selects on integers, because the
// double-precision pipe is what the kernels of point clouds are bound by.
__device__ inline double exp2_flushed(double x) {
    constexpr double round_bias = 6755399441055744.0;
    const double shifted = add_rn(x, round_bias);
    const double t = sub_rn(x, sub_rn(shifted, round_bias));
    double y = 4.4871236763526455e-10;
    y = fma_rn(y, t, 7.072621356539349e-09);
    y = fma_rn(y, t, 1.0177840917773701e-07);
    y = fma_rn(y, t, 1.3215442410711872e-06);
    y = fma_rn(y, t, 1.5252734384682996e-05);
    y = fma_rn(y, t, 0.0001540353044202707);
    y = fma_rn(y, t, 0.0013333558145808934);
    y = fma_rn(y, t, 0.009618129107606715);
    y = fma_rn(y, t, 0.05550410866482432);
    y = fma_rn(y, t, 0.24022650695910097);
    y = fma_rn(y, t, 0.6931471805599453);
    y = fma_rn(y, t, 1.0);
    const unsigned sign_and_size = high_word(x);
    const unsigned size = sign_and_size & 0x7fffffffu;
    const unsigned special = size > 0x7ff00000u ? 0x7ff80000u : sign_and_size > 0x7fffffffu ? 0u : 0x7ff00000u;
    const bool ordinary = size < 0x408ff000u;  // |x| < 1022
    return from_words(ordinary ? high_word(y) + (low_word(shifted) << 20) : special, ordinary ? low_word(y) : 0u);
}

__device__ inline float exp2_flushed(float x) {
    constexpr float round_bias = 12582912.0f;
    const float shifted = add_rn(x, round_bias);
    const float t = sub_rn(x, sub_rn(shifted, round_bias));
    float y = 0.00015453262f;
    y = fma_rn(y, t, 0.0013390979f);
    y = fma_rn(y, t, 0.009618082f);
    y = fma_rn(y, t, 0.05550357f);
    y = fma_rn(y, t, 0.2402265f);
    y = fma_rn(y, t, 0.6931472f);
    y = fma_rn(y, t, 1.0f);
    const unsigned sign_and_size = word(x);
    const unsigned size = sign_and_size & 0x7fffffffu;
    const unsigned special = size > 0x7f800000u ? 0x7fc00000u : sign_and_size > 0x7fffffffu ? 0u : 0x7f800000u;
    return from_word(size < 0x42fc0000u ? word(y) + (word(shifted) << 23) : special);  // |x| < 126
}

// floor(log2 x) of a positive normal number; far below that of all others for zero.
__device__ inline int exponent_of(double x) { return static_cast<int>(high_word(x) >> 20 & 0x7ffu) - 1023; }
__device__ inline int exponent_of(float x) { return static_cast<int>(word(x) >> 23 & 0xffu) - 127; }

// The exponent below which 2^e added to a sum >= 0 leaves each of its bits as it is: a quarter of its last place.
template <typename Real>
__device__ inline Real negligible_below(Real sum) {
    const Real quarter = static_cast<Real>(exponent_of(sum) - Format<Real>::mantissa_bits - 2);
    return fmax(quarter, Format<Real>::underflow);
}

// (f + g - C) times a factor, the same bits whichever of f and g comes first.
template <typename Real>
__device__ inline Real exponent(Real f, Real g, Real cost, Real factor) {
    return mul_rn(sub_rn(add_rn(f, g), cost), factor);
}

// The sums of ROWS numbers over the warp: lane l returns that of number l / (32 / ROWS).
//
// Lanes exchange halves of the numbers instead of reducing one after the other: ROWS + 3 - log2(ROWS) exchanges, not
// 5 ROWS. ROWS is a power of two up to 32.
template <int ROWS, typename T>
__device__ inline T sum_rows(T (&value)[ROWS], int lane) {
    int mask = warp_size / 2;
#pragma unroll
    for (int half = ROWS / 2; half > 0; half /= 2) {
        const bool upper = (lane & mask) != 0;
#pragma unroll
        for (int k = 0; k < half; ++k) {
            const T kept = upper ? value[k + half] : value[k];
            const T sent = upper ? value[k] : value[k + half];
            value[k] = kept + shuffle_xor(sent, mask);
        }
        mask /= 2;
    }
#pragma unroll
    for (int rest = warp_size / ROWS / 2; rest > 0; rest /= 2) value[0] += shuffle_xor(value[0], rest);
    return value[0];
}

// A sum of exponentials relative to a reference: 2^reference * sum. An empty one is {Format::lowest, 0}.
//
// The reference is some exponent that has been met, moved only when one lies more than `slack` above it: the sum then
// stays finite, and what underflows relative to the reference is negligible relative to the sum.
template <typename Real>
struct LogSum {
    Real reference = Format<Real>::lowest;
    Real sum = Real(0);

    __device__ void move(Real target) {
        sum *= exp2_flushed(reference - target);
        reference = target;
    }

    __device__ void join(Real other_reference, Real other_sum) {
        const Real target = fmax(reference, other_reference);
        move(target);
        sum += other_sum * exp2_flushed(other_reference - target);
    }

    // The natural logarithm; minus infinity for an empty sum.
    __device__ Real log() const { return sum > Real(0) || sum != sum ? Real(ln_2) * (reference + log2(sum)) : -infinity<Real>(); }
};

}  // namespace numopt
