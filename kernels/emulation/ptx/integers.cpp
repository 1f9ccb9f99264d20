// Integers, logic and moves.
#include "lanes.h"

namespace emulation::ptx {

namespace {

template <typename T> using Unsigned = std::make_unsigned_t<T>;
template <typename T> struct Twice;
template <> struct Twice<int16_t> { using type = int32_t; };
template <> struct Twice<uint16_t> { using type = uint32_t; };
template <> struct Twice<int32_t> { using type = int64_t; };
template <> struct Twice<uint32_t> { using type = uint64_t; };
template <> struct Twice<int64_t> { using type = __int128; };
template <> struct Twice<uint64_t> { using type = unsigned __int128; };

// Overflow wraps around: sums and products are formed without a sign.
template <typename T> T add(T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b)); }
template <typename T> T subtract(T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b)); }
template <typename T> T multiply(T a, T b) {
    return static_cast<T>(static_cast<Unsigned<T>>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)));
}
template <typename T> typename Twice<T>::type multiply_wide(T a, T b) {
    using Wide = typename Twice<T>::type;
    return static_cast<Wide>(a) * static_cast<Wide>(b);
}
template <typename T> T multiply_high(T a, T b) { return static_cast<T>(multiply_wide(a, b) >> (8 * sizeof(T))); }
template <typename T> T multiply_add(T a, T b, T c) { return add(multiply(a, b), c); }
template <typename T> typename Twice<T>::type multiply_add_wide(T a, T b, typename Twice<T>::type c) {
    using Wide = typename Twice<T>::type;
    return add<Wide>(multiply_wide(a, b), c);
}
// The card gives all ones for a division by zero.
template <typename T> T divide(T a, T b) {
    return b == 0 ? static_cast<T>(-1) : std::is_signed_v<T> && b == static_cast<T>(-1) ? subtract(T(0), a) : static_cast<T>(a / b);
}
template <typename T> T remainder(T a, T b) {
    return b == 0 ? a : std::is_signed_v<T> && b == static_cast<T>(-1) ? T(0) : static_cast<T>(a % b);
}
template <typename T> T lesser(T a, T b) { return b < a ? b : a; }
template <typename T> T greater(T a, T b) { return b > a ? b : a; }
template <typename T> T negative(T a) { return subtract(T(0), a); }
template <typename T> T absolute(T a) { return a < 0 ? negative(a) : a; }
template <typename T> T both(T a, T b) { return a & b; }
template <typename T> T either(T a, T b) { return a | b; }
template <typename T> T differing(T a, T b) { return a ^ b; }
template <typename T> T inverted(T a) { return static_cast<T>(~a); }
template <typename T> T same(T a) { return a; }
// Amounts beyond the width shift everything out.
template <typename T> T shift_left(T a, uint32_t b) { return b >= 8 * sizeof(T) ? T(0) : static_cast<T>(a << b); }
template <typename T> T shift_right(T a, uint32_t b) {
    constexpr uint32_t last = 8 * sizeof(T) - 1;
    if constexpr (std::is_signed_v<T>) {
        return static_cast<T>(a >> (b > last ? last : b)); // the sign stays
    }
    return b > last ? T(0) : static_cast<T>(a >> b);
}

template <typename T> T insert_bits(T from, T into, uint32_t begin, uint32_t count) {
    begin &= 255;
    count &= 255;
    T field = count >= 8 * sizeof(T) ? static_cast<T>(~T(0)) : static_cast<T>((T(1) << count) - 1);
    T mask = shift_left(field, begin);
    return static_cast<T>((into & ~mask) | (shift_left(from, begin) & mask));
}

template <typename T> T extract_bits(T from, uint32_t begin, uint32_t count) {
    begin &= 255;
    count &= 255;
    constexpr uint32_t width = 8 * sizeof(T);
    T shifted = shift_right(from, begin);
    if (count == 0) {
        return 0;
    }
    if (count >= width) {
        return shifted;
    }
    auto bits = static_cast<Unsigned<T>>(static_cast<Unsigned<T>>(shifted) << (width - count));
    return static_cast<T>(static_cast<T>(bits) >> (width - count));
}

uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selectors) {
    uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t selector = selectors >> (4 * i);
        auto byte = static_cast<uint8_t>(bytes >> (8 * (selector & 7)));
        if ((selector & 8) != 0) { // its sign, eight times
            byte = (byte & 0x80) != 0 ? 0xff : 0;
        }
        result |= static_cast<uint32_t>(byte) << (8 * i);
    }
    return result;
}

// lop3: bit i of the table is the result where the bits of a, b and c are those of i.
uint32_t look_up(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t result = 0;
    for (uint32_t i = 0; i < 8; i++) {
        if ((table >> i & 1) != 0) {
            result |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
        }
    }
    return result;
}

uint32_t funnel(uint32_t low, uint32_t high, uint32_t amount, bool left) {
    uint64_t whole = static_cast<uint64_t>(high) << 32 | low;
    return static_cast<uint32_t>(left ? whole << amount >> 32 : whole >> amount);
}
uint32_t funnel_left(uint32_t a, uint32_t b, uint32_t c) { return funnel(a, b, c & 31, true); }
uint32_t funnel_right(uint32_t a, uint32_t b, uint32_t c) { return funnel(a, b, c & 31, false); }
uint32_t funnel_left_clamped(uint32_t a, uint32_t b, uint32_t c) { return funnel(a, b, c > 32 ? 32 : c, true); }
uint32_t funnel_right_clamped(uint32_t a, uint32_t b, uint32_t c) { return funnel(a, b, c > 32 ? 32 : c, false); }

template <typename T> uint32_t ones(T a) { return static_cast<uint32_t>(__builtin_popcountll(a)); }
template <typename T> uint32_t leading_zeros(T a) {
    return a == 0 ? 8 * sizeof(T) : static_cast<uint32_t>(__builtin_clzll(a)) - (64 - 8 * static_cast<uint32_t>(sizeof(T)));
}
template <typename T> T reversed(T a) {
    T result = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); i++) {
        result = static_cast<T>(result | ((a >> i & 1) << (8 * sizeof(T) - 1 - i)));
    }
    return result;
}

template <typename T> void quaternary_insert(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const T *from = warp.row<T>(instruction.read(0)), *into = warp.row<T>(instruction.read(1));
    const uint32_t *begin = warp.row<uint32_t>(instruction.read(2)), *count = warp.row<uint32_t>(instruction.read(3));
    T* to = warp.row<T>(instruction.rows[0]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = insert_bits(from[lane], into[lane], begin[lane], count[lane]); });
}

void quaternary_look_up(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const uint32_t* sources[4];
    for (unsigned i = 0; i < 4; i++) {
        sources[i] = warp.row<uint32_t>(instruction.read(i));
    }
    uint32_t* to = warp.row<uint32_t>(instruction.rows[0]);
    each_lane(lanes, [&](unsigned lane) { to[lane] = look_up(sources[0][lane], sources[1][lane], sources[2][lane], sources[3][lane]); });
}

template <auto Operation> void predicates(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    uint32_t& to = warp.predicate(instruction.rows[0]);
    uint32_t a = warp.predicate(instruction.read(0)), b = instruction.reads > 1 ? warp.predicate(instruction.read(1)) : a;
    to = (to & ~lanes) | (Operation(a, b) & lanes);
}

uint32_t first(uint32_t a, uint32_t) { return a; }
uint32_t first_inverted(uint32_t a, uint32_t) { return ~a; }

template <uint64_t Window> uint64_t into_window(uint64_t a) { return a | Window; }
template <uint64_t Window> uint64_t out_of_window(uint64_t a) { return a & ~Window; }

template <typename T> void add_arithmetic(Forms& forms, const std::string& type, const std::string& letter) {
    std::string two = letter + "=" + letter, three = two + letter, four = three + letter;
    auto form = [&](const char* name, Handler handler, const std::string& signature) {
        forms[std::string(name) + "." + type] = {handler, signature};
    };
    form("add", binary<T, add<T>, T>, three);
    form("sub", binary<T, subtract<T>, T>, three);
    form("mul.lo", binary<T, multiply<T>, T>, three);
    form("mul.hi", binary<T, multiply_high<T>, T>, three);
    form("mad.lo", ternary<T, multiply_add<T>, T>, four);
    form("div", binary<T, divide<T>, T>, three);
    form("rem", binary<T, remainder<T>, T>, three);
    form("min", binary<T, lesser<T>, T>, three);
    form("max", binary<T, greater<T>, T>, three);
    form("shr", binary<T, shift_right<T>, T, uint32_t>, letter + "=" + letter + "w");
    if (std::is_signed_v<T>) {
        form("neg", unary<T, negative<T>, T>, two);
        form("abs", unary<T, absolute<T>, T>, two);
    }
}

template <typename T> void add_wide(Forms& forms, const std::string& type, const char* product, const char* sum) {
    using Wide = typename Twice<T>::type;
    forms["mul.wide." + type] = {binary<Wide, multiply_wide<T>, T>, product};
    forms["mad.wide." + type] = {ternary<Wide, multiply_add_wide<T>, T>, sum};
}

template <typename T> void add_logic(Forms& forms, const std::string& type, const std::string& letter) {
    std::string two = letter + "=" + letter, three = two + letter;
    auto form = [&](const char* name, Handler handler, const std::string& signature) {
        forms[std::string(name) + "." + type] = {handler, signature};
    };
    form("and", binary<T, both<T>, T>, three);
    form("or", binary<T, either<T>, T>, three);
    form("xor", binary<T, differing<T>, T>, three);
    form("not", unary<T, inverted<T>, T>, two);
    form("shl", binary<T, shift_left<T>, T, uint32_t>, letter + "=" + letter + "w");
    form("shr", binary<T, shift_right<T>, T, uint32_t>, letter + "=" + letter + "w");
}

} // namespace

void add_integer_forms(Forms& forms) {
    add_arithmetic<int16_t>(forms, "s16", "h");
    add_arithmetic<uint16_t>(forms, "u16", "h");
    add_arithmetic<int32_t>(forms, "s32", "w");
    add_arithmetic<uint32_t>(forms, "u32", "w");
    add_arithmetic<int64_t>(forms, "s64", "l");
    add_arithmetic<uint64_t>(forms, "u64", "l");
    add_wide<int16_t>(forms, "s16", "w=hh", "w=hhw");
    add_wide<uint16_t>(forms, "u16", "w=hh", "w=hhw");
    add_wide<int32_t>(forms, "s32", "l=ww", "l=wwl");
    add_wide<uint32_t>(forms, "u32", "l=ww", "l=wwl");
    add_logic<uint16_t>(forms, "b16", "h");
    add_logic<uint32_t>(forms, "b32", "w");
    add_logic<uint64_t>(forms, "b64", "l");
    forms["and.pred"] = {predicates<both<uint32_t>>, "p=pp"};
    forms["or.pred"] = {predicates<either<uint32_t>>, "p=pp"};
    forms["xor.pred"] = {predicates<differing<uint32_t>>, "p=pp"};
    forms["not.pred"] = {predicates<first_inverted>, "p=p"};
    forms["mov.pred"] = {predicates<first>, "p=p", Flow::Next, true};
    for (const char* type : {"b16", "u16", "s16"}) {
        forms[std::string("mov.") + type] = {unary<uint16_t, same<uint16_t>, uint16_t>, "h=h", Flow::Next, true};
    }
    for (const char* type : {"b32", "u32", "s32", "f32"}) {
        forms[std::string("mov.") + type] = {unary<uint32_t, same<uint32_t>, uint32_t>, "w=w", Flow::Next, true};
    }
    for (const char* type : {"b64", "u64", "s64", "f64"}) {
        forms[std::string("mov.") + type] = {unary<uint64_t, same<uint64_t>, uint64_t>, "l=l", Flow::Next, true};
    }
    forms["bfi.b32"] = {quaternary_insert<uint32_t>, "w=wwww"};
    forms["bfi.b64"] = {quaternary_insert<uint64_t>, "l=llww"};
    forms["bfe.u32"] = {ternary<uint32_t, extract_bits<uint32_t>, uint32_t>, "w=www"};
    forms["bfe.s32"] = {ternary<int32_t, extract_bits<int32_t>, int32_t, uint32_t, uint32_t>, "w=www"};
    forms["bfe.u64"] = {ternary<uint64_t, extract_bits<uint64_t>, uint64_t, uint32_t, uint32_t>, "l=lww"};
    forms["prmt.b32"] = {ternary<uint32_t, permute_bytes, uint32_t>, "w=www"};
    forms["lop3.b32"] = {quaternary_look_up, "w=wwww"};
    forms["shf.l.wrap.b32"] = {ternary<uint32_t, funnel_left, uint32_t>, "w=www"};
    forms["shf.r.wrap.b32"] = {ternary<uint32_t, funnel_right, uint32_t>, "w=www"};
    forms["shf.l.clamp.b32"] = {ternary<uint32_t, funnel_left_clamped, uint32_t>, "w=www"};
    forms["shf.r.clamp.b32"] = {ternary<uint32_t, funnel_right_clamped, uint32_t>, "w=www"};
    forms["popc.b32"] = {unary<uint32_t, ones<uint32_t>, uint32_t>, "w=w"};
    forms["popc.b64"] = {unary<uint32_t, ones<uint64_t>, uint64_t>, "w=l"};
    forms["clz.b32"] = {unary<uint32_t, leading_zeros<uint32_t>, uint32_t>, "w=w"};
    forms["clz.b64"] = {unary<uint32_t, leading_zeros<uint64_t>, uint64_t>, "w=l"};
    forms["brev.b32"] = {unary<uint32_t, reversed<uint32_t>, uint32_t>, "w=w"};
    forms["brev.b64"] = {unary<uint64_t, reversed<uint64_t>, uint64_t>, "l=l"};
    // Global memory has the host's addresses; the windows make shared and local memory generic.
    forms["cvta.to.global.u64"] = forms["cvta.global.u64"] = forms["cvta.to.const.u64"] = forms["cvta.const.u64"] = forms["mov.u64"];
    forms["cvta.shared.u64"] = {unary<uint64_t, into_window<kSharedWindow>, uint64_t>, "l=l"};
    forms["cvta.to.shared.u64"] = {unary<uint64_t, out_of_window<kSharedWindow>, uint64_t>, "l=l"};
    forms["cvta.local.u64"] = {unary<uint64_t, into_window<kLocalWindow>, uint64_t>, "l=l"};
    forms["cvta.to.local.u64"] = {unary<uint64_t, out_of_window<kLocalWindow>, uint64_t>, "l=l"};
}

} // namespace emulation::ptx
