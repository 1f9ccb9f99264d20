// A block that runs a program: warps carry out each instruction for all lanes that stand at it.
//
// Lanes that took different branches are groups of their own. The group with the lowest instruction goes first, so that they meet again
// where their ways join; an operation of a warp waits until all lanes that it names have come to it.
#pragma once
#include "program.h"

#include "../runtime/order.h"
#include "../runtime/shared_memory.h"

#include <memory>

namespace emulation::ptx {

struct Machine;

// A copy from global to shared memory that was started and not yet waited for.
struct Copy {
    uint32_t shared;
    const char* global;
    uint32_t bytes; // the rest of 16 becomes 0
    uint32_t group;
};

struct Group {
    uint32_t at; // instruction
    uint32_t lanes;
    enum State : uint8_t { Ready, WaitsForLanes, WaitsForBlock } state;
};

struct Warp {
    Machine* machine;
    char* registers;
    uint32_t* defined; // by unit: lanes in which what the row there holds was written
    uint32_t live;
    uint16_t number, epoch;
    std::vector<Group> groups;
    std::vector<Copy> copies[kLanes];
    uint32_t copy_group[kLanes];

    template <typename T> T* row(uint32_t unit) const { return reinterpret_cast<T*>(registers + unit * kUnit); }
    uint32_t& predicate(uint32_t unit) const { return *row<uint32_t>(unit); }
};

// Ends a launch: what a lane has done that it must not.
struct Fault {
    CUresult status;
    std::string text;
    unsigned lane;
};

struct Machine {
    Machine(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, const void* parameters);

    // Throws Fault, with `culprit` the warp and `at` the instruction.
    void run_block(uint64_t linear);

    // Where an access by a lane goes, once it is checked: bounds, alignment, and for shared memory races and what was never written.
    char* access(const Warp& warp, unsigned lane, Space space, uint64_t address, unsigned bytes, Access kind);
    char* shared_access(const Warp& warp, unsigned lane, uint64_t offset, unsigned bytes, Access kind);
    void start_copy(Warp& warp, unsigned lane, const Copy& copy);
    void finish_copies(Warp& warp, unsigned lane, uint32_t newest);

    // The lanes in the order that is set, for what one does after the other.
    unsigned nth_lane(unsigned i) const { return order.kind == Order::Reverse ? kLanes - 1 - i : i; }

    const Program& program;
    dim3 grid, block;
    uint3 block_number{};
    const char* parameters;
    const Warp* culprit = nullptr;
    const Instruction* at = nullptr;

private:
    bool run_warp(Warp& warp);
    bool step(Warp& warp, Group& group, const Instruction& instruction);
    void branch(Warp& warp, Group& group, const Instruction& instruction, uint32_t taken);
    void leave(Warp& warp, Group& group, uint32_t lanes);
    bool all_arrived(const Warp& warp, const Instruction& instruction, uint32_t lanes) const;
    void arrive(Group& group, const Instruction& instruction, uint32_t lanes);
    void release_barrier();
    void prepare_block(uint64_t linear);
    void set_special(Warp& warp, Special special, uint32_t* row) const;
    void check_defined(const Warp& warp, const Instruction& instruction, uint32_t lanes) const;
    [[noreturn]] void report_deadlock();

    Order order;
    unsigned threads, warp_count, live, arrived = 0;
    uint32_t passed = 0; // the predicates of those that arrived at the barrier
    size_t dynamic_bytes;
    std::vector<Warp> warps;
    std::unique_ptr<char[], void (*)(void*)> registers;
    std::vector<uint32_t> defined;
    std::vector<char> shared, local;
    std::vector<uint8_t> local_written;
    std::vector<SharedRange> ranges; // static arrays and dynamic shared memory
    std::vector<uint8_t> under_way;  // by 16 bytes of shared memory: whether a copy into them was started
    unsigned copies_under_way = 0;
    uint32_t epoch = 1, block_start = 1;
};

CUresult run(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, const void* parameters);

} // namespace emulation::ptx
