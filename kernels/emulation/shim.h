// CUDA C++ as the kernels use it, for g++: every .cu source is compiled unchanged with this in place of nvcc's headers.
#pragma once
#include "runtime.h"

#include "bfloat16.h"
#include "vector_types.h"
#include <algorithm>
#include <math.h>
#include <string.h>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
// A block runs on one operating-system thread, so its threads share what is local to that thread.
#define __shared__ static thread_local

// Not inlined: the function that unpacks the arguments and calls the kernel is compiled without checks.
#define KERNEL(name, ...) KERNEL_BOUNDED(1024, 1, name, __VA_ARGS__)
#define KERNEL_BOUNDED(threads, blocks, name, ...) \
    __attribute__((noinline)) static void name(__VA_ARGS__); \
    extern "C" { \
    EMULATION_API extern const emulation::Entry emulation_entry_##name; \
    const emulation::Entry emulation_entry_##name = emulation::Trampoline<&name>::entry(#name, threads); \
    } \
    static void name(__VA_ARGS__)
#define DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(emulation::dynamic_shared())

#define threadIdx (emulation::thread_index())
#define blockIdx (emulation::block_index())
#define blockDim (emulation::block_dimensions())
#define gridDim (emulation::grid_dimensions())
constexpr int warpSize = 32;

using std::max;
using std::min;

// Barriers.

inline void __syncthreads(emulation::Site site = emulation::Site::here()) { emulation::block_barrier(false, site); }
inline int __syncthreads_count(int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::block_barrier(predicate != 0, site).count;
}
inline int __syncthreads_and(int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::block_barrier(predicate != 0, site).all;
}
inline int __syncthreads_or(int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::block_barrier(predicate != 0, site).any;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, emulation::Site site = emulation::Site::here()) { emulation::warp_barrier(mask, site); }
inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap(emulation::Site site = emulation::Site::here()) { emulation::trap(site); }

// Shuffles and votes.

template <typename T> T emulation_shuffle(emulation::Shuffle kind, unsigned mask, T value, int lane, int width, emulation::Site site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulation::shuffle(kind, mask, bits, lane, width, site);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, emulation::Site site = emulation::Site::here()) {
    return emulation_shuffle(emulation::Shuffle::Index, mask, value, lane, width, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, emulation::Site site = emulation::Site::here()) {
    return emulation_shuffle(emulation::Shuffle::Up, mask, value, static_cast<int>(delta), width, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, emulation::Site site = emulation::Site::here()) {
    return emulation_shuffle(emulation::Shuffle::Down, mask, value, static_cast<int>(delta), width, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, emulation::Site site = emulation::Site::here()) {
    return emulation_shuffle(emulation::Shuffle::Xor, mask, value, lane_mask, width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::ballot(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
    return emulation::ballot(mask, predicate == 0, site) == 0;
}

// Atomics, on the types that emulation::atomic has.

template <typename T> T atomicAdd(T* address, T value) { return emulation::atomic(emulation::Atomic::Add, address, value, T()); }
template <typename T> T atomicMin(T* address, T value) { return emulation::atomic(emulation::Atomic::Minimum, address, value, T()); }
template <typename T> T atomicMax(T* address, T value) { return emulation::atomic(emulation::Atomic::Maximum, address, value, T()); }
template <typename T> T atomicExch(T* address, T value) { return emulation::atomic(emulation::Atomic::Exchange, address, value, T()); }
template <typename T> T atomicAnd(T* address, T value) { return emulation::atomic(emulation::Atomic::And, address, value, T()); }
template <typename T> T atomicOr(T* address, T value) { return emulation::atomic(emulation::Atomic::Or, address, value, T()); }
template <typename T> T atomicCAS(T* address, T compare, T value) {
    return emulation::atomic(emulation::Atomic::CompareAndSwap, address, value, compare);
}

// Loads and stores with a cache hint are loads and stores.

template <typename T> T __ldg(const T* address) { return *address; }
template <typename T> T __ldcs(const T* address) { return *address; }
template <typename T> T __ldcg(const T* address) { return *address; }
template <typename T> void __stcs(T* address, T value) { *address = value; }
template <typename T> void __stcg(T* address, T value) { *address = value; }

// Arithmetic. The fast variants of the card are only approximations; here they are exact to the last place or so.

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }

inline float __int_as_float(int x) {
    float y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline float __uint_as_float(unsigned x) {
    float y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline int __float_as_int(float x) {
    int y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline unsigned __float_as_uint(float x) {
    unsigned y;
    memcpy(&y, &x, sizeof y);
    return y;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>((static_cast<uint64_t>(x) * y) >> 32); }
