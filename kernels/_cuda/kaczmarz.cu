// Row-action (Kaczmarz) steps: x += (b[i] - A[i] x) / norms2[i] A[i] for each i of `rows`, in order.
//
// Grid: one block, since each step needs the one before. Block: a multiple of 32 threads.
// Shared memory: x where it fits (CAPACITY elements; 0 leaves it in global memory), and the partial sums of warps.
// Element j of x belongs to thread j mod blockDim.x in the dense kernel, so that only the sum needs a barrier.
// Deterministic for a given block size. Rows with norms2[i] <= 0 or NaN are passed over.
#include "common.cuh"

namespace numopt {

template <typename T, int CAPACITY>
__global__ void row_kaczmarz(const T* A, const T* b, const T* norms2, const int64* rows, T* x, int64 n_steps, int64 n) {
    __shared__ T x_shared[CAPACITY > 0 ? CAPACITY : 1];
    // Two of them in turn: the barrier inside the next sum is what keeps a fast thread out of this one.
    __shared__ T partial[2][max_warps];
    T* const unknown = CAPACITY > 0 ? x_shared : x;
    if (CAPACITY > 0) {
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) x_shared[j] = x[j];
    }
    int turn = 0;
    for (int64 k = 0; k < n_steps; ++k) {
        const int64 i = rows[k];
        const T norm2 = norms2[i];
        if (!(norm2 > T(0))) continue;
        const T* const row = A + static_cast<size_t>(i) * static_cast<size_t>(n);
        T dot = T(0);
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) dot += row[j] * unknown[j];
        const T step = (b[i] - block_sum(dot, partial[turn])) / norm2;
        turn ^= 1;
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) unknown[j] += step * row[j];
    }
    if (CAPACITY > 0) {
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) x[j] = x_shared[j];
    }
}

template <typename T, typename I, int CAPACITY>
__global__ void csr_row_kaczmarz(const T* data, const I* indices, const I* indptr, const T* b, const T* norms2,
                                 const int64* rows, T* x, int64 n_steps, int64 n) {
    __shared__ T x_shared[CAPACITY > 0 ? CAPACITY : 1];
    __shared__ T partial[max_warps];
    T* const unknown = CAPACITY > 0 ? x_shared : x;
    if (CAPACITY > 0) {
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) x_shared[j] = x[j];
        block_sync();
    }
    for (int64 k = 0; k < n_steps; ++k) {
        const int64 i = rows[k];
        const T norm2 = norms2[i];
        if (!(norm2 > T(0))) continue;
        const int64 first = indptr[i];
        const int64 last = indptr[i + 1];
        T dot = T(0);
        for (int64 p = first + threadIdx.x; p < last; p += blockDim.x) dot += data[p] * unknown[indices[p]];
        const T step = (b[i] - block_sum(dot, partial)) / norm2;
        for (int64 p = first + threadIdx.x; p < last; p += blockDim.x) unknown[indices[p]] += step * data[p];
        // The next row reads what other threads wrote here.
        block_sync();
    }
    if (CAPACITY > 0) {
        for (int64 j = threadIdx.x; j < n; j += blockDim.x) x[j] = x_shared[j];
    }
}

}  // namespace numopt
