// Linear systems whose graph is a forest: factors, solves, sweeps over several forests, reduction to the other nodes.
//
// One cooperative launch each, one thread per row, level by level over the distance from the root, all trees at once,
// with a barrier after each level: the work of a level is as short as it is, so that deep trees take long. A row gathers
// from its children, which are neighbours, so that no atomics are needed. Without levels one thread takes all rows in
// turn. Deterministic; no shared memory.
#include "sweeps.cuh"

namespace numopt {

constexpr int forest_threads = 256;
// On a multiprocessor; asking for no more leaves the registers that keep everything out of memory.
constexpr int forest_blocks = 4;

// Rows parents[k] < k (its own for a root); the rows levels[l] to levels[l + 1] - 1 are one level; the children of row k
// are the rows children[k] to children[n + k] - 1.
struct Trees {
    const int* parents;
    const int64* levels;
    const int* children;
    int64 n_levels;
    int64 n;
    unsigned long long* arrived;
};

__device__ inline int64 grid_thread() { return static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64 grid_threads() { return static_cast<int64>(gridDim.x) * blockDim.x; }

// Rows first to last - 1, each by a thread; then all threads wait for one another.
template <typename Body>
__device__ inline void all_rows(const Trees& trees, unsigned long long& turn, int64 first, int64 last, Body&& body) {
    const int64 step = grid_threads();
    for (int64 k = first + grid_thread(); k < last; k += step) body(k);
    sweep_sync(trees.arrived, turn);
}

// The right-hand side x of rows start to stop - 1, whose levels are `low` to `high` - 1, overwritten with the solution.
template <typename Real>
__device__ inline void solve_trees(const Trees& trees, unsigned long long& turn, const Real* links,
                                   const Real* inverse, Real* x, int64 start, int64 stop, int64 low, int64 high) {
    if (trees.n_levels == 0) {
        if (grid_thread() == 0) {
            for (int64 k = stop - 1; k >= start; --k) {
                const int64 above = trees.parents[k];
                if (above != k) x[above] = fma_rn(-links[k], x[k], x[above]);
            }
            for (int64 k = start; k < stop; ++k) {
                const int64 above = trees.parents[k];
                const Real value = x[k] * inverse[k];
                x[k] = above != k ? fma_rn(-links[k], x[above], value) : value;
            }
        }
        sweep_sync(trees.arrived, turn);
        return;
    }
    // The deepest level has no children.
    for (int64 l = high - 2; l >= low; --l) {
        all_rows(trees, turn, trees.levels[l], trees.levels[l + 1], [&](int64 k) {
            Real value = x[k];
            for (int64 c = static_cast<int64>(trees.children[trees.n + k]) - 1; c >= trees.children[k]; --c) {
                value = fma_rn(-links[c], x[c], value);
            }
            x[k] = value;
        });
    }
    for (int64 l = low; l < high; ++l) {
        all_rows(trees, turn, trees.levels[l], trees.levels[l + 1], [&](int64 k) {
            const Real value = x[k] * inverse[k];
            x[k] = l > low ? fma_rn(-links[k], x[trees.parents[k]], value) : value;
        });
    }
}

template <typename Real>
__device__ inline Real pivot_or_nan(Real pivot, Real diagonal, Real least) {
    return pivot > least * fabs(diagonal) ? pivot : static_cast<Real>(from_word(0x7fc00000u));
}

template <typename Real>
__global__ void __launch_bounds__(forest_threads, forest_blocks)
    forest_factor(const int* __restrict__ parents, const int64* __restrict__ levels, const int* __restrict__ children,
                  const Real* __restrict__ diagonal, const Real* __restrict__ entries, Real* links, Real* inverse,
                  double least, int64 n_levels, int64 n, unsigned long long* arrived) {
    const Trees trees{parents, levels, children, n_levels, n, arrived};
    const Real bound = static_cast<Real>(least);
    unsigned long long turn = 0;
    if (n_levels == 0) {
        if (grid_thread() == 0) {
            for (int64 k = 0; k < n; ++k) inverse[k] = diagonal[k];
            for (int64 k = n - 1; k >= 0; --k) {
                const Real pivot = pivot_or_nan(inverse[k], diagonal[k], bound);
                inverse[k] = Real(1) / pivot;
                links[k] = entries[k] / pivot;
                const int64 above = parents[k];
                if (above != k) inverse[above] = fma_rn(-links[k], entries[k], inverse[above]);
            }
        }
        return;
    }
    for (int64 l = n_levels - 1; l >= 0; --l) {
        all_rows(trees, turn, levels[l], levels[l + 1], [&](int64 k) {
            Real pivot = diagonal[k];
            for (int64 c = static_cast<int64>(children[n + k]) - 1; c >= children[k]; --c) {
                pivot = fma_rn(-links[c], entries[c], pivot);
            }
            pivot = pivot_or_nan(pivot, diagonal[k], bound);
            inverse[k] = Real(1) / pivot;
            links[k] = entries[k] / pivot;
        });
    }
}

// info[0] = the last row whose pivot failed, -1 if none did; one block.
template <typename Real>
__global__ void __launch_bounds__(forest_threads, forest_blocks)
    forest_failure(const Real* __restrict__ inverse, int64* info, int64 n) {
    __shared__ double shared[max_warps];
    double last = -1;
    for (int64 k = threadIdx.x; k < n; k += blockDim.x) {
        if (inverse[k] != inverse[k]) last = static_cast<double>(k);
    }
    last = warp_max(last);
    if (threadIdx.x % warp_size == 0) shared[threadIdx.x / warp_size] = last;
    block_sync();
    if (threadIdx.x == 0) {
        for (int w = 1; w < static_cast<int>(blockDim.x) / warp_size; ++w) last = fmax(last, shared[w]);
        info[0] = static_cast<int64>(last);
    }
}

template <typename Real>
__global__ void __launch_bounds__(forest_threads, forest_blocks)
    forest_solve(const int* __restrict__ parents, const int64* __restrict__ levels, const int* __restrict__ children,
                 const Real* __restrict__ links, const Real* __restrict__ inverse, Real* x, int64 n_levels, int64 n,
                 unsigned long long* arrived) {
    const Trees trees{parents, levels, children, n_levels, n, arrived};
    unsigned long long turn = 0;
    solve_trees(trees, turn, links, inverse, x, 0, n, 0, n_levels);
}

// One sweep from zero over forests whose entries are split: `l` those in the columns of earlier forests, `u` of later.
template <typename Real, typename Index>
__global__ void __launch_bounds__(forest_threads, forest_blocks)
    forest_ssor(const Real* __restrict__ ldata, const Index* __restrict__ lindices,
                const Index* __restrict__ lindptr, const Real* __restrict__ udata,
                const Index* __restrict__ uindices, const Index* __restrict__ uindptr,
                const int64* __restrict__ blocks, const int* __restrict__ parents, const int64* __restrict__ levels,
                const int* __restrict__ children, const Real* __restrict__ links, const Real* __restrict__ inverse,
                double omega, int64 symmetric, const Real* __restrict__ r, Real* z, Real* work, int64 n_blocks,
                int64 n_levels, int64 n, unsigned long long* arrived) {
    const Trees trees{parents, levels, children, n_levels, n, arrived};
    const Real weight = static_cast<Real>(omega);
    const Real kept = static_cast<Real>(2 - omega);
    unsigned long long turn = 0;
    int64 low = 0;
    for (int64 f = 0; f < n_blocks; ++f) {
        const int64 start = blocks[f];
        const int64 stop = blocks[f + 1];
        int64 high = low;
        while (high < n_levels && levels[high] < stop) ++high;
        all_rows(trees, turn, start, stop, [&](int64 k) {
            Real gap = r[k];
            for (Index p = lindptr[k]; p < lindptr[k + 1]; ++p) gap = fma_rn(-ldata[p], z[lindices[p]], gap);
            work[k] = gap;
        });
        solve_trees(trees, turn, links, inverse, work, start, stop, low, high);
        all_rows(trees, turn, start, stop, [&](int64 k) { z[k] = weight * work[k]; });
        low = high;
    }
    if (symmetric == 0) return;
    int64 high = n_levels;
    for (int64 f = n_blocks - 1; f >= 0; --f) {
        const int64 start = blocks[f];
        const int64 stop = blocks[f + 1];
        while (low > 0 && levels[low - 1] >= start) --low;
        if (uindptr[start] == uindptr[stop]) {
            all_rows(trees, turn, start, stop, [&](int64 k) { z[k] *= kept; });
        } else {
            all_rows(trees, turn, start, stop, [&](int64 k) {
                Real gap = Real(0);
                for (Index p = uindptr[k]; p < uindptr[k + 1]; ++p) gap = fma_rn(-udata[p], z[uindices[p]], gap);
                work[k] = gap;
            });
            solve_trees(trees, turn, links, inverse, work, start, stop, low, high);
            all_rows(trees, turn, start, stop, [&](int64 k) { z[k] = fma_rn(weight, work[k], kept * z[k]); });
        }
        high = low;
    }
}

// v_1 = -H_11^-1 H_12 v_2, y = (H v)_2.
template <typename Real, typename Index>
__global__ void __launch_bounds__(forest_threads, forest_blocks)
    forest_schur(const Real* __restrict__ data, const Index* __restrict__ indices, const Index* __restrict__ indptr,
                 const Real* __restrict__ tdata, const Index* __restrict__ tindices,
                 const Index* __restrict__ tindptr, const int* __restrict__ parents,
                 const int64* __restrict__ levels, const int* __restrict__ children, const Real* __restrict__ links,
                 const Real* __restrict__ inverse, Real* v, Real* __restrict__ y, int64 n_levels, int64 n,
                 int64 n_rest, unsigned long long* arrived) {
    const Trees trees{parents, levels, children, n_levels, n, arrived};
    unsigned long long turn = 0;
    all_rows(trees, turn, 0, n, [&](int64 k) {
        Real sum = Real(0);
        for (Index p = indptr[k]; p < indptr[k + 1]; ++p) sum = fma_rn(-data[p], v[indices[p]], sum);
        v[k] = sum;
    });
    solve_trees(trees, turn, links, inverse, v, 0, n, 0, n_levels);
    all_rows(trees, turn, 0, n_rest, [&](int64 i) {
        Real sum = Real(0);
        for (Index p = tindptr[i]; p < tindptr[i + 1]; ++p) sum = fma_rn(tdata[p], v[tindices[p]], sum);
        y[i] = sum;
    });
}

}  // namespace numopt
