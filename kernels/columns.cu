// Column sums of dY [T, C], rows `stride` apart, whole or by sequence, and what the gradient sinks and the mean pooling make of them.
//
//   column_partials         partials[slot, c] = Σ dY[t, c] over the ≤ 128 rows of the slot's tile (ragged.cuh)
//   column_accumulate       gradient[c] += Σ_slots partials[slot, c]
//   column_square           sum[c] += Σ_s G_s[c]²                 G_s[c] = Σ partials over the slots of sequence s
//   column_project          result[s] += (Σ_c a[c]·G_s[c], Σ_c b[c]·G_s[c]²)
//   segment_mean            y[s, c] = G_s[c] / length(s)
//   segment_mean_backward   dX[t, c] += dY[s, c] / length(s), s the sequence of row t; its dY [n, C] is Float32
//
// Launch of column_partials: grid (⌈C / (32·elements in 16 bytes)⌉, slots), 256 threads; slots = T / 128 + n, with n = 1 where no offsets
// are given.
// Launch of column_accumulate and column_square: ⌈C / 256⌉ blocks of 256. Of column_project: n blocks of 256. Of segment_mean: grid
// (⌈C / 256⌉, n), 256 threads. Of segment_mean_backward: one block a row, C / 4 threads rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"
#include "include/ragged.cuh"
#include "include/reduce.cuh"

constexpr int kRows = 128;

// A warp reads 32·N neighbouring columns of a row; the 8 warps take every 8th row.
template <int N, typename T> __device__ void column_partials_tile(const T* dY, Tile tile, float* partials, int C, int stride,
                                                                     float* scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    constexpr int kBlockColumns = 32 * kWide<T>;
    int end = min(tile.end, tile.first + kRows);
    for (int column = lane * N; column < kBlockColumns; column += 32 * N) {
        int c = blockIdx.x * kBlockColumns + column;
        float sum[N] = {};
        if (c < C) {
            for (int t = tile.first + warp; t < end; t += 8) {
                float a[N];
                load<N>(dY + (long long)t * stride + c, a);
#pragma unroll
                for (int k = 0; k < N; k++) {
                    sum[k] += a[k];
                }
            }
        }
#pragma unroll
        for (int k = 0; k < N; k++) {
            scratch[warp * kBlockColumns + column + k] = sum[k];
        }
    }
    __syncthreads();
    for (int column = threadIdx.x; column < kBlockColumns; column += blockDim.x) {
        int c = blockIdx.x * kBlockColumns + column;
        if (c < C) {
            float sum = 0;
            for (int w = 0; w < 8; w++) {
                sum += scratch[w * kBlockColumns + column];
            }
            partials[(long long)blockIdx.y * C + c] = sum;
        }
    }
}

template <typename T>
__device__ void column_partials(const T* dY, const int* offsets, int sequences, float* partials, int T_, int C, int stride) {
    constexpr int W = kWide<T>;
    __shared__ float scratch[8 * 32 * W];
    int slot = blockIdx.y;
    Tile tile = offsets == nullptr ? Tile{0, 0, T_, slot * kRows} : tile_of_slot(offsets, sequences, slot, kRows);
    if (tile.empty()) {
        return;
    }
    if (C % W == 0 && stride % W == 0 && aligned16(dY)) {
        column_partials_tile<W>(dY, tile, partials, C, stride, scratch);
    } else {
        column_partials_tile<1>(dY, tile, partials, C, stride, scratch);
    }
}

KERNEL(column_partials_f32, const float* dY, const int* offsets, int sequences, float* partials, int T, int C, int stride) {
    column_partials(dY, offsets, sequences, partials, T, C, stride);
}
KERNEL(column_partials_bf16, const bf16* dY, const int* offsets, int sequences, float* partials, int T, int C, int stride) {
    column_partials(dY, offsets, sequences, partials, T, C, stride);
}

// G_s[c], adding the tiles of sequence s in order.
__device__ inline float sequence_sum(const float* partials, const int* offsets, int s, int c, int C) {
    int slot = first_slot(offsets, s, kRows), tiles = (offsets[s + 1] - offsets[s] + kRows - 1) / kRows;
    float sum = 0;
    for (int i = 0; i < tiles; i++) {
        sum += partials[(long long)(slot + i) * C + c];
    }
    return sum;
}

KERNEL(column_accumulate_f32, const float* partials, float* gradient, int T, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < C) {
        float sum = 0;
        for (int slot = 0; slot * kRows < T; slot++) {
            sum += partials[(long long)slot * C + c];
        }
        gradient[c] += sum;
    }
}

KERNEL(column_square_f32, const float* partials, const int* offsets, int sequences, float* sum, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < C) {
        float squares = 0;
        for (int s = 0; s < sequences; s++) {
            float g = sequence_sum(partials, offsets, s, c, C);
            squares += g * g;
        }
        sum[c] += squares;
    }
}

KERNEL(column_project_f32, const float* partials, const int* offsets, const float* a, const float* b, float* result, int C) {
    __shared__ float scratch[32];
    int s = blockIdx.x;
    float linear = 0, quadratic = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        float g = sequence_sum(partials, offsets, s, c, C);
        linear += a[c] * g;
        quadratic += b[c] * g * g;
    }
    linear = sum_block(linear, scratch);
    quadratic = sum_block(quadratic, scratch);
    if (threadIdx.x == 0) {
        result[2 * s] += linear;
        result[2 * s + 1] += quadratic;
    }
}

KERNEL(segment_mean_f32, const float* partials, const int* offsets, float* y, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x, s = blockIdx.y;
    if (c < C) {
        int length = offsets[s + 1] - offsets[s];
        y[(long long)s * C + c] = length == 0 ? 0.0f : sequence_sum(partials, offsets, s, c, C) / length;
    }
}

template <int N, typename T> __device__ void segment_mean_backward_row(const float* dY, float length, T* dX, int C) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float d[N], x[N];
        load<N>(dY + c, d);
        load<N>(dX + c, x);
#pragma unroll
        for (int k = 0; k < N; k++) {
            x[k] += d[k] / length;
        }
        store<N>(dX + c, x);
    }
}

template <typename T> __device__ void segment_mean_backward(const float* dY, const int* offsets, int sequences, T* dX, int C) {
    int s = sequence_of_row(offsets, sequences, blockIdx.x);
    float length = (float)(offsets[s + 1] - offsets[s]);
    const float* d = dY + (long long)s * C;
    T* row = dX + (long long)blockIdx.x * C;
    if (C % 4 == 0 && aligned16(dY, dX)) {
        segment_mean_backward_row<4>(d, length, row, C);
    } else {
        segment_mean_backward_row<1>(d, length, row, C);
    }
}

KERNEL(segment_mean_backward_f32, const float* dY, const int* offsets, int sequences, float* dX, int C) {
    segment_mean_backward(dY, offsets, sequences, dX, C);
}
KERNEL(segment_mean_backward_bf16, const float* dY, const int* offsets, int sequences, bf16* dX, int C) {
    segment_mean_backward(dY, offsets, sequences, dX, C);
}
