// Coordinate descent on columns or on a Gram matrix, and the sums over columns that it needs.
//
// column_sums: any grid; a group of `lanes` threads of a warp, a power of two, for each column, or a block (lanes 0).
// csc_descent, dense_descent: one block, since each column needs the one before; one barrier a column, for the sum of
// its gradient, and another where its coordinate moves.
// gram_descent: one block; thread t has the coordinates t, t + blockDim.x, ... and their gradients, so that a chunk of
// blockDim.x neighbours is examined at once: the first of them that moves is the next in cyclic order, however many
// that stay lie before it. One barrier for each coordinate that moves, and one more for each chunk.
// csc_gram: any grid; each block scatters one new column at a time into a dense vector of its own in `work`, and its
// warps multiply that with the columns before.
// No atomics; bits depend on the block size and `lanes` only. blockDim.x is a multiple of 32.
#include "common.cuh"

namespace numopt {

// The larger number, NaN if there is one.
template <typename T>
__device__ inline T larger(T a, T b) {
    return b > a || b != b ? b : a;
}

// The minimiser along a coordinate at `old`; `bound` is the second derivative, `inverse` its reciprocal, which does not
// have to wait for the gradient. NaN comes through.
template <typename T>
__device__ inline T minimizer(T old, T gradient, T bound, T inverse, T l1, T lower, T upper) {
    const T peak = bound * old - gradient;
    T result = fabs(peak) <= l1 ? T(0) * old : old - (gradient + (peak > T(0) ? l1 : -l1)) * inverse;
    result = result < lower ? lower : result;
    return result > upper ? upper : result;
}

template <typename T, typename I, int SQUARES>
__global__ void column_sums(const T* data, const I* indices, const I* indptr, const T* v, T* out, int64 k,
                            int64 weighted, int64 lanes) {
    __shared__ T partial[2][max_warps];
    const bool whole_block = lanes == 0;
    const int64 width = whole_block ? blockDim.x : lanes;
    const int64 together = blockDim.x / width;
    const int64 group = threadIdx.x / width;
    int turn = 0;
    // The same number of turns for all threads of the block, which meet in the sums.
    for (int64 base = blockIdx.x * together; base < k; base += gridDim.x * together) {
        const int64 j = base + group;
        T sum = T(0);
        if (j < k) {
            const int64 last = indptr[j + 1];
            for (int64 p = indptr[j] + threadIdx.x % width; p < last; p += width) {
                const T value = data[p];
                if (SQUARES) {
                    sum += weighted ? value * value * v[indices[p]] : value * value;
                } else {
                    sum += value * v[indices[p]];
                }
            }
        }
        if (whole_block) {
            sum = block_sum(sum, partial[turn]);
            turn ^= 1;
        } else {
            sum = lane_sum(sum, static_cast<int>(width));
        }
        if (j < k && threadIdx.x % width == 0) out[j] = sum;
    }
}

// Entries of the columns of a matrix: where they start, in which row they are, what they are.
template <typename T, typename I>
struct SparseColumns {
    const T* data;
    const I* indices;
    const I* indptr;

    __device__ int64 start(int64 j) const { return indptr[j]; }
    __device__ int64 row(int64 p, int64) const { return indices[p]; }
};

template <typename T>
struct DenseColumns {
    const T* data;
    int64 n;

    __device__ int64 start(int64 j) const { return j * n; }
    __device__ int64 row(int64 p, int64 first) const { return p - first; }
};

template <typename T, typename Columns>
__device__ void descend(const Columns& columns, const T* weights, const T* means, const T* sums, const T* curvature,
                        const T* penalty, T* x, T* s, double* offset, double* violations, int64 k, int64 weighted,
                        int64 centred, int64 epochs) {
    // Two of them in turn: a column that does not move has no second barrier.
    __shared__ T partial[2][max_warps];
    int turn = 0;
    double shift = offset[0];
    for (int64 epoch = 0; epoch < epochs; ++epoch) {
        double worst = 0.0;
        for (int64 j = 0; j < k; ++j) {
            const T l2 = penalty[k + j];
            const T bound = curvature[j] + l2;
            if (bound == T(0)) continue;
            const T inverse = T(1) / bound;
            // Before the barrier, since one thread writes the new number after it.
            const T old = x[j];
            const int64 first = columns.start(j);
            const int64 last = columns.start(j + 1);
            T dot = T(0);
            for (int64 p = first + threadIdx.x; p < last; p += blockDim.x) {
                dot += columns.data[p] * s[columns.row(p, first)];
            }
            T gradient = block_sum(dot, partial[turn]) + l2 * old;
            turn ^= 1;
            if (centred) gradient += static_cast<T>(shift * sums[j]);
            const T lower = penalty[2 * k + j];
            const T upper = penalty[3 * k + j];
            const T moved = minimizer(old, gradient, bound, inverse, penalty[j], lower, upper);
            if (moved == old) continue;
            const T step = moved - old;
            worst = larger(worst, static_cast<double>(bound * fabs(step)));
            if (centred) shift -= means[j] * step;
            for (int64 p = first + threadIdx.x; p < last; p += blockDim.x) {
                const int64 i = columns.row(p, first);
                const T change = columns.data[p] * step;
                s[i] += weighted ? weights[i] * change : change;
            }
            if (threadIdx.x == 0) x[j] = moved;
            // The next column reads what other threads wrote here.
            block_sync();
        }
        if (threadIdx.x == 0) violations[epoch] = worst;
    }
    // Nobody reads the old one any more.
    block_sync();
    if (threadIdx.x == 0) offset[0] = shift;
}

template <typename T, typename I>
__global__ void csc_descent(const T* data, const I* indices, const I* indptr, const T* weights, const T* means,
                            const T* sums, const T* curvature, const T* penalty, T* x, T* s, double* offset,
                            double* violations, int64 k, int64 weighted, int64 centred, int64 epochs) {
    const SparseColumns<T, I> columns{data, indices, indptr};
    descend(columns, weights, means, sums, curvature, penalty, x, s, offset, violations, k, weighted, centred, epochs);
}

template <typename T>
__global__ void dense_descent(const T* rows, const T* weights, const T* means, const T* sums, const T* curvature,
                              const T* penalty, T* x, T* s, double* offset, double* violations, int64 n, int64 k,
                              int64 weighted, int64 centred, int64 epochs) {
    const DenseColumns<T> columns{rows, n};
    descend(columns, weights, means, sums, curvature, penalty, x, s, offset, violations, k, weighted, centred, epochs);
}

// CAPACITY: numbers of the gradient in shared memory; 0 leaves it in global memory.
template <typename T, int CAPACITY>
__global__ void __launch_bounds__(1024)
    gram_descent(const T* H, const T* penalty, T* x, T* g, double* violations, int64 k, int64 epochs) {
    __shared__ T g_shared[CAPACITY > 0 ? CAPACITY : 1];
    // The first coordinate of each warp that moves and its step: two of them in turn, since the barrier of the next
    // search is what keeps a fast thread out of this one.
    __shared__ int mover[2][max_warps];
    __shared__ T steps[2][max_warps];
    __shared__ double largest[max_warps];
    T* const gradient = CAPACITY > 0 ? g_shared : g;
    if (CAPACITY > 0) {
        for (int64 i = threadIdx.x; i < k; i += blockDim.x) g_shared[i] = g[i];
    }
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    int turn = 0;
    int64 epoch = 0;
    for (bool changed = true; epoch < epochs && changed; ++epoch) {
        changed = false;
        double worst = 0.0;
        for (int64 base = 0; base < k; base += blockDim.x) {
            const int64 own = base + threadIdx.x;
            const bool exists = own < k;
            const T l1 = exists ? penalty[own] : T(0);
            const T l2 = exists ? penalty[k + own] : T(0);
            const T lower = exists ? penalty[2 * k + own] : T(0);
            const T upper = exists ? penalty[3 * k + own] : T(0);
            const T bound = exists ? H[own * k + own] + l2 : T(0);
            const T inverse = T(1) / bound;
            T value = exists ? x[own] : T(0);
            T slope = exists ? gradient[own] : T(0);
            // Coordinates of the chunk up to this one have had their turn.
            int visited = -1;
            while (true) {
                T target = value;
                bool leaves = false;
                if (static_cast<int>(threadIdx.x) > visited && bound != T(0)) {
                    target = minimizer(value, slope + l2 * value, bound, inverse, l1, lower, upper);
                    leaves = !(target == value);
                }
                const unsigned moves = ballot(leaves);
                // The lowest bit alone: the mask of the lane that is first.
                const unsigned first = moves & (~moves + 1u);
                if (moves == 0u) {
                    if (lane == 0) mover[turn][warp] = -1;
                } else if (first == 1u << lane) {
                    mover[turn][warp] = threadIdx.x;
                    steps[turn][warp] = target - value;
                }
                block_sync();
                const unsigned found = ballot(lane < warps && mover[turn][lane < warps ? lane : 0] >= 0);
                if (found == 0u) {
                    turn ^= 1;
                    break;
                }
                const int source = popcount((found & (~found + 1u)) - 1u);
                visited = mover[turn][source];
                const T step = steps[turn][source];
                turn ^= 1;
                changed = true;
                if (static_cast<int>(threadIdx.x) == visited) {
                    value = target;
                    worst = larger(worst, static_cast<double>(bound * fabs(step)));
                }
                const T* const row = H + (base + visited) * k;
                if (exists) slope += row[own] * step;
                for (int64 i = threadIdx.x; i < k; i += blockDim.x) {
                    if (i != own) gradient[i] += row[i] * step;
                }
            }
            if (exists) {
                x[own] = value;
                gradient[own] = slope;
            }
        }
        for (int mask = warp_size / 2; mask > 0; mask /= 2) worst = larger(worst, shuffle_xor(worst, mask));
        if (lane == 0) largest[warp] = worst;
        block_sync();
        if (threadIdx.x == 0) {
            for (int w = 1; w < warps; ++w) worst = larger(worst, largest[w]);
            violations[epoch] = worst;
        }
        // `largest` may be written again when thread 0 has read it.
        block_sync();
    }
    if (threadIdx.x == 0) {
        for (; epoch < epochs; ++epoch) violations[epoch] = nan("");
    }
    if (CAPACITY > 0) {
        for (int64 i = threadIdx.x; i < k; i += blockDim.x) g[i] = g_shared[i];
    }
}

template <typename T, typename I>
__global__ void csc_gram(const T* data, const I* indices, const I* indptr, const T* weights, T* work, T* H,
                         int64 first, int64 n, int64 k, int64 weighted) {
    T* const dense = work + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(n);
    const int64 lane = threadIdx.x % warp_size;
    const int64 warp = threadIdx.x / warp_size;
    const int64 warps = blockDim.x / warp_size;
    for (int64 i = threadIdx.x; i < n; i += blockDim.x) dense[i] = T(0);
    // The last columns have the most others before them, and so come first.
    for (int64 j = k - 1 - blockIdx.x; j >= first; j -= gridDim.x) {
        block_sync();
        const int64 start = indptr[j];
        const int64 end = indptr[j + 1];
        for (int64 p = start + threadIdx.x; p < end; p += blockDim.x) {
            dense[indices[p]] = weighted ? weights[indices[p]] * data[p] : data[p];
        }
        block_sync();
        for (int64 l = warp; l <= j; l += warps) {
            const int64 last = indptr[l + 1];
            T dot = T(0);
            for (int64 p = indptr[l] + lane; p < last; p += warp_size) dot += data[p] * dense[indices[p]];
            dot = lane_sum(dot, warp_size);
            if (lane == 0) {
                H[j * k + l] = dot;
                H[l * k + j] = dot;
            }
        }
        block_sync();
        for (int64 p = start + threadIdx.x; p < end; p += blockDim.x) dense[indices[p]] = T(0);
    }
}

}  // namespace numopt
