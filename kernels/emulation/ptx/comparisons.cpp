// Comparisons and choices.
#include "lanes.h"

namespace emulation::ptx {

namespace {

template <typename T> bool equal(T a, T b) { return a == b; }
template <typename T> bool unequal(T a, T b) { return a < b || a > b; } // false where one is NaN
template <typename T> bool less(T a, T b) { return a < b; }
template <typename T> bool at_most(T a, T b) { return a <= b; }
template <typename T> bool more(T a, T b) { return a > b; }
template <typename T> bool at_least(T a, T b) { return a >= b; }
template <typename T> bool numbers(T a, T b) { return a == a && b == b; }
// The same, but true where one is NaN.
template <typename T> bool not_unequal(T a, T b) { return !unequal(a, b); }
template <typename T> bool not_equal(T a, T b) { return !(a == b); }
template <typename T> bool not_at_least(T a, T b) { return !(a >= b); }
template <typename T> bool not_more(T a, T b) { return !(a > b); }
template <typename T> bool not_at_most(T a, T b) { return !(a <= b); }
template <typename T> bool not_less(T a, T b) { return !(a < b); }
template <typename T> bool not_numbers(T a, T b) { return !numbers(a, b); }

uint32_t combined(uint8_t detail, uint32_t bits, uint32_t other) {
    switch (detail & 3) {
    case 1: return bits & other;
    case 2: return bits | other;
    case 3: return bits ^ other;
    default: return bits;
    }
}

// Writes the result and its opposite, each combined with a further predicate.
template <typename T, auto Compare> void compare(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const T *a = warp.row<T>(instruction.read(0)), *b = warp.row<T>(instruction.read(1));
    uint32_t bits = 0;
    for (unsigned lane = 0; lane < kLanes; lane++) {
        bits |= static_cast<uint32_t>(Compare(a[lane], b[lane])) << lane;
    }
    uint32_t other = warp.predicate(instruction.read(2));
    other = (instruction.detail & 4) != 0 ? ~other : other;
    uint32_t &to = warp.predicate(instruction.rows[0]), &opposite = warp.predicate(instruction.rows[1]);
    to = (to & ~lanes) | (combined(instruction.detail, bits, other) & lanes);
    opposite = (opposite & ~lanes) | (combined(instruction.detail, ~bits, other) & lanes);
}

template <typename T> void select(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const T *a = warp.row<T>(instruction.read(0)), *b = warp.row<T>(instruction.read(1));
    uint32_t predicate = warp.predicate(instruction.read(2));
    T* to = warp.row<T>(instruction.rows[0]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = (predicate >> lane & 1) != 0 ? a[lane] : b[lane]; });
}

template <typename T> void add_comparisons(Forms& forms, const std::string& type, const char* signature) {
    auto form = [&](const char* name, Handler handler) { forms[std::string("setp.") + name + "." + type] = {handler, signature}; };
    form("eq", compare<T, equal<T>>);
    form("ne", compare<T, unequal<T>>);
    form("lt", compare<T, less<T>>);
    form("le", compare<T, at_most<T>>);
    form("gt", compare<T, more<T>>);
    form("ge", compare<T, at_least<T>>);
    form("lo", compare<T, less<T>>);
    form("ls", compare<T, at_most<T>>);
    form("hi", compare<T, more<T>>);
    form("hs", compare<T, at_least<T>>);
    if (std::is_floating_point_v<T>) {
        form("equ", compare<T, not_unequal<T>>);
        form("neu", compare<T, not_equal<T>>);
        form("ltu", compare<T, not_at_least<T>>);
        form("leu", compare<T, not_more<T>>);
        form("gtu", compare<T, not_at_most<T>>);
        form("geu", compare<T, not_less<T>>);
        form("num", compare<T, numbers<T>>);
        form("nan", compare<T, not_numbers<T>>);
    }
}

} // namespace

void add_comparison_forms(Forms& forms) {
    add_comparisons<int16_t>(forms, "s16", "pp?=hhp?");
    add_comparisons<uint16_t>(forms, "u16", "pp?=hhp?");
    add_comparisons<uint16_t>(forms, "b16", "pp?=hhp?");
    add_comparisons<int32_t>(forms, "s32", "pp?=wwp?");
    add_comparisons<uint32_t>(forms, "u32", "pp?=wwp?");
    add_comparisons<uint32_t>(forms, "b32", "pp?=wwp?");
    add_comparisons<int64_t>(forms, "s64", "pp?=llp?");
    add_comparisons<uint64_t>(forms, "u64", "pp?=llp?");
    add_comparisons<uint64_t>(forms, "b64", "pp?=llp?");
    add_comparisons<float>(forms, "f32", "pp?=wwp?");
    add_comparisons<double>(forms, "f64", "pp?=llp?");
    for (const char* type : {"b16", "u16", "s16"}) {
        forms[std::string("selp.") + type] = {select<uint16_t>, "h=hhp"};
    }
    for (const char* type : {"b32", "u32", "s32", "f32"}) {
        forms[std::string("selp.") + type] = {select<uint32_t>, "w=wwp"};
    }
    for (const char* type : {"b64", "u64", "s64", "f64"}) {
        forms[std::string("selp.") + type] = {select<uint64_t>, "l=llp"};
    }
}

} // namespace emulation::ptx
