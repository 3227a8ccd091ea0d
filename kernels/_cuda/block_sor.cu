// Successive over-relaxation over blocks of rows, with dense or tridiagonal diagonal blocks.
//
// One cooperative launch for all sweeps (sweeps.cuh); a block of rows is one item of LANES lanes of a warp. The lanes
// share the rows to find what is left of the right-hand side; then they share the columns of the inverse, row by row, so
// that it is read in the order it is stored, or their first one goes through the factors. x and delta are written and
// read by all blocks of the grid, with a barrier between. Shared memory is for the sums of the warps only.
#include "complex.cuh"
#include "sweeps.cuh"

namespace numopt {

constexpr int block_sor_threads = 128;

// The matrix, right-hand side and iterate of a sweep over blocks.
template <typename Scalar, typename Index>
struct BlockRows {
    const Scalar* data;
    const Index* indices;
    const Index* indptr;
    const Index* split;
    const Scalar* b;
    const Scalar* x;
    const Scalar* delta;

    // Write b - A x for one row of the block that ends before row `stop`; return |r|^2 before the sweep.
    __device__ double gap(int64 i, int64 stop, bool forward, Scalar& out) const {
        const Index last = indptr[i + 1];
        const Index own = split[i];
        Scalar gap = b[i];
        Scalar lag = Scalar(0);
#pragma unroll 4
        for (Index p = indptr[i]; p < last; ++p) {
            const Scalar value = data[p];
            const Index j = indices[p];
            gap -= value * x[j];
            if (forward ? p < own : static_cast<int64>(j) >= stop) lag += value * delta[j];
        }
        out = gap;
        return norm2(gap + lag);
    }
};

template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(block_sor_threads, 1)
    block_sor_sweeps(const Scalar* __restrict__ data, const Index* __restrict__ indices,
                     const Index* __restrict__ indptr, const Index* __restrict__ split,
                     const int64* __restrict__ blocks, const Scalar* __restrict__ inverses, const int64* classes,
                     const Scalar* __restrict__ b, double omega, int64 order, Scalar* x, Scalar* delta, double* norms,
                     Scalar* gaps, int64 m, int64 n_classes, int64 n_blocks, int64 n_sweeps, double* partial,
                     unsigned long long* arrived) {
    __shared__ double shared[max_warps];
    const RealOf<Scalar> weight = static_cast<RealOf<Scalar>>(omega);
    const int lane = static_cast<int>(threadIdx.x) % LANES;
    const BlockRows<Scalar, Index> rows{data, indices, indptr, split, b, x, delta};
    const Sweeps sweeps{classes, n_classes, n_blocks, order, n_sweeps, norms, partial, arrived};
    run_sweeps<LANES, Index>(sweeps, shared, [&](Index k, bool present, bool forward) {
        const int64 start = present ? blocks[k] : 0;
        const int64 stop = present ? blocks[k + 1] : 0;
        const Scalar* const inverse = inverses + (present ? static_cast<int64>(k) * m * m : 0);
        double norm = 0;
        for (int64 i = start + lane; i < stop; i += LANES) norm += rows.gap(i, stop, forward, gaps[i]);
        warp_sync();
        // As many turns for all blocks of the warp, which exchange numbers at the same time.
        for (int64 row = 0; row < m; ++row) {
            const bool mine = row < stop - start;
            Scalar product = Scalar(0);
            if (mine) {
                for (int64 column = lane; column < stop - start; column += LANES) {
                    product += inverse[row * m + column] * gaps[start + column];
                }
            }
            product = lane_sum(product, LANES);
            if (mine && lane == row % LANES) {
                const Scalar change = weight * product;
                delta[start + row] = change;
                x[start + row] += change;
            }
        }
        return norm;
    });
}

template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(block_sor_threads, 1)
    line_sor_sweeps(const Scalar* __restrict__ data, const Index* __restrict__ indices,
                    const Index* __restrict__ indptr, const Index* __restrict__ split,
                    const int64* __restrict__ blocks, const Scalar* __restrict__ factors, const int64* classes,
                    const Scalar* __restrict__ b, double omega, int64 order, Scalar* x, Scalar* delta, double* norms,
                    int64 n, int64 n_classes, int64 n_blocks, int64 n_sweeps, double* partial,
                    unsigned long long* arrived) {
    __shared__ double shared[max_warps];
    const RealOf<Scalar> weight = static_cast<RealOf<Scalar>>(omega);
    const int lane = static_cast<int>(threadIdx.x) % LANES;
    const BlockRows<Scalar, Index> rows{data, indices, indptr, split, b, x, delta};
    const Sweeps sweeps{classes, n_classes, n_blocks, order, n_sweeps, norms, partial, arrived};
    run_sweeps<LANES, Index>(sweeps, shared, [&](Index k, bool present, bool forward) {
        const int64 start = present ? blocks[k] : 0;
        const int64 stop = present ? blocks[k + 1] : 0;
        double norm = 0;
        for (int64 i = start + lane; i < stop; i += LANES) norm += rows.gap(i, stop, forward, delta[i]);
        warp_sync();
        if (lane == 0) {
            // Loads of some rows ahead while the chain of products waits.
            Scalar last = Scalar(0);
#pragma unroll 8
            for (int64 i = start; i < stop; ++i) {
                last = delta[i] - factors[i] * last;
                delta[i] = last;
            }
            last = Scalar(0);
#pragma unroll 8
            for (int64 i = stop - 1; i >= start; --i) {
                const Scalar pivot = factors[n + i];
                last = pivot * delta[i] - (pivot * factors[2 * n + i]) * last;
                delta[i] = last;
            }
        }
        warp_sync();
        for (int64 i = start + lane; i < stop; i += LANES) {
            const Scalar change = weight * delta[i];
            delta[i] = change;
            x[i] += change;
        }
        return norm;
    });
}

}  // namespace numopt
