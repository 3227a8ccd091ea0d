// SOR for many systems of one pattern, each swept until it is solved.
//
// Grid: one block per system, any number: blocks go through the systems in steps of the grid. Block: whole warps.
// Rows of one class are taken by one thread each, with a block barrier between classes; without classes thread 0 takes
// the rows one after the other. Deterministic for a given block size.
// Shared memory: x and its changes where both fit (HELD 2), x alone (HELD 1), or neither; sums of the warps.
#include "complex.cuh"

namespace numopt {

template <typename Scalar, typename I>
struct BatchPattern {
    const I* indices;
    const I* indptr;
    const I* split;
};

// Visit row i: x_i += relaxation * (b_i - A_i x); return |r_i|^2 before the sweep.
template <typename Scalar, typename I>
__device__ inline double visit_row(const BatchPattern<Scalar, I>& A, const Scalar* values, const Scalar* b,
                                   RealOf<Scalar> omega, bool forward, int64 i, Scalar* x, Scalar* delta) {
    const int64 diagonal = A.split[i];
    const int64 last = A.indptr[i + 1];
    Scalar step = b[i];
    Scalar lag = Scalar(0);
    for (int64 p = A.indptr[i]; p < last; ++p) {
        const int64 j = A.indices[p];
        const Scalar value = values[p];
        step -= value * x[j];
        if (forward ? p < diagonal : p > diagonal) lag += value * delta[j];
    }
    const Scalar change = omega * reciprocal(values[diagonal]) * step;
    delta[i] = change;
    x[i] += change;
    return norm2(step + lag);
}

template <typename Scalar, typename I, int HELD, int CAPACITY>
__global__ void sor_batch(const Scalar* data, const I* indices, const I* indptr, const I* split, const int64* classes,
                          const int64* which, const Scalar* b, const double* omega, int64 order, const double* target,
                          int64 maxiter, Scalar* x, Scalar* work, int64* nit, double* norms, int64 n_systems, int64 n,
                          int64 nnz, int64 n_classes) {
    __shared__ Scalar held[HELD > 0 ? CAPACITY : 1];
    __shared__ double partial[max_warps];
    const BatchPattern<Scalar, I> A{indices, indptr, split};
    const bool forward = order > 0;
    for (int64 s = blockIdx.x; s < n_systems; s += gridDim.x) {
        const size_t offset = static_cast<size_t>(s) * static_cast<size_t>(n);
        const Scalar* const values = data + static_cast<size_t>(which[s]) * static_cast<size_t>(nnz);
        const Scalar* const rhs = b + offset;
        Scalar* const unknown = HELD > 0 ? held : x + offset;
        Scalar* const delta = HELD > 1 ? held + n : work + offset;
        const RealOf<Scalar> weight = static_cast<RealOf<Scalar>>(omega[s]);
        if (HELD > 0) {
            for (int64 i = threadIdx.x; i < n; i += blockDim.x) held[i] = x[offset + i];
            block_sync();
        }
        double limit = 0;
        int64 sweeps = 0;
        while (true) {
            double sum = 0;
            for (int64 turn = 0; turn < n_classes; ++turn) {
                const int64 c = forward ? turn : n_classes - 1 - turn;
                const int64 end = classes[c + 1];
                for (int64 i = classes[c] + threadIdx.x; i < end; i += blockDim.x) {
                    sum += visit_row(A, values, rhs, weight, forward, i, unknown, delta);
                }
                block_sync();
            }
            if (n_classes == 0) {
                if (threadIdx.x == 0) {
                    for (int64 turn = 0; turn < n; ++turn) {
                        const int64 i = forward ? turn : n - 1 - turn;
                        sum += visit_row(A, values, rhs, weight, forward, i, unknown, delta);
                    }
                }
                block_sync();
            }
            // The same bits in every thread: all of them end together.
            const double norm = sqrt(block_sum(sum, partial));
            block_sync();
            if (sweeps == 0) limit = 1e10 * norm;
            // Not >: NaN ends it.
            if (!(norm > target[s] && sweeps < maxiter && norm <= limit)) {
                if (threadIdx.x == 0) {
                    nit[s] = sweeps;
                    norms[s] = norm;
                }
                break;
            }
            ++sweeps;
        }
        if (HELD > 0) {
            for (int64 i = threadIdx.x; i < n; i += blockDim.x) x[offset + i] = held[i];
            block_sync();
        }
    }
}

}  // namespace numopt
