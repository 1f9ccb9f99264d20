// CUDA's vector types, with their alignment: a misaligned access through one is an error on the card and in the emulation.
#pragma once

#define EMULATION_VECTOR(scalar, name, alignment2, alignment4)                                                          \
    struct alignas(alignment2) name##2 {                                                                                \
        scalar x, y;                                                                                                    \
    };                                                                                                                  \
    struct name##3 {                                                                                                    \
        scalar x, y, z;                                                                                                 \
    };                                                                                                                  \
    struct alignas(alignment4) name##4 {                                                                                \
        scalar x, y, z, w;                                                                                              \
    };                                                                                                                  \
    inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }                                                \
    inline name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }                                   \
    inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

EMULATION_VECTOR(unsigned char, uchar, 2, 4)
EMULATION_VECTOR(unsigned short, ushort, 4, 8)
EMULATION_VECTOR(int, int, 8, 16)
EMULATION_VECTOR(float, float, 8, 16)
EMULATION_VECTOR(double, double, 16, 16)

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#undef EMULATION_VECTOR
