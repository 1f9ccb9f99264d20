// Fibers: each thread of a block runs on its own small stack and gives up the processor only where it waits for others.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace emulation {

constexpr size_t kStackBytes = 64 * 1024;

// A saved context is the stack pointer; the callee-saved registers lie on the stack above it.
using Context = void*;

// Saves the running context to *from and continues `to`. No system call: signal masks are not touched.
extern "C" void emulation_switch(Context* from, Context to);

// Stacks, handed out last in first out so that threads which run to their end without waiting all use the same, cached one.
class StackPool {
public:
    static StackPool& instance() { return instance_; }

    char* take();
    void give_back(char* stack);

    // A context that calls `start` on the stack; `start` must not return.
    static Context prepare(char* stack, void (*start)());

    // False when the words at the stack's end are overwritten: the thread needed more than kStackBytes.
    static bool intact(const char* stack);

    bool contains(const void* address) const {
        return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(base_) < kStacks * kStackBytes;
    }

private:
    static constexpr size_t kStacks = 1024 + 1;
    static StackPool instance_;
    StackPool();
    char* base_;
    char* free_[kStacks];
    size_t count_ = 0;
};

} // namespace emulation
