#include "shared_memory.h"

#include <algorithm>
#include <string.h>

namespace emulation {

namespace {

constexpr size_t kCellBytes = 2;

// Threads are numbered below 1024; these stand for several of them.
constexpr unsigned kLanesOfWarp = 0x8000; // plus the warp: several lanes of one warp
constexpr unsigned kSeveralWarps = 0xffff;
constexpr unsigned kAtomics = 0xfffe; // read-modify-writes, which are ordered among themselves

unsigned warp_of(unsigned who) { return who >= kAtomics ? who : (who & kLanesOfWarp) != 0 ? who & ~kLanesOfWarp : who / 32; }

// Whether an access by `who` at (epoch, warp_epoch) is ordered before one at `now`.
bool ordered(unsigned who, uint32_t epoch, uint16_t warp_epoch, const Moment& now) {
    return epoch != now.block_epoch || who == now.thread || (warp_of(who) == now.thread / 32u && warp_epoch != now.warp_epoch);
}

} // namespace

void SharedRange::reset(char* base, size_t bytes) {
    if (base != base_ || bytes != bytes_) {
        base_ = base;
        bytes_ = bytes;
        cells_.resize(std::max(cells_.size(), bytes / kCellBytes + 1));
        dirty_begin_ = 0;
        dirty_end_ = bytes;
    }
}

void SharedRange::poison(bool everything) {
    size_t begin = everything ? 0 : dirty_begin_, end = everything ? bytes_ : std::min(dirty_end_, bytes_);
    if (begin < end) {
        memset(base_ + begin, 0xff, end - begin);
    }
    dirty_begin_ = bytes_;
    dirty_end_ = 0;
}

Violation SharedRange::access(const void* address, size_t bytes, Access access, Moment now, uint32_t block_start) {
    size_t offset = static_cast<size_t>(static_cast<const char*>(address) - base_);
    if (bytes > bytes_ - offset) {
        return {CUDA_ERROR_ILLEGAL_ADDRESS, format("%s of %zu bytes %zu bytes into the %zu bytes of shared memory: beyond its end",
                                                   access == Access::Read ? "read" : "write", bytes, offset, bytes_)};
    }
    if (access != Access::Read) {
        dirty_begin_ = std::min(dirty_begin_, offset);
        dirty_end_ = std::max(dirty_end_, offset + bytes);
    }
    Cell* end = &cells_[(offset + bytes - 1) / kCellBytes] + 1;
    for (Cell* cell = &cells_[offset / kCellBytes]; cell != end; cell++) {
        bool written = static_cast<int32_t>(cell->write_epoch - block_start) >= 0;
        if (access != Access::Write && !written) {
            return {CUDA_ERROR_LAUNCH_FAILED,
                    format("read of %zu bytes of shared memory at offset %zu, which this block never wrote", bytes, offset)};
        }
        // Two single bytes may share a cell, so these are not told apart by thread.
        if (bytes > 1) {
            bool both_atomic = access == Access::Atomic && cell->writer == kAtomics;
            if (written && !both_atomic && !ordered(cell->writer, cell->write_epoch, cell->writer_warp_epoch, now)) {
                return race(address, bytes, access, true, cell->writer);
            }
            if (access != Access::Read && !ordered(cell->reader, cell->read_epoch, cell->reader_warp_epoch, now)) {
                return race(address, bytes, access, false, cell->reader);
            }
        }
        if (access == Access::Read) {
            unsigned reader = now.thread;
            if (cell->read_epoch == now.block_epoch && cell->reader != now.thread) {
                reader = warp_of(cell->reader) == now.thread / 32u ? kLanesOfWarp | now.thread / 32u : kSeveralWarps;
            }
            cell->read_epoch = now.block_epoch;
            cell->reader = static_cast<uint16_t>(reader);
            cell->reader_warp_epoch = now.warp_epoch;
        } else {
            cell->write_epoch = now.block_epoch;
            cell->writer = access == Access::Atomic ? static_cast<uint16_t>(kAtomics) : now.thread;
            cell->writer_warp_epoch = now.warp_epoch;
        }
    }
    return {};
}

Violation SharedRange::race(const void* address, size_t bytes, Access access, bool with_write, unsigned other) const {
    std::string who = other == kSeveralWarps  ? "several threads"
                      : other == kAtomics     ? "atomic operations"
                      : other >= kLanesOfWarp ? format("several lanes of warp %u", other & ~kLanesOfWarp)
                                              : format("thread %u", other);
    return {CUDA_ERROR_LAUNCH_FAILED,
            format("race in shared memory: %s of %zu bytes at offset %zu is not separated by a barrier from a %s by %s",
                   access == Access::Read ? "read" : "write", bytes, static_cast<size_t>(static_cast<const char*>(address) - base_),
                   with_write ? "write" : "read", who.c_str())};
}

} // namespace emulation
