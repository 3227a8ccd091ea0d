// Matrix of a 5- or 7-point stencil with constant coefficients: sweeps and product.
//
// stencil_sweeps: one cooperative launch for all sweeps. The points of a level may be taken at once: in the order of the
// points these are the diagonals x + y + z = level, which keep that order exactly; of two colours they are the colours.
// A team of warps goes through the levels of a sweep, one between two barriers. In the order of the points the next
// sweep follows two diagonals behind, with a team of its own: what it changes is not read by the one before any more,
// and what it reads that one has left behind. So the barriers of one sweep serve for as many as there are teams.
// With one block the barrier is that of the block. x and delta are written and read by all threads; no shared memory.
// stencil_product: any grid, any block.
// Deterministic: the norms depend on the number of teams and warps, everything else on nothing.
#include "complex.cuh"
#include "sweeps.cuh"

namespace numopt {

constexpr int stencil_threads = 512;

template <typename Scalar, typename Index>
struct Grid {
    Scalar c[7];
    Index nz, ny, nx;

    __device__ Grid(const Scalar* coefficients, int64 nz, int64 ny, int64 nx)
        : nz(static_cast<Index>(nz)), ny(static_cast<Index>(ny)), nx(static_cast<Index>(nx)) {
        for (int p = 0; p < 7; ++p) c[p] = coefficients[p];
    }

    // Call body(coefficient, offset, above) for the neighbours inside the grid; `above` is 1 for those after the point.
    template <typename Body>
    __device__ void around(Index z, Index y, Index x, Body&& body) const {
        if (x > 0) body(c[1], Index(-1), 0);
        if (x + 1 < nx) body(c[2], Index(1), 1);
        if (y > 0) body(c[3], -nx, 0);
        if (y + 1 < ny) body(c[4], nx, 1);
        if (z > 0) body(c[5], -nx * ny, 0);
        if (z + 1 < nz) body(c[6], nx * ny, 1);
    }
};

// What one team does to the points of one level.
template <typename Scalar, typename Index>
struct Visit {
    const Grid<Scalar, Index>& grid;
    const Scalar* b;
    Scalar weight;
    Scalar* x;
    Scalar* delta;

    // Relax a point; `visited` has bit 0 set if the neighbours before it have been visited, bit 1 for those after it.
    __device__ double point(Index z, Index y, Index column, int visited) const {
        const Index i = (z * grid.ny + y) * grid.nx + column;
        Scalar step = b[i] - grid.c[0] * x[i];
        Scalar lag = Scalar(0);
        grid.around(z, y, column, [&](Scalar coefficient, Index offset, int above) {
            step -= coefficient * x[i + offset];
            if (visited >> above & 1) lag += coefficient * delta[i + offset];
        });
        const Scalar change = weight * step;
        delta[i] = change;
        x[i] += change;
        return norm2(step + lag);
    }

    // The points of a diagonal, in the order of z and y; the places where z and y leave no x are passed over.
    __device__ double diagonal(Index level, Index rank, Index size, int visited) const {
        const Index z_first = level > grid.nx + grid.ny - 2 ? level - (grid.nx + grid.ny - 2) : 0;
        const Index z_last = level < grid.nz - 1 ? level : grid.nz - 1;
        const Index y_first = level > grid.nx + grid.nz - 2 ? level - (grid.nx + grid.nz - 2) : 0;
        const Index y_last = level < grid.ny - 1 ? level : grid.ny - 1;
        const Index width = y_last - y_first + 1;
        double norm = 0;
        for (Index place = rank; place < (z_last - z_first + 1) * width; place += size) {
            const Index z = z_first + place / width;
            const Index y = y_first + place % width;
            const Index column = level - z - y;
            if (column >= 0 && column < grid.nx) norm += point(z, y, column, visited);
        }
        return norm;
    }

    // The points of a colour.
    __device__ double colour(Index parity, Index rank, Index size, int visited) const {
        const Index half = (grid.nx + 1) / 2;
        double norm = 0;
        for (Index place = rank; place < grid.nz * grid.ny * half; place += size) {
            const Index line = place / half;
            const Index z = line / grid.ny;
            const Index y = line % grid.ny;
            const Index column = place % half * 2 + (z + y + parity) % 2;
            if (column < grid.nx) norm += point(z, y, column, visited);
        }
        return norm;
    }
};

template <typename Scalar, typename Index>
__global__ void __launch_bounds__(stencil_threads, 1)
    stencil_sweeps(const Scalar* __restrict__ coefficients, int64 nz, int64 ny, int64 nx, int64 colours,
                   const Scalar* __restrict__ b, double omega, int64 order, Scalar* x, Scalar* delta, double* norms,
                   int64 n_sweeps, int64 team_warps, double* partial, unsigned long long* arrived) {
    const Grid<Scalar, Index> grid(coefficients, nz, ny, nx);
    const Scalar weight = static_cast<RealOf<Scalar>>(omega) * reciprocal(grid.c[0]);
    const Visit<Scalar, Index> visit{grid, b, weight, x, delta};
    unsigned long long turn = 0;

    const int warps = static_cast<int>(gridDim.x * blockDim.x / warp_size);
    const int warp = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / warp_size);
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
    const int own_warps = team_warps < warps ? static_cast<int>(team_warps) : warps;
    // A symmetric sweep ends where it began, and colours have no diagonals: no sweep can follow another.
    const int teams = colours == 1 && order != 0 ? warps / own_warps : 1;
    const int team = warp / own_warps;
    const Index rank = static_cast<Index>(warp % own_warps * warp_size + lane);
    const Index size = static_cast<Index>(own_warps * warp_size);

    const int64 levels = colours == 1 ? nz + ny + nx - 2 : 2;
    const int64 length = order == 0 ? 2 * levels : levels;
    const int64 period = length > 2 * teams ? length : 2 * teams;
    const int64 final = n_sweeps - 1;
    const int64 steps = final / teams * period + 2 * (final % teams) + length;
    // Where the team is in its sweep, negative before its first.
    int64 position = -2 * static_cast<int64>(team);
    int64 k = team;
    double norm = 0;
    for (int64 step = 0; step < steps; ++step) {
        const bool busy = team < teams && k < n_sweeps && position >= 0 && position < length;
        double* const sums = partial + k / teams % 2 * warps;
        if (busy) {
            const bool first_half = position < levels;
            const bool forward = order > 0 || (order == 0 && first_half);
            const int64 turned = first_half ? position : position - levels;
            const Index level = static_cast<Index>(forward ? turned : levels - 1 - turned);
            double sum;
            if (colours == 1) {
                sum = visit.diagonal(level, rank, size, forward ? 1 : 2);
            } else {
                sum = visit.colour(level, rank, size, turned == 0 ? 0 : 3);
            }
            if (first_half) norm += sum;
            if (position == levels - 1) {
                norm = lane_sum(norm, warp_size);
                if (lane == 0) sums[warp] = norm;
                norm = 0;
            }
        }
        sweep_sync(arrived, turn);
        // Two sets of sums in turn: nobody writes to this one before the sweep after the next.
        if (busy && position == levels - 1 && warp % own_warps == 0) {
            double total = 0;
            for (int w = lane; w < own_warps; w += warp_size) total += sums[warp + w];
            total = lane_sum(total, warp_size);
            if (lane == 0) norms[k] = total;
        }
        if (++position == period) {
            position = 0;
            k += teams;
        }
    }
}

template <typename Scalar, typename Index>
__global__ void stencil_product(const Scalar* __restrict__ coefficients, int64 nz, int64 ny, int64 nx,
                                const Scalar* __restrict__ x, Scalar* __restrict__ y) {
    const Grid<Scalar, Index> grid(coefficients, nz, ny, nx);
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
    for (int64 place = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; place < nz * ny * nx; place += step) {
        const Index i = static_cast<Index>(place);
        const Index line = i / grid.nx;
        Scalar sum = grid.c[0] * x[i];
        grid.around(line / grid.ny, line % grid.ny, i % grid.nx,
                    [&](Scalar coefficient, Index offset, int) { sum += coefficient * x[i + offset]; });
        y[i] = sum;
    }
}

}  // namespace numopt
