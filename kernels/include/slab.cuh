// A block's tile of a product whose sum runs over the rows of a batch, left·right with left [32, Rows] transposed and right [32, Columns]
// in shared memory: 32 rows at a time, accumulators in registers. 256 threads: 8 warps, 2 × 4 over the tile.
#pragma once
#include "fragment.cuh"

constexpr int kThreads = 256;
constexpr int kSlab = 32; // rows of the batch at a time

// Accumulators of a warp's part of the tile: Rows / 2 × Columns / 4 as products of 16 × 8.
template <int Rows, int Columns> struct Accumulators {
    static constexpr int kM = Rows / 32, kN = Columns / 32;
    float x[kM][kN][4];
    // Row and column within the tile of element i of product (m, n).
    __device__ static int row(int m, int i) { return (threadIdx.x / 32) / 4 * (Rows / 2) + m * 16 + (threadIdx.x & 31) / 4 + i / 2 * 8; }
    __device__ static int column(int n, int i) { return (threadIdx.x / 32) % 4 * (Columns / 4) + n * 8 + (threadIdx.x & 3) * 2 + i % 2; }
    __device__ void clear() {
#pragma unroll
        for (int m = 0; m < kM; m++) {
#pragma unroll
            for (int n = 0; n < kN; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    x[m][n][i] = 0;
                }
            }
        }
    }
};

// Adds leftᵀ·right of one slab to the accumulators.
template <int Rows, int Columns>
__device__ inline void multiply_slab(Accumulators<Rows, Columns>& g, const bf16* leftTile, const bf16* rightTile) {
    constexpr int kM = Rows / 32, kN = Columns / 32;
    int warp = threadIdx.x / 32;
    const bf16* left = leftTile + warp / 4 * (Rows / 2);
    const bf16* right = rightTile + warp % 4 * (Columns / 4);
#pragma unroll
    for (int k = 0; k < kSlab; k += 16) {
        uint32_t a[kM][4], b[kN][2];
#pragma unroll
        for (int m = 0; m < kM; m++) {
            load_a_transposed<Rows + kPad>(a[m], left + k * (Rows + kPad) + m * 16);
        }
#pragma unroll
        for (int n = 0; n < kN; n += 2) {
            load_b<Columns + kPad>(b[n], b[n + 1], right + k * (Columns + kPad) + n * 8);
        }
#pragma unroll
        for (int m = 0; m < kM; m++) {
#pragma unroll
            for (int n = 0; n < kN; n++) {
                mma_m16n8k16(g.x[m][n], a[m], b[n]);
            }
        }
    }
}
