// Inverted dropout, x and y [T, C], rowKeys [1, T]; y may be x. The backward is the same call on the gradient.
//
//   y = x / (1 − rate) where kept, else 0. Column c of row t takes lane c mod 4 of Philox 4×32-10 (Salmon et al., SC'11) with key (low, high
//   half of the seed) and counter (rowKeys[t], c / 4, stream, 0), and is kept when that word is at least `threshold` = ⌈rate·2³²⌉.
//
// Launch: one block a row, a thread for each 16 bytes of it, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"

struct Counter {
    unsigned int word[4];
};

__device__ inline Counter philox(Counter c, unsigned int key0, unsigned int key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned long long a = 0xD2511F53ull * c.word[0], b = 0xCD9E8D57ull * c.word[2];
        c = {(unsigned int)(b >> 32) ^ c.word[1] ^ key0, (unsigned int)b, (unsigned int)(a >> 32) ^ c.word[3] ^ key1, (unsigned int)a};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

struct Mask {
    const unsigned int* key;
    unsigned int stream, threshold;
    float scale;
};

// A thread takes `Columns` columns, a multiple of 4, in accesses of N elements; a row's last thread may have fewer when N is 1.
template <int Columns, int N, typename T>
__device__ void dropout_row(const T* x, unsigned int rowKey, Mask mask, T* y, int C) {
    for (int first = threadIdx.x * Columns; first < C; first += blockDim.x * Columns) {
        bool keep[Columns];
#pragma unroll
        for (int k = 0; k < Columns; k += 4) {
            Counter bits = philox({{rowKey, (unsigned int)(first + k) / 4, mask.stream, 0}}, mask.key[0], mask.key[1]);
#pragma unroll
            for (int lane = 0; lane < 4; lane++) {
                keep[k + lane] = bits.word[lane] >= mask.threshold;
            }
        }
#pragma unroll
        for (int k = 0; k < Columns; k += N) {
            if (first + k < C) {
                float a[N];
                load<N>(x + first + k, a);
#pragma unroll
                for (int j = 0; j < N; j++) {
                    a[j] = keep[k + j] ? a[j] * mask.scale : 0.0f;
                }
                store<N>(y + first + k, a);
            }
        }
    }
}

template <typename T> __device__ void dropout(const T* x, const int* rowKeys, Mask mask, T* y, int C) {
    constexpr int W = kWide<T>;
    long long row = (long long)blockIdx.x * C;
    if (C % W == 0 && aligned16(x, y)) {
        dropout_row<W, W>(x + row, rowKeys[blockIdx.x], mask, y + row, C);
    } else {
        dropout_row<W, 1>(x + row, rowKeys[blockIdx.x], mask, y + row, C);
    }
}

KERNEL(dropout_f32, const float* x, const int* rowKeys, const unsigned int* key, unsigned int stream, unsigned int threshold,
       float scale, float* y, int C) {
    dropout(x, rowKeys, {key, stream, threshold, scale}, y, C);
}
KERNEL(dropout_bf16, const bf16* x, const int* rowKeys, const unsigned int* key, unsigned int stream, unsigned int threshold,
       float scale, bf16* y, int C) {
    dropout(x, rowKeys, {key, stream, threshold, scale}, y, C);
}
