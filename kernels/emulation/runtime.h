// What compiled kernels ask of the emulation library. shim.h builds the CUDA language on it; the runtime/ folder implements it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <utility>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define EMULATION_API __attribute__((visibility("default")))
#define EMULATION_UNCHECKED __attribute__((no_sanitize("thread", "undefined")))

namespace emulation {

// A place in a kernel source, for reports. As a default argument it names the caller's line.
struct Site {
    const char* file;
    int line;
    static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

// An entry point as KERNEL declares it, found by name in the kernel library: emulation_entry_NAME.
struct Entry {
    const char* name;
    void (*invoke)(void** arguments);
    const uint32_t* sizes; // of the parameters, in bytes
    uint32_t count;
    uint32_t max_threads;
    bool checked;             // compiled with the instrumentation that runtime/instrumentation.cpp answers
    void* (*shared_anchor)(); // an address in the library's thread-local block, where its static shared memory is
};

#ifdef __SANITIZE_THREAD__
constexpr bool kChecked = true;
#else
constexpr bool kChecked = false;
#endif

inline void* shared_anchor() {
    static thread_local char anchor;
    return &anchor;
}

template <auto Function> struct Trampoline;

template <typename... Parameter, void (*Function)(Parameter...)> struct Trampoline<Function> {
    static constexpr uint32_t sizes[sizeof...(Parameter) + 1] = {sizeof(Parameter)...};

    // The arguments lie in host memory, so reading them is not checked.
    EMULATION_UNCHECKED static void invoke(void** arguments) { unpack(arguments, std::index_sequence_for<Parameter...>()); }

    static constexpr Entry entry(const char* name, uint32_t max_threads) {
        return {name, invoke, sizes, sizeof...(Parameter), max_threads, kChecked, shared_anchor};
    }

private:
    template <size_t... I> EMULATION_UNCHECKED static void unpack(void** arguments, std::index_sequence<I...>) {
        Function(*static_cast<Parameter*>(arguments[I])...);
    }
};

// Indices. Constant within one thread of a block, hence within any call a kernel makes: the compiler may reuse the result.
EMULATION_API uint3 thread_index() __attribute__((const));
EMULATION_API uint3 block_index() __attribute__((const));
EMULATION_API dim3 block_dimensions() __attribute__((const));
EMULATION_API dim3 grid_dimensions() __attribute__((const));
EMULATION_API void* dynamic_shared() __attribute__((const));

// Barriers. Arrival of a block barrier also tells how many threads, and whether all or any, passed a true predicate.
struct BarrierResult {
    int count;
    bool all, any;
};
EMULATION_API BarrierResult block_barrier(bool predicate, Site site);
EMULATION_API void warp_barrier(unsigned mask, Site site);

// Exchange within a warp.
enum class Shuffle { Index, Up, Down, Xor };
EMULATION_API uint64_t shuffle(Shuffle kind, unsigned mask, uint64_t bits, int lane, int width, Site site);
EMULATION_API unsigned ballot(unsigned mask, bool predicate, Site site);

// Tensor cores and asynchronous copies, as portable.cuh describes them.
EMULATION_API void mma_m16n8k16(float* d, const uint32_t* a, const uint32_t* b, Site site = Site::here());
EMULATION_API void ldmatrix(uint32_t* r, int matrices, bool transpose, const void* row, Site site = Site::here());
EMULATION_API void cp_async_16(void* shared, const void* global, bool valid);
EMULATION_API void cp_async_commit();
EMULATION_API void cp_async_wait(int newest);

// Read-modify-write of 4 or 8 bytes; returns the old value. Threads of a block never run at the same time, so `update` is plain code.
enum class Atomic { Add, Minimum, Maximum, Exchange, And, Or, CompareAndSwap };
EMULATION_API int atomic(Atomic kind, int* address, int value, int compare);
EMULATION_API unsigned atomic(Atomic kind, unsigned* address, unsigned value, unsigned compare);
EMULATION_API unsigned long long atomic(Atomic kind, unsigned long long* address, unsigned long long value, unsigned long long compare);
EMULATION_API float atomic(Atomic kind, float* address, float value, float compare);

[[noreturn]] EMULATION_API void trap(Site site);

} // namespace emulation
