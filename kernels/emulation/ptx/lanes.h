// Loops over the lanes that carry out an instruction.
#pragma once
#include "machine.h"

namespace emulation::ptx {

// Calls `work` for every lane of the mask. All 32 are the common case, which the compiler turns into vector instructions: a lane touches
// only its own places of the rows, so that they may be the same.
template <typename Work> __attribute__((always_inline)) inline void each_lane(uint32_t lanes, Work work) {
    if (__builtin_expect(lanes == kAllLanes, 1)) {
#pragma GCC ivdep
        for (unsigned lane = 0; lane < kLanes; lane++) {
            work(lane);
        }
    } else {
        for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
            work(static_cast<unsigned>(__builtin_ctz(bits)));
        }
    }
}

template <typename To, auto Operation, typename A> void unary(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    To* to = warp.row<To>(instruction.rows[0]);
    const A* a = warp.row<A>(instruction.rows[1]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = Operation(a[lane]); });
}

template <typename To, auto Operation, typename A, typename B = A> void binary(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    To* to = warp.row<To>(instruction.rows[0]);
    const A* a = warp.row<A>(instruction.rows[1]);
    const B* b = warp.row<B>(instruction.rows[2]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = Operation(a[lane], b[lane]); });
}

template <typename To, auto Operation, typename A, typename B = A, typename C = To>
void ternary(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    To* to = warp.row<To>(instruction.rows[0]);
    const A* a = warp.row<A>(instruction.rows[1]);
    const B* b = warp.row<B>(instruction.rows[2]);
    const C* c = warp.row<C>(instruction.rows[3]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = Operation(a[lane], b[lane], c[lane]); });
}

} // namespace emulation::ptx
