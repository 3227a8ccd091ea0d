// Complex numbers, and what lets one template serve real and complex data.
//
// A template takes `Scalar`, one of float, double, Complex<float>, Complex<double>: complex64 and complex128 of the
// host. Scalar(0), Scalar(real) make one from a real number, RealOf<Scalar> is its precision; conj, norm2, real_part,
// reciprocal and shuffle_xor (hence lane_sum and block_sum) work for all four. Products follow the school formula: an
// infinite factor may give NaN, as fast complex arithmetic does anywhere.
#pragma once

#include "common.cuh"

namespace numopt {

// Aligned as a whole, so that one instruction loads both parts.
template <typename Real>
struct alignas(2 * sizeof(Real)) Complex {
    Real re;
    Real im;

    Complex() = default;
    __device__ constexpr Complex(Real real, Real imaginary = Real(0)) : re(real), im(imaginary) {}

    __device__ Complex& operator+=(Complex other) {
        re += other.re;
        im += other.im;
        return *this;
    }
    __device__ Complex& operator-=(Complex other) {
        re -= other.re;
        im -= other.im;
        return *this;
    }
};

template <typename Scalar>
struct Precision {
    using Real = Scalar;
};

template <typename Part>
struct Precision<Complex<Part>> {
    using Real = Part;
};

template <typename Scalar>
using RealOf = typename Precision<Scalar>::Real;

template <typename Real>
__device__ inline Complex<Real> operator+(Complex<Real> x, Complex<Real> y) {
    return {x.re + y.re, x.im + y.im};
}

template <typename Real>
__device__ inline Complex<Real> operator-(Complex<Real> x, Complex<Real> y) {
    return {x.re - y.re, x.im - y.im};
}

template <typename Real>
__device__ inline Complex<Real> operator-(Complex<Real> x) {
    return {-x.re, -x.im};
}

template <typename Real>
__device__ inline Complex<Real> operator*(Complex<Real> x, Complex<Real> y) {
    return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

// Factors that are plain numbers need no conversion; their type does not decide which template is meant.
template <typename Real>
__device__ inline Complex<Real> operator*(RealOf<Real> x, Complex<Real> y) {
    return {x * y.re, x * y.im};
}

template <typename Real>
__device__ inline Complex<Real> operator*(Complex<Real> x, RealOf<Real> y) {
    return {x.re * y, x.im * y};
}

template <typename Real>
__device__ inline Complex<Real> operator/(Complex<Real> x, RealOf<Real> y) {
    return {x.re / y, x.im / y};
}

__device__ inline float conj(float x) { return x; }
__device__ inline double conj(double x) { return x; }
template <typename Real>
__device__ inline Complex<Real> conj(Complex<Real> x) {
    return {x.re, -x.im};
}

__device__ inline float real_part(float x) { return x; }
__device__ inline double real_part(double x) { return x; }
template <typename Real>
__device__ inline Real real_part(Complex<Real> x) {
    return x.re;
}

// |x|^2 in double precision: the squares of small float32 numbers would underflow.
__device__ inline double norm2(double x) { return x * x; }
template <typename Real>
__device__ inline double norm2(Complex<Real> x) {
    return norm2(static_cast<double>(x.re)) + norm2(static_cast<double>(x.im));
}

// 1 / x. The larger part divides the smaller one, so that no square leaves the range of the type.
__device__ inline float reciprocal(float x) { return 1.0f / x; }
__device__ inline double reciprocal(double x) { return 1.0 / x; }
template <typename Real>
__device__ inline Complex<Real> reciprocal(Complex<Real> x) {
    if (fabs(x.re) >= fabs(x.im)) {
        const Real ratio = x.im / x.re;
        const Real size = x.re + x.im * ratio;
        return {Real(1) / size, -ratio / size};
    }
    const Real ratio = x.re / x.im;
    const Real size = x.re * ratio + x.im;
    return {ratio / size, Real(-1) / size};
}

template <typename Real>
__device__ inline Complex<Real> shuffle_xor(Complex<Real> value, int mask) {
    return {shuffle_xor(value.re, mask), shuffle_xor(value.im, mask)};
}

}  // namespace numopt
