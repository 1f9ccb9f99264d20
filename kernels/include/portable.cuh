// What a kernel source needs to be compiled by nvcc for the card and by g++ for the emulation.
//
//   KERNEL(name, parameters…) { … }                             an extern "C" entry point
//   KERNEL_BOUNDED(threads, blocks, name, parameters…) { … }    the same with __launch_bounds__(threads, blocks)
//   __shared__ float tile[32][33];                              static shared memory, as usual
//   DYNAMIC_SHARED(float, scratch);                             float* scratch = the launch's dynamic shared memory, 16-byte aligned
//
// There is no <<<>>>, no printf and no inline PTX outside this file. Below are the wrappers of instructions that C++ cannot express.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>

#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
#define KERNEL_BOUNDED(threads, blocks, name, ...) extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
#define DYNAMIC_SHARED(type, name)                     \
    extern __shared__ __align__(16) char dynamic_shared[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared)
#else
#include "../emulation/shim.h"
#endif

// 2^x to two units in the last place; what is below 2^-126 becomes 0. exp2f costs three instructions more.
__device__ __forceinline__ float exp2_approximate(float x) {
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2f(x);
#endif
}

// D += A·B on tensor cores: A is 16 × 16, B 16 × 8, both bf16, D 16 × 8 fp32. All 32 lanes call it together.
// With g = lane / 4 and t = lane % 4, a register holding two bf16 (lower column or row in the lower half), a lane holds
//   a[0] = A[g][2t, 2t+1]   a[1] = A[g+8][2t, 2t+1]   a[2] = A[g][2t+8, 2t+9]   a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]   b[1] = B[2t+8, 2t+9][g]
//   d[0], d[1] = D[g][2t, 2t+1]   d[2], d[3] = D[g+8][2t, 2t+1]
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    emulation::mma_m16n8k16(d, a, b);
#endif
}

// Loads 8 × 8 matrices of 16-bit elements from shared memory into mma fragments. All 32 lanes call it together. Lane l passes the
// 16-byte aligned address of row l % 8 of matrix l / 8 (of x2 only lanes 0 … 15 count) and receives, in r[i], elements
// [lane / 4][2·(lane % 4), +1] of matrix i; with _trans elements [2·(lane % 4), +1][lane / 4].
#ifdef __CUDACC__
#define LDMATRIX_ADDRESS(row) "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
#endif

__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
#ifdef __CUDACC__
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : LDMATRIX_ADDRESS(row) : "memory");
#else
    emulation::ldmatrix(r, 2, false, row);
#endif
}

__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
#ifdef __CUDACC__
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : LDMATRIX_ADDRESS(row)
                 : "memory");
#else
    emulation::ldmatrix(r, 2, true, row);
#endif
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#ifdef __CUDACC__
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : LDMATRIX_ADDRESS(row)
                 : "memory");
#else
    emulation::ldmatrix(r, 4, false, row);
#endif
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
#ifdef __CUDACC__
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : LDMATRIX_ADDRESS(row)
                 : "memory");
#else
    emulation::ldmatrix(r, 4, true, row);
#endif
}

// Starts a 16-byte copy from global to shared memory; both addresses are multiples of 16. Where `valid` is false the destination is
// filled with zeros and the source is not read. The copies started since the last commit form a group; cp_async_wait<N> waits for all
// but the N newest groups of this thread. Other threads see the data after a barrier that follows the wait.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid = true) {
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
#else
    emulation::cp_async_16(shared, global, valid);
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulation::cp_async_commit();
#endif
}

template <int Newest> __device__ __forceinline__ void cp_async_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(Newest) : "memory");
#else
    emulation::cp_async_wait(Newest);
#endif
}
