// Tiles of bf16 in shared memory and the mma fragments that warps read from them.
//
// A tile has kPad columns more than it holds, so that the 8 rows of an 8 × 8 matrix lie in different banks and every row stays 16-byte
// aligned. See portable.cuh for which lane holds which element.
#pragma once
#include "pack.cuh"

constexpr int kPad = 8;

// Rows × Columns of a tile from global memory; what lies past `rows` or `columns` becomes 0. `source` stands at the tile's first element.
// With `wide` (columns, stride and address multiples of 16 bytes) the copy is asynchronous: commit, wait and a barrier must follow.
template <int Rows, int Columns, int Threads>
__device__ inline void load_tile(bf16* tile, const bf16* source, long long stride, int rows, int columns, bool wide) {
    constexpr int kPacks = Columns / 8, kStep = Threads / kPacks; // a thread copies one pack of every kStep-th row
    static_assert(Threads % kPacks == 0 && Rows % kStep == 0, "all threads copy as much");
    int row = threadIdx.x / kPacks, column = threadIdx.x % kPacks * 8;
    bf16* destination = tile + row * (Columns + kPad) + column;
    const bf16* from = source + row * stride + column;
    if (wide) {
        int left = column < columns ? rows - row : 0;
#pragma unroll
        for (int k = 0; k < Rows; k += kStep) {
            cp_async_16(destination + k * (Columns + kPad), from, k < left); // past the end the address is not read
            from += kStep * stride;
        }
    } else {
#pragma unroll 1
        for (int k = 0; k < Rows; k += kStep) {
#pragma unroll
            for (int c = 0; c < 8; c++) {
                destination[k * (Columns + kPad) + c] = row + k < rows && column + c < columns ? from[c] : from_float<bf16>(0.0f);
            }
            from += kStep * stride;
        }
    }
}

// A operand, 16 × 16, rows and columns as they lie in the tile.
template <int Stride> __device__ inline void load_a(uint32_t (&a)[4], const bf16* tile) {
    int lane = threadIdx.x & 31;
    ldmatrix_x4(a, tile + lane % 16 * Stride + lane / 16 * 8);
}

// A operand whose transpose lies in the tile: A[i][k] = tile[k][i].
template <int Stride> __device__ inline void load_a_transposed(uint32_t (&a)[4], const bf16* tile) {
    int lane = threadIdx.x & 31, matrix = lane / 8;
    ldmatrix_x4_trans(a, tile + (matrix / 2 * 8 + lane % 8) * Stride + matrix % 2 * 8);
}

// B operands of two neighbouring products, B[k][n] with k < 16, n < 16, as they lie in the tile: B[k][n] = tile[k][n].
template <int Stride> __device__ inline void load_b(uint32_t (&b0)[2], uint32_t (&b1)[2], const bf16* tile) {
    int lane = threadIdx.x & 31, matrix = lane / 8;
    uint32_t r[4];
    ldmatrix_x4_trans(r, tile + (matrix % 2 * 8 + lane % 8) * Stride + matrix / 2 * 8);
    b0[0] = r[0], b0[1] = r[1], b1[0] = r[2], b1[1] = r[3];
}

// The same where the transpose lies in the tile: B[k][n] = tile[n][k].
template <int Stride> __device__ inline void load_b_transposed(uint32_t (&b0)[2], uint32_t (&b1)[2], const bf16* tile) {
    int lane = threadIdx.x & 31, matrix = lane / 8;
    uint32_t r[4];
    ldmatrix_x4(r, tile + (matrix / 2 * 8 + lane % 8) * Stride + matrix % 2 * 8);
    b0[0] = r[0], b0[1] = r[1], b1[0] = r[2], b1[1] = r[3];
}

// Two floats as two bf16, the first in the lower half.
__device__ inline uint32_t pack_bf16(float low, float high) {
    Pack<bf16, 2> pack = {{from_float<bf16>(low), from_float<bf16>(high)}};
    uint32_t bits;
    memcpy(&bits, &pack, sizeof bits);
    return bits;
}

// Two neighbouring 16 × 8 results as the 16 × 16 A operand of the next product.
__device__ inline void pack_a(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
    a[0] = pack_bf16(left[0], left[1]);
    a[1] = pack_bf16(left[2], left[3]);
    a[2] = pack_bf16(right[0], right[1]);
    a[3] = pack_bf16(right[2], right[3]);
}

// D += A·B for a warp's 16 rows: A [16, K] are accumulators, rounded to bf16; B [K, N] lies in the tile.
template <int K, int N> __device__ inline void multiply_accumulators(float (&d)[N / 8][4], const float (&a)[K / 8][4], const bf16* tile) {
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t left[4];
        pack_a(left, a[k / 8], a[k / 8 + 1]);
#pragma unroll
        for (int n = 0; n < N / 8; n += 2) {
            uint32_t b0[2], b1[2];
            load_b<N + kPad>(b0, b1, tile + k * (N + kPad) + n * 8);
            mma_m16n8k16(d[n], left, b0);
            mma_m16n8k16(d[n + 1], left, b1);
        }
    }
}

// Writes the 16 rows that a warp holds as accumulators to global memory, by way of a tile of shared memory that is the warp's own, so that
// the writes are 16 bytes wide. Rows of the tile past `rows` and columns past `columns` are not written.
template <int Columns>
__device__ inline void store_rows(const float (&x)[Columns / 8][4], float factorLow, float factorHigh, bf16* tile, bf16* destination,
                                  long long stride, int rows, int columns, bool wide) {
    constexpr int kStride = Columns + kPad;
    int lane = threadIdx.x & 31, row = lane / 4, column = lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < Columns / 8; j++) {
        *reinterpret_cast<uint32_t*>(tile + row * kStride + j * 8 + column) = pack_bf16(x[j][0] * factorLow, x[j][1] * factorLow);
        *reinterpret_cast<uint32_t*>(tile + (row + 8) * kStride + j * 8 + column) = pack_bf16(x[j][2] * factorHigh, x[j][3] * factorHigh);
    }
    __syncwarp();
    for (int i = lane; i < 16 * Columns / 8; i += 32) {
        int r = i / (Columns / 8), c = i % (Columns / 8) * 8;
        if (r < rows && c < columns) {
            if (wide) {
                *reinterpret_cast<uint4*>(destination + r * stride + c) = *reinterpret_cast<const uint4*>(tile + r * kStride + c);
            } else {
                for (int k = 0; k < 8 && c + k < columns; k++) {
                    destination[r * stride + c + k] = tile[r * kStride + c + k];
                }
            }
        }
    }
}
