// The kernels of lora.cu for Float32 storage: the same results in Float32 arithmetic.
//
// Every one is a product of a tile of 32 × 64, 32 terms of the sum at a time: a thread has 2 × 4 results.
//
// Launch, 256 threads each: lora_down grid (⌈T / 32⌉, ⌈r / 64⌉); lora_down_gradient grid (⌈in / 64⌉, ⌈r / 32⌉, splits of `rows` rows);
// lora_down_input grid (⌈T / 32⌉, ⌈in / 64⌉).
#include "include/dropout.cuh"

constexpr int kRows = 32, kColumns = 64, kDepth = 32, kThreads = 256;

struct Tiles {
    float left[kDepth][kRows + 1];
    float right[kDepth][kColumns + 1];
};

// Four elements; those past `valid` are 0. `wide` promises that 0 or at least 4 are valid, at an address that is a multiple of 16.
__device__ inline void load_four(float (&x)[4], const float* source, int valid, bool wide) {
    if (wide && valid > 0) {
        load<4>(source, x);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[i] = i < valid ? source[i] : 0.0f;
        }
    }
}

__device__ inline void drop_four(float (&x)[4], const Dropout& dropout, unsigned int rowKey, int column) {
    bool kept[4];
    dropout.keep(rowKey, column, kept);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = kept[i] ? x[i] : 0.0f;
    }
}

// Result [j][k] of a thread is that of row row(j), column column() + k of the tile.
__device__ inline int tile_row(int j) { return threadIdx.x / 16 * 2 + j; }
__device__ inline int tile_column() { return threadIdx.x % 16 * 4; }

__device__ inline void multiply(float (&sum)[2][4], const Tiles& tiles) {
#pragma unroll 8
    for (int k = 0; k < kDepth; k++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            float a = tiles.left[k][tile_row(j)];
#pragma unroll
            for (int n = 0; n < 4; n++) {
                sum[j][n] += a * tiles.right[k][tile_column() + n];
            }
        }
    }
}

// What of a tile lies within y [rows, columns].
__device__ inline void store_scaled(float* y, const float (&sum)[2][4], float factor, int firstRow, int first, int rows, int columns) {
#pragma unroll
    for (int j = 0; j < 2; j++) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
            int row = firstRow + tile_row(j), column = first + tile_column() + n;
            if (row < rows && column < columns) {
                y[(long long)row * columns + column] = sum[j][n] * factor;
            }
        }
    }
}

KERNEL_BOUNDED(256, 2, lora_down_f32, const float* x, const int* rowKeys, const unsigned int* seed, unsigned int stream,
               unsigned int threshold, const float* a, float factor, float* low, int T, int in, int r) {
    __shared__ Tiles tiles;
    int firstRow = blockIdx.x * kRows, first = blockIdx.y * kColumns;
    bool wide = in % 4 == 0 && aligned16(x, a);
    Dropout dropout(rowKeys, seed, stream, threshold);
    int own = threadIdx.x / (kDepth / 4), depth = threadIdx.x % (kDepth / 4) * 4; // what this thread loads: 4 columns of a row
    unsigned int key = firstRow + own < T ? rowKeys[firstRow + own] : 0;
    float sum[2][4] = {};
    for (int k = 0; k < in; k += kDepth) {
        float v[4];
        load_four(v, x + (long long)(firstRow + own) * in + k + depth, firstRow + own < T ? in - k - depth : 0, wide);
        drop_four(v, dropout, key, k + depth);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            tiles.left[depth + i][own] = v[i];
        }
#pragma unroll
        for (int n = own; n < kColumns; n += kRows) {
            load_four(v, a + (long long)(first + n) * in + k + depth, first + n < r ? in - k - depth : 0, wide);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                tiles.right[depth + i][n] = v[i];
            }
        }
        __syncthreads();
        multiply(sum, tiles);
        __syncthreads(); // the next round loads into the tiles just read
    }
    store_scaled(low, sum, factor, firstRow, first, T, r);
}

KERNEL_BOUNDED(256, 2, lora_down_gradient_f32, const float* dLow, const float* x, const int* rowKeys, const unsigned int* seed,
               unsigned int stream, unsigned int threshold, float factor, float* partials, int T, int in, int r, int rows) {
    __shared__ Tiles tiles;
    int firstRow = blockIdx.y * kRows, first = blockIdx.x * kColumns;
    int begin = blockIdx.z * rows, end = begin + rows < T ? begin + rows : T;
    bool wideLow = r % 4 == 0 && aligned16(dLow), wide = in % 4 == 0 && aligned16(x);
    Dropout dropout(rowKeys, seed, stream, threshold);
    float sum[2][4] = {};
    for (int t = begin; t < end; t += kDepth) {
        float v[4];
        int k = threadIdx.x / (kRows / 4), m = threadIdx.x % (kRows / 4) * 4;
        load_four(v, dLow + (long long)(t + k) * r + firstRow + m, t + k < end ? r - firstRow - m : 0, wideLow);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            tiles.left[k][m + i] = v[i];
        }
#pragma unroll
        for (int i = threadIdx.x; i < kDepth * kColumns / 4; i += kThreads) {
            int row = i / (kColumns / 4), n = i % (kColumns / 4) * 4;
            load_four(v, x + (long long)(t + row) * in + first + n, t + row < end ? in - first - n : 0, wide);
            drop_four(v, dropout, t + row < end ? rowKeys[t + row] : 0, first + n);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                tiles.right[row][n + j] = v[j];
            }
        }
        __syncthreads();
        multiply(sum, tiles);
        __syncthreads();
    }
    store_scaled(partials + (long long)blockIdx.z * r * in, sum, factor, firstRow, first, r, in);
}

KERNEL_BOUNDED(256, 2, lora_down_input_f32, const float* dLow, const float* a, const int* rowKeys, const unsigned int* seed,
               unsigned int stream, unsigned int threshold, float factor, float* dX, int T, int in, int r) {
    __shared__ Tiles tiles;
    int firstRow = blockIdx.x * kRows, first = blockIdx.y * kColumns;
    bool wideLow = r % 4 == 0 && aligned16(dLow), wide = in % 4 == 0 && aligned16(a, dX);
    Dropout dropout(rowKeys, seed, stream, threshold);
    float sum[2][4] = {};
    for (int k = 0; k < r; k += kDepth) {
        float v[4];
        int own = threadIdx.x / (kDepth / 4), depth = threadIdx.x % (kDepth / 4) * 4;
        load_four(v, dLow + (long long)(firstRow + own) * r + k + depth, firstRow + own < T ? r - k - depth : 0, wideLow);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            tiles.left[depth + i][own] = v[i];
        }
#pragma unroll
        for (int i = threadIdx.x; i < kDepth * kColumns / 4; i += kThreads) {
            int row = i / (kColumns / 4), n = i % (kColumns / 4) * 4;
            load_four(v, a + (long long)(k + row) * in + first + n, k + row < r ? in - first - n : 0, wide);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                tiles.right[row][n + j] = v[j];
            }
        }
        __syncthreads();
        multiply(sum, tiles);
        __syncthreads();
    }
    int column = first + tile_column();
#pragma unroll
    for (int j = 0; j < 2; j++) {
        int row = firstRow + tile_row(j);
        if (row < T && column < in) {
            float* d = dX + (long long)row * in + column;
            float old[4];
            load_four(old, d, in - column, wide);
            drop_four(sum[j], dropout, rowKeys[row], column);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                old[n] += sum[j][n] * factor;
            }
            if (wide) {
                store<4>(d, old);
            } else {
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    if (column + n < in) {
                        d[n] = old[n];
                    }
                }
            }
        }
    }
}
