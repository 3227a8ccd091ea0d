// Weighted Gram matrix X' diag(weights) X of a CSR matrix without duplicate entries.
//
// gram_accumulate: grid of `parts` blocks, each with a slice of the rows and an n x n accumulator of its own in `work`.
// A warp takes one entry of the row at a time and its lanes the entries after it; no two threads meet in one place
// within a row, and a barrier parts one row from the next: no atomics, the same bits in every run.
// gram_merge: any grid; each thread adds the accumulators of its places in order and writes both triangles.
#include "common.cuh"

namespace numopt {

template <typename T, typename I>
__global__ void gram_accumulate(const T* data, const I* indices, const I* indptr, const T* weights, T* work,
                                int64 n_rows, int64 n) {
    const size_t size = static_cast<size_t>(n) * static_cast<size_t>(n);
    T* const total = work + size * blockIdx.x;
    for (size_t place = threadIdx.x; place < size; place += blockDim.x) total[place] = T(0);
    block_sync();
    const int64 warp = threadIdx.x / warp_size;
    const int64 lane = threadIdx.x % warp_size;
    const int64 warps = blockDim.x / warp_size;
    const int64 first_row = n_rows * blockIdx.x / gridDim.x;
    const int64 end_row = n_rows * (blockIdx.x + 1LL) / gridDim.x;
    for (int64 r = first_row; r < end_row; ++r) {
        const T weight = weights[r];
        if (weight == T(0)) continue;
        const int64 last = indptr[r + 1];
        for (int64 p = indptr[r] + warp; p < last; p += warps) {
            const int64 i = indices[p];
            const T scaled = weight * data[p];
            for (int64 q = p + lane; q < last; q += warp_size) {
                const int64 j = indices[q];
                // Rows need not be sorted: everything goes to the upper triangle.
                const size_t place = i < j ? static_cast<size_t>(i) * n + j : static_cast<size_t>(j) * n + i;
                total[place] += scaled * data[q];
            }
        }
        block_sync();
    }
}

template <typename T>
__global__ void gram_merge(const T* work, T* out, int64 parts, int64 n) {
    const size_t size = static_cast<size_t>(n) * static_cast<size_t>(n);
    const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
    for (size_t place = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; place < size; place += stride) {
        const size_t i = place / n;
        const size_t j = place % n;
        if (j < i) continue;
        T total = T(0);
        for (int64 part = 0; part < parts; ++part) total += work[size * part + place];
        out[place] = total;
        out[j * n + i] = total;
    }
}

}  // namespace numopt
