// Symmetric over-relaxation: as sweeps that read each triangle once, and as a preconditioner.
//
// Both are one cooperative launch (sweeps.cuh, triangles.cuh): vectors are written and read by all blocks, with a
// barrier of the grid between classes. LANES is 1 for short rows and 8 for long ones. Shared memory: the sums of the
// warps.
#include "triangles.cuh"

namespace numopt {

constexpr int ssor_threads = 256;
// Blocks that a multiprocessor is to hold: what leaves enough registers to spill none.
template <typename Scalar>
constexpr int ssor_blocks = sizeof(Scalar) > 8 ? 2 : 4;

// Forward with upper = U x of the half sweep before, backward with lower = L x of the forward half.
template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(ssor_threads, ssor_blocks<Scalar>)
    ssor_sweeps(const Scalar* __restrict__ ldata, const Index* __restrict__ lindices,
                const Index* __restrict__ lindptr, const Scalar* __restrict__ udata,
                const Index* __restrict__ uindices, const Index* __restrict__ uindptr,
                const Scalar* __restrict__ inverse, const int64* classes, const Scalar* __restrict__ b, double omega,
                Scalar* x, Scalar* upper, Scalar* delta, double* norms, int64 n_classes, int64 n, int64 n_sweeps,
                double* partial, unsigned long long* arrived) {
    __shared__ double shared[max_warps];
    const RealOf<Scalar> weight = static_cast<RealOf<Scalar>>(omega);
    const int lane = static_cast<int>(threadIdx.x) % LANES;
    const Triangle<Scalar, Index> above{udata, uindices, uindptr};
    Scalar* const lower = delta;
    Scalar* const change = delta + n;
    const Sweeps sweeps{classes, n_classes, n, 0, n_sweeps, norms, partial, arrived};
    run_sweeps<LANES, Index>(sweeps, shared, [&](Index i, bool present, bool forward) {
        if (!forward) {
            const Scalar product = above.template row<LANES>(i, present, x);
            if (present && lane == 0) {
                const Scalar old = x[i];
                upper[i] = product;
                x[i] = old + weight * (inverse[i] * (b[i] - lower[i] - product) - old);
            }
            return 0.0;
        }
        Scalar product = Scalar(0);
        Scalar lag = Scalar(0);
        if (present) {
            const Index last = lindptr[i + 1];
#pragma unroll 4
            for (Index p = lindptr[i] + lane; p < last; p += LANES) {
                const Scalar value = ldata[p];
                const Index j = lindices[p];
                product += value * x[j];
                // The rows before have moved: what they were before is what the residual needs.
                lag += value * change[j];
            }
        }
        if (LANES > 1) {
            product = lane_sum(product, LANES);
            lag = lane_sum(lag, LANES);
        }
        if (!present || lane != 0) return 0.0;
        const Scalar old = x[i];
        const Scalar rest = b[i] - upper[i] - product;
        const Scalar moved = old + weight * (inverse[i] * rest - old);
        lower[i] = product;
        x[i] = moved;
        change[i] = moved - old;
        return norm2(rest - old * reciprocal(inverse[i]) + lag);
    });
}

// z = (2 - omega) / omega S (I / omega + U)^-1 (I / omega + L)^-1 S r; z may be r.
template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(ssor_threads, ssor_blocks<Scalar>)
    ssor_solve(const Scalar* __restrict__ ldata, const Index* __restrict__ lindices,
               const Index* __restrict__ lindptr, const Scalar* __restrict__ udata,
               const Index* __restrict__ uindices, const Index* __restrict__ uindptr,
               const RealOf<Scalar>* __restrict__ scale, const int64* offsets, double omega, const Scalar* r, Scalar* z,
               int64 n_classes, int64 n, unsigned long long* arrived) {
    using Real = RealOf<Scalar>;
    const Real weight = static_cast<Real>(omega);
    const Real factor = static_cast<Real>((2 - omega) / omega);
    const bool writes = static_cast<int>(threadIdx.x) % LANES == 0;
    const Triangle<Scalar, Index> below{ldata, lindices, lindptr};
    const Triangle<Scalar, Index> above{udata, uindices, uindptr};
    const Classes classes{offsets, n_classes, n, arrived};
    unsigned long long turn = 0;
    visit_classes<LANES, Index>(classes, true, turn, [&](Index i, bool present) {
        const Scalar product = below.template row<LANES>(i, present, z);
        if (present && writes) z[i] = weight * (scale[i] * r[i] - product);
    });
    visit_classes<LANES, Index>(classes, false, turn, [&](Index i, bool present) {
        const Scalar product = above.template row<LANES>(i, present, z);
        if (present && writes) z[i] = weight * (z[i] - product);
    });
    sweep_sync(arrived, turn);
    visit_rows<1>(Index(0), static_cast<Index>(n), [&](Index i, bool present) {
        if (present) z[i] = factor * scale[i] * z[i];
    });
}

}  // namespace numopt
