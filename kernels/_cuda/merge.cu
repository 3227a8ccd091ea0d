// Sums over the private results of warps, slices or blocks, in order and without atomics.
//
// Block: whole warps; any grid. A block takes 32 neighbouring results at a time, its warps consecutive shares of the
// parts, and the first warp adds these. Shared memory: one number per thread. Bits depend on the block size only.
#include "transport.cuh"

namespace numopt {

// out[k] = sum of parts[p * size + k] over `count` parts, for two sets in one launch; the second may be empty.
template <typename In, typename Out>
__global__ void merge_sums(const In* first_parts, Out* first_out, int64 first_count, int64 first_size,
                           const In* second_parts, Out* second_out, int64 second_count, int64 second_size) {
    __shared__ Out shared[max_warps][warp_size];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    const int64 first_groups = (first_size + warp_size - 1) / warp_size;
    const int64 groups = first_groups + (second_size + warp_size - 1) / warp_size;
    for (int64 group = blockIdx.x; group < groups; group += gridDim.x) {
        const bool second = group >= first_groups;
        const In* const parts = second ? second_parts : first_parts;
        Out* const out = second ? second_out : first_out;
        const int64 count = second ? second_count : first_count;
        const int64 size = second ? second_size : first_size;
        const int64 k = (second ? group - first_groups : group) * warp_size + lane;
        Out total = Out(0);
        if (k < size) {
#pragma unroll 4
            for (int64 p = count * warp / warps; p < count * (warp + 1) / warps; ++p) total += parts[p * size + k];
        }
        shared[warp][lane] = total;
        block_sync();
        if (warp == 0 && k < size) {
            for (int w = 1; w < warps; ++w) total += shared[w][lane];
            out[k] = total;
        }
        block_sync();
    }
}

// out[k] = log of the sum of 2^parts[0, p, k] parts[1, p, k]; parts is (2, count, size).
template <typename Real>
__global__ void merge_log_sums(const Real* parts, Real* out, int64 count, int64 size) {
    __shared__ Real references[max_warps][warp_size];
    __shared__ Real sums[max_warps][warp_size];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    for (int64 first = static_cast<int64>(blockIdx.x) * warp_size; first < size;
         first += static_cast<int64>(gridDim.x) * warp_size) {
        const int64 k = first + lane;
        LogSum<Real> total;
        if (k < size) {
            for (int64 p = count * warp / warps; p < count * (warp + 1) / warps; ++p) {
                total.join(parts[p * size + k], parts[(count + p) * size + k]);
            }
        }
        references[warp][lane] = total.reference;
        sums[warp][lane] = total.sum;
        block_sync();
        if (warp == 0 && k < size) {
            for (int w = 1; w < warps; ++w) total.join(references[w][lane], sums[w][lane]);
            out[k] = total.log();
        }
        block_sync();
    }
}

}  // namespace numopt
