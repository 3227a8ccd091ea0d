// What a solver of entropic transport asks of its marginals: sums and maxima over one side, offsets of kept entries.
//
// Block: whole warps, up to 1024 threads; any grid. Shared memory: one number per warp and term, or per thread. The
// grid and the block size decide the order of all sums, and so the bits; no atomics.
#include "common.cuh"

namespace numopt {

constexpr int dual_threads = 1024;

// Terms of a side and of a step, and which of them are maxima: bit t for term t. Maxima leave NaN out.
constexpr int side_count = 5, side_maxima = 1 << 2 | 1 << 4;
constexpr int step_count = 3, step_maxima = 1 << 0;

// One number into a term.
template <int MAXIMA>
__device__ inline double combine(int term, double total, double value) {
    return MAXIMA >> term & 1 ? fmax(total, value) : total + value;
}

// The terms of all threads of the block to `out`. Every term is reduced by a warp of its own in the end.
template <int TERMS, int MAXIMA>
__device__ inline void write_terms(const double (&value)[TERMS], double* out) {
    __shared__ double shared[TERMS][max_warps];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
#pragma unroll
    for (int t = 0; t < TERMS; ++t) {
        double total = value[t];
        for (int mask = warp_size / 2; mask > 0; mask /= 2) total = combine<MAXIMA>(t, total, shuffle_xor(total, mask));
        if (lane == 0) shared[t][warp] = total;
    }
    block_sync();
    for (int t = warp; t < TERMS; t += warps) {
        // Sizes are what is maximised: 0 is the neutral element of both.
        double total = lane < warps ? shared[t][lane] : 0.0;
        for (int mask = warp_size / 2; mask > 0; mask /= 2) total = combine<MAXIMA>(t, total, shuffle_xor(total, mask));
        if (lane == 0) out[t] = total;
    }
}

// gap = weights - sums; to parts (blocks, 5): weights'potential, |gap|_1, |gap|_max, sum of sums, |potential|_max.
template <typename Real>
__global__ void __launch_bounds__(dual_threads, 1)
    side_terms(const Real* __restrict__ weights, const Real* __restrict__ potential, const Real* __restrict__ sums,
               Real* __restrict__ gap, double* __restrict__ parts, int64 n) {
    double term[side_count] = {};
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
#pragma unroll 4
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        const Real lack = weights[i] - sums[i];
        const double height = potential[i];
        const double size = fabs(static_cast<double>(lack));
        gap[i] = lack;
        term[0] += weights[i] * height;
        term[1] += size;
        term[2] = fmax(term[2], size);
        term[3] += sums[i];
        term[4] = fmax(term[4], fabs(height));
    }
    write_terms<side_count, side_maxima>(term, parts + side_count * blockIdx.x);
}

// To parts (blocks, 3): |direction|_max, gap'direction, sums'direction^2.
template <typename Real>
__global__ void __launch_bounds__(dual_threads, 1)
    step_terms(const Real* __restrict__ direction, const Real* __restrict__ gap, const Real* __restrict__ sums,
               double* __restrict__ parts, int64 n) {
    double term[step_count] = {};
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
#pragma unroll 4
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        const double move = direction[i];
        term[0] = fmax(term[0], fabs(move));
        term[1] += gap[i] * move;
        term[2] += sums[i] * (move * move);
    }
    write_terms<step_count, step_maxima>(term, parts + step_count * blockIdx.x);
}

// The terms of `count` blocks to `out`, by one block.
template <int TERMS, int MAXIMA>
__global__ void merge_terms(const double* parts, double* out, int64 count) {
    double term[TERMS] = {};
    for (int64 p = threadIdx.x; p < count; p += blockDim.x) {
#pragma unroll
        for (int t = 0; t < TERMS; ++t) term[t] = combine<MAXIMA>(t, term[t], parts[p * TERMS + t]);
    }
    write_terms<TERMS, MAXIMA>(term, out);
}

// Offsets of kept entries. Block b has a stretch of the rows and one of the columns: the first kernel leaves the total
// of each, the second starts from those before its own.

// The share of a block in `size` items: as many whole warps of them as the others.
struct Stretch {
    int64 first;
    int64 last;

    __device__ explicit Stretch(int64 size) {
        const int64 blocks = gridDim.x;
        const int64 length = ((size + blocks - 1) / blocks + warp_size - 1) / warp_size * warp_size;
        first = blockIdx.x * length < size ? blockIdx.x * length : size;
        last = first + length < size ? first + length : size;
    }
};

// What kernels that walk down 32 columns with all warps of a block have in common: warp w takes a share of the parts.
struct Share {
    int64 first;
    int64 last;

    __device__ explicit Share(int64 parts) {
        const int64 warp = threadIdx.x / warp_size;
        const int64 warps = blockDim.x / warp_size;
        first = parts * warp / warps;
        last = parts * (warp + 1) / warps;
    }
};

template <typename Count>
__device__ inline Count column_total(const Count* work, const Share& share, int64 j, int64 m) {
    Count total = 0;
    if (j < m) {
#pragma unroll 4
        for (int64 p = share.first; p < share.last; ++p) total += work[p * m + j];
    }
    return total;
}

// totals (2, blocks): kept entries of each stretch of rows and of columns; those of each column to tindptr.
template <typename Count>
__global__ void __launch_bounds__(dual_threads, 1)
    kept_totals(const Count* __restrict__ row_count, const Count* __restrict__ work, Count* __restrict__ tindptr,
                Count* __restrict__ totals, int64 n, int64 m, int64 parts) {
    __shared__ Count partial[max_warps];
    __shared__ Count shared[max_warps][warp_size];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    const Stretch rows(n);
    Count total = 0;
    for (int64 i = rows.first + threadIdx.x; i < rows.last; i += blockDim.x) total += row_count[i];
    total = block_sum(total, partial);
    if (threadIdx.x == 0) totals[blockIdx.x] = total;
    const Stretch columns(m);
    const Share share(parts);
    total = 0;
    for (int64 first = columns.first; first < columns.last; first += warp_size) {
        const int64 j = first + lane;
        Count count = column_total(work, share, j, m);
        shared[warp][lane] = count;
        block_sync();
        if (warp == 0 && j < m) {
            for (int w = 1; w < warps; ++w) count += shared[w][lane];
            tindptr[j] = count;
            total += count;
        }
        block_sync();
    }
    total = lane_sum(total, warp_size);
    if (threadIdx.x == 0) totals[gridDim.x + blockIdx.x] = total;
}

// The sum of `totals` over the blocks before this one, the same in each thread.
template <typename Count>
__device__ inline Count before(const Count* totals, Count* partial) {
    Count sum = 0;
    for (unsigned b = threadIdx.x; b < blockIdx.x; b += blockDim.x) sum += totals[b];
    sum = block_sum(sum, partial);
    block_sync();
    return sum;
}

// offsets[i] = start + the sum of counts[first..i - 1] for a stretch; the block that reaches the end writes the total.
//
// A scan by exchanges with the lane whose number differs in one bit: the upper one of the two has the lower one's total
// before it. `counts` may be `offsets`.
template <typename Count>
__device__ inline void accumulate(const Count* counts, Count* offsets, const Stretch& stretch, int64 size, Count start,
                                  Count* partial) {
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    for (int64 first = stretch.first; first < stretch.last; first += blockDim.x) {
        const int64 i = first + threadIdx.x;
        Count total = i < stretch.last ? counts[i] : 0;
        Count offset = 0;
        for (int mask = 1; mask < warp_size; mask *= 2) {
            const Count other = shuffle_xor(total, mask);
            if (lane & mask) offset += other;
            total += other;
        }
        if (lane == 0) partial[warp] = total;
        block_sync();
        for (int w = 0; w < warps; ++w) {
            if (w == warp && i < stretch.last) offsets[i] = start + offset;
            start += partial[w];
        }
        block_sync();
    }
    if (threadIdx.x == 0 && stretch.first < size && stretch.last == size) offsets[size] = start;
}

// indptr, tindptr (column counts before), and the starts of each slice's entries of a column in place of their counts.
template <typename Count>
__global__ void __launch_bounds__(dual_threads, 1)
    kept_starts(const Count* __restrict__ row_count, const Count* __restrict__ totals, Count* work,
                Count* __restrict__ indptr, Count* tindptr, int64 n, int64 m, int64 parts) {
    __shared__ Count partial[max_warps];
    __shared__ Count shared[max_warps][warp_size];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    accumulate(row_count, indptr, Stretch(n), n, before(totals, partial), partial);
    const Stretch columns(m);
    accumulate(tindptr, tindptr, columns, m, before(totals + gridDim.x, partial), partial);
    const Share share(parts);
    for (int64 first = columns.first; first < columns.last; first += warp_size) {
        const int64 j = first + lane;
        shared[warp][lane] = column_total(work, share, j, m);
        block_sync();
        if (j < m) {
            Count start = tindptr[j];
            for (int w = 0; w < warp; ++w) start += shared[w][lane];
            for (int64 p = share.first; p < share.last; ++p) {
                const Count count = work[p * m + j];
                work[p * m + j] = start;
                start += count;
            }
        }
        block_sync();
    }
}

}  // namespace numopt
