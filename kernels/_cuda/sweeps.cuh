// Sweeps over the rows, or blocks of rows, of a matrix: class after class in one cooperative launch.
//
// Rows of a class do not touch one another. Each is one item of LANES neighbouring lanes (a power of two up to 32), and
// all blocks wait for one another after each class. Without classes the rows go one by one: then the launch has one
// block, and so it may where there is little to do, since the barrier of a block costs a fraction of that of the grid.
// Deterministic: the sums of the norms depend on grid and block size, everything else on nothing.
#pragma once

#include "common.cuh"

namespace numopt {

// What a sweeping kernel is told, and its scratch: partial (2, blocks) and `arrived`, zero at first.
struct Sweeps {
    const int64* classes;  // n_classes + 1 offsets; not read if n_classes is 0
    int64 n_classes;
    int64 n;  // rows or blocks of rows
    int64 order;
    int64 n_sweeps;
    double* norms;
    double* partial;
    unsigned long long* arrived;
};

// A barrier for all threads of the launch.
__device__ inline void sweep_sync(unsigned long long* arrived, unsigned long long& turn) {
    if (gridDim.x == 1) {
        block_sync();
    } else {
        grid_sync(arrived, turn);
    }
}

// Write the sum over the threads of the block where block 0 finds it after the next barrier.
__device__ inline void write_partial(double value, double* partial, double* shared) {
    const double total = block_sum(value, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
    block_sync();
}

// The sum of what all blocks wrote, the same bits in every thread of the block.
__device__ inline double sum_partials(const double* partial, double* shared) {
    double sum = 0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x) sum += partial[block];
    const double total = block_sum(sum, shared);
    block_sync();
    return total;
}

// Call body(item, present, forward) for every item of every class of every sweep; norms[k] is the sum of what it
// returns in the first half of sweep k.
//
// Lanes of a busy warp that have no item get one with present = false, so that the body may use shuffles. `Item` is the
// type of the numbers of items: int where they fit. `shared` holds max_warps doubles in shared memory.
template <int LANES, typename Item, typename Body>
__device__ inline void run_sweeps(const Sweeps& sweeps, double* shared, Body&& body) {
    unsigned long long turn = 0;
    const Item count = static_cast<Item>(sweeps.n_classes > 0 ? sweeps.n_classes : sweeps.n);
    const Item step = static_cast<Item>(gridDim.x * blockDim.x / LANES);
    const Item group = static_cast<Item>((blockIdx.x * blockDim.x + threadIdx.x) / LANES);
    // The first group of the warp: as long as it has an item, all lanes go on.
    const Item leader = group - group % (warp_size / LANES);
    for (int64 k = 0; k < sweeps.n_sweeps; ++k) {
        double* const partial = sweeps.partial + (k % 2) * gridDim.x;
        for (int half = 0; half < (sweeps.order == 0 ? 2 : 1); ++half) {
            const bool forward = sweeps.order > 0 || (sweeps.order == 0 && half == 0);
            double total = 0;
            for (Item visited = 0; visited < count; ++visited) {
                const Item c = forward ? visited : count - 1 - visited;
                const Item first = sweeps.n_classes > 0 ? static_cast<Item>(sweeps.classes[c]) : c;
                const Item size = sweeps.n_classes > 0 ? static_cast<Item>(sweeps.classes[c + 1]) - first : 1;
                // Counted down: the number of an item plus the stride may be more than an Item holds.
                for (Item left = size - leader, at = group; left > 0; left -= step, at += step) {
                    total += body(first + at, at < size, forward);
                    if (left <= step) break;
                }
                if (half == 0 && visited == count - 1) write_partial(total, partial, shared);
                sweep_sync(sweeps.arrived, turn);
            }
            // Two sets of partial sums in turn: the other blocks may be a sweep ahead, but no more.
            if (half == 0 && blockIdx.x == 0) {
                const double norm = sum_partials(partial, shared);
                if (threadIdx.x == 0) sweeps.norms[k] = norm;
            }
        }
    }
}

}  // namespace numopt
