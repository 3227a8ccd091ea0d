// What all kernels share: barriers, warp exchange, a block-wide sum.
//
// Warp and block operations go through the two wrappers below and nothing else, because the emulator of the tests,
// which runs these sources as C++ on the CPU, puts its own in their place. No inline PTX, no dynamic shared memory.
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

// The value of the lane whose number differs in the bits of `mask`; all 32 lanes take part.
template <typename T>
__device__ inline T shuffle_xor(T value, int mask) {
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

#endif

// The sum over all threads of the block, the same bits in each of them: lanes add up in a butterfly, warps in order.
//
// `partial` holds max_warps numbers in shared memory. Contains one block barrier, between writing and reading
// `partial`: the caller sees to another one before the same `partial` is used again. blockDim.x is a multiple of 32.
template <typename T>
__device__ inline T block_sum(T value, T* partial) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    const int warp = threadIdx.x / warp_size;
    if (threadIdx.x % warp_size == 0) partial[warp] = value;
    block_sync();
    T total = partial[0];
    for (int w = 1; w < static_cast<int>(blockDim.x) / warp_size; ++w) total += partial[w];
    return total;
}

}  // namespace numopt
