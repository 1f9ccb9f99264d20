// Rotary position embedding in place (RoFormer, arXiv 2104.09864, eq. 34), rotate-half layout. x [T, heads·D], rows `stride` apart,
// tables [P, R/2].
//
//   with i < R/2, a = x_i, b = x_{i+R/2}, (c, s) = (cosine, sine)[position, i] of every head; columns from R on stay:
//   x_i = a·c − b·s,  x_{i+R/2} = b·c + a·s;  the inverse turns by −angle and is the backward.
//
// Launch: one block a row, a thread for each 16-byte access to the lower halves, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"

template <int N, typename T>
__device__ void rope_row(T* row, const float* cosine, const float* sine, int heads, int D, int R, float direction) {
    int half = R / 2, packs = half / N;
    for (int p = threadIdx.x; p < heads * packs; p += blockDim.x) {
        int head = p / packs, i = p % packs * N;
        T* low = row + head * D + i;
        float a[N], b[N];
        load<N>(low, a);
        load<N>(low + half, b);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float c = cosine[i + k], s = sine[i + k] * direction;
            float turned = a[k] * c - b[k] * s;
            b[k] = b[k] * c + a[k] * s;
            a[k] = turned;
        }
        store<N>(low, a);
        store<N>(low + half, b);
    }
}

template <typename T>
__device__ void rope(T* x, const int* positions, const float* cosine, const float* sine, int heads, int D, int R, int stride,
                     float direction) {
    constexpr int W = kWide<T>;
    T* row = x + (long long)blockIdx.x * stride;
    long long angles = (long long)positions[blockIdx.x] * (R / 2);
    if (R / 2 % W == 0 && D % W == 0 && stride % W == 0 && aligned16(x)) {
        rope_row<W>(row, cosine + angles, sine + angles, heads, D, R, direction);
    } else {
        rope_row<1>(row, cosine + angles, sine + angles, heads, D, R, direction);
    }
}

KERNEL(rope_f32, float* x, const int* positions, const float* cosine, const float* sine, int heads, int D, int R, int stride,
       float direction) {
    rope(x, positions, cosine, sine, heads, D, R, stride, direction);
}
KERNEL(rope_bf16, bf16* x, const int* positions, const float* cosine, const float* sine, int heads, int D, int R, int stride,
       float direction) {
    rope(x, positions, cosine, sine, heads, D, R, stride, direction);
}
