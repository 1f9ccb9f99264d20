// Kernels with a planted bug each, and correct neighbours of some. The tests launch them and must see the bug reported.
#include "../../include/portable.cuh"

namespace {

__device__ int index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

__device__ float sum_warp(float x) {
    for (int offset = 16; offset > 0; offset /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, offset);
    }
    return x;
}

} // namespace

// Correct: y = a·x + y.
KERNEL(axpy, float a, const float* x, float* y, int n) {
    int i = index();
    if (i < n) {
        y[i] += a * x[i];
    }
}

// Correct: reverses each block's elements through shared memory.
KERNEL(reverse_blocks, const float* x, float* y) {
    __shared__ float tile[256];
    tile[threadIdx.x] = x[index()];
    __syncthreads();
    y[index()] = tile[blockDim.x - 1 - threadIdx.x];
}

// The same without the barrier.
KERNEL(missing_barrier, const float* x, float* y) {
    __shared__ float tile[256];
    tile[threadIdx.x] = x[index()];
    y[index()] = tile[blockDim.x - 1 - threadIdx.x];
}

// A reduction whose second use of the scratch array is not separated from the first's reads.
KERNEL(missing_second_barrier, const float* x, float* y) {
    __shared__ float scratch[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float total = 0;
    for (int round = 0; round < 2; round++) {
        float sum = sum_warp(x[index()]);
        if (lane == 0) {
            scratch[warp] = sum;
        }
        __syncthreads();
        for (unsigned w = 0; w < blockDim.x / 32; w++) {
            total += scratch[w];
        }
    }
    y[index()] = total;
}

// Lanes of one warp exchange through shared memory without __syncwarp.
KERNEL(missing_warp_barrier, const float* x, float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

// The same with it: correct.
KERNEL(warp_exchange, const float* x, float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

// The last thread writes one element too far.
KERNEL(off_by_one, float* x, int n) {
    int i = index();
    if (i <= n) {
        x[i] = 1.0f;
    }
}

// Reads four floats at once from an address that is a multiple of 4 only.
KERNEL(misaligned_vector, const float* x, float* y) {
    float4 v = *reinterpret_cast<const float4*>(x + 1);
    y[0] = v.x + v.y + v.z + v.w;
}

// The halves of a block wait at different barriers.
KERNEL(divergent_barrier, float* x) {
    if (threadIdx.x < blockDim.x / 2) {
        x[threadIdx.x] = 1.0f;
        __syncthreads();
    } else {
        x[threadIdx.x] = 2.0f;
        __syncthreads();
    }
}

// One warp waits for the block, the other for lanes that never come.
KERNEL(stuck_shuffle, float* x) {
    if (threadIdx.x < 48) {
        __syncthreads();
    } else {
        x[0] = __shfl_sync(0xffffffffu, 1.0f, 0);
    }
}

// Correct: some threads return before the barrier, and it must not wait for them.
KERNEL(early_return, const float* x, float* y, int n) {
    __shared__ float tile[256];
    int i = static_cast<int>(threadIdx.x);
    if (i >= n) {
        return;
    }
    tile[i] = x[i];
    __syncthreads();
    y[i] = tile[n - 1 - i];
}

// Copies: fine, unless x was freed, is not written, or is no device memory.
KERNEL(copy, const float* x, float* y, int n) {
    int i = index();
    if (i < n) {
        y[i] = x[i];
    }
}

// A shuffle in a branch with a mask that names all lanes.
KERNEL(mask_names_absent_lanes, float* x) {
    if (threadIdx.x % 32 >= 16) {
        return;
    }
    x[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 20);
}

// A lane that its own mask leaves out.
KERNEL(mask_without_caller, float* x) { x[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, x[threadIdx.x], 1); }

// Correct: the halves of a warp shuffle and vote apart from each other.
KERNEL(half_warps, const int* x, int* sums, unsigned* votes) {
    unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    int sum = x[threadIdx.x];
    for (int offset = 8; offset > 0; offset /= 2) {
        sum += __shfl_down_sync(mask, sum, offset, 16);
    }
    sums[threadIdx.x] = __shfl_sync(mask, sum, 0, 16);
    votes[threadIdx.x] = __ballot_sync(mask, x[threadIdx.x] % 2);
}

// Shared memory that no thread of this block has written, although the one before has.
KERNEL(unwritten_shared, float* y) {
    __shared__ float tile[32];
    if (blockIdx.x == 0) {
        tile[threadIdx.x] = 1.0f;
    }
    y[index()] = tile[threadIdx.x];
}

// Past the end of a static array and of the launch's dynamic shared memory.
KERNEL(static_shared_overrun, float* y, int i) {
    __shared__ float tile[32];
    tile[threadIdx.x] = 1.0f;
    __syncthreads();
    y[threadIdx.x] = tile[static_cast<int>(threadIdx.x) + i];
}
KERNEL(dynamic_shared_overrun, int i) {
    DYNAMIC_SHARED(float, tile);
    tile[static_cast<int>(threadIdx.x) + i] = 1.0f;
}

// Uses what cp.async brings without waiting for it.
KERNEL(missing_copy_wait, const float* x, float* y) {
    __shared__ __align__(16) float tile[128];
    cp_async_16(tile + threadIdx.x * 4, x + threadIdx.x * 4);
    cp_async_commit();
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

// 32-bit index arithmetic on something larger.
KERNEL(index_overflow, float* x, int rows, int columns) { x[rows * columns > 0 ? 0 : 1] = 1.0f; }

// Correct: a 16 × 8 product of bf16 on tensor cores, both operands through shared memory and ldmatrix.
KERNEL(tensor_core, const __nv_bfloat16* a, const __nv_bfloat16* b, float* d) {
    __shared__ __align__(16) __nv_bfloat16 a_tile[16 * 16];
    __shared__ __align__(16) __nv_bfloat16 b_tile[16 * 8];
    int lane = static_cast<int>(threadIdx.x);
    cp_async_16(a_tile + lane * 8, a + lane * 8);
    cp_async_commit();
    if (lane < 16) {
        cp_async_16(b_tile + lane * 8, b + lane * 8);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    uint32_t a_fragment[4], b_fragment[2];
    float sums[4] = {};
    ldmatrix_x4(a_fragment, a_tile + (lane % 16) * 16 + lane / 16 * 8);
    ldmatrix_x2_trans(b_fragment, b_tile + (lane % 16) * 8);
    mma_m16n8k16(sums, a_fragment, b_fragment);
    int row = lane / 4, column = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
        d[(row + i / 2 * 8) * 8 + column + i % 2] = sums[i];
    }
}

// Correct: counts with atomics, in shared and in global memory.
KERNEL(histogram, const int* x, int* counts, int n) {
    __shared__ int local[4];
    if (threadIdx.x < 4) {
        local[threadIdx.x] = 0;
    }
    __syncthreads();
    int i = index();
    if (i < n) {
        atomicAdd(&local[x[i] & 3], 1);
    }
    __syncthreads();
    if (threadIdx.x < 4) {
        atomicAdd(&counts[threadIdx.x], local[threadIdx.x]);
    }
}

// Correct: the predicate forms of the barrier.
KERNEL_BOUNDED(64, 1, barrier_predicates, const int* x, int* y) {
    int odd = x[threadIdx.x] % 2;
    int count = __syncthreads_count(odd), all = __syncthreads_and(odd), any = __syncthreads_or(odd);
    y[threadIdx.x] = count * 100 + all * 10 + any;
}
