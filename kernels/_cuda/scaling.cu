// One Sinkhorn sweep on a stored kernel matrix K: u = a / (K v), c = K' u, v = b / c.
//
// scaling_sweep: each block has a slice of the rows and its threads COLUMNS columns each, blockDim.x apart, whose sums
// of u_i K_ij stay in registers. It adds up K_i v over the block and then reads the row again, which lies in its L1
// cache or at least in L2: one read of memory. While it does, the next row is on its way to DEPTH registers of each
// thread, every one of them refilled as soon as it is used. One barrier a row; shared memory for the warps' sums.
// scaling_rows, scaling_columns: the same in two reads, for rows that have too many columns.
// scaling_merge: adds the slices' sums in order and updates v. Bits depend on the grid and the block size only.
#include "common.cuh"

namespace numopt {

template <typename Real, int COLUMNS, int DEPTH, int THREADS>
__global__ void __launch_bounds__(THREADS, COLUMNS <= 8 ? 2 : 1)
    scaling_sweep(const Real* __restrict__ K, const Real* __restrict__ a, const Real* __restrict__ v, Real* u, Real* r,
                  Real* __restrict__ parts, int64 n, int64 m) {
    static_assert(DEPTH <= COLUMNS);
    // Two of them in turn: the barrier of the next row is what keeps a fast thread out of this one.
    __shared__ Real partial[2][max_warps];
    const int64 start = n * blockIdx.x / gridDim.x;
    const int64 end = n * (blockIdx.x + 1LL) / gridDim.x;
    const int width = static_cast<int>(m);
    const int warps = blockDim.x / warp_size;
    const int warp = threadIdx.x / warp_size;
    int turn = 0;
    Real column_sum[COLUMNS] = {};
    Real next[DEPTH];
#pragma unroll
    for (int k = 0; k < DEPTH; ++k) {
        const int j = threadIdx.x + k * blockDim.x;
        next[k] = j < width && start < end ? K[start * m + j] : Real(0);
    }
    for (int64 i = start; i < end; ++i) {
        const Real* const row = K + i * m;
        const Real* const following = i + 1 < end ? row + m : row;
        // Before the barrier, since one thread writes the new scaling after it.
        const Real old = u[i];
        const Real mass = a[i];
        Real dot = Real(0);
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const int j = threadIdx.x + k * blockDim.x;
            if (j < width) {
                dot += next[k] * v[j];
                next[k] = following[j];
            }
        }
#pragma unroll 4
        for (int j = threadIdx.x + DEPTH * blockDim.x; j < width; j += blockDim.x) dot += row[j] * v[j];
        dot = lane_sum(dot, warp_size);
        if (threadIdx.x % warp_size == 0) partial[turn][warp] = dot;
        block_sync();
        Real sum = partial[turn][0];
        for (int w = 1; w < warps; ++w) sum += partial[turn][w];
        turn ^= 1;
        const Real scaling = sum == Real(0) ? old : mass / sum;
        if (threadIdx.x == 0) {
            r[i] = old * sum;
            u[i] = scaling;
        }
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            const int j = threadIdx.x + k * blockDim.x;
            if (j < width) column_sum[k] += scaling * row[j];
        }
    }
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k) {
        const int j = threadIdx.x + k * blockDim.x;
        if (j < width) parts[blockIdx.x * m + j] = column_sum[k];
    }
}

// A block for each row: s = K_i v, then r_i and u_i.
template <typename Real>
__global__ void scaling_rows(const Real* __restrict__ K, const Real* __restrict__ a, const Real* __restrict__ v,
                             Real* u, Real* r, int64 n, int64 m) {
    __shared__ Real partial[max_warps];
    for (int64 i = blockIdx.x; i < n; i += gridDim.x) {
        Real dot = Real(0);
#pragma unroll 8
        for (int64 j = threadIdx.x; j < m; j += blockDim.x) dot += K[i * m + j] * v[j];
        const Real sum = block_sum(dot, partial);
        if (threadIdx.x == 0) {
            const Real old = u[i];
            r[i] = old * sum;
            if (sum != Real(0)) u[i] = a[i] / sum;
        }
        block_sync();
    }
}

// parts[slice, j] = sum of u_i K_ij over the slice's rows; a thread for each column of a slice.
template <typename Real>
__global__ void scaling_columns(const Real* __restrict__ K, const Real* __restrict__ u, Real* __restrict__ parts,
                                int64 n, int64 m, int64 slices) {
    const int64 groups = (m + blockDim.x - 1) / blockDim.x;
    for (int64 unit = blockIdx.x; unit < groups * slices; unit += gridDim.x) {
        const int64 slice = unit / groups;
        const int64 j = unit % groups * blockDim.x + threadIdx.x;
        if (j >= m) continue;
        Real sum = Real(0);
        const int64 end = n * (slice + 1) / slices;
#pragma unroll 8
        for (int64 i = n * slice / slices; i < end; ++i) sum += u[i] * K[i * m + j];
        parts[slice * m + j] = sum;
    }
}

// c_j, the sum of the slices' parts in order, and v_j = b_j / c_j unless c_j is zero. Blocks of whole warps as in
// merge.cu.
template <typename Real>
__global__ void scaling_merge(const Real* __restrict__ parts, const Real* __restrict__ b, Real* __restrict__ v,
                              Real* __restrict__ c, int64 slices, int64 m) {
    __shared__ Real shared[max_warps][warp_size];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    for (int64 first = static_cast<int64>(blockIdx.x) * warp_size; first < m;
         first += static_cast<int64>(gridDim.x) * warp_size) {
        const int64 j = first + lane;
        Real total = Real(0);
        if (j < m) {
#pragma unroll 4
            for (int64 p = slices * warp / warps; p < slices * (warp + 1) / warps; ++p) total += parts[p * m + j];
        }
        shared[warp][lane] = total;
        block_sync();
        if (warp == 0 && j < m) {
            for (int w = 1; w < warps; ++w) total += shared[w][lane];
            c[j] = total;
            if (total != Real(0)) v[j] = b[j] / total;
        }
        block_sync();
    }
}

}  // namespace numopt
