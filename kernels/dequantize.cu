// A part of a matrix in NF4 (QLoRA, arXiv 2305.14314) as numbers of the storage type:
//
//   y[r, c] = levels[code(i)]·scale(i / 64), i = first + r·stride + c, r < rows, c < columns
//   scale(j) = map[scale_codes[j]]·groups[j / 256] + offset, rounded after the product and after the sum
//
// Two codes are a byte, the element of the smaller number in the upper half. `head` holds levels [16], map [256] and the offset, Float32.
//
// Launch: 256 threads, one thread for 8 elements, at most 8 blocks a multiprocessor.
#include "include/pack.cuh"

constexpr int kLevels = 16, kMap = 256, kBlock = 64, kGroup = 256;

struct Nf4Weight {
    const uint8_t* codes;
    const uint8_t* scale_codes;
    const float* groups;
    const float* map;
    float offset;

    __device__ float scale(long long i) const {
        long long block = i / kBlock;
        return __fadd_rn(__fmul_rn(map[scale_codes[block]], groups[block / kGroup]), offset);
    }
};

template <typename T>
__device__ void dequantize_nf4(const float* head, const float* groups, const uint8_t* codes, const uint8_t* scale_codes, long long first,
                               int rows, int columns, int stride, T* y) {
    __shared__ float levels[kLevels], map[kMap];
    for (int i = threadIdx.x; i < kLevels + kMap; i += blockDim.x) {
        (i < kLevels ? levels[i] : map[i - kLevels]) = head[i];
    }
    __syncthreads();

    Nf4Weight weight = {codes, scale_codes, groups, map, head[kLevels + kMap]};
    long long n = (long long)rows * columns;
    bool wide = first % 8 == 0 && columns % 8 == 0 && stride % 8 == 0 && aligned16(y);
    for_each_pack<8>(n, wide, [&](long long at, auto width) {
        constexpr int N = decltype(width)::value;
        long long i = first + at / columns * stride + at % columns;
        float scale = weight.scale(i), x[N];
        if constexpr (N == 8) {
            uint32_t word = *reinterpret_cast<const uint32_t*>(codes + i / 2);
#pragma unroll
            for (int k = 0; k < N; k++) {
                x[k] = levels[word >> (k / 2 * 8 + (k % 2 == 0 ? 4 : 0)) & 15] * scale;
            }
            constexpr int W = kWide<T>;
#pragma unroll
            for (int k = 0; k < N; k += W) {
                float part[W];
#pragma unroll
                for (int j = 0; j < W; j++) {
                    part[j] = x[k + j];
                }
                store<W>(y + at + k, part);
            }
        } else {
            x[0] = levels[codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15] * scale;
            store<1>(y + at, x);
        }
    });
}

KERNEL(dequantize_nf4_f32, const float* head, const float* groups, const uint8_t* codes, const uint8_t* scale_codes, long long first,
       int rows, int columns, int stride, float* y) {
    dequantize_nf4(head, groups, codes, scale_codes, first, rows, columns, stride, y);
}
KERNEL(dequantize_nf4_bf16, const float* head, const float* groups, const uint8_t* codes, const uint8_t* scale_codes, long long first,
       int rows, int columns, int stride, bf16* y) {
    dequantize_nf4(head, groups, codes, scale_codes, first, rows, columns, stride, y);
}
