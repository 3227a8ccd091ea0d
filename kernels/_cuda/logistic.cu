// Terms of the logistic loss for every sample; exponentials have arguments <= 0 only.
//
// Any grid and block (grid-stride loop), no shared memory, deterministic.
#include "common.cuh"

namespace numopt {

template <typename T>
__global__ void logistic_terms(const T* margins, const T* labels, T* loss, T* residual, T* weight, int64 size) {
    const int64 stride = static_cast<int64>(gridDim.x) * blockDim.x;
    for (int64 s = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; s < size; s += stride) {
        const T label = labels[s];
        const T t = label * margins[s];
        const T e = exp(-fabs(t));
        const T large = T(1) / (T(1) + e);
        const T small = e * large;
        loss[s] = (t < T(0) ? -t : T(0)) + log1p(e);
        residual[s] = -label * (t < T(0) ? large : small);
        weight[s] = label * label * small * large;
    }
}

}  // namespace numopt
