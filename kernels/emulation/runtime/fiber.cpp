#include "fiber.h"

#include <new>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#error "the context switch is written for x86-64 and the System V calling convention"
#endif

// rbx, rbp, r12 to r15 and the two floating-point control words are what a callee must keep. The switch looks like a plain call to both
// sides: the return address below the saved registers is where the other context goes on.
asm(R"(
    .text
    .globl emulation_switch
    .hidden emulation_switch
    .type emulation_switch, @function
    .align 16
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulation_switch, .-emulation_switch
)");

namespace emulation {

namespace {
constexpr uint64_t kCanary = 0x5afe57ac5afe57acull;
constexpr size_t kCanaryWords = 8;
} // namespace

StackPool StackPool::instance_;

StackPool::StackPool() {
    void* memory = mmap(nullptr, kStacks * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    base_ = static_cast<char*>(memory);
    for (size_t i = kStacks; i-- > 0;) {
        free_[count_++] = base_ + i * kStackBytes;
    }
}

char* StackPool::take() {
    char* stack = free_[--count_];
    auto words = reinterpret_cast<uint64_t*>(stack);
    if (words[0] != kCanary) {
        for (size_t i = 0; i < kCanaryWords; i++) {
            words[i] = kCanary;
        }
    }
    return stack;
}

void StackPool::give_back(char* stack) { free_[count_++] = stack; }

Context StackPool::prepare(char* stack, void (*start)()) {
    auto top = reinterpret_cast<uint64_t*>(stack + kStackBytes);
    *--top = 0;                                 // keeps the stack 16-byte aligned at the entry of `start`, as after a call
    *--top = reinterpret_cast<uint64_t>(start); // where the first switch returns to
    for (int i = 0; i < 6; i++) {
        *--top = 0; // the callee-saved registers
    }
    --top;
    uint32_t control[2] = {};
    asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(control[0]), "=m"(control[1]));
    *top = control[0] | static_cast<uint64_t>(control[1]) << 32;
    return top;
}

bool StackPool::intact(const char* stack) {
    auto words = reinterpret_cast<const uint64_t*>(stack);
    for (size_t i = 0; i < kCanaryWords; i++) {
        if (words[i] != kCanary) {
            return false;
        }
    }
    return true;
}

} // namespace emulation
