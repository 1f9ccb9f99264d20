// AdamW (arXiv 1711.05101, algorithm 2) on flat Float32 arrays of n elements:
//
//   g = gradientScale·gradient;  m = β₁m + (1 − β₁)g;  v = β₂v + (1 − β₂)g²
//   master −= lr·(m·correction1 / (√(v·correction2) + ε) + decay·master), correction = 1/(1 − βᵗ)
//   value = master in storage type, where value is not the master itself (null then);  gradient = 0
//
// What changes from step to step is read from numbers [4], since the arguments of a captured launch do not change: lr, gradientScale,
// correction1, correction2.
//
//   adamw        moments in Float32. Launch: 256 threads, one thread for 4 elements, at most 8 blocks a multiprocessor.
//   adamw_8bit   moments in 8 bits (arXiv 2110.02861): m = m_scales[i / 256]·maps[0][codes[i]], v by maps[1]. Launch: 256 threads, one
//                warp at a time for 256 elements, which share a scale, at most 8 blocks a multiprocessor.
#include "include/pack.cuh"
#include "include/reduce.cuh"

struct AdamWScalars {
    float beta1, beta2, epsilon, decay;
};

// One element; m and v are those before and after.
__device__ inline float adamw_element(float w, float g, float& m, float& v, AdamWScalars s, const float* numbers) {
    float learningRate = numbers[0], gradientScale = numbers[1], correction1 = numbers[2], correction2 = numbers[3];
    g *= gradientScale;
    m = s.beta1 * m + (1.0f - s.beta1) * g;
    v = s.beta2 * v + (1.0f - s.beta2) * g * g;
    float step = m * correction1 / (sqrtf(v * correction2) + s.epsilon);
    return w - learningRate * (step + s.decay * w);
}

template <typename T>
__device__ void adamw(float* master, T* value, float* gradient, float* m, float* v, AdamWScalars s, const float* numbers, long long n) {
    float scalars[4] = {numbers[0], numbers[1], numbers[2], numbers[3]};
    for_each_pack<4>(n, aligned16(master, value, gradient, m, v), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float w[N], g[N], m1[N], m2[N], zero[N] = {};
        load<N>(master + i, w);
        load<N>(gradient + i, g);
        load<N>(m + i, m1);
        load<N>(v + i, m2);
#pragma unroll
        for (int k = 0; k < N; k++) {
            w[k] = adamw_element(w[k], g[k], m1[k], m2[k], s, scalars);
        }
        store<N>(master + i, w);
        store<N>(m + i, m1);
        store<N>(v + i, m2);
        store<N>(gradient + i, zero);
        if (value != nullptr) {
            store<N>(value + i, w);
        }
    });
}

constexpr int kCodes = 256, kBlock = 256, kPerLane = kBlock / 32;

// The number of midpoints between neighbouring values of a map that x lies above: the nearest value's code, of two the smaller.
__device__ inline int nearest_code(const float* midpoints, float x) {
    int code = 0;
#pragma unroll
    for (int step = kCodes / 2; step > 0; step /= 2) {
        code += x > midpoints[code + step - 1] ? step : 0;
    }
    return code;
}

template <typename T>
__device__ void adamw_8bit(float* master, T* value, float* gradient, uint8_t* m, float* m_scales, uint8_t* v, float* v_scales,
                           const float* maps, AdamWScalars s, const float* numbers, long long n) {
    __shared__ float values[2][kCodes], midpoints[2][kCodes];
    for (int i = threadIdx.x; i < 2 * kCodes; i += blockDim.x) {
        int map = i / kCodes, code = i % kCodes;
        values[map][code] = maps[i];
        midpoints[map][code] = code + 1 < kCodes ? (maps[i] + maps[i + 1]) / 2 : 0;
    }
    __syncthreads();

    float scalars[4] = {numbers[0], numbers[1], numbers[2], numbers[3]};
    int lane = threadIdx.x % 32;
    for (long long block = thread_index() / 32; block * kBlock < n; block += thread_count() / 32) {
        long long start = block * kBlock + lane;
        float m_scale = m_scales[block], v_scale = v_scales[block], m_most = 0, v_most = 0;
        float m_new[kPerLane], v_new[kPerLane];
#pragma unroll
        for (int k = 0; k < kPerLane; k++) {
            long long i = start + 32 * k;
            m_new[k] = v_new[k] = 0;
            if (i < n) {
                m_new[k] = m_scale * values[0][m[i]];
                v_new[k] = v_scale * values[1][v[i]];
                float w = adamw_element(master[i], gradient[i], m_new[k], v_new[k], s, scalars);
                master[i] = w;
                gradient[i] = 0;
                if (value != nullptr) {
                    value[i] = from_float<T>(w);
                }
            }
            m_most = fmaxf(m_most, fabsf(m_new[k]));
            v_most = fmaxf(v_most, v_new[k]);
        }
        m_most = max_lanes(m_most);
        v_most = max_lanes(v_most);
        if (lane == 0) {
            m_scales[block] = m_most;
            v_scales[block] = v_most;
        }
#pragma unroll
        for (int k = 0; k < kPerLane; k++) {
            long long i = start + 32 * k;
            if (i < n) {
                m[i] = (uint8_t)nearest_code(midpoints[0], m_most > 0 ? m_new[k] / m_most : 0.0f);
                v[i] = (uint8_t)nearest_code(midpoints[1], v_most > 0 ? v_new[k] / v_most : 0.0f);
            }
        }
    }
}

KERNEL(adamw_f32, float* master, float* value, float* gradient, float* m, float* v, float beta1, float beta2, float epsilon,
       float decay, const float* numbers, long long n) {
    adamw(master, value, gradient, m, v, {beta1, beta2, epsilon, decay}, numbers, n);
}
KERNEL(adamw_bf16, float* master, bf16* value, float* gradient, float* m, float* v, float beta1, float beta2, float epsilon,
       float decay, const float* numbers, long long n) {
    adamw(master, value, gradient, m, v, {beta1, beta2, epsilon, decay}, numbers, n);
}
KERNEL(adamw_8bit_f32, float* master, float* value, float* gradient, uint8_t* m, float* m_scales, uint8_t* v, float* v_scales,
       const float* maps, float beta1, float beta2, float epsilon, float decay, const float* numbers, long long n) {
    adamw_8bit(master, value, gradient, m, m_scales, v, v_scales, maps, {beta1, beta2, epsilon, decay}, numbers, n);
}
KERNEL(adamw_8bit_bf16, float* master, bf16* value, float* gradient, uint8_t* m, float* m_scales, uint8_t* v, float* v_scales,
       const float* maps, float beta1, float beta2, float epsilon, float decay, const float* numbers, long long n) {
    adamw_8bit(master, value, gradient, m, m_scales, v, v_scales, maps, {beta1, beta2, epsilon, decay}, numbers, n);
}
