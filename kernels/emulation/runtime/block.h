// The running launch: blocks one after the other, the threads of a block as fibers on the calling operating-system thread.
#pragma once
#include "../runtime.h"
#include "fiber.h"
#include "order.h"
#include "shared_memory.h"

#include <string>
#include <vector>

namespace emulation {

namespace ptx {
struct Program;
}

struct Launch {
    const Entry* entry;
    const ptx::Program* program; // of PTX; null where the entry is compiled for the emulation
    dim3 grid, block;
    size_t dynamic_shared;
    void** arguments;
    uintptr_t image_begin, image_end; // of the kernel library: constants lie there
};

// Runs a launch to its end. The caller holds the driver's lock.
CUresult run(const Launch& launch);

enum class Wait : uint8_t { Nothing, BlockBarrier, WarpBarrier, Shuffle, Ballot, Mma, Ldmatrix };

struct AsyncCopy {
    void* shared;
    const void* global;
    bool valid;
    uint32_t group;
};

struct Thread {
    Context context;
    char* stack;
    uint3 index;
    uint16_t number;
    Wait wait;
    unsigned mask; // of the warp operation waited for
    Site site;
    bool predicate;
    // Shuffle: value in, value out, and which lane to read. Ballot: value out.
    emulation::Shuffle shuffle;
    int source, width;
    uint64_t value;
    // Mma and Ldmatrix: where this lane's registers are.
    float* d;
    const uint32_t *a, *b;
    uint32_t* r;
    int matrices;
    bool transpose;
    const void* row;

    std::vector<AsyncCopy> copies;
    uint32_t group;
};

struct Warp {
    uint32_t live, ready;
    uint16_t epoch;
};

// The thread that is running; null outside a launch.
extern Thread* running;

// Ends the launch with an error that the running thread, or `thread`, has caused.
[[noreturn]] void abort_launch(CUresult status, const std::string& what, const Thread* thread = nullptr, Site site = {nullptr, 0});

// Waits until every live lane in `mask` has arrived at the same operation. The last one to arrive performs it.
void warp_operation(Wait wait, unsigned mask, Site site);
// What the last one does, in warp.cpp: `lanes` are those taking part, all of them waiting.
void perform(Wait wait, uint32_t lanes, Thread* warp);

// Checks an access by the running thread as instrumented code reports it.
void check_access(const void* address, size_t bytes, Access access);
// The same for an access whose address must be a multiple of its size.
void check_aligned_access(const void* address, size_t bytes, Access access);

} // namespace emulation
