// Kernels with one planted fault each: what the emulator and the sanitizers are there to find.
#include "common.cuh"

namespace numopt {

// No barrier between writing and reading shared memory.
__global__ void missing_barrier(const double* values, double* sum) {
    __shared__ double shared[1024];
    shared[threadIdx.x] = values[threadIdx.x];
    if (threadIdx.x == 0) {
        double total = 0;
        for (unsigned t = 0; t < blockDim.x; ++t) total += shared[t];
        sum[0] = total;
    }
}

// The last thread writes one element past the end.
__global__ void past_the_end(double* values, int64 size) {
    const int64 i = threadIdx.x;
    if (i <= size) values[i] = 1;
}

// Half of the block never comes to the barrier.
__global__ void half_a_barrier(double* values) {
    if (threadIdx.x < blockDim.x / 2) block_sync();
    values[threadIdx.x] = 1;
}

}  // namespace numopt
