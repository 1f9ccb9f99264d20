#include "machine.h"

#include <algorithm>
#include <limits.h>
#include <stdlib.h>

namespace emulation::ptx {

namespace {

uint3 place_of(unsigned thread, const dim3& block) { return {thread % block.x, thread / block.x % block.y, thread / block.x / block.y}; }

std::string describe(uint3 index) { return format("(%u, %u, %u)", index.x, index.y, index.z); }

const char* name(const Instruction& instruction) {
    return instruction.flow == Flow::Barrier     ? "the block's barrier"
           : instruction.flow == Flow::SomeLanes ? "an operation of a warp"
                                                 : "an operation of a whole warp";
}

} // namespace

Machine::Machine(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, const void* parameters)
    : program(program), grid(grid), block(block), parameters(static_cast<const char*>(parameters)), order(Order::current()),
      threads(block.x * block.y * block.z), warp_count((threads + kLanes - 1) / kLanes), live(threads), dynamic_bytes(dynamic_shared),
      warps(warp_count), registers(static_cast<char*>(aligned_alloc(kUnit, std::max<size_t>(1, program.units) * kUnit * warp_count)), free),
      defined(static_cast<size_t>(program.units) * warp_count), shared(program.static_shared + dynamic_shared),
      local(static_cast<size_t>(program.local_bytes) * threads), local_written(local.size()), ranges(program.shared.size() + 1),
      under_way(shared.size() / 16 + 1) {
    for (size_t i = 0; i < program.shared.size(); i++) {
        ranges[i].reset(shared.data() + program.shared[i].offset, program.shared[i].bytes);
    }
    ranges.back().reset(shared.data() + program.static_shared, dynamic_shared);
    for (unsigned w = 0; w < warp_count; w++) {
        Warp& warp = warps[w];
        warp.machine = this;
        warp.number = static_cast<uint16_t>(w);
        warp.registers = registers.get() + w * program.units * kUnit;
        warp.defined = defined.data() + w * program.units;
        for (const Constant& constant : program.constants) {
            switch (constant.width) {
            case Width::Predicate: warp.predicate(constant.row) = static_cast<uint32_t>(constant.value); break;
            case Width::Bits16: std::fill_n(warp.row<uint16_t>(constant.row), kLanes, static_cast<uint16_t>(constant.value)); break;
            case Width::Bits32: std::fill_n(warp.row<uint32_t>(constant.row), kLanes, static_cast<uint32_t>(constant.value)); break;
            case Width::Bits64: std::fill_n(warp.row<uint64_t>(constant.row), kLanes, constant.value); break;
            }
        }
    }
}

void Machine::prepare_block(uint64_t linear) {
    block_number = {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
                    static_cast<unsigned>(linear / grid.x / grid.y)};
    std::fill(defined.begin(), defined.end(), 0);
    for (Warp& warp : warps) {
        unsigned lanes = std::min(kLanes, threads - warp.number * kLanes);
        warp.live = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
        warp.epoch = 0;
        warp.groups.assign(1, {0, warp.live, Group::Ready});
        for (unsigned lane = 0; lane < kLanes; lane++) {
            warp.copies[lane].clear();
            warp.copy_group[lane] = 0;
        }
        for (const Constant& constant : program.constants) {
            warp.defined[constant.row] = kAllLanes;
        }
        for (auto [special, row] : program.special) {
            warp.defined[row] = kAllLanes;
            set_special(warp, special, warp.row<uint32_t>(row));
        }
    }
    live = threads;
    arrived = passed = 0;
    block_start = ++epoch;
    for (SharedRange& range : ranges) {
        range.poison(false);
    }
    std::fill(under_way.begin(), under_way.end(), 0);
    copies_under_way = 0;
    std::fill(local_written.begin(), local_written.end(), 0);
}

void Machine::set_special(Warp& warp, Special special, uint32_t* row) const {
    for (unsigned lane = 0; lane < kLanes; lane++) {
        unsigned thread = warp.number * kLanes + lane;
        switch (special) {
        case Special::ThreadX: row[lane] = thread % block.x; break;
        case Special::ThreadY: row[lane] = thread / block.x % block.y; break;
        case Special::ThreadZ: row[lane] = thread / block.x / block.y; break;
        case Special::BlockX: row[lane] = block_number.x; break;
        case Special::BlockY: row[lane] = block_number.y; break;
        case Special::BlockZ: row[lane] = block_number.z; break;
        case Special::BlockSizeX: row[lane] = block.x; break;
        case Special::BlockSizeY: row[lane] = block.y; break;
        case Special::BlockSizeZ: row[lane] = block.z; break;
        case Special::GridX: row[lane] = grid.x; break;
        case Special::GridY: row[lane] = grid.y; break;
        case Special::GridZ: row[lane] = grid.z; break;
        case Special::Lane: row[lane] = lane; break;
        case Special::Warp: row[lane] = warp.number; break;
        }
    }
}

void Machine::run_block(uint64_t linear) {
    prepare_block(linear);
    while (live > 0) {
        bool progress = false;
        Sequence sequence(warp_count);
        for (unsigned i = 0; i < warp_count; i++) {
            progress = run_warp(warps[sequence.next()]) || progress;
        }
        if (!progress) {
            report_deadlock();
        }
    }
}

// Lanes that stand at the same instruction become one group; the first group in the text that can go on is what comes next.
static Group* next_group(Warp& warp) {
    std::vector<Group>& groups = warp.groups;
    Group* next = nullptr;
    for (size_t i = 0; i < groups.size(); i++) {
        for (size_t j = i + 1; j < groups.size() && groups[i].state != Group::WaitsForBlock;) {
            if (groups[j].at == groups[i].at && groups[j].state != Group::WaitsForBlock) {
                groups[i].lanes |= groups[j].lanes;
                groups[i].state = Group::Ready;
                groups.erase(groups.begin() + static_cast<ptrdiff_t>(j));
            } else {
                j++;
            }
        }
        if (groups[i].state == Group::Ready && (next == nullptr || groups[i].at < next->at)) {
            next = &groups[i];
        }
    }
    return next;
}

// Goes on until all lanes wait or have returned; in random order for some turns only, so that warps overtake each other.
bool Machine::run_warp(Warp& warp) {
    bool progress = false;
    unsigned turns = order.kind == Order::Random ? 1 + static_cast<unsigned>(next_random() % 16) : UINT_MAX;
    culprit = &warp;
    for (Group* group; turns > 0 && (group = next_group(warp)) != nullptr; turns--) {
        progress = true;
        bool moved = false;
        do {
            const Instruction& instruction = program.instructions[group->at];
            if (instruction.leader && moved && (warp.groups.size() > 1 || order.kind == Order::Random)) {
                break; // others may stand here too
            }
            moved = true;
            at = &instruction;
        } while (step(warp, *group, *at));
    }
    return progress;
}

// False where the groups have changed or this one waits.
bool Machine::step(Warp& warp, Group& group, const Instruction& instruction) {
    uint32_t lanes = group.lanes;
    if (instruction.guard != kNoRow) {
        uint32_t undefined = lanes & ~warp.defined[instruction.guard];
        if (undefined != 0) {
            throw Fault{CUDA_ERROR_LAUNCH_FAILED, "a branch on or a use of a predicate that was never written",
                        static_cast<unsigned>(__builtin_ctz(undefined))};
        }
        uint32_t predicate = warp.predicate(instruction.guard);
        lanes &= instruction.guard_negated ? ~predicate : predicate;
    }
    size_t number = static_cast<size_t>(&instruction - program.instructions.data());
    if (instruction.flow == Flow::Next) {
        program.counts[number]++;
        if (lanes != 0) {
            check_defined(warp, instruction, lanes);
            instruction.run(warp, instruction, lanes);
        }
        group.at++;
        return true;
    }
    if (instruction.flow == Flow::Branch) {
        program.counts[number]++;
        if (lanes == group.lanes || lanes == 0) {
            group.at = lanes == 0 ? group.at + 1 : instruction.target;
            return true;
        }
        group.lanes &= ~lanes;
        group.at++;
        warp.groups.push_back({instruction.target, lanes, Group::Ready});
        return false;
    }
    if (lanes != group.lanes) { // those whose predicate is false go on
        if (lanes == 0) {
            program.counts[number]++;
            group.at++;
            return true;
        }
        Group rest = {group.at + 1, group.lanes & ~lanes, Group::Ready};
        group.lanes = lanes;
        auto index = static_cast<size_t>(&group - warp.groups.data());
        warp.groups.push_back(rest);
        return step(warp, warp.groups[index], instruction);
    }
    check_defined(warp, instruction, lanes);
    if (instruction.flow == Flow::Exit) {
        program.counts[number]++;
        leave(warp, group, lanes);
        return false;
    }
    if (instruction.flow == Flow::Barrier) {
        arrive(group, instruction, lanes);
        return false;
    }
    if (!all_arrived(warp, instruction, lanes)) {
        group.state = Group::WaitsForLanes;
        return false;
    }
    program.counts[number]++;
    instruction.run(warp, instruction, lanes);
    group.at++;
    return true;
}

void Machine::check_defined(const Warp& warp, const Instruction& instruction, uint32_t lanes) const {
    uint32_t all = kAllLanes;
    for (unsigned i = instruction.writes; i < instruction.writes + 0u + instruction.reads; i++) {
        all &= warp.defined[instruction.rows[i]];
    }
    if ((lanes & ~all) != 0 && !instruction.moves) {
        const std::string& opcode = program.opcodes[instruction.opcode];
        throw Fault{CUDA_ERROR_LAUNCH_FAILED, opcode + " reads a register that was never written",
                    static_cast<unsigned>(__builtin_ctz(lanes & ~all))};
    }
    for (unsigned i = 0; i < instruction.writes; i++) {
        uint32_t& defined_lanes = warp.defined[instruction.rows[i]];
        defined_lanes = (defined_lanes & ~lanes) | (lanes & all);
    }
}

bool Machine::all_arrived(const Warp& warp, const Instruction& instruction, uint32_t lanes) const {
    const char* opcode = program.opcodes[instruction.opcode].c_str();
    if (instruction.flow == Flow::WholeWarp) {
        if (warp.live != kAllLanes) {
            throw Fault{CUDA_ERROR_LAUNCH_FAILED, format("%s by lanes 0x%08x: all 32 must take part", opcode, warp.live),
                        static_cast<unsigned>(__builtin_ctz(lanes))};
        }
        return lanes == kAllLanes;
    }
    const uint32_t* masks = warp.row<uint32_t>(instruction.read(instruction.reads - 1u));
    uint32_t named = 0;
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(bits));
        if ((masks[lane] >> lane & 1) == 0) {
            throw Fault{CUDA_ERROR_LAUNCH_FAILED,
                        format("%s with mask 0x%08x, which leaves out the calling lane %u", opcode, masks[lane], lane), lane};
        }
        named |= masks[lane];
    }
    return (named & warp.live & ~lanes) == 0;
}

void Machine::arrive(Group& group, const Instruction& instruction, uint32_t lanes) {
    for (const Warp& warp : warps) {
        for (const Group& other : warp.groups) {
            if (other.state == Group::WaitsForBlock && other.at != group.at) {
                const Instruction& there = program.instructions[other.at];
                throw Fault{CUDA_ERROR_LAUNCH_FAILED, format("divergent barrier: it arrives here while others wait at the one in %s:%u",
                                                             program.module->file(there.file).c_str(), there.line),
                            static_cast<unsigned>(__builtin_ctz(lanes))};
            }
        }
    }
    group.state = Group::WaitsForBlock;
    arrived += static_cast<unsigned>(__builtin_popcount(lanes));
    if (instruction.reads > 0) {
        passed += static_cast<unsigned>(__builtin_popcount(lanes & culprit->predicate(instruction.read(0))));
    }
    if (arrived == live) {
        release_barrier();
    }
}

void Machine::release_barrier() {
    for (Warp& warp : warps) {
        for (Group& group : warp.groups) {
            if (group.state != Group::WaitsForBlock) {
                continue;
            }
            const Instruction& instruction = program.instructions[group.at];
            program.counts[group.at]++;
            if (instruction.run != nullptr) { // bar.red gives how many, or whether all or any, passed a true predicate
                for (uint32_t bits = group.lanes; bits != 0 && instruction.detail == 0; bits &= bits - 1) {
                    warp.row<uint32_t>(instruction.rows[0])[__builtin_ctz(bits)] = passed;
                }
                if (instruction.detail != 0) {
                    bool result = instruction.detail == 1 ? passed == arrived : passed > 0;
                    uint32_t& predicate = warp.predicate(instruction.rows[0]);
                    predicate = result ? predicate | group.lanes : predicate & ~group.lanes;
                }
            }
            group.state = Group::Ready;
            group.at++;
        }
    }
    arrived = passed = 0;
    epoch++;
}

void Machine::leave(Warp& warp, Group& group, uint32_t lanes) {
    warp.live &= ~lanes;
    live -= static_cast<unsigned>(__builtin_popcount(lanes));
    warp.groups.erase(warp.groups.begin() + (&group - warp.groups.data()));
    for (Group& other : warp.groups) {
        if (other.state == Group::WaitsForLanes) {
            other.state = Group::Ready; // perhaps for these alone
        }
    }
    // Those who remain must not wait for a thread that has returned.
    if (arrived > 0 && arrived == live) {
        release_barrier();
    }
}

void Machine::report_deadlock() {
    std::string text;
    const Instruction* first = nullptr;
    for (const Warp& warp : warps) {
        for (const Group& group : warp.groups) {
            const Instruction& instruction = program.instructions[group.at];
            if (first == &instruction || text.size() > 400) {
                continue;
            }
            unsigned thread = warp.number * kLanes + static_cast<unsigned>(__builtin_ctz(group.lanes));
            text += format("%sthread %s waits at %s in %s:%u", first == nullptr ? "" : ", ",
                           describe(place_of(thread, block)).c_str(), name(instruction),
                           program.module->file(instruction.file).c_str(), instruction.line);
            if (first == nullptr) {
                first = &instruction;
                at = &instruction;
                culprit = &warp;
            }
        }
    }
    throw Fault{CUDA_ERROR_LAUNCH_FAILED, "divergent barrier: " + text + ", and no thread can go on",
                static_cast<unsigned>(__builtin_ctz(culprit->live))};
}

CUresult run(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, const void* parameters) {
    Machine machine(program, grid, block, dynamic_shared, parameters);
    program.launches++;
    try {
        uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
        Sequence sequence(blocks);
        for (uint64_t i = 0; i < blocks; i++) {
            machine.run_block(sequence.next());
        }
        return CUDA_SUCCESS;
    } catch (const Fault& fault) {
        unsigned thread = machine.culprit->number * kLanes + fault.lane;
        std::string where =
            format("kernel %s, block %s, thread %s, %s:%u: ", program.name.c_str(), describe(machine.block_number).c_str(),
                   describe(place_of(thread, block)).c_str(), program.module->file(machine.at->file).c_str(), machine.at->line);
        return fail(fault.status, where + fault.text);
    }
}

} // namespace emulation::ptx
