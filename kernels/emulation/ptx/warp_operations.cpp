// Operations of a warp: barriers, shuffles, votes, matrix products and loads.
#include "lanes.h"
#include "rounding.h"

namespace emulation::ptx {

namespace {

enum ShuffleKind : uint8_t { Up, Down, Across, Index };

// b says from where, c how far: the segment of the warp that lanes read within (bits 8 to 12) and its last lane (bits 0 to 4).
unsigned source_of(uint8_t kind, unsigned lane, uint32_t b, uint32_t c, bool* inside) {
    unsigned segment = c >> 8 & 31, first = lane & segment, last = first | (c & 31 & ~segment);
    b &= 31;
    int source = kind == Up     ? static_cast<int>(lane) - static_cast<int>(b)
                 : kind == Down ? static_cast<int>(lane + b)
                 : kind == Across ? static_cast<int>(lane ^ b)
                                : static_cast<int>(first | (b & ~segment));
    *inside = kind == Up ? source >= static_cast<int>(last) : source <= static_cast<int>(last);
    return *inside ? static_cast<unsigned>(source) : lane;
}

void shuffle(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const uint32_t *value = warp.row<uint32_t>(instruction.read(0)), *b = warp.row<uint32_t>(instruction.read(1));
    const uint32_t *c = warp.row<uint32_t>(instruction.read(2)), *mask = warp.row<uint32_t>(instruction.read(3));
    uint32_t results[kLanes], inside_lanes = 0;
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(bits));
        bool inside;
        unsigned source = source_of(instruction.detail, lane, b[lane], c[lane], &inside);
        if ((mask[lane] >> source & 1) == 0 || (lanes >> source & 1) == 0) {
            throw Fault{CUDA_ERROR_LAUNCH_FAILED, format("a shuffle with mask 0x%08x reads lane %u, which %s", mask[lane], source,
                                                         (mask[lane] >> source & 1) == 0 ? "is not in the mask" : "has returned"), lane};
        }
        results[lane] = value[source];
        inside_lanes |= static_cast<uint32_t>(inside) << lane;
    }
    uint32_t* to = warp.row<uint32_t>(instruction.rows[0]);
    each_lane(lanes, [&](unsigned lane) { to[lane] = results[lane]; });
    uint32_t& predicate = warp.predicate(instruction.rows[1]);
    predicate = (predicate & ~lanes) | inside_lanes;
}

enum VoteKind : uint8_t { Ballot, All, Any, Uniform };

void vote(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    uint32_t predicate = warp.predicate(instruction.read(0));
    const uint32_t* mask = warp.row<uint32_t>(instruction.read(1));
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(bits));
        uint32_t group = mask[lane] & lanes, passed = predicate & group;
        if (instruction.detail == Ballot) {
            warp.row<uint32_t>(instruction.rows[0])[lane] = passed;
            continue;
        }
        bool all = passed == group, none = passed == 0;
        bool result = instruction.detail == All ? all : instruction.detail == Any ? !none : all || none;
        uint32_t& to = warp.predicate(instruction.rows[0]);
        to = (to & ~(1u << lane)) | static_cast<uint32_t>(result) << lane;
    }
}

void active_mask(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    uint32_t* to = warp.row<uint32_t>(instruction.rows[0]);
    each_lane(lanes, [=](unsigned lane) { to[lane] = lanes; });
}

void warp_barrier(Warp& warp, const Instruction&, uint32_t) { warp.epoch++; }

// Rows and columns that the ISA gives to a lane, with g = lane / 4 and t = lane % 4: A's registers hold columns 2t and 2t + 1 of rows g and
// g + 8, then those 8 columns on; B's rows 2t and 2t + 1 of column g, then those 8 rows on; D's columns 2t and 2t + 1 of rows g and g + 8.
// Products of bf16 are exact in fp32; they are added in fp32 to the accumulator in the order of k.
void multiply_matrices(Warp& warp, const Instruction& instruction, uint32_t) {
    float a[16][16], b[16][8], d[16][8];
    for (unsigned i = 0; i < 4; i++) {
        const uint32_t* pair = warp.row<uint32_t>(instruction.read(i));
        const float* c = warp.row<float>(instruction.read(6 + i));
        for (unsigned lane = 0; lane < kLanes; lane++) {
            unsigned row = lane / 4 + i % 2 * 8, column = lane % 4 * 2 + i / 2 * 8;
            a[row][column] = float_of(pair[lane] << 16);
            a[row][column + 1] = float_of(pair[lane] & 0xffff0000u);
            d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = c[lane];
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t* pair = warp.row<uint32_t>(instruction.read(4 + i));
        for (unsigned lane = 0; lane < kLanes; lane++) {
            unsigned row = lane % 4 * 2 + i * 8, column = lane / 4;
            b[row][column] = float_of(pair[lane] << 16);
            b[row + 1][column] = float_of(pair[lane] & 0xffff0000u);
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned column = 0; column < 8; column++) {
                d[row][column] += a[row][k] * b[k][column];
            }
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        float* to = warp.row<float>(instruction.rows[i]);
        for (unsigned lane = 0; lane < kLanes; lane++) {
            to[lane] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
        }
    }
}

// Lane l names row l % 8 of matrix l / 8. A lane receives two neighbours of row lane / 4 of each matrix, transposed two of column lane / 4.
template <unsigned Matrices, bool Transposed> void load_matrices(Warp& warp, const Instruction& instruction, uint32_t) {
    const uint32_t* address = warp.row<uint32_t>(instruction.read(0));
    uint16_t elements[Matrices][8][8];
    for (unsigned lane = 0; lane < 8 * Matrices; lane++) {
        uint64_t from = address[lane] + static_cast<uint64_t>(instruction.displacement);
        const char* row = warp.machine->access(warp, lane, Space::Shared, from, 16, Access::Read);
        memcpy(elements[lane / 8][lane % 8], row, 16);
    }
    for (unsigned i = 0; i < Matrices; i++) {
        uint32_t* to = warp.row<uint32_t>(instruction.rows[i]);
        for (unsigned lane = 0; lane < kLanes; lane++) {
            unsigned g = lane / 4, t = lane % 4 * 2;
            uint32_t low = Transposed ? elements[i][t][g] : elements[i][g][t];
            uint32_t high = Transposed ? elements[i][t + 1][g] : elements[i][g][t + 1];
            to[lane] = low | high << 16;
        }
    }
}

template <unsigned Matrices> void add_matrix_loads(Forms& forms, const std::string& count) {
    std::string signature = std::string(Matrices, 'w') + "=w", name = "ldmatrix.sync.aligned.m8n8." + count;
    forms[name + ".shared.b16"] = {load_matrices<Matrices, false>, signature, Flow::WholeWarp};
    forms[name + ".trans.shared.b16"] = {load_matrices<Matrices, true>, signature, Flow::WholeWarp};
}

// The machine answers when all have arrived.
void barrier_result(Warp&, const Instruction&, uint32_t) {}

void nothing(Warp&, const Instruction&, uint32_t) {}

void trap(Warp&, const Instruction&, uint32_t lanes) {
    throw Fault{CUDA_ERROR_ASSERT, "trap", static_cast<unsigned>(__builtin_ctz(lanes))};
}

} // namespace

void add_warp_forms(Forms& forms) {
    for (const char* name : {"bar", "barrier"}) {
        forms[std::string(name) + ".sync"] = {nullptr, "=0", Flow::Barrier};
        forms[std::string(name) + ".red.popc.u32"] = {barrier_result, "w=0p", Flow::Barrier, false, 0};
        forms[std::string(name) + ".red.and.pred"] = {barrier_result, "p=0p", Flow::Barrier, false, 1};
        forms[std::string(name) + ".red.or.pred"] = {barrier_result, "p=0p", Flow::Barrier, false, 2};
    }
    forms["bar.warp.sync"] = {warp_barrier, "=w", Flow::SomeLanes};
    forms["shfl.sync.up.b32"] = {shuffle, "wp?=wwww", Flow::SomeLanes, false, Up};
    forms["shfl.sync.down.b32"] = {shuffle, "wp?=wwww", Flow::SomeLanes, false, Down};
    forms["shfl.sync.bfly.b32"] = {shuffle, "wp?=wwww", Flow::SomeLanes, false, Across};
    forms["shfl.sync.idx.b32"] = {shuffle, "wp?=wwww", Flow::SomeLanes, false, Index};
    forms["vote.sync.ballot.b32"] = {vote, "w=pw", Flow::SomeLanes, false, Ballot};
    forms["vote.sync.all.pred"] = {vote, "p=pw", Flow::SomeLanes, false, All};
    forms["vote.sync.any.pred"] = {vote, "p=pw", Flow::SomeLanes, false, Any};
    forms["vote.sync.uni.pred"] = {vote, "p=pw", Flow::SomeLanes, false, Uniform};
    forms["activemask.b32"] = {active_mask, "w="};
    forms["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = {multiply_matrices, "wwww=wwwwwwwwww", Flow::WholeWarp};
    add_matrix_loads<1>(forms, "x1");
    add_matrix_loads<2>(forms, "x2");
    add_matrix_loads<4>(forms, "x4");
    for (const char* name : {"membar.gl", "membar.cta", "membar.sys", "fence.acq_rel.gpu", "fence.acq_rel.cta", "fence.sc.gpu",
                             "fence.sc.cta"}) {
        forms[name] = {nothing, "="};
    }
    forms["trap"] = {trap, "="};
}

} // namespace emulation::ptx
