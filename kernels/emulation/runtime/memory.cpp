#include "memory.h"

#include <map>
#include <mutex>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace emulation {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kGuard = kPage; // unallocated bytes after every allocation, at least

std::mutex mutex;
std::map<uintptr_t, Allocation> live;
std::map<uintptr_t, Allocation> freed; // addresses not yet reused
uint64_t allocations = 0;
uintptr_t cursor = 0;

size_t round_up(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void* reserve(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

size_t configured_total() {
    const char* text = getenv("FORGETTING_EMU_MEMORY_MB");
    size_t megabytes = text == nullptr ? 0 : strtoull(text, nullptr, 10);
    return (megabytes == 0 ? 8192 : megabytes) << 20;
}

// The block that holds the address, if any: the last one that begins at or before it.
const std::pair<const uintptr_t, Allocation>* find(const std::map<uintptr_t, Allocation>& blocks, uintptr_t address) {
    auto next = blocks.upper_bound(address);
    if (next == blocks.begin()) {
        return nullptr;
    }
    const auto& block = *--next;
    return address - block.first < block.second.bytes ? &block : nullptr;
}

} // namespace

DeviceMemory DeviceMemory::instance_;

DeviceMemory::DeviceMemory() : total_(configured_total()) {
    // Address space costs nothing, but a limit on it (ulimit -v) may be set: take what there is.
    for (size_t bytes = size_t{1} << 38; bytes >= 2 * total_; bytes /= 2) {
        void* memory = reserve(bytes);
        void* shadow = memory == nullptr ? nullptr : reserve(bytes);
        if (shadow != nullptr) {
            base_ = reinterpret_cast<uintptr_t>(memory);
            shadow_ = static_cast<uint8_t*>(shadow);
            reserved_ = bytes;
            cursor = base_ + kGuard;
            return;
        }
        if (memory != nullptr) {
            munmap(memory, bytes);
        }
    }
}

CUresult DeviceMemory::allocate(CUdeviceptr* address, size_t bytes, const char* call) {
    std::lock_guard<std::mutex> lock(mutex);
    if (bytes == 0) {
        return fail(CUDA_ERROR_INVALID_VALUE, format("%s: 0 bytes asked for", call));
    }
    size_t needed = round_up(bytes) + kGuard;
    if (used_ + needed > total_ || needed > reserved_ / 2) {
        return fail(CUDA_ERROR_OUT_OF_MEMORY, format("%s: %zu bytes asked for, %zu of %zu free", call, bytes, total_ - used_, total_));
    }
    for (int wraps = 0; wraps < 2;) {
        auto next = live.lower_bound(cursor);
        uintptr_t end = next == live.end() ? base_ + reserved_ : next->first;
        if (end - cursor >= needed) {
            break;
        }
        if (next == live.end()) {
            cursor = base_ + kGuard;
            wraps++;
        } else {
            cursor = next->first + round_up(next->second.bytes) + kGuard;
        }
    }
    auto end = freed.lower_bound(cursor + needed);
    freed.erase(freed.lower_bound(cursor), end);
    *address = cursor;
    live[cursor] = {bytes, ++allocations};
    memset(shadow_ + (cursor - base_), writes_known_ ? kAllocated : kAllocated | kWritten, bytes);
    cursor += needed;
    used_ += needed;
    return CUDA_SUCCESS;
}

void DeviceMemory::assume_written() {
    std::lock_guard<std::mutex> lock(mutex);
    if (writes_known_) {
        writes_known_ = false;
        for (const auto& [address, allocation] : live) {
            memset(shadow_ + (address - base_), kAllocated | kWritten, allocation.bytes);
        }
    }
}

CUresult DeviceMemory::free(CUdeviceptr address, const char* call) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = live.find(address);
    if (found == live.end()) {
        const char* what = freed.count(address) != 0 ? "was freed before" : "is not the beginning of an allocation";
        return fail(CUDA_ERROR_INVALID_VALUE, format("%s: 0x%zx %s", call, address, what));
    }
    release(found);
    return CUDA_SUCCESS;
}

void DeviceMemory::release(std::map<uintptr_t, Allocation>::iterator block) {
    size_t pages = round_up(block->second.bytes);
    madvise(reinterpret_cast<void*>(block->first), pages, MADV_DONTNEED);
    madvise(shadow_ + (block->first - base_), pages, MADV_DONTNEED); // reads as 0 from now on: not allocated
    used_ -= pages + kGuard;
    freed[block->first] = block->second;
    live.erase(block);
}

bool DeviceMemory::range(CUdeviceptr address, CUdeviceptr* base, size_t* bytes) const {
    std::lock_guard<std::mutex> lock(mutex);
    auto block = find(live, address);
    if (block != nullptr) {
        *base = block->first;
        *bytes = block->second.bytes;
    }
    return block != nullptr;
}

std::string DeviceMemory::leaks() const {
    std::lock_guard<std::mutex> lock(mutex);
    if (live.empty()) {
        return {};
    }
    std::string text = format("%zu allocations not freed:", live.size());
    int listed = 0;
    for (const auto& [address, allocation] : live) {
        if (listed++ == 8) {
            text += " …";
            break;
        }
        text += format(" 0x%zx (%zu bytes, allocation %lu)", address, allocation.bytes, static_cast<unsigned long>(allocation.number));
    }
    return text;
}

void DeviceMemory::free_all() {
    std::lock_guard<std::mutex> lock(mutex);
    while (!live.empty()) {
        release(live.begin());
    }
}

Violation DeviceMemory::read(const void* address, size_t bytes) const {
    if (bytes == 0) {
        return {};
    }
    if (!contains(address) || bytes > reserved_ - offset(address)) {
        return explain(address, bytes, false);
    }
    const uint8_t* shadow = shadow_ + offset(address);
    uint8_t all = kAllocated | kWritten;
    for (size_t i = 0; i < bytes; i++) {
        all &= shadow[i];
    }
    return all == (kAllocated | kWritten) ? Violation() : explain(address, bytes, false);
}

Violation DeviceMemory::addressable(const void* address, size_t bytes, bool write) const {
    if (bytes == 0) {
        return {};
    }
    if (!contains(address) || bytes > reserved_ - offset(address)) {
        return explain(address, bytes, write);
    }
    const uint8_t* shadow = shadow_ + offset(address);
    uint8_t all = kAllocated;
    for (size_t i = 0; i < bytes; i++) {
        all &= shadow[i];
    }
    return all != 0 ? Violation() : explain(address, bytes, write);
}

Violation DeviceMemory::write(const void* address, size_t bytes) {
    Violation found = addressable(address, bytes, true);
    if (!found && bytes > 0) {
        memset(shadow_ + offset(address), kAllocated | kWritten, bytes);
    }
    return found;
}

void DeviceMemory::copy(void* destination, const void* source, size_t bytes) {
    memmove(destination, source, bytes);
    memmove(shadow_ + offset(destination), shadow_ + offset(source), bytes);
}

Violation DeviceMemory::explain(const void* pointer, size_t bytes, bool write) const {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    std::string access = format("%s of %zu bytes at 0x%zx", write ? "write" : "read", bytes, address);
    if (address < kPage) {
        return {CUDA_ERROR_ILLEGAL_ADDRESS, access + ": null pointer"};
    }
    if (!contains(pointer)) {
        return {CUDA_ERROR_ILLEGAL_ADDRESS, access + ": not device memory"};
    }
    std::lock_guard<std::mutex> lock(mutex);
    if (auto block = find(live, address)) {
        size_t inside = address - block->first;
        std::string where = format(", %zu bytes into the %zu bytes at 0x%zx (allocation %lu)", inside, block->second.bytes, block->first,
                                   static_cast<unsigned long>(block->second.number));
        if (bytes > block->second.bytes - inside) {
            return {CUDA_ERROR_ILLEGAL_ADDRESS, access + where + ": beyond its end"};
        }
        return {CUDA_ERROR_ILLEGAL_ADDRESS, access + where + ": memory that was never written"};
    }
    if (auto block = find(freed, address)) {
        return {CUDA_ERROR_ILLEGAL_ADDRESS, access + format(": use after free, %zu bytes into the %zu bytes at 0x%zx (allocation %lu)",
                                                            address - block->first, block->second.bytes, block->first,
                                                            static_cast<unsigned long>(block->second.number))};
    }
    auto next = live.upper_bound(address);
    if (next != live.begin()) {
        const auto& block = *std::prev(next);
        return {CUDA_ERROR_ILLEGAL_ADDRESS,
                access + format(": out of bounds, %zu bytes past the end of the %zu bytes at 0x%zx (allocation %lu)",
                                address - block.first - block.second.bytes, block.second.bytes, block.first,
                                static_cast<unsigned long>(block.second.number))};
    }
    return {CUDA_ERROR_ILLEGAL_ADDRESS, access + ": out of bounds of every allocation"};
}

} // namespace emulation
