// Device memory: one large reserved range of the host's address space, with a shadow byte for every byte that tells whether it
// belongs to a live allocation and whether it was written. Addresses are reused only when the whole range has been walked through,
// so that a pointer to freed memory stays recognisable for long.
#pragma once
#include "report.h"

#include <map>
#include <string>

namespace emulation {

enum : uint8_t {
    kAllocated = 1,
    kWritten = 2,
};

struct Allocation {
    size_t bytes;
    uint64_t number; // counts the process's allocations
};

// An access that must not happen, found by a check.
struct Violation {
    CUresult status = CUDA_SUCCESS;
    std::string text;
    explicit operator bool() const { return status != CUDA_SUCCESS; }
};

class DeviceMemory {
public:
    // Made when the library is loaded, so that the check of an access costs no test of whether it is there.
    static DeviceMemory& instance() { return instance_; }

    CUresult allocate(CUdeviceptr* address, size_t bytes, const char* call);
    CUresult free(CUdeviceptr address, const char* call);
    // The live allocation around an address: its beginning and size.
    bool range(CUdeviceptr address, CUdeviceptr* base, size_t* bytes) const;

    size_t total() const { return total_; }
    size_t used() const { return used_; }

    // What is still allocated, for the report at the end of a context; empty if nothing is.
    std::string leaks() const;
    void free_all();

    bool contains(const void* address) const { return offset(address) < reserved_; }

    // The check of an access of 1, 2, 4, 8 or 16 bytes; true if it is allowed. A write marks the bytes as written.
    template <int Size, bool Write> bool allowed(const void* address) {
        uint8_t* shadow = shadow_ + offset(address);
        if constexpr (Size == 16) {
            return check_word<uint64_t, Write>(shadow) & check_word<uint64_t, Write>(shadow + 8);
        } else if constexpr (Size == 8) {
            return check_word<uint64_t, Write>(shadow);
        } else if constexpr (Size == 4) {
            return check_word<uint32_t, Write>(shadow);
        } else if constexpr (Size == 2) {
            return check_word<uint16_t, Write>(shadow);
        } else {
            return check_word<uint8_t, Write>(shadow);
        }
    }

    // The same for any size and any address, with an explanation.
    Violation read(const void* address, size_t bytes) const;
    Violation write(const void* address, size_t bytes);
    // Whether the bytes belong to a live allocation, written or not.
    Violation addressable(const void* address, size_t bytes, bool write) const;
    // Kernels without checks do not say what they write: from the first of them on, all that is allocated counts as written.
    void assume_written();
    // A device-to-device copy: unwritten bytes may be copied and stay unwritten.
    void copy(void* destination, const void* source, size_t bytes);

    Violation explain(const void* address, size_t bytes, bool write) const;

private:
    static DeviceMemory instance_;
    DeviceMemory();
    void release(std::map<uintptr_t, Allocation>::iterator block);
    size_t offset(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_; }

    template <typename Word, bool Write> static bool check_word(uint8_t* shadow) {
        constexpr Word ones = static_cast<Word>(0x0101010101010101ull);
        Word word;
        __builtin_memcpy(&word, shadow, sizeof word);
        if constexpr (Write) {
            if ((word & ones) != ones) {
                return false;
            }
            word = static_cast<Word>(word | ones * kWritten);
            __builtin_memcpy(shadow, &word, sizeof word);
            return true;
        } else {
            constexpr Word both = ones * (kAllocated | kWritten);
            return (word & both) == both;
        }
    }

    uintptr_t base_ = 0;
    uint8_t* shadow_ = nullptr;
    size_t reserved_ = 0;
    size_t total_ = 0;
    size_t used_ = 0;
    bool writes_known_ = true;
};

} // namespace emulation
