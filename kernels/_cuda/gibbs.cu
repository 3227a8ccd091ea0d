// The entropic plan P_ij = exp((f_i + g_j - C_ij) / reg) of a dense cost: its sums, entries and sparse part.
//
// Most kernels give a warp a tile of columns, COLUMNS per lane, and a slice of the rows, which it walks down ROWS at a
// time: column results stay in the lane's registers, row results are reduced over the warp and written once per tile
// (to be merged by merge.cu). No barriers, no shared memory; the units (tile, slice) are dealt to the warps of any grid,
// neighbouring tiles to neighbouring warps. The bits depend on the number of slices only.
// Reads are of WIDTH neighbouring costs, 16 bytes, where all rows are aligned to that (else WIDTH = 1). Lanes past the
// last column and rows past the last row read the last ones again, with a potential that makes their entries vanish.
#include "transport.cuh"

namespace numopt {

template <typename T, int WIDTH>
struct alignas(sizeof(T) * WIDTH < 16 ? sizeof(T) * WIDTH : 16) Pack {
    T item[WIDTH];
};

// Which columns a lane has in a tile: packs of WIDTH, those of neighbouring lanes next to one another.
template <int WIDTH, int COLUMNS>
struct Tile {
    static_assert(COLUMNS % WIDTH == 0);
    static constexpr int size = COLUMNS * warp_size;
    int64 first;
    int64 m;
    int lane;

    __device__ int64 column(int k) const { return first + (k / WIDTH * warp_size + lane) * WIDTH + k % WIDTH; }
    __device__ bool has(int k) const { return column(k) < m; }

    template <typename T>
    __device__ void read(const T* row, T (&value)[COLUMNS]) const {
#pragma unroll
        for (int k = 0; k < COLUMNS; k += WIDTH) {
            const int64 j = has(k) ? column(k) : m - WIDTH;
            const auto pack = *reinterpret_cast<const Pack<T, WIDTH>*>(row + j);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) value[k + w] = pack.item[w];
        }
    }

    template <typename T>
    __device__ void write(T* row, const T (&value)[COLUMNS]) const {
#pragma unroll
        for (int k = 0; k < COLUMNS; k += WIDTH) {
            if (!has(k)) continue;
            Pack<T, WIDTH> pack;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) pack.item[w] = value[k + w];
            *reinterpret_cast<Pack<T, WIDTH>*>(row + column(k)) = pack;
        }
    }

    // A vector's elements at the lane's columns, and `other` past the end.
    template <typename T>
    __device__ void gather(const T* vector, T (&value)[COLUMNS], T other) const {
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) value[k] = has(k) ? vector[column(k)] : other;
    }
};

// The (tile, slice) units of a warp: `unit` goes from `first` by `step` below tiles * slices.
struct Units {
    int64 first;
    int64 step;
    int64 tiles;
    int64 count;

    __device__ Units(int64 m, int64 tile_size, int64 slices) {
        const int64 warps = blockDim.x / warp_size;
        first = blockIdx.x * warps + threadIdx.x / warp_size;
        step = gridDim.x * warps;
        tiles = (m + tile_size - 1) / tile_size;
        count = tiles * slices;
    }
};

// Row sums of each tile to row_parts (tiles, n), column sums of each slice to column_parts (slices, m), P if STORE.
template <typename Cost, typename Real, int WIDTH, int COLUMNS, int ROWS, int STORE>
__global__ void gibbs_tiles(const Cost* __restrict__ C, const Real* __restrict__ f, const Real* __restrict__ g,
                            double scale, Real* __restrict__ P, Real* __restrict__ row_parts,
                            Real* __restrict__ column_parts, int64 n, int64 m, int64 slices) {
    const int lane = threadIdx.x % warp_size;
    const Real factor = static_cast<Real>(scale);
    const Units units(m, Tile<WIDTH, COLUMNS>::size, slices);
    for (int64 unit = units.first; unit < units.count; unit += units.step) {
        const int64 slice = unit / units.tiles;
        const int64 number = unit % units.tiles;
        const Tile<WIDTH, COLUMNS> tile{number * Tile<WIDTH, COLUMNS>::size, m, lane};
        const int64 end = n * (slice + 1) / slices;
        Real potential[COLUMNS];
        tile.gather(g, potential, -infinity<Real>());
        Real column_sum[COLUMNS] = {};
        for (int64 i = n * slice / slices; i < end; i += ROWS) {
            Cost cost[ROWS][COLUMNS];
            Real row_potential[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int64 row = i + r < end ? i + r : end - 1;
                tile.read(C + row * m, cost[r]);
                row_potential[r] = i + r < end ? f[row] : -infinity<Real>();
            }
            Real row_sum[ROWS] = {};
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                Real value[COLUMNS];
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) {
                    const Real e = exponent(row_potential[r], potential[k], static_cast<Real>(cost[r][k]), factor);
                    value[k] = exp2_flushed(e);
                    row_sum[r] += value[k];
                    column_sum[k] += value[k];
                }
                if constexpr (STORE) {
                    if (i + r < end) tile.write(P + (i + r) * m, value);
                }
            }
            const Real total = sum_rows(row_sum, lane);
            const int64 row = i + lane / (warp_size / ROWS);
            if (lane % (warp_size / ROWS) == 0 && row < end) row_parts[number * n + row] = total;
        }
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            if (tile.has(k)) column_parts[slice * m + tile.column(k)] = column_sum[k];
        }
    }
}

// out_i = log sum_j exp((g_j - C_ij) / reg). A block takes ROWS rows at a time, its warps tiles of columns in turn.
template <typename Cost, typename Real, int WIDTH, int COLUMNS, int ROWS>
__global__ void gibbs_lse_rows(const Cost* __restrict__ C, const Real* __restrict__ g, double scale,
                               Real* __restrict__ out, int64 n, int64 m) {
    __shared__ Real references[ROWS][max_warps];
    __shared__ Real sums[ROWS][max_warps];
    const int lane = threadIdx.x % warp_size;
    const int warp = threadIdx.x / warp_size;
    const int warps = blockDim.x / warp_size;
    const Real factor = static_cast<Real>(scale);
    const int64 tile_size = Tile<WIDTH, COLUMNS>::size;
    for (int64 i = static_cast<int64>(blockIdx.x) * ROWS; i < n; i += static_cast<int64>(gridDim.x) * ROWS) {
        LogSum<Real> total[ROWS];
        for (int64 first = warp * tile_size; first < m; first += warps * tile_size) {
            const Tile<WIDTH, COLUMNS> tile{first, m, lane};
            Cost cost[ROWS][COLUMNS];
            Real potential[COLUMNS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) tile.read(C + (i + r < n ? i + r : n - 1) * m, cost[r]);
            tile.gather(g, potential, -infinity<Real>());
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                Real e[COLUMNS];
                Real largest = Format<Real>::lowest;
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) {
                    e[k] = mul_rn(sub_rn(potential[k], static_cast<Real>(cost[r][k])), factor);
                    largest = fmax(largest, e[k]);
                }
                if (any_lane(largest > total[r].reference + Format<Real>::slack)) {
                    total[r].move(fmax(largest, total[r].reference));
                }
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) total[r].sum += exp2_flushed(e[k] - total[r].reference);
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const Real highest = warp_max(total[r].reference);
            total[r].move(highest);
            const Real sum = lane_sum(total[r].sum, warp_size);
            if (lane == 0) {
                references[r][warp] = highest;
                sums[r][warp] = sum;
            }
        }
        block_sync();
        if (threadIdx.x < ROWS && i + threadIdx.x < n) {
            LogSum<Real> all;
            for (int w = 0; w < warps; ++w) all.join(references[threadIdx.x][w], sums[threadIdx.x][w]);
            out[i + threadIdx.x] = all.log();
        }
        block_sync();
    }
}

// The log-sums of each column over each slice, reference and sum, to parts (2, slices, m).
template <typename Cost, typename Real, int WIDTH, int COLUMNS, int ROWS>
__global__ void gibbs_lse_columns(const Cost* __restrict__ C, const Real* __restrict__ f, double scale,
                                  Real* __restrict__ parts, int64 n, int64 m, int64 slices) {
    const int lane = threadIdx.x % warp_size;
    const Real factor = static_cast<Real>(scale);
    const Units units(m, Tile<WIDTH, COLUMNS>::size, slices);
    for (int64 unit = units.first; unit < units.count; unit += units.step) {
        const int64 slice = unit / units.tiles;
        const Tile<WIDTH, COLUMNS> tile{unit % units.tiles * Tile<WIDTH, COLUMNS>::size, m, lane};
        const int64 end = n * (slice + 1) / slices;
        LogSum<Real> total[COLUMNS];
        for (int64 i = n * slice / slices; i < end; i += ROWS) {
            Cost cost[ROWS][COLUMNS];
            Real potential[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int64 row = i + r < end ? i + r : end - 1;
                tile.read(C + row * m, cost[r]);
                potential[r] = i + r < end ? f[row] : -infinity<Real>();
            }
#pragma unroll
            for (int k = 0; k < COLUMNS; ++k) {
                Real e[ROWS];
                Real largest = Format<Real>::lowest;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    e[r] = mul_rn(sub_rn(potential[r], static_cast<Real>(cost[r][k])), factor);
                    largest = fmax(largest, e[r]);
                }
                if (any_lane(largest > total[k].reference + Format<Real>::slack)) {
                    total[k].move(fmax(largest, total[k].reference));
                }
#pragma unroll
                for (int r = 0; r < ROWS; ++r) total[k].sum += exp2_flushed(e[r] - total[k].reference);
            }
        }
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            if (!tile.has(k)) continue;
            parts[slice * m + tile.column(k)] = total[k].reference;
            parts[(slices + slice) * m + tile.column(k)] = total[k].sum;
        }
    }
}

// How many entries with exponent >= min(row_floor_i, column_floor_j) each row has in each tile, row_parts (tiles, n),
// and each column in each slice, column_counts (slices, m).
template <typename Cost, typename Real, int WIDTH, int COLUMNS, int ROWS>
__global__ void gibbs_count(const Cost* __restrict__ C, const Real* __restrict__ f, const Real* __restrict__ g,
                            double inv_reg, const Real* __restrict__ row_floor,
                            const Real* __restrict__ column_floor, int* __restrict__ row_parts,
                            int64* __restrict__ column_counts, int64 n, int64 m, int64 slices) {
    const int lane = threadIdx.x % warp_size;
    const Real factor = static_cast<Real>(inv_reg);
    const Units units(m, Tile<WIDTH, COLUMNS>::size, slices);
    for (int64 unit = units.first; unit < units.count; unit += units.step) {
        const int64 slice = unit / units.tiles;
        const int64 number = unit % units.tiles;
        const Tile<WIDTH, COLUMNS> tile{number * Tile<WIDTH, COLUMNS>::size, m, lane};
        const int64 end = n * (slice + 1) / slices;
        Real potential[COLUMNS];
        Real floor[COLUMNS];
        tile.gather(g, potential, Real(0));
        tile.gather(column_floor, floor, Real(0));
        int column_count[COLUMNS] = {};
        for (int64 i = n * slice / slices; i < end; i += ROWS) {
            Cost cost[ROWS][COLUMNS];
            Real row_potential[ROWS];
            Real limit[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int64 row = i + r < end ? i + r : end - 1;
                tile.read(C + row * m, cost[r]);
                row_potential[r] = f[row];
                limit[r] = row_floor[row];
            }
            int row_count[ROWS] = {};
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) {
                    const Real e = exponent(row_potential[r], potential[k], static_cast<Real>(cost[r][k]), factor);
                    const int kept = (e >= limit[r] || e >= floor[k]) && tile.has(k) && i + r < end;
                    row_count[r] += kept;
                    column_count[k] += kept;
                }
            }
            const int total = sum_rows(row_count, lane);
            const int64 row = i + lane / (warp_size / ROWS);
            if (lane % (warp_size / ROWS) == 0 && row < end) row_parts[number * n + row] = total;
        }
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            if (tile.has(k)) column_counts[slice * m + tile.column(k)] = column_count[k];
        }
    }
}

// CSR of the kept entries. A warp takes ROWS rows at a time and walks along their columns, COLUMNS per lane; the kept
// lanes before one of a ballot say where its entry goes.
template <typename Cost, typename Real, int COLUMNS, int ROWS>
__global__ void gibbs_fill(const Cost* __restrict__ C, const Real* __restrict__ f, const Real* __restrict__ g,
                           double inv_reg, const Real* __restrict__ row_floor, const Real* __restrict__ column_floor,
                           const int64* __restrict__ indptr, int* __restrict__ indices, Real* __restrict__ data,
                           int64 n, int64 m) {
    const int lane = threadIdx.x % warp_size;
    const unsigned before = (1u << lane) - 1u;
    const Real factor = static_cast<Real>(inv_reg);
    const int64 warps = blockDim.x / warp_size;
    const int64 step = gridDim.x * warps * ROWS;
    for (int64 i = (blockIdx.x * warps + threadIdx.x / warp_size) * ROWS; i < n; i += step) {
        Real row_potential[ROWS];
        Real limit[ROWS];
        int64 place[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const int64 row = i + r < n ? i + r : n - 1;
            row_potential[r] = f[row];
            limit[r] = row_floor[row];
            place[r] = indptr[row];
        }
        for (int64 first = 0; first < m; first += COLUMNS * warp_size) {
            const Tile<1, COLUMNS> tile{first, m, lane};
            Cost cost[ROWS][COLUMNS];
            Real potential[COLUMNS];
            Real floor[COLUMNS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) tile.read(C + (i + r < n ? i + r : n - 1) * m, cost[r]);
            tile.gather(g, potential, Real(0));
            tile.gather(column_floor, floor, Real(0));
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) {
                    const Real e = exponent(row_potential[r], potential[k], static_cast<Real>(cost[r][k]), factor);
                    const bool kept = (e >= limit[r] || e >= floor[k]) && tile.has(k) && i + r < n;
                    const unsigned lanes = ballot(kept);
                    if (kept) {
                        const int64 p = place[r] + popcount(lanes & before);
                        indices[p] = static_cast<int>(tile.column(k));
                        data[p] = exp2_flushed(e * Real(log2_e));
                    }
                    place[r] += popcount(lanes);
                }
            }
        }
    }
}

// CSC of the kept entries: a lane has one column and a slice of rows, whose entries begin at starts[slice, column].
template <typename Cost, typename Real, int ROWS>
__global__ void gibbs_fill_columns(const Cost* __restrict__ C, const Real* __restrict__ f,
                                   const Real* __restrict__ g, double inv_reg, const Real* __restrict__ row_floor,
                                   const Real* __restrict__ column_floor, int64* __restrict__ starts,
                                   int* __restrict__ indices, Real* __restrict__ data, int64 n, int64 m,
                                   int64 slices) {
    const int lane = threadIdx.x % warp_size;
    const Real factor = static_cast<Real>(inv_reg);
    const Units units(m, warp_size, slices);
    for (int64 unit = units.first; unit < units.count; unit += units.step) {
        const int64 slice = unit / units.tiles;
        const int64 j = unit % units.tiles * warp_size + lane;
        if (j >= m) continue;
        const int64 end = n * (slice + 1) / slices;
        const Real potential = g[j];
        const Real floor = column_floor[j];
        int64 place = starts[slice * m + j];
        for (int64 i = n * slice / slices; i < end; i += ROWS) {
            Real e[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int64 row = i + r < end ? i + r : end - 1;
                e[r] = exponent(f[row], potential, static_cast<Real>(C[row * m + j]), factor);
            }
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                if (i + r < end && (e[r] >= row_floor[i + r] || e[r] >= floor)) {
                    indices[place] = static_cast<int>(i + r);
                    data[place] = exp2_flushed(e[r] * Real(log2_e));
                    ++place;
                }
            }
        }
        starts[slice * m + j] = place;
    }
}

}  // namespace numopt
