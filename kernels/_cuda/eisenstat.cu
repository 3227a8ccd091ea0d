// Conjugate gradients preconditioned by symmetric over-relaxation, in Eisenstat's form: one cooperative launch for a
// slice of iterations.
//
// An iteration visits the classes backward (p = r + beta p, t = K^-H p) and forward (s = K^-1 (p - (2 / omega - 1) t)
// and p^H (t + s)), then moves x and r along t and t + s. A barrier of the grid lies between classes, after the forward
// visit and at the end: four for two colours. LANES is 1 for short rows and 8 for long ones. Deterministic: sums depend
// on grid and block size alone. Shared memory: the sums of the warps.
#include "triangles.cuh"

namespace numopt {

constexpr int eisenstat_threads = 256;
// Blocks that a multiprocessor is to hold: what leaves enough registers to spill none.
template <typename Scalar>
constexpr int eisenstat_blocks = sizeof(Scalar) > 8 ? 2 : 3;
constexpr int most_unchecked = 16;

// What `info` holds between launches and reports; every thread has a copy, and all copies agree.
struct Progress {
    double size;      // r^H r
    double beta;      // p's factor for the next step
    double residual;  // ||diag(root) (b - A x)|| as last computed
    double unchecked;  // iterations since then
    double ratio;     // of it to ||r|| then
    int64 iterations;
    int outcome;

    __device__ void note_residual(double squares, double target) {
        residual = sqrt(squares);
        unchecked = 0;
        ratio = size > 0 ? residual / sqrt(size) : 0.0;
        if (residual <= target) {
            outcome = 1;
        } else if (!(residual <= max_double)) {
            outcome = 3;
        }
    }

    // Note an iteration that ended with r^H r = new_size; tell whether the residual is to be computed.
    __device__ bool note_iteration(double new_size, int64 check, double target) {
        beta = new_size / size;
        size = new_size;
        iterations += 1;
        unchecked += 1;
        if (!(size <= max_double)) {
            outcome = 3;
            return false;
        }
        if (check > 0) return size == 0 || unchecked >= static_cast<double>(check);
        return size == 0 || unchecked >= most_unchecked || ratio * sqrt(size) <= 2 * target;
    }

    static constexpr double max_double = 1.7976931348623157e308;
};

// The real part of conj(x) y in double precision.
__device__ inline double real_product(double x, double y) { return x * y; }
template <typename Real>
__device__ inline double real_product(Complex<Real> x, Complex<Real> y) {
    return static_cast<double>(x.re) * static_cast<double>(y.re) +
           static_cast<double>(x.im) * static_cast<double>(y.im);
}

template <typename Scalar, typename Index, int LANES>
__global__ void __launch_bounds__(eisenstat_threads, eisenstat_blocks<Scalar>)
    eisenstat_pcg(const Scalar* __restrict__ ldata, const Index* __restrict__ lindices,
                  const Index* __restrict__ lindptr, const Scalar* __restrict__ udata,
                  const Index* __restrict__ uindices, const Index* __restrict__ uindptr,
                  const RealOf<Scalar>* __restrict__ root, const int64* offsets, double omega, int64 check,
                  double target, int64 maxiter, Scalar* x, Scalar* r, Scalar* p, Scalar* work, double* info,
                  int64 n_classes, int64 n, double* partial, unsigned long long* arrived) {
    using Real = RealOf<Scalar>;
    __shared__ double shared[max_warps];
    const Real weight = static_cast<Real>(omega);
    const Real inverse = static_cast<Real>(1 / omega);
    const Real shift = static_cast<Real>(2 / omega - 1);
    const bool writes = static_cast<int>(threadIdx.x) % LANES == 0;
    const Index rows = static_cast<Index>(n);
    const Triangle<Scalar, Index> below{ldata, lindices, lindptr};
    const Triangle<Scalar, Index> above{udata, uindices, uindptr};
    const Classes classes{offsets, n_classes, n, arrived};
    unsigned long long turn = 0;
    Scalar* const t = work;
    Scalar* const s = work + n;
    // Each kind of sum has a place of its own: a block that is ahead must not write where another one still reads.
    double* const curvatures = partial;
    double* const sizes = partial + gridDim.x;
    double* const squares = partial + 2 * static_cast<int64>(gridDim.x);

    Progress now{info[1], info[2], info[3], info[6], info[7], 0, 0};
    if (info[0] == 0) {
        double sum = 0;
        visit_rows<1>(Index(0), rows, [&](Index i, bool present) {
            if (!present) return;
            sum += norm2(root[i] * r[i]);
            p[i] = Scalar(0);
        });
        write_partial(sum, squares, shared);
        sweep_sync(arrived, turn);
        visit_classes<LANES, Index>(classes, true, turn, [&](Index i, bool present) {
            const Scalar product = below.template row<LANES>(i, present, r);
            if (present && writes) r[i] = weight * (r[i] - product);
        });
        sweep_sync(arrived, turn);
        sum = 0;
        visit_rows<1>(Index(0), rows, [&](Index i, bool present) {
            if (present) sum += norm2(r[i]);
        });
        write_partial(sum, sizes, shared);
        sweep_sync(arrived, turn);
        now.size = sum_partials(sizes, shared);
        now.beta = 0;
        now.note_residual(sum_partials(squares, shared), target);
    }
    while (now.iterations < maxiter && now.outcome == 0) {
        const Real beta = static_cast<Real>(now.beta);
        visit_classes<LANES, Index>(classes, false, turn, [&](Index i, bool present) {
            const Scalar product = above.template row<LANES>(i, present, t);
            if (present && writes) {
                const Scalar direction = r[i] + beta * p[i];
                p[i] = direction;
                t[i] = weight * (direction - product);
            }
        });
        double sum = 0;
        visit_classes<LANES, Index>(classes, true, turn, [&](Index i, bool present) {
            const Scalar product = below.template row<LANES>(i, present, s);
            if (present && writes) {
                const Scalar value = weight * (p[i] - shift * t[i] - product);
                s[i] = value;
                sum += real_product(p[i], t[i] + value);
            }
        });
        write_partial(sum, curvatures, shared);
        sweep_sync(arrived, turn);
        const double curvature = sum_partials(curvatures, shared);
        if (!(curvature > 0 && curvature <= Progress::max_double)) {
            now.outcome = curvature <= 0 && curvature >= -Progress::max_double ? 2 : 3;
            break;
        }
        const Real step = static_cast<Real>(now.size / curvature);
        sum = 0;
        visit_rows<1>(Index(0), rows, [&](Index i, bool present) {
            if (!present) return;
            x[i] += step * t[i];
            const Scalar moved = r[i] - step * (t[i] + s[i]);
            r[i] = moved;
            sum += norm2(moved);
        });
        write_partial(sum, sizes, shared);
        sweep_sync(arrived, turn);
        if (now.note_iteration(sum_partials(sizes, shared), check, target)) {
            sum = 0;
            visit_rows<LANES>(Index(0), rows, [&](Index i, bool present) {
                const Scalar product = below.template row<LANES>(i, present, r);
                if (present && writes) sum += norm2(root[i] * (inverse * r[i] + product));
            });
            write_partial(sum, squares, shared);
            sweep_sync(arrived, turn);
            now.note_residual(sum_partials(squares, shared), target);
        }
    }
    // All threads have read `info`.
    sweep_sync(arrived, turn);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        info[0] = 1;
        info[1] = now.size;
        info[2] = now.beta;
        info[3] = now.residual;
        info[4] = static_cast<double>(now.iterations);
        info[5] = now.outcome;
        info[6] = now.unchecked;
        info[7] = now.ratio;
    }
}

}  // namespace numopt
