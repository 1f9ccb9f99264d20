// What a weight matrix W [out, in] gives to the Fisher sinks, without any per-example gradient in memory. With y = x·Wᵀ, x [T, in],
// dY [T, out] and rows grouped by offsets, the gradient of sequence s alone is G_s = dY_sᵀ·x_s, and (rows of x and dY
// xStride and dYStride apart)
//
//   fisher_square    sum += Σ_s G_s²                                         sum Float32 [out, in]
//   fisher_project   partials[s, block] = (Σ a∘G_s, Σ b∘G_s²) over the block's tile; add_pairs sums the blocks into result [n, 2]
//
// A block owns a tile of G and runs over all rows of the batch, 32 at a time: bf16 products with Float32 accumulators in registers. Where a
// sequence ends, the accumulators are squared into a second set (or multiplied with a and b, which stay in registers too) and start again
// from 0; the rows of the next sequence that the last slab would hold are zeroed instead. So the work is that of the ordinary weight
// gradient, and F is read and written once.
//
// Launch: grid (⌈in / tile columns⌉, ⌈out / tile rows⌉), 256 threads (8 warps, 2 × 4 over the tile);
// tile 128 × 128 for square, 64 × 128 for project; dynamic shared memory 2·32·(tile rows + tile columns + 16)·2 bytes.
#include "include/reduce.cuh"
#include "include/slab.cuh"

// Walks the slabs of a batch: sequence by sequence, kSlab rows at a time; empty sequences have none.
struct SlabWalk {
    const int* offsets;
    int sequences, sequence, first, end;
    __device__ SlabWalk(const int* offsets, int sequences) : offsets(offsets), sequences(sequences), sequence(-1), first(0), end(0) {
        advance();
    }
    __device__ bool done() const { return sequence >= sequences; }
    __device__ bool last_of_sequence() const { return first + kSlab >= end; }
    __device__ void advance() {
        first += kSlab;
        while (first >= end && ++sequence < sequences) {
            first = offsets[sequence];
            end = offsets[sequence + 1];
        }
    }
};

// Computes G_s of this block's tile for every sequence in turn and calls finish(s, G_s) after each; sequences without rows are left out.
template <int Rows, int Columns, typename Finish>
__device__ inline void for_each_gradient(const bf16* x, const bf16* dY, const int* offsets, int sequences, int in, int out, int xStride,
                                         int dYStride, Finish finish) {
    DYNAMIC_SHARED(bf16, shared);
    constexpr int kLeft = kSlab * (Rows + kPad), kRight = kSlab * (Columns + kPad);
    bf16 *left = shared, *right = shared + 2 * kLeft;
    int o = blockIdx.y * Rows, i = blockIdx.x * Columns;
    bool wide = in % 8 == 0 && out % 8 == 0 && xStride % 8 == 0 && dYStride % 8 == 0 && aligned16(x, dY);
    auto load_slab = [&](const SlabWalk& walk, int stage) {
        int rows = walk.end - walk.first;
        load_tile<kSlab, Rows, kThreads>(left + stage * kLeft, dY + (long long)walk.first * dYStride + o, dYStride, rows, out - o, wide);
        load_tile<kSlab, Columns, kThreads>(right + stage * kRight, x + (long long)walk.first * xStride + i, xStride, rows, in - i, wide);
    };
    Accumulators<Rows, Columns> g;
    g.clear();
    SlabWalk next(offsets, sequences);
    if (!next.done()) {
        load_slab(next, 0);
    }
    cp_async_commit();
    for (int stage = 0; !next.done(); stage ^= 1) {
        int sequence = next.sequence;
        bool last = next.last_of_sequence();
        next.advance();
        if (!next.done()) {
            load_slab(next, stage ^ 1);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        multiply_slab(g, left + stage * kLeft, right + stage * kRight);
        __syncthreads(); // the next round loads into the buffer just read
        if (last) {
            finish(sequence, g);
            g.clear();
        }
    }
}

KERNEL_BOUNDED(256, 1, fisher_square_bf16, const bf16* x, const bf16* dY, const int* offsets, int sequences, float* sum, int in, int out,
               int xStride, int dYStride) {
    constexpr int kTile = 128;
    typedef Accumulators<kTile, kTile> Tile128;
    Tile128 squares;
    squares.clear();
    for_each_gradient<kTile, kTile>(x, dY, offsets, sequences, in, out, xStride, dYStride, [&](int, const Tile128& g) {
#pragma unroll
        for (int m = 0; m < Tile128::kM; m++) {
#pragma unroll
            for (int n = 0; n < Tile128::kN; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    squares.x[m][n][i] += g.x[m][n][i] * g.x[m][n][i];
                }
            }
        }
    });
    bool pairs = in % 2 == 0 && ((size_t)sum & 7) == 0;
#pragma unroll
    for (int m = 0; m < Tile128::kM; m++) {
#pragma unroll
        for (int n = 0; n < Tile128::kN; n++) {
#pragma unroll
            for (int i = 0; i < 4; i += 2) {
                int o = blockIdx.y * kTile + Tile128::row(m, i), c = blockIdx.x * kTile + Tile128::column(n, i);
                float* at = sum + (long long)o * in + c;
                if (o < out && c < in && pairs) {
                    float old[2];
                    load<2>(at, old);
                    old[0] += squares.x[m][n][i];
                    old[1] += squares.x[m][n][i + 1];
                    store<2>(at, old);
                } else if (o < out && c < in) {
                    at[0] += squares.x[m][n][i];
                    if (c + 1 < in) {
                        at[1] += squares.x[m][n][i + 1];
                    }
                }
            }
        }
    }
}

KERNEL_BOUNDED(256, 1, fisher_project_bf16, const bf16* x, const bf16* dY, const int* offsets, int sequences, const float* a,
               const float* b, float* partials, int in, int out, int xStride, int dYStride) {
    constexpr int kRows = 64, kColumns = 128;
    typedef Accumulators<kRows, kColumns> Tile64;
    __shared__ float scratch[32];
    Tile64 linear, quadratic;
#pragma unroll
    for (int m = 0; m < Tile64::kM; m++) {
#pragma unroll
        for (int n = 0; n < Tile64::kN; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int o = blockIdx.y * kRows + Tile64::row(m, i), c = blockIdx.x * kColumns + Tile64::column(n, i);
                bool inside = o < out && c < in;
                linear.x[m][n][i] = inside ? a[(long long)o * in + c] : 0.0f;
                quadratic.x[m][n][i] = inside ? b[(long long)o * in + c] : 0.0f;
            }
        }
    }
    int blocks = gridDim.x * gridDim.y, block = blockIdx.y * gridDim.x + blockIdx.x;
    for (int s = threadIdx.x; s < sequences; s += blockDim.x) {
        if (offsets[s] == offsets[s + 1]) { // not visited below
            partials[2 * ((long long)s * blocks + block)] = 0;
            partials[2 * ((long long)s * blocks + block) + 1] = 0;
        }
    }
    for_each_gradient<kRows, kColumns>(x, dY, offsets, sequences, in, out, xStride, dYStride, [&](int s, const Tile64& g) {
        float first = 0, second = 0;
#pragma unroll
        for (int m = 0; m < Tile64::kM; m++) {
#pragma unroll
            for (int n = 0; n < Tile64::kN; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    first += linear.x[m][n][i] * g.x[m][n][i];
                    second += quadratic.x[m][n][i] * g.x[m][n][i] * g.x[m][n][i];
                }
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
