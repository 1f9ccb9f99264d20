// Sums and products of fp32 rounded in every direction, and to bf16.
#pragma once
#include <cmath>
#include <stdint.h>
#include <string.h>

namespace emulation::ptx {

enum class Rounding { Nearest, Zero, Down, Up };

inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Subnormal numbers become 0 of their sign.
inline float flushed(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }

// The number that is `sum` plus an `error` smaller than its last place, as fp32, in one of the directed roundings.
template <Rounding Direction> float rounded(double sum, double error) {
    auto x = static_cast<float>(sum);
    if (!std::isfinite(sum)) {
        return x;
    }
    double above = static_cast<double>(x) - sum; // exact
    bool too_high = above > 0 || (above == 0 && error < 0), too_low = above < 0 || (above == 0 && error > 0);
    if (Direction == Rounding::Down || (Direction == Rounding::Zero && sum > 0)) {
        return too_high ? std::nextafterf(x, -INFINITY) : x;
    }
    if (Direction == Rounding::Up || (Direction == Rounding::Zero && sum < 0)) {
        return too_low ? std::nextafterf(x, INFINITY) : x;
    }
    return x;
}

// a·b + c with one rounding. The product of two fp32 is exact in double precision; the error of the sum is found by Knuth's method.
template <Rounding Direction> float multiply_add(float a, float b, float c) {
    if (Direction == Rounding::Nearest) {
        return std::fma(a, b, c);
    }
    double product = static_cast<double>(a) * b, addend = c, sum = product + addend;
    double second = sum - product, error = (product - (sum - second)) + (addend - second);
    return rounded<Direction>(sum, error);
}

inline float from_bf16(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }

// To the nearest, ties to the even one; NaN stays NaN.
inline uint16_t to_bf16(float x) {
    uint32_t bits = bits_of(x);
    return x != x ? 0x7fff : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace emulation::ptx
