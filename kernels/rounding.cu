// Float32 to bfloat16 by stochastic rounding (include/rounding.cuh), flat arrays of n elements:
//
//   stochastic_round   y = x, or x + y where `add` is not 0
//
// Launch: 256 threads, one thread for 4 elements, at most 8 blocks a multiprocessor.
#include "include/rounding.cuh"

KERNEL(stochastic_round_bf16, const float* x, bf16* y, int add, const unsigned int* key, unsigned int stream, long long n) {
    Rounding rounding(key, stream);
    for_each_pack<4>(n, aligned16(x) && ((size_t)y & 7) == 0, [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float sum[N], old[N];
        load<N>(x + i, sum);
        if (add != 0) {
            load<N>(y + i, old);
#pragma unroll
            for (int k = 0; k < N; k++) {
                sum[k] += old[k];
            }
        }
        rounding.apply<N>(sum, i);
        store<N>(y + i, sum);
    });
}
