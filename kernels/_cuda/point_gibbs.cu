// The entropic plan P_ij = exp((f_i + g_j - C_ij) / reg) between points X (n, D) and Y (m, D), costs computed on the fly.
//
// A thread has ROWS rows, 32 apart within its warp, in registers, and walks along a slice of the columns; a block shares
// tiles of 128 columns in shared memory: coordinates, potentials, floors, and their bounds. The units (block of rows,
// slice) are dealt to any grid; blocks of whole warps. D = 0 stands for any dimension, read from global memory.
// What a kernel need not look at is passed over, for a whole tile by the bounding boxes of the warp's and the tile's
// points, for GROUP columns if it holds for all lanes: entries that would not change a bit of the sum they are added to,
// or that no floor keeps. Bounds and entries go through the same roundings, all of them monotone, so that this is exact;
// it pays if neighbouring points lie together (sorted along a curve).
// METRIC: 0 squared Euclidean, 1 Euclidean, 2 city block. Costs and exponents have the same bits if X and Y change roles.
#include "transport.cuh"

namespace numopt {

constexpr int tile_columns = 128;
constexpr int group = 4;  // columns that a thread has in flight for each of its rows

template <typename Real, int METRIC>
__device__ inline Real add_coordinate(Real cost, Real difference) {
    return METRIC == 2 ? add_rn(cost, static_cast<Real>(fabs(difference))) : fma_rn(difference, difference, cost);
}

template <typename Real, int METRIC>
__device__ inline Real finished(Real cost) {
    return METRIC == 1 ? sqrt_rn(cost) : cost;
}

template <typename Real>
struct Clouds {
    const Real* X;
    const Real* Y;
    const Real* f;  // none: zero
    const Real* g;
    const Real* column_floor;  // none: there are no floors
    int64 n;
    int64 m;
    int64 dimension;
};

// The units (block of rows, slice of columns) of a block.
struct PointUnits {
    int64 blocks;
    int64 count;

    __device__ PointUnits(int64 n, int rows, int64 slices) {
        const int64 size = static_cast<int64>(rows) * blockDim.x;
        blocks = (n + size - 1) / size;
        count = blocks * slices;
    }
};

// The rows of a thread and the box around those of its warp. Rows past the last are the last again, without mass.
template <typename Real, int D, int ROWS>
struct Rows {
    Real x[ROWS][D > 0 ? D : 1];
    Real f[ROWS];
    Real low[D > 0 ? D : 1];
    Real high[D > 0 ? D : 1];
    Real highest_f;
    int64 first;
    int64 n;

    __device__ Rows(const Clouds<Real>& clouds, int64 block) : n(clouds.n) {
        const int64 warp = block * (blockDim.x / warp_size) + threadIdx.x / warp_size;
        first = warp * ROWS * warp_size + threadIdx.x % warp_size;
        highest_f = -infinity<Real>();
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            f[r] = !has(r) ? -infinity<Real>() : clouds.f == nullptr ? Real(0) : clouds.f[row(r)];
            highest_f = fmax(highest_f, f[r]);
#pragma unroll
            for (int k = 0; k < D; ++k) x[r][k] = clouds.X[row(r) * D + k];
        }
        highest_f = warp_max(highest_f);
#pragma unroll
        for (int k = 0; k < D; ++k) {
            low[k] = high[k] = x[0][k];
#pragma unroll
            for (int r = 1; r < ROWS; ++r) {
                low[k] = fmin(low[k], x[r][k]);
                high[k] = fmax(high[k], x[r][k]);
            }
            low[k] = -warp_max(-low[k]);
            high[k] = warp_max(high[k]);
        }
    }

    __device__ bool has(int r) const { return first + r * warp_size < n; }
    __device__ int64 row(int r) const { return has(r) ? first + r * warp_size : n - 1; }
};

// Call visit(r, column, exponent, cost) for the columns of one slice in order, but for those passed over.
//
// floor(r, lowest column floor of the tile) is asked once per tile: exponents below it are of no interest to row r.
template <typename Real, int D, int METRIC, int ROWS, typename Floor, typename Visit>
__device__ inline void walk(const Clouds<Real>& clouds, const Rows<Real, D, ROWS>& rows, Real factor, int64 first,
                            int64 end, Floor&& floor, Visit&& visit) {
    alignas(16) __shared__ Real y[D > 0 ? D : 1][tile_columns];
    alignas(16) __shared__ Real potential[tile_columns];
    __shared__ Real column_floor[tile_columns];
    __shared__ Real bounds[2 * D + 2];
    const int lane = threadIdx.x % warp_size;
    for (int64 tile = first; tile < end; tile += tile_columns) {
        const int count = static_cast<int>(end - tile < tile_columns ? end - tile : tile_columns);
        for (int t = threadIdx.x; t < tile_columns; t += blockDim.x) {
            const int64 j = tile + (t < count ? t : count - 1);
#pragma unroll
            for (int k = 0; k < D; ++k) y[k][t] = clouds.Y[j * D + k];
            potential[t] = t < count ? clouds.g[j] : -infinity<Real>();
            column_floor[t] = clouds.column_floor == nullptr ? infinity<Real>() : clouds.column_floor[j];
        }
        block_sync();
        // Largest coordinates, largest negated coordinates, largest potential, largest negated floor.
        for (int q = threadIdx.x / warp_size; q < 2 * D + 2; q += blockDim.x / warp_size) {
            Real largest = -infinity<Real>();
            for (int t = lane; t < tile_columns; t += warp_size) {
                const Real value = q < D            ? y[q][t]
                                   : q < 2 * D      ? -y[q - D][t]
                                   : q == 2 * D     ? potential[t]
                                                    : -column_floor[t];
                largest = fmax(largest, value);
            }
            largest = warp_max(largest);
            if (lane == 0) bounds[q] = largest;
        }
        block_sync();
        Real limit[ROWS];
        Real lowest = infinity<Real>();
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            limit[r] = floor(r, -bounds[2 * D + 1]);
            lowest = fmin(lowest, limit[r]);
        }
        bool wanted = true;
        if constexpr (D > 0) {
            Real cost = Real(0);
#pragma unroll
            for (int k = 0; k < D; ++k) {
                const Real gap = fmax(sub_rn(rows.low[k], bounds[k]), sub_rn(-bounds[D + k], rows.high[k]));
                cost = add_coordinate<Real, METRIC>(cost, fmax(gap, Real(0)));
            }
            const Real e = exponent(rows.highest_f, bounds[2 * D], finished<Real, METRIC>(cost), factor);
            wanted = any_lane(!(e < lowest));
        }
        for (int t = 0; wanted && t < count; t += group) {
            Real cost[ROWS][group] = {};
            if constexpr (D > 0) {
#pragma unroll
                for (int k = 0; k < D; ++k) {
#pragma unroll
                    for (int u = 0; u < group; ++u) {
#pragma unroll
                        for (int r = 0; r < ROWS; ++r) {
                            const Real difference = sub_rn(rows.x[r][k], y[k][t + u]);
                            cost[r][u] = add_coordinate<Real, METRIC>(cost[r][u], difference);
                        }
                    }
                }
            } else {
                for (int64 k = 0; k < clouds.dimension; ++k) {
#pragma unroll
                    for (int u = 0; u < group; ++u) {
                        const int64 j = tile + (t + u < count ? t + u : count - 1);
                        const Real coordinate = clouds.Y[j * clouds.dimension + k];
#pragma unroll
                        for (int r = 0; r < ROWS; ++r) {
                            const Real difference = sub_rn(clouds.X[rows.row(r) * clouds.dimension + k], coordinate);
                            cost[r][u] = add_coordinate<Real, METRIC>(cost[r][u], difference);
                        }
                    }
                }
            }
            Real e[ROWS][group];
            bool looked_at = false;
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
#pragma unroll
                for (int u = 0; u < group; ++u) {
                    cost[r][u] = finished<Real, METRIC>(cost[r][u]);
                    e[r][u] = exponent(rows.f[r], potential[t + u], cost[r][u], factor);
                    // Not >=: what is NaN must be seen.
                    looked_at |= !(e[r][u] < limit[r]);
                }
            }
            if (!any_lane(looked_at)) continue;
#pragma unroll
            for (int u = 0; u < group; ++u) {
#pragma unroll
                for (int r = 0; r < ROWS; ++r) visit(r, t + u < count, tile + t + u, e[r][u], cost[r][u], column_floor[t + u]);
            }
        }
        block_sync();
    }
}

// Row sums of P (VALUE = 0) or of C P (VALUE = 1) over each slice to parts (slices, n).
template <typename Real, int D, int METRIC, int ROWS, int VALUE>
__global__ void point_sums(const Real* __restrict__ X, const Real* __restrict__ Y, const Real* __restrict__ f,
                           const Real* __restrict__ g, double scale, Real* __restrict__ parts, int64 n, int64 m,
                           int64 dimension, int64 slices) {
    const Clouds<Real> clouds{X, Y, f, g, nullptr, n, m, dimension};
    const PointUnits units(n, ROWS, slices);
    for (int64 unit = blockIdx.x; unit < units.count; unit += gridDim.x) {
        const int64 slice = unit / units.blocks;
        const Rows<Real, D, ROWS> rows(clouds, unit % units.blocks);
        Real sum[ROWS] = {};
        walk<Real, D, METRIC>(
            clouds, rows, static_cast<Real>(scale), m * slice / slices, m * (slice + 1) / slices,
            [&](int r, Real) { return VALUE ? Format<Real>::underflow : negligible_below(sum[r]); },
            [&](int r, bool, int64, Real e, Real cost, Real) {
                sum[r] += VALUE ? cost * exp2_flushed(e) : exp2_flushed(e);
            });
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (rows.has(r)) parts[slice * n + rows.row(r)] = sum[r];
        }
    }
}

// The log-sums of each row over each slice, reference and sum, to parts (2, slices, n).
template <typename Real, int D, int METRIC, int ROWS>
__global__ void point_lse(const Real* __restrict__ X, const Real* __restrict__ Y, const Real* __restrict__ g,
                          double scale, Real* __restrict__ parts, int64 n, int64 m, int64 dimension, int64 slices) {
    const Clouds<Real> clouds{X, Y, nullptr, g, nullptr, n, m, dimension};
    const PointUnits units(n, ROWS, slices);
    for (int64 unit = blockIdx.x; unit < units.count; unit += gridDim.x) {
        const int64 slice = unit / units.blocks;
        const Rows<Real, D, ROWS> rows(clouds, unit % units.blocks);
        LogSum<Real> total[ROWS];
        walk<Real, D, METRIC>(
            clouds, rows, static_cast<Real>(scale), m * slice / slices, m * (slice + 1) / slices,
            [&](int r, Real) { return total[r].reference + negligible_below(total[r].sum); },
            [&](int r, bool, int64, Real e, Real, Real) {
                if (e > total[r].reference + Format<Real>::slack) total[r].move(e);
                total[r].sum += exp2_flushed(e - total[r].reference);
            });
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (!rows.has(r)) continue;
            parts[slice * n + rows.row(r)] = total[r].reference;
            parts[(slices + slice) * n + rows.row(r)] = total[r].sum;
        }
    }
}

// How many entries with exponent >= min(row_floor_i, column_floor_j) each row has in each slice: counts (slices, n).
template <typename Real, int D, int METRIC, int ROWS>
__global__ void point_count(const Real* __restrict__ X, const Real* __restrict__ Y, const Real* __restrict__ f,
                            const Real* __restrict__ g, double inv_reg, const Real* __restrict__ row_floor,
                            const Real* __restrict__ column_floor, int* __restrict__ counts, int64 n, int64 m,
                            int64 dimension, int64 slices) {
    const Clouds<Real> clouds{X, Y, f, g, column_floor, n, m, dimension};
    const PointUnits units(n, ROWS, slices);
    for (int64 unit = blockIdx.x; unit < units.count; unit += gridDim.x) {
        const int64 slice = unit / units.blocks;
        const Rows<Real, D, ROWS> rows(clouds, unit % units.blocks);
        Real own[ROWS];
        int count[ROWS] = {};
#pragma unroll
        for (int r = 0; r < ROWS; ++r) own[r] = row_floor[rows.row(r)];
        walk<Real, D, METRIC>(
            clouds, rows, static_cast<Real>(inv_reg), m * slice / slices, m * (slice + 1) / slices,
            [&](int r, Real lowest) { return fmin(own[r], lowest); },
            [&](int r, bool exists, int64, Real e, Real, Real floor) {
                count[r] += exists && (e >= own[r] || e >= floor);
            });
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (rows.has(r)) counts[slice * n + rows.row(r)] = count[r];
        }
    }
}

// CSR of the kept entries; counts as point_count wrote them, not read if there is one slice.
template <typename Real, int D, int METRIC, int ROWS>
__global__ void point_fill(const Real* __restrict__ X, const Real* __restrict__ Y, const Real* __restrict__ f,
                           const Real* __restrict__ g, double inv_reg, const Real* __restrict__ row_floor,
                           const Real* __restrict__ column_floor, const int* __restrict__ counts,
                           const int64* __restrict__ indptr, int* __restrict__ indices, Real* __restrict__ data,
                           int64 n, int64 m, int64 dimension, int64 slices) {
    const Clouds<Real> clouds{X, Y, f, g, column_floor, n, m, dimension};
    const PointUnits units(n, ROWS, slices);
    for (int64 unit = blockIdx.x; unit < units.count; unit += gridDim.x) {
        const int64 slice = unit / units.blocks;
        const Rows<Real, D, ROWS> rows(clouds, unit % units.blocks);
        Real own[ROWS];
        int64 place[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            own[r] = row_floor[rows.row(r)];
            place[r] = indptr[rows.row(r)];
            for (int64 earlier = 0; earlier < slice; ++earlier) place[r] += counts[earlier * n + rows.row(r)];
        }
        walk<Real, D, METRIC>(
            clouds, rows, static_cast<Real>(inv_reg), m * slice / slices, m * (slice + 1) / slices,
            [&](int r, Real lowest) { return fmin(own[r], lowest); },
            [&](int r, bool exists, int64 j, Real e, Real, Real floor) {
                if (exists && rows.has(r) && (e >= own[r] || e >= floor)) {
                    indices[place[r]] = static_cast<int>(j);
                    data[place[r]] = exp2_flushed(e * Real(log2_e));
                    ++place[r];
                }
            });
    }
}

// P V for K columns of V (m, width) from `offset` on, over each slice, to parts (slices, n, width).
template <typename Real, int D, int METRIC, int ROWS, int K>
__global__ void point_apply(const Real* __restrict__ X, const Real* __restrict__ Y, const Real* __restrict__ f,
                            const Real* __restrict__ g, double scale, const Real* __restrict__ V,
                            Real* __restrict__ parts, int64 n, int64 m, int64 dimension, int64 slices, int64 width,
                            int64 offset) {
    const Clouds<Real> clouds{X, Y, f, g, nullptr, n, m, dimension};
    const PointUnits units(n, ROWS, slices);
    for (int64 unit = blockIdx.x; unit < units.count; unit += gridDim.x) {
        const int64 slice = unit / units.blocks;
        const Rows<Real, D, ROWS> rows(clouds, unit % units.blocks);
        Real sum[ROWS][K] = {};
        walk<Real, D, METRIC>(
            clouds, rows, static_cast<Real>(scale), m * slice / slices, m * (slice + 1) / slices,
            [&](int, Real) { return Format<Real>::underflow; },
            [&](int r, bool exists, int64 j, Real e, Real, Real) {
                const Real entry = exp2_flushed(e);
#pragma unroll
                for (int k = 0; k < K; ++k) {
                    if (exists && offset + k < width) sum[r][k] += entry * V[j * width + offset + k];
                }
            });
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                if (rows.has(r) && offset + k < width) {
                    parts[(slice * n + rows.row(r)) * width + offset + k] = sum[r][k];
                }
            }
        }
    }
}

}  // namespace numopt
