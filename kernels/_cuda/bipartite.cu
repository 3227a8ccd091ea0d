// The Schur complement S = diag(r) - P diag(1/c) P' of a sparse plan, P as CSR (n rows) and CSC (m columns).
//
// `lanes` neighbouring lanes, a power of two, take one row or column at a time: about as many as it has entries on
// average. The grid and the block size decide the order of all sums, and so the bits; no atomics on numbers.
// schur_columns, schur_rows: any grid, blocks of whole warps, no shared memory.
// schur_pcg: one cooperative launch for all iterations, three grid barriers each. Shared memory: sums of the warps.
#include "common.cuh"

namespace numopt {

constexpr int pcg_threads = 256;

// The groups of lanes of the grid, and the loop over items that keeps whole warps together for the shuffles.
//
// 32-bit numbers, as the indices have: 64-bit ones cost registers that the conjugate gradients need.
struct Groups {
    int lanes;
    int lane;
    int first;
    int step;

    __device__ explicit Groups(int64 size)
        : lanes(static_cast<int>(size)),
          lane(static_cast<int>(threadIdx.x) % lanes),
          first(static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) / lanes),
          step(static_cast<int>(gridDim.x * blockDim.x) / lanes) {}

    // Call body(item) for every item below `count`; idle groups of a busy warp get an item past the end.
    template <typename Body>
    __device__ void each(int64 count, Body&& body) const {
        const int place = first % (warp_size / lanes);
        for (int item = first; item - place < count; item += step) body(item);
    }

    // The sum of data * vector[indices] over the entries of one item, the same bits in each lane of the group.
    template <typename Real>
    __device__ Real dot(const Real* data, const int* indices, const int64* indptr, int item, int64 count,
                        const Real* vector) const {
        Real sum = Real(0);
        if (item < count) {
            const int64 first_entry = indptr[item];
            const int entries = static_cast<int>(indptr[item + 1] - first_entry);
            const Real* const entry = data + first_entry;
            const int* const place = indices + first_entry;
#pragma unroll 4
            for (int p = lane; p < entries; p += lanes) sum += entry[p] * vector[place[p]];
        }
        return lane_sum(sum, lanes);
    }
};

// z = (P' x) / c, zero where c is.
template <typename Real>
__global__ void schur_columns(const Real* __restrict__ tdata, const int* __restrict__ tindices,
                              const int64* __restrict__ tindptr, const Real* __restrict__ c,
                              const Real* __restrict__ x, Real* __restrict__ z, int64 m, int64 lanes) {
    const Groups groups(lanes);
    groups.each(m, [&](int j) {
        const Real sum = groups.dot(tdata, tindices, tindptr, j, m, x);
        if (j < m && groups.lane == 0) z[j] = c[j] == Real(0) ? Real(0) : sum / c[j];
    });
}

// y = r x - P z.
template <typename Real>
__global__ void schur_rows(const Real* __restrict__ data, const int* __restrict__ indices,
                           const int64* __restrict__ indptr, const Real* __restrict__ r, const Real* __restrict__ x,
                           const Real* __restrict__ z, Real* __restrict__ y, int64 n, int64 lanes) {
    const Groups groups(lanes);
    groups.each(n, [&](int i) {
        const Real sum = groups.dot(data, indices, indptr, i, n, z);
        if (i < n && groups.lane == 0) y[i] = r[i] * x[i] - sum;
    });
}

// The sum over all blocks of what each wrote to `partial`, the same bits in every thread of the grid.
__device__ inline double grid_total(const double* partial, double* shared) {
    double sum = 0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x) sum += partial[block];
    const double total = block_sum(sum, shared);
    block_sync();
    return total;
}

__device__ inline void write_partial(double value, double* partial, double* shared) {
    const double total = block_sum(value, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
    block_sync();
}

// Preconditioned conjugate gradients for S x = rhs from x = 0.
//
// work (3, n) holds s, the residual divided by the diagonal; the direction p; and q = S p. `columns` (m) is z = P' p / c,
// kept by the recurrence of p itself, z = P' s / c + beta z, so that a step reads P twice and its three phases need one
// barrier each: z and p; q and p'q; x, s and the norms. partial (3, blocks) and `arrived`, zero at first, are scratch.
// Inner products are in double precision: the squares of small float32 residuals would underflow.
template <typename Real>
__global__ void __launch_bounds__(pcg_threads, 4)
    schur_pcg(const Real* data, const int* indices, const int64* indptr, const Real* tdata,
                          const int* tindices, const int64* tindptr, const Real* r, const Real* c, const Real* rhs,
                          const Real* diagonal, double rtol, int64 maxiter, Real* x, Real* work, Real* z, double* info,
                          double* partial, unsigned long long* arrived, int64 n, int64 m, int64 row_lanes,
                          int64 column_lanes) {
    __shared__ double shared[max_warps];
    unsigned long long turn = 0;
    const Groups rows(row_lanes);
    const Groups columns(column_lanes);
    const int first = blockIdx.x * blockDim.x + threadIdx.x;
    const int step = gridDim.x * blockDim.x;
    Real* const s = work;
    Real* const p = work + n;
    Real* const q = work + 2 * n;
    double* const norms = partial;
    double* const products = partial + gridDim.x;
    double* const curvatures = partial + 2 * static_cast<int64>(gridDim.x);

    double norm = 0;
    double product = 0;
    for (int i = first; i < n; i += step) {
        s[i] = rhs[i] / diagonal[i];
        x[i] = Real(0);
        const double residual = rhs[i];
        norm += residual * residual;
        product += residual * s[i];
    }
    write_partial(norm, norms, shared);
    write_partial(product, products, shared);
    grid_sync(arrived, turn);

    const double rhs_norm2 = grid_total(norms, shared);
    const double limit = rtol * rtol * rhs_norm2;
    double norm2 = rhs_norm2;
    double rho = 0;
    bool broken = false;
    int64 iteration = 0;
    while (true) {
        // Not <=: a residual that is NaN ends as a breakdown below.
        if (norm2 <= limit || iteration == maxiter) break;
        const double next_rho = grid_total(products, shared);
        const Real beta = iteration == 0 ? Real(0) : static_cast<Real>(next_rho / rho);
        rho = next_rho;
        columns.each(m, [&](int j) {
            const Real sum = columns.dot(tdata, tindices, tindptr, j, m, s);
            if (j < m && columns.lane == 0) {
                const Real kept = iteration == 0 ? Real(0) : beta * z[j];
                z[j] = (c[j] == Real(0) ? Real(0) : sum / c[j]) + kept;
            }
        });
        for (int i = first; i < n; i += step) p[i] = iteration == 0 ? s[i] : s[i] + beta * p[i];
        grid_sync(arrived, turn);

        double curvature = 0;
        rows.each(n, [&](int i) {
            const Real sum = rows.dot(data, indices, indptr, i, n, z);
            if (i < n && rows.lane == 0) {
                q[i] = r[i] * p[i] - sum;
                curvature += static_cast<double>(p[i]) * q[i];
            }
        });
        write_partial(curvature, curvatures, shared);
        grid_sync(arrived, turn);

        const double total = grid_total(curvatures, shared);
        broken = !(total > 0);
        if (broken) break;
        const Real alpha = static_cast<Real>(rho / total);
        norm = 0;
        product = 0;
        for (int i = first; i < n; i += step) {
            x[i] += alpha * p[i];
            s[i] -= alpha * q[i] / diagonal[i];
            const double residual = static_cast<double>(s[i]) * diagonal[i];
            norm += residual * residual;
            product += residual * s[i];
        }
        write_partial(norm, norms, shared);
        write_partial(product, products, shared);
        ++iteration;
        grid_sync(arrived, turn);
        norm2 = grid_total(norms, shared);
    }
    if (broken && iteration == 0) {
        for (int i = first; i < n; i += step) x[i] = s[i];
    }
    if (first == 0) {
        info[0] = static_cast<double>(iteration);
        info[1] = rhs_norm2 == 0 ? 0.0 : sqrt(norm2 / rhs_norm2);
        info[2] = broken ? 1.0 : 0.0;
    }
}

}  // namespace numopt
