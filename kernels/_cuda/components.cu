// Connected components of a bipartite graph: union-find over the rows by all threads at once.
//
// Parents are never larger than their rows, so that the root of a tree is its smallest row. A root is hooked below a
// smaller one by a compare-and-swap that fails if another thread has hooked it before; which tree hangs where depends on
// the order of the threads, the roots in the end do not. One pass over the entries; any grid, blocks of whole warps.
#include "common.cuh"

namespace numopt {

// The root of a row, the rows passed moving up by one. Other threads may do the same, or hook: whatever is read or
// overwritten was an ancestor, and remains one.
template <typename Index>
__device__ inline Index find_root(Index* parents, Index row) {
    Index parent = load_relaxed(parents + row);
    while (parent != row) {
        const Index above = load_relaxed(parents + parent);
        if (above != parent) store_relaxed(parents + row, above);
        row = parent;
        parent = above;
    }
    return row;
}

// Join the trees of two rows, and return the root.
template <typename Index>
__device__ inline Index join(Index* parents, Index one, Index other) {
    while (true) {
        one = find_root(parents, one);
        other = find_root(parents, other);
        if (one == other) return one;
        const Index low = one < other ? one : other;
        const Index high = one < other ? other : one;
        if (compare_and_swap(parents + high, high, low)) return low;
    }
}

template <typename Index>
__global__ void component_start(Index* parents, int64 n) {
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        parents[i] = static_cast<Index>(i);
    }
}

// Join the rows of each column. `lanes` neighbouring lanes, a power of two, take a column at a time, each with the root
// of the first row in its hands.
template <typename Index>
__global__ void component_join(const Index* __restrict__ tindices, const int64* __restrict__ tindptr, Index* parents,
                               int64 m, int64 lanes) {
    const int64 thread = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x / lanes;
    for (int64 j = thread / lanes; j < m; j += step) {
        const int64 first = tindptr[j];
        const int64 last = tindptr[j + 1];
        int64 p = first + thread % lanes;
        if (p >= last) continue;
        Index root = find_root(parents, tindices[first]);
        for (; p < last; p += lanes) {
            const Index row = tindices[p];
            // Most rows hang at the root already, since their other columns came before.
            if (load_relaxed(parents + row) != root) root = join(parents, row, root);
        }
    }
}

// The root of a row, nothing moved up: a late store would put an ancestor in the place of a label.
template <typename Index>
__device__ inline Index settled_root(const Index* parents, Index row) {
    Index parent = load_relaxed(parents + row);
    while (parent != row) {
        row = parent;
        parent = load_relaxed(parents + row);
    }
    return row;
}

// Labels of rows and columns: the roots.
template <typename Index>
__global__ void component_labels(const Index* __restrict__ tindices, const int64* __restrict__ tindptr, Index* parents,
                                 Index* __restrict__ col_labels, int64 n, int64 m) {
    const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
    for (int64 k = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; k < n + m; k += step) {
        if (k < n) {
            store_relaxed(parents + k, settled_root(parents, static_cast<Index>(k)));
        } else {
            const int64 first = tindptr[k - n];
            const bool empty = first == tindptr[k - n + 1];
            col_labels[k - n] = empty ? static_cast<Index>(k) : settled_root(parents, tindices[first]);
        }
    }
}

}  // namespace numopt
