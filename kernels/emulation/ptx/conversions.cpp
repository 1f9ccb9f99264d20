// Conversions between integers, fp32, fp64 and bf16.
#include "lanes.h"
#include "rounding.h"

#include <limits>

namespace emulation::ptx {

namespace {

template <typename To, typename From> To converted(From a) { return static_cast<To>(a); }

template <typename To, typename Byte> To low_byte(uint16_t a) { return static_cast<To>(static_cast<Byte>(a)); }

double nearest(double a) { return std::nearbyint(a); }
double towards_zero(double a) { return std::trunc(a); }
double down(double a) { return std::floor(a); }
double up(double a) { return std::ceil(a); }

// To an integer: what lies outside becomes the end of the range, and NaN 0.
template <typename To, auto Round, typename From> To integer(From a) {
    double x = Round(static_cast<double>(a));
    if (x != x) {
        return 0;
    }
    if (x <= static_cast<double>(std::numeric_limits<To>::min())) {
        return std::numeric_limits<To>::min();
    }
    // The largest 64-bit integers are no doubles: the next power of two is.
    return x >= std::ldexp(1.0, std::numeric_limits<To>::digits) ? std::numeric_limits<To>::max() : static_cast<To>(x);
}

template <typename T, auto Round> T whole(T a) { return static_cast<T>(Round(static_cast<double>(a))); }
float saturated(float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; } // NaN becomes 0
uint32_t bf16_pair(float high, float low) { return static_cast<uint32_t>(to_bf16(high)) << 16 | to_bf16(low); }

template <typename T> struct Type;
#define TYPE(cpp, ptx, wide)                                \
    template <> struct Type<cpp> {                          \
        static constexpr const char *name = ptx, *letter = wide; \
    }
TYPE(uint16_t, "u16", "h");
TYPE(int16_t, "s16", "h");
TYPE(uint32_t, "u32", "w");
TYPE(int32_t, "s32", "w");
TYPE(uint64_t, "u64", "l");
TYPE(int64_t, "s64", "l");
TYPE(float, "f32", "w");
TYPE(double, "f64", "l");
#undef TYPE

template <typename To, typename From> void add(Forms& forms, const std::string& mode, Handler handler) {
    forms["cvt." + mode + Type<To>::name + "." + Type<From>::name] = {handler, std::string(Type<To>::letter) + "=" + Type<From>::letter};
}

template <typename To, typename From> void add_between_integers(Forms& forms) {
    if (!std::is_same_v<To, From>) {
        add<To, From>(forms, "", unary<To, converted<To, From>, From>);
    }
}

template <typename To> void add_to_integer(Forms& forms) {
    add_between_integers<To, uint16_t>(forms);
    add_between_integers<To, int16_t>(forms);
    add_between_integers<To, uint32_t>(forms);
    add_between_integers<To, int32_t>(forms);
    add_between_integers<To, uint64_t>(forms);
    add_between_integers<To, int64_t>(forms);
    add<float, To>(forms, "rn.", unary<float, converted<float, To>, To>);
    add<double, To>(forms, "rn.", unary<double, converted<double, To>, To>);
    add<To, float>(forms, "rni.", unary<To, integer<To, nearest, float>, float>);
    add<To, float>(forms, "rzi.", unary<To, integer<To, towards_zero, float>, float>);
    add<To, float>(forms, "rmi.", unary<To, integer<To, down, float>, float>);
    add<To, float>(forms, "rpi.", unary<To, integer<To, up, float>, float>);
    add<To, double>(forms, "rni.", unary<To, integer<To, nearest, double>, double>);
    add<To, double>(forms, "rzi.", unary<To, integer<To, towards_zero, double>, double>);
    add<To, double>(forms, "rmi.", unary<To, integer<To, down, double>, double>);
    add<To, double>(forms, "rpi.", unary<To, integer<To, up, double>, double>);
}

template <typename T> void add_whole(Forms& forms) {
    add<T, T>(forms, "rni.", unary<T, whole<T, nearest>, T>);
    add<T, T>(forms, "rzi.", unary<T, whole<T, towards_zero>, T>);
    add<T, T>(forms, "rmi.", unary<T, whole<T, down>, T>);
    add<T, T>(forms, "rpi.", unary<T, whole<T, up>, T>);
}

} // namespace

void add_conversion_forms(Forms& forms) {
    add_to_integer<uint16_t>(forms);
    add_to_integer<int16_t>(forms);
    add_to_integer<uint32_t>(forms);
    add_to_integer<int32_t>(forms);
    add_to_integer<uint64_t>(forms);
    add_to_integer<int64_t>(forms);
    // Bytes lie in wider registers.
    forms["cvt.u16.u8"] = {unary<uint16_t, low_byte<uint16_t, uint8_t>, uint16_t>, "h=h"};
    forms["cvt.u32.u8"] = {unary<uint32_t, low_byte<uint32_t, uint8_t>, uint16_t>, "w=h"};
    forms["cvt.s16.s8"] = {unary<int16_t, low_byte<int16_t, int8_t>, uint16_t>, "h=h"};
    forms["cvt.s32.s8"] = {unary<int32_t, low_byte<int32_t, int8_t>, uint16_t>, "w=h"};
    add_whole<float>(forms);
    add_whole<double>(forms);
    add<double, float>(forms, "", unary<double, converted<double, float>, float>);
    add<float, double>(forms, "rn.", unary<float, converted<float, double>, double>);
    add<float, float>(forms, "sat.", unary<float, saturated, float>);
    add<float, float>(forms, "ftz.", unary<float, flushed, float>);
    forms["cvt.f32.bf16"] = {unary<float, from_bf16, uint16_t>, "w=h"};
    forms["cvt.rn.bf16.f32"] = {unary<uint16_t, to_bf16, float>, "h=w"};
    forms["cvt.rn.bf16x2.f32"] = {binary<uint32_t, bf16_pair, float>, "w=ww"};
}

} // namespace emulation::ptx
