#include "../../include/portable.cuh"

// The last thread of a grid that is larger than the array writes one element too far.
KERNEL(broken_off_by_one, float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) {
        x[i] = 1.0f;
    }
}
