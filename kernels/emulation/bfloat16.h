// The part of cuda_bf16.h that the kernels use. Conversions from float round to nearest, ties to even; NaN stays NaN.
#pragma once
#include "vector_types.h"
#include <string.h>

struct __nv_bfloat16;
inline float __bfloat162float(__nv_bfloat16 x);

// Without constructors, unlike NVIDIA's: g++ would guard the initialisation of every shared array of it, once per operating-system thread.
struct alignas(2) __nv_bfloat16 {
    unsigned short bits;
    operator float() const { return __bfloat162float(*this); }
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
    __nv_bfloat16 x;
    x.bits = bits;
    return x;
}

inline float __bfloat162float(__nv_bfloat16 x) {
    unsigned bits = static_cast<unsigned>(x.bits) << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return __ushort_as_bfloat16(0x7fff); // what the hardware returns for any NaN
    }
    return __ushort_as_bfloat16(static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16));
}

inline __nv_bfloat16 __float2bfloat16(float x) { return __float2bfloat16_rn(x); }

inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
    __nv_bfloat162 pair;
    pair.x = x;
    pair.y = y;
    return pair;
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return __halves2bfloat162(__float2bfloat16_rn(x), __float2bfloat16_rn(y)); }
inline __nv_bfloat162 __float22bfloat162_rn(float2 x) { return __floats2bfloat162_rn(x.x, x.y); }
inline float2 __bfloat1622float2(__nv_bfloat162 x) { return {__bfloat162float(x.x), __bfloat162float(x.y)}; }
inline float __low2float(__nv_bfloat162 x) { return __bfloat162float(x.x); }
inline float __high2float(__nv_bfloat162 x) { return __bfloat162float(x.y); }
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 x) { return x.x; }
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 x) { return x.y; }
