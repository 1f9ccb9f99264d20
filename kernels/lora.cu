// What dropout touches of a low-rank update s·drop(x)·Aᵀ·Bᵀ (arXiv 2106.09685), without drop(x) in memory. x, dX [T, in], A [r, in], low,
// dLow [T, r]; the mask as in dropout.cuh, made anew wherever it is needed; factor carries s and 1 / (1 − rate). The products with B are
// plain ones.
//
//   lora_down            low = factor·(mask∘x)·Aᵀ
//   lora_down_gradient   partials[split] = factor·dLowᵀ·(mask∘x) over the split's rows; column_accumulate adds the splits to dA
//   lora_down_input      dX += factor·mask∘(dLow·A)
//
// Launch, 256 threads each: lora_down grid (⌈T / 16⌉, ⌈r / 64⌉); lora_down_gradient grid (⌈in / 64⌉, ⌈r / 64⌉, splits of `rows` rows);
// lora_down_input grid (⌈T / 64⌉, ⌈in / 64⌉).
#include "include/dropout.cuh"
#include "include/slab.cuh"

constexpr int kTile = 64;
constexpr int kWarps = kThreads / 32;

// Eight elements as four registers; those past `valid` are 0. `wide` promises that 0 or 8 are valid, at an address that is a multiple of
// 16.
__device__ inline void load_eight(uint32_t (&x)[4], const bf16* source, int valid, bool wide) {
    Pack<bf16, 8> pack;
    if (wide && valid > 0) {
        pack = *reinterpret_cast<const Pack<bf16, 8>*>(source);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            pack.element[i] = i < valid ? source[i] : from_float<bf16>(0.0f);
        }
    }
    memcpy(x, &pack, sizeof x);
}

// Sets what is dropped of eight elements, from `column` on, to 0.
__device__ inline void drop_eight(uint32_t (&x)[4], const Dropout& dropout, unsigned int rowKey, int column) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        bool kept[4];
        dropout.keep(rowKey, column + 4 * half, kept);
        x[2 * half] &= (kept[0] ? 0xFFFFu : 0u) | (kept[1] ? 0xFFFF0000u : 0u);
        x[2 * half + 1] &= (kept[2] ? 0xFFFFu : 0u) | (kept[3] ? 0xFFFF0000u : 0u);
    }
}

// A block takes 16 rows and up to 64 of A's; its warps share the sum over the columns. Operands go from global memory to registers: a lane
// holds eight neighbouring columns of a row, which are columns 2t, 2t+1, 2t+8, 2t+9 of two mma operands (in any order, as long as both
// operands have the same).
KERNEL_BOUNDED(256, 2, lora_down_bf16, const bf16* x, const int* rowKeys, const unsigned int* seed, unsigned int stream,
               unsigned int threshold, const bf16* a, float factor, bf16* low, int T, int in, int r) {
    constexpr int kRows = 16, kStride = kTile + 8; // float2 of 8 rows fall into different banks
    __shared__ float partials[kWarps][kRows * kStride];
    int warp = threadIdx.x / 32, g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    int firstRow = blockIdx.x * kRows, first = blockIdx.y * kTile;
    bool wide = in % 8 == 0 && aligned16(x, a);
    Dropout dropout(rowKeys, seed, stream, threshold);
    unsigned int keys[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int row = firstRow + g + 8 * h;
        keys[h] = row < T ? rowKeys[row] : 0;
    }
    float sum[kTile / 8][4] = {};
    for (int k = warp * 32; k < in; k += kWarps * 32) {
        int column = k + 8 * t;
        uint32_t left[2][4];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int row = firstRow + g + 8 * h;
            load_eight(left[h], x + (long long)row * in + column, row < T ? in - column : 0, wide);
            drop_eight(left[h], dropout, keys[h], column);
        }
#pragma unroll
        for (int n = 0; n < kTile / 8; n++) {
            if (first + 8 * n < r) {
                int row = first + 8 * n + g;
                uint32_t right[4];
                load_eight(right, a + (long long)row * in + column, row < r ? in - column : 0, wide);
#pragma unroll
                for (int s = 0; s < 4; s += 2) {
                    uint32_t rows[4] = {left[0][s], left[1][s], left[0][s + 1], left[1][s + 1]}, columns[2] = {right[s], right[s + 1]};
                    mma_m16n8k16(sum[n], rows, columns);
                }
            }
        }
    }
    float* own = partials[warp] + g * kStride + 2 * t;
#pragma unroll
    for (int n = 0; n < kTile / 8; n++) {
        store<2>(own + 8 * n, {sum[n][0], sum[n][1]});
        store<2>(own + 8 * kStride + 8 * n, {sum[n][2], sum[n][3]});
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * kTile; i += kThreads) {
        int row = i / kTile, column = i % kTile;
        float total = 0;
#pragma unroll
        for (int w = 0; w < kWarps; w++) {
            total += partials[w][row * kStride + column];
        }
        if (firstRow + row < T && first + column < r) {
            low[(long long)(firstRow + row) * r + first + column] = from_float<bf16>(total * factor);
        }
    }
}

// A block takes a tile of 64 × 64 of the gradient and the rows of its split, 32 at a time, loading the next ones while it multiplies.
KERNEL_BOUNDED(256, 2, lora_down_gradient_bf16, const bf16* dLow, const bf16* x, const int* rowKeys, const unsigned int* seed,
               unsigned int stream, unsigned int threshold, float factor, float* partials, int T, int in, int r, int rows) {
    constexpr int kStride = kTile + kPad;
    alignas(16) __shared__ bf16 left[2][kSlab * kStride], right[2][kSlab * kStride];
    typedef Accumulators<kTile, kTile> Tile64;
    int o = blockIdx.y * kTile, i = blockIdx.x * kTile;
    int row = threadIdx.x / (kTile / 8), column = threadIdx.x % (kTile / 8) * 8;
    int begin = blockIdx.z * rows, end = begin + rows < T ? begin + rows : T;
    bool wideLow = r % 8 == 0 && aligned16(dLow), wide = in % 8 == 0 && aligned16(x);
    Dropout dropout(rowKeys, seed, stream, threshold);
    uint32_t a[4], b[4];
    auto fetch = [&](int slab) {
        int t = slab + row;
        load_eight(a, dLow + (long long)t * r + o + column, t < end ? r - o - column : 0, wideLow);
        load_eight(b, x + (long long)t * in + i + column, t < end ? in - i - column : 0, wide);
    };
    auto keep = [&](int slab, int stage) {
        int t = slab + row;
        drop_eight(b, dropout, t < end ? rowKeys[t] : 0, i + column);
        *reinterpret_cast<uint4*>(left[stage] + row * kStride + column) = make_uint4(a[0], a[1], a[2], a[3]);
        *reinterpret_cast<uint4*>(right[stage] + row * kStride + column) = make_uint4(b[0], b[1], b[2], b[3]);
    };
    Tile64 g;
    g.clear();
    fetch(begin);
    keep(begin, 0);
    __syncthreads();
    for (int slab = begin, stage = 0; slab < end; slab += kSlab, stage ^= 1) {
        fetch(slab + kSlab);
        multiply_slab(g, left[stage], right[stage]);
        keep(slab + kSlab, stage ^ 1);
        __syncthreads();
    }
    float* tile = partials + (long long)blockIdx.z * r * in;
#pragma unroll
    for (int m = 0; m < Tile64::kM; m++) {
#pragma unroll
        for (int n = 0; n < Tile64::kN; n++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                int y = o + Tile64::row(m, k), c = i + Tile64::column(n, k);
                if (y < r && c < in) {
                    tile[(long long)y * in + c] = g.x[m][n][k] * factor;
                }
            }
        }
    }
}

// A block takes a tile of 64 × 64 of dX. The product goes through shared memory, so that dX is read and written 16 bytes at a time and a
// thread makes the mask of whole counters.
KERNEL_BOUNDED(256, 2, lora_down_input_bf16, const bf16* dLow, const bf16* a, const int* rowKeys, const unsigned int* seed,
               unsigned int stream, unsigned int threshold, float factor, bf16* dX, int T, int in, int r) {
    constexpr int kLeft = kSlab + kPad, kRight = kTile + kPad, kSum = kTile + 4;
    alignas(16) __shared__ bf16 left[kTile * kLeft], right[kSlab * kRight];
    alignas(16) __shared__ float sums[kTile * kSum];
    typedef Accumulators<kTile, kTile> Tile64;
    int warp = threadIdx.x / 32, firstRow = blockIdx.x * kTile, first = blockIdx.y * kTile;
    bool wideLow = r % 8 == 0 && aligned16(dLow), wide = in % 8 == 0 && aligned16(a, dX);
    Dropout dropout(rowKeys, seed, stream, threshold);
    Tile64 product;
    product.clear();
    for (int k = 0; k < r; k += kSlab) {
        load_tile<kTile, kSlab, kThreads>(left, dLow + (long long)firstRow * r + k, r, T - firstRow, r - k, wideLow);
        load_tile<kSlab, kTile, kThreads>(right, a + (long long)k * in + first, in, r - k, in - first, wide);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
#pragma unroll
        for (int s = 0; s < kSlab; s += 16) {
            uint32_t b0[2], b1[2];
            load_b<kRight>(b0, b1, right + s * kRight + warp % 4 * 16);
#pragma unroll
            for (int m = 0; m < Tile64::kM; m++) {
                uint32_t rows[4];
                load_a<kLeft>(rows, left + (warp / 4 * 32 + m * 16) * kLeft + s);
                mma_m16n8k16(product.x[m][0], rows, b0);
                mma_m16n8k16(product.x[m][1], rows, b1);
            }
        }
        __syncthreads(); // the next round loads into the tiles just read
    }
#pragma unroll
    for (int m = 0; m < Tile64::kM; m++) {
#pragma unroll
        for (int n = 0; n < Tile64::kN; n++) {
#pragma unroll
            for (int k = 0; k < 4; k += 2) {
                store<2>(sums + Tile64::row(m, k) * kSum + Tile64::column(n, k), {product.x[m][n][k], product.x[m][n][k + 1]});
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kTile * kTile / 4; i += kThreads) {
        int row = i / (kTile / 4), column = i % (kTile / 4) * 4;
        if (firstRow + row < T && first + column < in) {
            bool kept[4];
            dropout.keep(rowKeys[firstRow + row], first + column, kept);
            const float* sum = sums + row * kSum + column;
            bf16* d = dX + (long long)(firstRow + row) * in + first + column;
            if (wide) {
                float old[4];
                load<4>(d, old);
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    old[k] += kept[k] ? sum[k] * factor : 0.0f;
                }
                store<4>(d, old);
            } else {
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    if (first + column + k < in) {
                        d[k] = from_float<bf16>(to_float(d[k]) + (kept[k] ? sum[k] * factor : 0.0f));
                    }
                }
            }
        }
    }
}
