// What all kernels share: barriers, warp exchange, sums over a warp and a block, arithmetic that is never contracted.
//
// Everything that C++ lacks goes through the wrappers below and nothing else, because the emulator of the tests, which
// runs these sources as C++ on the CPU, puts its own in their place. No inline PTX, no dynamic shared memory.
#pragma once

#ifdef NUMOPT_EMULATOR
#include "emulator.hpp"
#endif

namespace numopt {

using int64 = long long;

constexpr int warp_size = 32;
constexpr int max_warps = 32;  // of a block of 1024 threads

#ifndef NUMOPT_EMULATOR

__device__ inline void block_sync() { __syncthreads(); }

// The lanes of a warp wait for one another, and what they wrote before is seen after; all 32 take part.
__device__ inline void warp_sync() { __syncwarp(); }

// The value of the lane whose number differs in the bits of `mask`; all 32 lanes take part.
template <typename T>
__device__ inline T shuffle_xor(T value, int mask) {
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

// One bit per lane; all 32 lanes take part.
__device__ inline unsigned ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

__device__ inline bool any_lane(bool predicate) { return __any_sync(0xffffffffu, predicate); }

__device__ inline int popcount(unsigned bits) { return __popc(bits); }

// All threads of the grid wait for one another, and what they wrote before is seen after.
//
// For cooperative launches, whose blocks all run at once. `arrived` counts blocks and is zero at the start of the
// launch; `turn`, private to the thread and zero at first, counts barriers.
__device__ inline void grid_sync(unsigned long long* arrived, unsigned long long& turn) {
    ++turn;
    block_sync();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(arrived, 1ULL);
        const volatile unsigned long long* const seen = arrived;
        while (*seen < turn * gridDim.x) {
        }
        __threadfence();
    }
    block_sync();
}

// Numbers that other blocks read and write at the same time: no lane sees a copy that its cache has kept.
__device__ inline int load_relaxed(const int* place) { return *static_cast<const volatile int*>(place); }
__device__ inline void store_relaxed(int* place, int value) { *static_cast<volatile int*>(place) = value; }

// Write `value` if `expected` is there; tell whether it was.
__device__ inline bool compare_and_swap(int* place, int expected, int value) {
    return atomicCAS(place, expected, value) == expected;
}

__device__ inline double add_rn(double x, double y) { return __dadd_rn(x, y); }
__device__ inline double sub_rn(double x, double y) { return __dsub_rn(x, y); }
__device__ inline double mul_rn(double x, double y) { return __dmul_rn(x, y); }
__device__ inline double fma_rn(double x, double y, double z) { return __fma_rn(x, y, z); }
__device__ inline double sqrt_rn(double x) { return __dsqrt_rn(x); }
__device__ inline float add_rn(float x, float y) { return __fadd_rn(x, y); }
__device__ inline float sub_rn(float x, float y) { return __fsub_rn(x, y); }
__device__ inline float mul_rn(float x, float y) { return __fmul_rn(x, y); }
__device__ inline float fma_rn(float x, float y, float z) { return __fmaf_rn(x, y, z); }
__device__ inline float sqrt_rn(float x) { return __fsqrt_rn(x); }

__device__ inline unsigned high_word(double x) { return static_cast<unsigned>(__double2hiint(x)); }
__device__ inline unsigned low_word(double x) { return static_cast<unsigned>(__double2loint(x)); }
__device__ inline double from_words(unsigned high, unsigned low) {
    return __hiloint2double(static_cast<int>(high), static_cast<int>(low));
}
__device__ inline unsigned word(float x) { return __float_as_uint(x); }
__device__ inline float from_word(unsigned bits) { return __uint_as_float(bits); }

#endif

// The sum over groups of `lanes` neighbouring lanes, a power of two, the same bits in each of them.
template <typename T>
__device__ inline T lane_sum(T value, int lanes) {
    for (int mask = lanes / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
}

// The largest number of the warp, NaN left out.
template <typename T>
__device__ inline T warp_max(T value) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) value = fmax(value, shuffle_xor(value, mask));
    return value;
}

// The sum over all threads of the block, the same bits in each of them: lanes add up in a butterfly, warps in order.
//
// `partial` holds max_warps numbers in shared memory. Contains one block barrier, between writing and reading
// `partial`: the caller sees to another one before the same `partial` is used again. blockDim.x is a multiple of 32.
template <typename T>
__device__ inline T block_sum(T value, T* partial) {
    value = lane_sum(value, warp_size);
    const int warp = threadIdx.x / warp_size;
    if (threadIdx.x % warp_size == 0) partial[warp] = value;
    block_sync();
    T total = partial[0];
    for (int w = 1; w < static_cast<int>(blockDim.x) / warp_size; ++w) total += partial[w];
    return total;
}

}  // namespace numopt
