// The kernels are compiled with g++'s thread and undefined-behaviour instrumentation, which calls the functions below at every access to
// memory, misaligned dereference, overrun array index and overflow. Their names and signatures are the compiler's; its own runtimes are
// not linked, so the calls end here and become checks against the emulated device's memory.
#include "block.h"

using namespace emulation;

namespace {

template <int Size, Access Kind> inline void check(void* address) {
    DeviceMemory& memory = DeviceMemory::instance();
    if (__builtin_expect(memory.contains(address), 1) && memory.allowed<Size, Kind == Access::Write>(address)) {
        return;
    }
    check_access(address, Size, Kind);
}

// Layouts of the compiler's descriptions, as far as they are used.
struct SourceLocation {
    const char* file;
    uint32_t line, column;
};
struct TypeMismatch {
    SourceLocation location;
    const void* type;
    unsigned char log_alignment;
    unsigned char kind;
};

[[noreturn]] void stop(CUresult status, const SourceLocation& location, const std::string& what) {
    abort_launch(status, what, nullptr, {location.file, static_cast<int>(location.line)});
}

} // namespace

#define CHECKS(size)                                                                                                    \
    CUDA_EXPORT void __tsan_read##size(void* address) { check<size, Access::Read>(address); }                           \
    CUDA_EXPORT void __tsan_write##size(void* address) { check<size, Access::Write>(address); }
#define CHECKS_UNALIGNED(size)                                                                                          \
    CUDA_EXPORT void __tsan_unaligned_read##size(void* address) { check_access(address, size, Access::Read); }          \
    CUDA_EXPORT void __tsan_unaligned_write##size(void* address) { check_access(address, size, Access::Write); }

CHECKS(1)
CHECKS(2)
CHECKS(4)
CHECKS(8)
CHECKS(16)
CHECKS_UNALIGNED(2)
CHECKS_UNALIGNED(4)
CHECKS_UNALIGNED(8)
CHECKS_UNALIGNED(16)

CUDA_EXPORT void __tsan_read_range(void* address, size_t bytes) { check_access(address, bytes, Access::Read); }
CUDA_EXPORT void __tsan_write_range(void* address, size_t bytes) { check_access(address, bytes, Access::Write); }
CUDA_EXPORT void __tsan_init() {}
CUDA_EXPORT void __tsan_func_entry(void*) {}
CUDA_EXPORT void __tsan_func_exit() {}

CUDA_EXPORT void __ubsan_handle_type_mismatch_v1(TypeMismatch* data, uintptr_t address) {
    size_t alignment = size_t{1} << data->log_alignment;
    stop(CUDA_ERROR_MISALIGNED_ADDRESS, data->location,
         format("misaligned access at 0x%zx, which is not a multiple of %zu", address, alignment));
}
CUDA_EXPORT void __ubsan_handle_out_of_bounds(SourceLocation* location, uintptr_t index) {
    stop(CUDA_ERROR_ILLEGAL_ADDRESS, *location, format("array index %td out of bounds", static_cast<ptrdiff_t>(index)));
}
CUDA_EXPORT void __ubsan_handle_add_overflow(SourceLocation* location) { stop(CUDA_ERROR_ASSERT, *location, "signed addition overflows"); }
CUDA_EXPORT void __ubsan_handle_sub_overflow(SourceLocation* location) {
    stop(CUDA_ERROR_ASSERT, *location, "signed subtraction overflows");
}
CUDA_EXPORT void __ubsan_handle_mul_overflow(SourceLocation* location) {
    stop(CUDA_ERROR_ASSERT, *location, "signed multiplication overflows");
}
CUDA_EXPORT void __ubsan_handle_negate_overflow(SourceLocation* location) {
    stop(CUDA_ERROR_ASSERT, *location, "signed negation overflows");
}
CUDA_EXPORT void __ubsan_handle_divrem_overflow(SourceLocation* location) {
    stop(CUDA_ERROR_ASSERT, *location, "integer division by zero or overflow");
}
CUDA_EXPORT void __ubsan_handle_shift_out_of_bounds(SourceLocation* location) { stop(CUDA_ERROR_ASSERT, *location, "shift out of range"); }
