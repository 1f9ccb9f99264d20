// What a table [V, C] whose rows are looked up receives: gradient, square per sequence, projection per sequence.
//
// Rows repeat, so the sums must not race. Instead of atomics, whose order changes the bits, each occurrence of an id is linked to the one
// before and the one after it; the block of an id's first occurrence owns the table row and walks the chain in the order of t.
//
//   row_links             previous[t], next[t] = nearest earlier and later t' with rows[t'] = rows[t], or −1
//   embedding_accumulate  gradient[rows[t]] += dY[t] in the order of t
//   embedding_accumulate_rounded  the same into bfloat16: added up in Float32, then rounded stochastically (include/rounding.cuh)
//   embedding_square      sum[v] += Σ_s G_s² + 2·head∘G_s with G_s[v] = Σ_{t in s, rows[t] = v} dY[t]; head [T, C] by head_rows, or null
//   embedding_project     partials[t] = (Σ_c a·G_s, Σ_c b·(G_s² + 2·head∘G_s)) at the first t of s with its id, else (0, 0)
//
// Launch of row_links: ⌈T / 256⌉ blocks of 256. Of the embedding kernels: one block a row, C / 4 threads rounded up to a warp, between 32
// and 512.
#include "include/pack.cuh"
#include "include/ragged.cuh"
#include "include/reduce.cuh"
#include "include/rounding.cuh"

// T² comparisons, 256 at a time from shared memory: a few microseconds at 2048 rows, and no sort.
KERNEL(row_links, const int* rows, int* previous, int* next, int T) {
    __shared__ int ids[256];
    int t = blockIdx.x * 256 + threadIdx.x;
    int id = t < T ? rows[t] : -1;
    int before = -1, after = -1;
    for (int first = 0; first < T; first += 256) {
        __syncthreads();
        int k = threadIdx.x;
        ids[k] = first + k < T ? rows[first + k] : -1;
        __syncthreads();
        int count = min(256, T - first);
        for (int k = 0; k < count; k++) {
            if (ids[k] == id) {
                int other = first + k;
                before = other < t ? other : before;
                after = other > t && after < 0 ? other : after;
            }
        }
    }
    if (t < T) {
        previous[t] = before;
        next[t] = after;
    }
}

// How sums of Float32 are stored as they are.
struct Unrounded {
    template <int N> __device__ void apply(float (&)[N], long long) const {}
};

template <int N, typename T, typename G, typename R>
__device__ void accumulate_chain(const T* dY, const int* next, G* gradient, long long row, int C, const R& rounding) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float sum[N], d[N];
        load<N>(gradient + row + c, sum);
        for (int t = blockIdx.x; t >= 0; t = next[t]) {
            load<N>(dY + (long long)t * C + c, d);
#pragma unroll
            for (int k = 0; k < N; k++) {
                sum[k] += d[k];
            }
        }
        rounding.template apply<N>(sum, row + c);
        store<N>(gradient + row + c, sum);
    }
}

template <typename T, typename G, typename R>
__device__ void embedding_accumulate(const int* rows, const int* previous, const int* next, const T* dY, G* gradient, int C,
                                     const R& rounding) {
    int t = blockIdx.x;
    if (previous[t] >= 0) {
        return;
    }
    long long row = (long long)rows[t] * C;
    if (C % 4 == 0 && aligned16(dY, gradient)) {
        accumulate_chain<4>(dY, next, gradient, row, C, rounding);
    } else {
        accumulate_chain<1>(dY, next, gradient, row, C, rounding);
    }
}

// G of one sequence for N columns, from its first occurrence t of the id; leaves t at the first occurrence after the sequence, or −1.
template <int N, typename T> __device__ void chain_sum(const T* dY, const int* next, int end, int C, int& t, float (&g)[N]) {
#pragma unroll
    for (int k = 0; k < N; k++) {
        g[k] = 0;
    }
    for (; t >= 0 && t < end; t = next[t]) {
        float d[N];
        load<N>(dY + (long long)t * C, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            g[k] += d[k];
        }
    }
}

template <int N, typename T>
__device__ void square_chain(const T* dY, const int* next, const int* offsets, int sequences, const float* head, float* sumRow, int C) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float sum[N];
        load<N>(sumRow + c, sum);
        for (int t = blockIdx.x; t >= 0;) {
            float h[N] = {}, g[N];
            if (head != nullptr) {
                load<N>(head + (long long)t * C + c, h);
            }
            int s = sequence_of_row(offsets, sequences, t);
            chain_sum<N>(dY + c, next, offsets[s + 1], C, t, g);
#pragma unroll
            for (int k = 0; k < N; k++) {
                sum[k] += g[k] * (g[k] + 2.0f * h[k]);
            }
        }
        store<N>(sumRow + c, sum);
    }
}

template <typename T>
__device__ void embedding_square(const int* rows, const int* previous, const int* next, const T* dY, const int* offsets, int sequences,
                                 const float* head, float* sum, int C) {
    int t = blockIdx.x;
    if (previous[t] >= 0) {
        return;
    }
    float* row = sum + (long long)rows[t] * C;
    if (C % 4 == 0 && aligned16(dY, head, sum)) {
        square_chain<4>(dY, next, offsets, sequences, head, row, C);
    } else {
        square_chain<1>(dY, next, offsets, sequences, head, row, C);
    }
}

template <int N, typename T>
__device__ void project_chain(const T* dY, const int* next, int end, const float* head, const float* a, const float* b, int C,
                              float& linear, float& quadratic) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float h[N] = {}, g[N], p[N], q[N];
        int t = blockIdx.x;
        if (head != nullptr) {
            load<N>(head + (long long)t * C + c, h);
        }
        load<N>(a + c, p);
        load<N>(b + c, q);
        chain_sum<N>(dY + c, next, end, C, t, g);
#pragma unroll
        for (int k = 0; k < N; k++) {
            linear += p[k] * g[k];
            quadratic += q[k] * g[k] * (g[k] + 2.0f * h[k]);
        }
    }
}

template <typename T>
__device__ void embedding_project(const int* rows, const int* previous, const int* next, const T* dY, const int* offsets, int sequences,
                                  const float* head, const float* a, const float* b, float* partials, int C) {
    __shared__ float scratch[32];
    int t = blockIdx.x, s = sequence_of_row(offsets, sequences, t);
    float linear = 0, quadratic = 0;
    if (previous[t] < offsets[s]) { // uniform over the block
        long long row = (long long)rows[t] * C;
        if (C % 4 == 0 && aligned16(dY, head, a, b)) {
            project_chain<4>(dY, next, offsets[s + 1], head, a + row, b + row, C, linear, quadratic);
        } else {
            project_chain<1>(dY, next, offsets[s + 1], head, a + row, b + row, C, linear, quadratic);
        }
    }
    linear = sum_block(linear, scratch);
    quadratic = sum_block(quadratic, scratch);
    if (threadIdx.x == 0) {
        partials[2LL * t] = linear;
        partials[2LL * t + 1] = quadratic;
    }
}

KERNEL(embedding_accumulate_f32, const int* rows, const int* previous, const int* next, const float* dY, float* gradient, int C) {
    embedding_accumulate(rows, previous, next, dY, gradient, C, Unrounded());
}
KERNEL(embedding_accumulate_bf16, const int* rows, const int* previous, const int* next, const bf16* dY, float* gradient, int C) {
    embedding_accumulate(rows, previous, next, dY, gradient, C, Unrounded());
}
KERNEL(embedding_accumulate_rounded_f32, const int* rows, const int* previous, const int* next, const float* dY, bf16* gradient, int C,
       const unsigned int* key, unsigned int stream) {
    embedding_accumulate(rows, previous, next, dY, gradient, C, Rounding(key, stream));
}
KERNEL(embedding_accumulate_rounded_bf16, const int* rows, const int* previous, const int* next, const bf16* dY, bf16* gradient, int C,
       const unsigned int* key, unsigned int stream) {
    embedding_accumulate(rows, previous, next, dY, gradient, C, Rounding(key, stream));
}
KERNEL(embedding_square_f32, const int* rows, const int* previous, const int* next, const float* dY, const int* offsets, int sequences,
       const float* head, float* sum, int C) {
    embedding_square(rows, previous, next, dY, offsets, sequences, head, sum, C);
}
KERNEL(embedding_square_bf16, const int* rows, const int* previous, const int* next, const bf16* dY, const int* offsets, int sequences,
       const float* head, float* sum, int C) {
    embedding_square(rows, previous, next, dY, offsets, sequences, head, sum, C);
}
KERNEL(embedding_project_f32, const int* rows, const int* previous, const int* next, const float* dY, const int* offsets, int sequences,
       const float* head, const float* a, const float* b, float* partials, int C) {
    embedding_project(rows, previous, next, dY, offsets, sequences, head, a, b, partials, C);
}
KERNEL(embedding_project_bf16, const int* rows, const int* previous, const int* next, const bf16* dY, const int* offsets, int sequences,
       const float* head, const float* a, const float* b, float* partials, int C) {
    embedding_project(rows, previous, next, dY, offsets, sequences, head, a, b, partials, C);
}
