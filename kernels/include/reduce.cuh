// Reductions over a warp and a block, in an order fixed by the thread indices: the same inputs give the same bits.
#pragma once
#include "portable.cuh"

constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

struct Max {
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Every lane receives the result over the aligned group of `Lanes` lanes it belongs to. A butterfly, so all lanes hold the same bits.
template <int Lanes = 32, typename Op> __device__ inline float reduce_lanes(float x, Op op) {
#pragma unroll
    for (int offset = Lanes / 2; offset > 0; offset /= 2) {
        x = op(x, __shfl_xor_sync(kAllLanes, x, offset));
    }
    return x;
}

template <int Lanes = 32> __device__ inline float sum_lanes(float x) { return reduce_lanes<Lanes>(x, Sum()); }
template <int Lanes = 32> __device__ inline float max_lanes(float x) { return reduce_lanes<Lanes>(x, Max()); }

// Every thread of the block receives the result; blockDim.x is a multiple of 32. `scratch` holds 32 floats of shared memory.
// The leading barrier lets one scratch serve several calls in a row.
template <typename Op> __device__ inline float reduce_block(float x, float identity, Op op, float* scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    x = reduce_lanes(x, op);
    __syncthreads();
    if (lane == 0) {
        scratch[warp] = x;
    }
    __syncthreads();
    return reduce_lanes(lane < warps ? scratch[lane] : identity, op);
}

__device__ inline float sum_block(float x, float* scratch) { return reduce_block(x, 0.0f, Sum(), scratch); }
