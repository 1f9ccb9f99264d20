// fp32 and fp64. The card's approximations are computed in double precision and rounded once to fp32, which is closer than the card is.
#include "lanes.h"
#include "rounding.h"

namespace emulation::ptx {

namespace {

template <typename T> T add(T a, T b) { return a + b; }
template <typename T> T subtract(T a, T b) { return a - b; }
template <typename T> T multiply(T a, T b) { return a * b; }
template <typename T> T divide(T a, T b) { return a / b; }
template <typename T> T reciprocal(T a) { return T(1) / a; }
template <typename T> T root(T a) { return std::sqrt(a); }
template <typename T> T negative(T a) { return -a; }
template <typename T> T absolute(T a) { return std::fabs(a); }
template <typename T> T fused(T a, T b, T c) { return std::fma(a, b, c); }
// The one that is a number where the other is NaN; −0 is less than 0.
template <typename T> T lesser(T a, T b) { return a != a ? b : a < b || (a == b && std::signbit(a)) || b != b ? a : b; }
template <typename T> T greater(T a, T b) { return a != a ? b : a > b || (a == b && !std::signbit(a)) || b != b ? a : b; }
template <typename T> T lesser_or_nan(T a, T b) { return a != a || b != b ? static_cast<T>(NAN) : lesser(a, b); }
template <typename T> T greater_or_nan(T a, T b) { return a != a || b != b ? static_cast<T>(NAN) : greater(a, b); }

template <Rounding Direction> float directed_add(float a, float b) { return multiply_add<Direction>(a, 1.0f, b); }
template <Rounding Direction> float directed_subtract(float a, float b) { return multiply_add<Direction>(a, 1.0f, -b); }
template <Rounding Direction> float directed_multiply(float a, float b) { return rounded<Direction>(static_cast<double>(a) * b, 0); }

template <auto Operation> float flush_two(float a, float b) { return flushed(Operation(flushed(a), flushed(b))); }
float flush_fused(float a, float b, float c) { return flushed(std::fma(flushed(a), flushed(b), flushed(c))); }

template <auto Function> float approximate(float a) { return static_cast<float>(Function(static_cast<double>(a))); }
template <auto Function> float approximate_flushed(float a) { return flushed(approximate<Function>(flushed(a))); }

double power_of_two(double a) { return std::exp2(a); }
double logarithm(double a) { return std::log2(a); }
double inverse(double a) { return 1 / a; }
double inverse_root(double a) { return 1 / std::sqrt(a); }
double square_root(double a) { return std::sqrt(a); }
double sine(double a) { return std::sin(a); }
double cosine(double a) { return std::cos(a); }
double hyperbolic_tangent(double a) { return std::tanh(a); }

template <auto Function> void add_approximation(Forms& forms, const std::string& name) {
    forms[name + ".approx.f32"] = {unary<float, approximate<Function>, float>, "w=w"};
    forms[name + ".approx.ftz.f32"] = {unary<float, approximate_flushed<Function>, float>, "w=w"};
}

template <Rounding Direction> void add_directed(Forms& forms, const std::string& mode) {
    forms["add." + mode + ".f32"] = {binary<float, directed_add<Direction>, float>, "w=ww"};
    forms["sub." + mode + ".f32"] = {binary<float, directed_subtract<Direction>, float>, "w=ww"};
    forms["mul." + mode + ".f32"] = {binary<float, directed_multiply<Direction>, float>, "w=ww"};
    forms["fma." + mode + ".f32"] = {ternary<float, multiply_add<Direction>, float>, "w=www"};
}

template <typename T> void add_arithmetic(Forms& forms, const std::string& type, const std::string& letter) {
    std::string two = letter + "=" + letter, three = two + letter;
    for (std::string mode : {".", ".rn."}) {
        forms["add" + mode + type] = {binary<T, add<T>, T>, three};
        forms["sub" + mode + type] = {binary<T, subtract<T>, T>, three};
        forms["mul" + mode + type] = {binary<T, multiply<T>, T>, three};
    }
    forms["fma.rn." + type] = {ternary<T, fused<T>, T>, three + letter};
    forms["div.rn." + type] = {binary<T, divide<T>, T>, three};
    forms["rcp.rn." + type] = {unary<T, reciprocal<T>, T>, two};
    forms["sqrt.rn." + type] = {unary<T, root<T>, T>, two};
    forms["neg." + type] = {unary<T, negative<T>, T>, two};
    forms["abs." + type] = {unary<T, absolute<T>, T>, two};
    forms["min." + type] = {binary<T, lesser<T>, T>, three};
    forms["max." + type] = {binary<T, greater<T>, T>, three};
}

} // namespace

void add_float_forms(Forms& forms) {
    add_arithmetic<float>(forms, "f32", "w");
    add_arithmetic<double>(forms, "f64", "l");
    forms["min.NaN.f32"] = {binary<float, lesser_or_nan<float>, float>, "w=ww"};
    forms["max.NaN.f32"] = {binary<float, greater_or_nan<float>, float>, "w=ww"};
    for (std::string mode : {".ftz.", ".rn.ftz."}) {
        forms["add" + mode + "f32"] = {binary<float, flush_two<add<float>>, float>, "w=ww"};
        forms["sub" + mode + "f32"] = {binary<float, flush_two<subtract<float>>, float>, "w=ww"};
        forms["mul" + mode + "f32"] = {binary<float, flush_two<multiply<float>>, float>, "w=ww"};
    }
    forms["fma.rn.ftz.f32"] = {ternary<float, flush_fused, float>, "w=www"};
    add_directed<Rounding::Zero>(forms, "rz");
    add_directed<Rounding::Down>(forms, "rm");
    add_directed<Rounding::Up>(forms, "rp");
    forms["div.full.f32"] = forms["div.approx.f32"] = forms["div.rn.f32"];
    forms["div.approx.ftz.f32"] = {binary<float, flush_two<divide<float>>, float>, "w=ww"};
    add_approximation<power_of_two>(forms, "ex2");
    add_approximation<logarithm>(forms, "lg2");
    add_approximation<inverse>(forms, "rcp");
    add_approximation<inverse_root>(forms, "rsqrt");
    add_approximation<square_root>(forms, "sqrt");
    add_approximation<sine>(forms, "sin");
    add_approximation<cosine>(forms, "cos");
    forms["tanh.approx.f32"] = {unary<float, approximate<hyperbolic_tangent>, float>, "w=w"};
}

} // namespace emulation::ptx
