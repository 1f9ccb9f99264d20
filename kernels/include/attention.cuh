// What the attention kernels share: which rows a sequence has and which keys a query sees.
#pragma once
#include "ragged.cuh"

// The i-th query row of a sequence is row queryBegin + i and stands at position `shift` + i; key j is row keyBegin + j.
// In training keys and queries are the same rows. With a cache, keys start at starts[s] and lengths[s] of them include the queries' own.
struct Sequence {
    int queryBegin, rows, keyBegin, shift;
};

__device__ inline Sequence sequence_of(const Tile& tile, const int* starts, const int* lengths) {
    int rows = tile.end - tile.begin;
    return {tile.begin, rows, starts == nullptr ? tile.begin : starts[tile.sequence],
            lengths == nullptr ? 0 : lengths[tile.sequence] - rows};
}

// Position p sees keys first_key(p) … p.
__device__ inline int first_key(int position, int window) { return window > 0 ? max(0, position - window + 1) : 0; }

// What a score counts as: scale·x, or cap·tanh(scale·x / cap) where scores are capped. Capped kernels are kernels of their own, so that
// those without a cap are what they would be alone.
template <bool Capped> __device__ inline float score_of(float x, float scale, float cap) {
    return Capped ? cap * tanhf(x * scale / cap) : x * scale;
}

// The scores of a warp's tile; without a cap they stay as the product left them, and are scaled where they are used.
template <bool Capped, int N> __device__ inline void cap_scores(float (&score)[N][4], float scale, float cap) {
    if (Capped) {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                score[n][i] = score_of<Capped>(score[n][i], scale, cap);
            }
        }
    }
}

// Derivative of score_of by scale·x, given its value.
template <bool Capped> __device__ inline float score_slope(float score, float cap) {
    float t = score / cap;
    return Capped ? fmaxf(0.0f, 1.0f - t * t) : 1.0f; // a key that is not seen has score −∞
}

__device__ inline bool sees(int position, int key, int window) { return key <= position && (window <= 0 || position - key < window); }
