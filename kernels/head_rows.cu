// The rows of a tied output head's gradient that belong to a sequence's own input tokens.
//
//   y[t] = Σ_{r in head rows of s} dLogits[r, rows[t]]·x[r] at the first t of sequence s with its id, else 0
//
// dLogits [R, V], x [R, C] with R rows grouped by headOffsets; rows [1, T] grouped by offsets; y Float32 [T, C]; previous from row_links.
// A block holds 16 rows t of one sequence times 4 columns a thread in registers and runs over the sequence's head rows, 64 at a time.
//
// Launch: grid (T / 16 + n, ⌈C / 512⌉), 128 threads.
#include "include/pack.cuh"
#include "include/ragged.cuh"

constexpr int kTokens = 16, kHeadRows = 64, kColumns = 4;

template <int N, typename T>
__device__ void head_rows_tile(const T* dLogits, const T* x, int headBegin, int headEnd, const int* rows, const int* previous, Tile tile,
                               float* y, int V, int C, float (*coefficient)[kTokens]) {
    int c = blockIdx.y * 128 * kColumns + threadIdx.x * N;
    float sum[kTokens][kColumns] = {};
    for (int first = headBegin; first < headEnd; first += kHeadRows) {
        __syncthreads();
        for (int i = threadIdx.x; i < kHeadRows * kTokens; i += blockDim.x) {
            int r = first + i / kTokens, t = tile.first + i % kTokens;
            bool wanted = r < headEnd && t < tile.end && previous[t] < tile.begin;
            coefficient[i / kTokens][i % kTokens] = wanted ? to_float(dLogits[(long long)r * V + rows[t]]) : 0.0f;
        }
        __syncthreads();
        int count = min(kHeadRows, headEnd - first);
        for (int r = 0; r < count; r++) {
            const T* row = x + (long long)(first + r) * C;
            float a[kColumns] = {};
            // Columns of a thread: N neighbours, kColumns / N times, 128·N apart.
#pragma unroll
            for (int j = 0; j < kColumns; j += N) {
                if (c + j * 128 < C) {
                    float part[N];
                    load<N>(row + c + j * 128, part);
#pragma unroll
                    for (int k = 0; k < N; k++) {
                        a[j + k] = part[k];
                    }
                }
            }
#pragma unroll
            for (int t = 0; t < kTokens; t++) {
#pragma unroll
                for (int k = 0; k < kColumns; k++) {
                    sum[t][k] += coefficient[r][t] * a[k];
                }
            }
        }
    }
#pragma unroll
    for (int t = 0; t < kTokens; t++) {
        if (tile.first + t < tile.end) {
#pragma unroll
            for (int j = 0; j < kColumns; j += N) {
                if (c + j * 128 < C) {
                    float part[N];
#pragma unroll
                    for (int k = 0; k < N; k++) {
                        part[k] = sum[t][j + k];
                    }
                    store<N>(y + (long long)(tile.first + t) * C + c + j * 128, part);
                }
            }
        }
    }
}

template <typename T>
__device__ void head_rows(const T* dLogits, const T* x, const int* headOffsets, const int* rows, const int* previous, const int* offsets,
                          int sequences, float* y, int V, int C) {
    __shared__ float coefficient[kHeadRows][kTokens];
    Tile tile = tile_of_slot(offsets, sequences, blockIdx.x, kTokens);
    if (tile.empty()) {
        return;
    }
    int begin = headOffsets[tile.sequence], end = headOffsets[tile.sequence + 1];
    if (C % kColumns == 0 && aligned16(x, y)) {
        head_rows_tile<kColumns>(dLogits, x, begin, end, rows, previous, tile, y, V, C, coefficient);
    } else {
        head_rows_tile<1>(dLogits, x, begin, end, rows, previous, tile, y, V, C, coefficient);
    }
}

KERNEL(head_rows_f32, const float* dLogits, const float* x, const int* headOffsets, const int* rows, const int* previous,
       const int* offsets, int sequences, float* y, int V, int C) {
    head_rows(dLogits, x, headOffsets, rows, previous, offsets, sequences, y, V, C);
}
KERNEL(head_rows_bf16, const bf16* dLogits, const bf16* x, const int* headOffsets, const int* rows, const int* previous, const int* offsets,
       int sequences, float* y, int V, int C) {
    head_rows(dLogits, x, headOffsets, rows, previous, offsets, sequences, y, V, C);
}
