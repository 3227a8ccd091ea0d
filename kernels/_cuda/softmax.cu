// Softmax of rows of margins, and products with its curvature.
//
// Any grid; a group of `lanes` threads of a warp, a power of two, for each row. Exponentials have arguments <= 0 only.
// No shared memory, deterministic: bits depend on `lanes` only.
#include "common.cuh"

namespace numopt {

// The largest number of groups of `lanes` neighbouring lanes, NaN left out.
template <typename T>
__device__ inline T lane_max(T value, int lanes) {
    for (int mask = lanes / 2; mask > 0; mask /= 2) value = fmax(value, shuffle_xor(value, mask));
    return value;
}

template <typename T>
__global__ void softmax_terms(const T* margins, const int64* labels, T* loss, T* probabilities, int64 n, int64 k,
                              int64 lanes) {
    const int width = static_cast<int>(lanes);
    const int64 together = blockDim.x / width;
    const int64 lane = threadIdx.x % width;
    // The same number of turns for all lanes of a warp, which meet in the sums; those past the end repeat the last row.
    for (int64 base = blockIdx.x * together; base < n; base += gridDim.x * together) {
        const int64 i = base + threadIdx.x / width;
        const bool exists = i < n;
        const T* const row = margins + (exists ? i : n - 1) * k;
        T largest = row[0];
        for (int64 c = lane; c < k; c += width) largest = fmax(largest, row[c]);
        largest = lane_max(largest, width);
        T total = T(0);
        for (int64 c = lane; c < k; c += width) {
            const T value = exp(row[c] - largest);
            total += value;
            if (exists) probabilities[i * k + c] = value;
        }
        total = lane_sum(total, width);
        const T scale = T(1) / total;
        if (exists) {
            for (int64 c = lane; c < k; c += width) probabilities[i * k + c] *= scale;
            if (lane == 0) loss[i] = log(total) - (row[labels[i]] - largest);
        }
    }
}

template <typename T>
__global__ void softmax_product(const T* probabilities, const T* weights, const T* V, T* out, int64 n, int64 k,
                                int64 weighted, int64 lanes) {
    const int width = static_cast<int>(lanes);
    const int64 together = blockDim.x / width;
    const int64 lane = threadIdx.x % width;
    for (int64 base = blockIdx.x * together; base < n; base += gridDim.x * together) {
        const int64 i = base + threadIdx.x / width;
        const bool exists = i < n;
        T mean = T(0);
        if (exists) {
            for (int64 c = lane; c < k; c += width) mean += probabilities[i * k + c] * V[i * k + c];
        }
        mean = lane_sum(mean, width);
        if (exists) {
            const T weight = weighted ? weights[i] : T(1);
            for (int64 c = lane; c < k; c += width) {
                out[i * k + c] = weight * (probabilities[i * k + c] * (V[i * k + c] - mean));
            }
        }
    }
}

}  // namespace numopt
