// The Fisher sinks of fisher.cu in Float32, by fused multiply-adds. Same sums, same layout of partials.
//
// Launch: grid (⌈in / 64⌉, ⌈out / 64⌉), 256 threads: 16 × 16 threads of 4 × 4 elements.
#include "include/pack.cuh"
#include "include/reduce.cuh"

constexpr int kTile = 64, kSlab = 16;

// G_s of this block's tile for every sequence in turn, then finish(s, G_s); g[i][j] is row 4·(thread / 16) + i, column 4·(thread % 16) + j.
template <typename Finish>
__device__ inline void for_each_gradient_f32(const float* x, const float* dY, const int* offsets, int sequences, int in, int out,
                                             int xStride, int dYStride, Finish finish) {
    __align__(16) __shared__ float left[kSlab][kTile], right[kSlab][kTile];
    int o = blockIdx.y * kTile, c = blockIdx.x * kTile, row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    for (int s = 0; s < sequences; s++) {
        float g[4][4] = {};
        int end = offsets[s + 1];
        for (int first = offsets[s]; first < end; first += kSlab) {
            __syncthreads();
            for (int i = threadIdx.x; i < kSlab * kTile; i += blockDim.x) {
                int t = first + i / kTile, k = i % kTile;
                left[i / kTile][k] = t < end && o + k < out ? dY[(long long)t * dYStride + o + k] : 0.0f;
                right[i / kTile][k] = t < end && c + k < in ? x[(long long)t * xStride + c + k] : 0.0f;
            }
            __syncthreads();
#pragma unroll
            for (int t = 0; t < kSlab; t++) {
                float a[4], b[4];
                load<4>(&left[t][row], a);
                load<4>(&right[t][column], b);
#pragma unroll
                for (int i = 0; i < 4; i++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        g[i][j] += a[i] * b[j];
                    }
                }
            }
        }
        finish(s, g);
    }
}

KERNEL_BOUNDED(256, 2, fisher_square_f32, const float* x, const float* dY, const int* offsets, int sequences, float* sum, int in, int out,
               int xStride, int dYStride) {
    float squares[4][4] = {};
    for_each_gradient_f32(x, dY, offsets, sequences, in, out, xStride, dYStride, [&](int, const float(&g)[4][4]) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                squares[i][j] += g[i][j] * g[i][j];
            }
        }
    });
    int o = blockIdx.y * kTile + threadIdx.x / 16 * 4, c = blockIdx.x * kTile + threadIdx.x % 16 * 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (o + i < out && c + j < in) {
                sum[(long long)(o + i) * in + c + j] += squares[i][j];
            }
        }
    }
}

KERNEL_BOUNDED(256, 2, fisher_project_f32, const float* x, const float* dY, const int* offsets, int sequences, const float* a,
               const float* b, float* partials, int in, int out, int xStride, int dYStride) {
    __shared__ float scratch[32];
    int o = blockIdx.y * kTile + threadIdx.x / 16 * 4, c = blockIdx.x * kTile + threadIdx.x % 16 * 4;
    float linear[4][4], quadratic[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            bool inside = o + i < out && c + j < in;
            linear[i][j] = inside ? a[(long long)(o + i) * in + c + j] : 0.0f;
            quadratic[i][j] = inside ? b[(long long)(o + i) * in + c + j] : 0.0f;
        }
    }
    int blocks = gridDim.x * gridDim.y, block = blockIdx.y * gridDim.x + blockIdx.x;
    for_each_gradient_f32(x, dY, offsets, sequences, in, out, xStride, dYStride, [&](int s, const float(&g)[4][4]) {
        float first = 0, second = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                first += linear[i][j] * g[i][j];
                second += quadratic[i][j] * g[i][j] * g[i][j];
            }
        }
        first = sum_block(first, scratch);
        second = sum_block(second, scratch);
        if (threadIdx.x == 0) {
            partials[2 * ((long long)s * blocks + block)] = first;
            partials[2 * ((long long)s * blocks + block) + 1] = second;
        }
    });
}
