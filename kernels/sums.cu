// Sums of flat arrays in two stages, in an order that depends on n alone.
//
//   dot_partials   partials[block] = Σ a∘b over the block's stride; a = b gives the sum of squares
//   add_partials   *result += Σ partials
//   add_pairs      result[s, j] += Σ partials[i, j] over the rows i of sequence s, j < 2: the second stage of the projections.
//                  The rows are offsets[s] … offsets[s + 1], or, without offsets, the s-th `count` rows.
//
// Launch of dot_partials: min(⌈n / 4096⌉, 1024) blocks of 256 threads. Of add_partials: one block of 256. Of add_pairs: n blocks of 256.
#include "include/pack.cuh"
#include "include/reduce.cuh"

template <typename T> __device__ void dot_partials(const T* a, const T* b, long long n, float* partials) {
    __shared__ float scratch[32];
    float sum = 0;
    for_each_pack<kWide<T>>(n, aligned16(a, b), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N], q[N];
        load<N>(a + i, p);
        load<N>(b + i, q);
#pragma unroll
        for (int k = 0; k < N; k++) {
            sum += p[k] * q[k];
        }
    });
    sum = sum_block(sum, scratch);
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = sum;
    }
}

KERNEL(dot_partials_f32, const float* a, const float* b, long long n, float* partials) { dot_partials(a, b, n, partials); }
KERNEL(dot_partials_bf16, const bf16* a, const bf16* b, long long n, float* partials) { dot_partials(a, b, n, partials); }

KERNEL(add_partials_f32, const float* partials, int count, float* result) {
    __shared__ float scratch[32];
    float sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        sum += partials[i];
    }
    sum = sum_block(sum, scratch);
    if (threadIdx.x == 0) {
        *result += sum;
    }
}

KERNEL(add_pairs_f32, const float* partials, const int* offsets, int count, float* result) {
    __shared__ float scratch[32];
    int s = blockIdx.x;
    long long begin = offsets == nullptr ? (long long)s * count : offsets[s];
    long long end = offsets == nullptr ? begin + count : offsets[s + 1];
    float first = 0, second = 0;
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
        first += partials[2 * i];
        second += partials[2 * i + 1];
    }
    first = sum_block(first, scratch);
    second = sum_block(second, scratch);
    if (threadIdx.x == 0) {
        result[2 * s] += first;
        result[2 * s + 1] += second;
    }
}
