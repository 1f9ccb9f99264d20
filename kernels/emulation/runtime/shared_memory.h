// Shared memory of the running block, static and dynamic. Each half-word remembers who wrote and who read it last and when, so that an
// access not ordered against another thread's by a barrier is reported in any thread order, not only in one that happens to go wrong.
#pragma once
#include "memory.h"

#include <vector>

namespace emulation {

enum class Access { Read, Write, Atomic };

// When a thread makes an access: barriers passed by its block (counted over all launches) and by its warp.
struct Moment {
    uint32_t block_epoch;
    uint16_t warp_epoch;
    uint16_t thread;
};

class SharedRange {
public:
    void reset(char* base, size_t bytes);
    bool contains(const void* address) const { return static_cast<size_t>(static_cast<const char*>(address) - base_) < bytes_; }
    char* base() const { return base_; }

    // Contents become a pattern that is NaN as fp32 and bf16 and −1 as an integer. Only what was written since is filled again.
    void poison(bool everything);

    // The rules of an access at this moment; `block_start` is the epoch at which the block began, before which nothing was written.
    Violation access(const void* address, size_t bytes, Access access, Moment now, uint32_t block_start);

private:
    struct Cell {
        uint32_t write_epoch, read_epoch;
        uint16_t writer, reader;
        uint16_t writer_warp_epoch, reader_warp_epoch;
    };
    Violation race(const void* address, size_t bytes, Access access, bool with_write, unsigned other) const;

    char* base_ = nullptr;
    size_t bytes_ = 0;
    size_t dirty_begin_ = 0, dirty_end_ = 0;
    std::vector<Cell> cells_;
};

} // namespace emulation
