// Successive over-relaxation with the norm of the residual found inside the sweep, and the values of triangles.
//
// sor_sweeps: one cooperative launch for all sweeps (sweeps.cuh); x and delta are written and read by all blocks, with
// a barrier of the grid between. With LANES = 1 each thread has a row: neighbouring threads read neighbouring stretches
// of data and indices, which the L1 cache keeps from one entry to the next. LANES = 8 is for longer rows, of which 32
// stretches would not stay.
// split_values: any grid, one thread per row. Neither uses shared memory but for the sums of the warps.
#include "complex.cuh"
#include "sweeps.cuh"

namespace numopt {

constexpr int sor_threads = 256;

// Blocks on a multiprocessor, and entries of a row at once: the more, the more memory is in flight, as far as the
// registers go.
template <typename Scalar, typename Index, int LANES>
constexpr int sor_blocks = sizeof(Scalar) > 8 ? 3 : sizeof(Index) == 4 && LANES == 1 ? 6 : 4;
template <typename Scalar>
constexpr int sor_unrolled = sizeof(Scalar) <= 8 ? 4 : 2;

template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(sor_threads, sor_blocks<Scalar, Index, LANES>)
    sor_sweeps(const Scalar* __restrict__ data, const Index* __restrict__ indices, const Index* __restrict__ indptr,
               const Index* __restrict__ split, const Scalar* __restrict__ inverse, const int64* classes,
               const Scalar* __restrict__ b, double omega, int64 order, Scalar* x, Scalar* delta, double* norms,
               int64 n_classes, int64 n, int64 n_sweeps, double* partial, unsigned long long* arrived) {
    __shared__ double shared[max_warps];
    const RealOf<Scalar> weight = static_cast<RealOf<Scalar>>(omega);
    const int lane = static_cast<int>(threadIdx.x) % LANES;
    const Sweeps sweeps{classes, n_classes, n, order, n_sweeps, norms, partial, arrived};
    run_sweeps<LANES, Index>(sweeps, shared, [&](Index i, bool present, bool forward) {
        Scalar product = Scalar(0);
        Scalar lag = Scalar(0);
        if (present) {
            const Index last = indptr[i + 1];
            const Index diagonal = split[i];
#pragma unroll sor_unrolled<Scalar>
            for (Index p = indptr[i] + lane; p < last; p += LANES) {
                const Scalar value = data[p];
                const Index j = indices[p];
                product += value * x[j];
                // The rows on this side have been visited: what they were before is what the residual needs.
                if (forward ? p < diagonal : p > diagonal) lag += value * delta[j];
            }
        }
        if (LANES > 1) {
            product = lane_sum(product, LANES);
            lag = lane_sum(lag, LANES);
        }
        if (!present || lane != 0) return 0.0;
        const Scalar gap = b[i] - product;
        const Scalar change = weight * inverse[i] * gap;
        delta[i] = change;
        x[i] += change;
        return norm2(gap + lag);
    });
}

// The values of the strict triangles of S A S, S = diag(scale), in the order of A.
template <typename Scalar, typename Index>
__global__ void split_values(const Scalar* __restrict__ data, const Index* __restrict__ indices,
                             const Index* __restrict__ indptr, const Index* __restrict__ split,
                             const RealOf<Scalar>* __restrict__ scale, const Index* __restrict__ lindptr,
                             const Index* __restrict__ uindptr, Scalar* __restrict__ ldata,
                             Scalar* __restrict__ udata, int64 n) {
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        const RealOf<Scalar> own = scale[i];
        const Index diagonal = split[i];
        const Index last = indptr[i + 1];
        Index p = indptr[i];
        for (Index q = lindptr[i]; p < diagonal; ++p, ++q) ldata[q] = own * scale[indices[p]] * data[p];
        ++p;
        for (Index q = uindptr[i]; p < last; ++p, ++q) udata[q] = own * scale[indices[p]] * data[p];
    }
}

}  // namespace numopt
