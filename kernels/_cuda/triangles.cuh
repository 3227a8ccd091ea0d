// Strict triangles of a matrix as CSR, and visits to their rows class by class.
//
// As in sweeps.cuh rows of a class do not touch one another, each is an item of LANES neighbouring lanes, and without
// classes, in a launch of one block, the rows go one by one.
#pragma once

#include "complex.cuh"
#include "sweeps.cuh"

namespace numopt {

template <typename Scalar, typename Index>
struct Triangle {
    const Scalar* data;
    const Index* indices;
    const Index* indptr;

    // The product of row i and `x`, the same bits in each lane of the group.
    template <int LANES>
    __device__ Scalar row(Index i, bool present, const Scalar* x) const {
        Scalar sum = Scalar(0);
        if (present) {
            const Index last = indptr[i + 1];
#pragma unroll 4
            for (Index q = indptr[i] + static_cast<int>(threadIdx.x) % LANES; q < last; q += LANES) {
                sum += data[q] * x[indices[q]];
            }
        }
        return LANES > 1 ? lane_sum(sum, LANES) : sum;
    }
};

struct Classes {
    const int64* offsets;  // count + 1 of them; not read if count is 0
    int64 count;
    int64 n;
    unsigned long long* arrived;
};

// Call body(row, present) for `size` rows from `first` on; lanes of a busy warp without a row get present = false.
template <int LANES, typename Item, typename Body>
__device__ inline void visit_rows(Item first, Item size, Body&& body) {
    const Item step = static_cast<Item>(gridDim.x * blockDim.x / LANES);
    const Item group = static_cast<Item>((blockIdx.x * blockDim.x + threadIdx.x) / LANES);
    // The first group of the warp: as long as it has a row, all lanes go on.
    const Item leader = group - group % (warp_size / LANES);
    // Counted down: the number of a row plus the stride may be more than an Item holds.
    for (Item left = size - leader, at = group; left > 0; left -= step, at += step) {
        body(first + at, at < size);
        if (left <= step) break;
    }
}

// Call body(row, present) for every row, with a barrier of the launch between classes and none after the last.
//
// None is needed where the next visit begins with the class this one ended with and goes back: its rows have no
// neighbours in the triangle of that visit, and each finds what its own lanes wrote.
template <int LANES, typename Item, typename Body>
__device__ inline void visit_classes(const Classes& classes, bool forward, unsigned long long& turn, Body&& body) {
    const Item count = static_cast<Item>(classes.count > 0 ? classes.count : classes.n);
    for (Item visited = 0; visited < count; ++visited) {
        if (visited > 0) sweep_sync(classes.arrived, turn);
        const Item c = forward ? visited : count - 1 - visited;
        const Item first = classes.count > 0 ? static_cast<Item>(classes.offsets[c]) : c;
        const Item size = classes.count > 0 ? static_cast<Item>(classes.offsets[c + 1]) - first : 1;
        visit_rows<LANES>(first, size, body);
    }
}

}  // namespace numopt
