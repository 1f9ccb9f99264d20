// Initialisation, the device, contexts and error texts.
#include "driver.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

namespace emulation {

thread_local CUcontext current_context = nullptr;

Driver& Driver::instance() {
    static Driver driver;
    return driver;
}

CUresult ordered_failure(const char* name) {
    const auto& failures = Settings::instance().failures;
    auto found = failures.empty() ? failures.end() : failures.find(name);
    return found == failures.end() ? CUDA_SUCCESS
                                   : fail(static_cast<CUresult>(found->second), format("%s: FORGETTING_EMU_FAIL wants it to fail", name));
}

Call::Call(const char* name, bool needs_context)
    : name(name), driver(Driver::instance()), status(CUDA_SUCCESS), lock_(driver.mutex) {
    driver.calls[name]++;
    CUresult ordered = ordered_failure(name);
    if (ordered != CUDA_SUCCESS) {
        status = ordered;
    } else if (!driver.initialised) {
        status = fail(CUDA_ERROR_NOT_INITIALIZED, format("%s: cuInit was not called", name));
    } else if (needs_context && (current_context == nullptr || current_context->references == 0)) {
        status = fail(CUDA_ERROR_INVALID_CONTEXT, format("%s: no context is current on this thread", name));
    }
}

CUresult violation(const Call& call, const char* what, const Violation& found) {
    return fail(found.status, format("%s: %s: %s", call.name, what, found.text.c_str()));
}

std::set<Capture*> Driver::captures() const {
    std::set<Capture*> found;
    for (CUstream stream : streams) {
        if (stream->capture != nullptr) {
            found.insert(stream->capture.get());
        }
    }
    return found;
}

CUresult invalidate(Capture& capture, CUresult status, const std::string& text) {
    capture.invalid = true;
    return fail(status, text);
}

CUresult check_unsafe(const Call& call) {
    CUresult status = call.status;
    for (Capture* capture : call.driver.captures()) {
        bool own = capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && capture->thread == std::this_thread::get_id();
        if (status == CUDA_SUCCESS && (own || capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL)) {
            status = invalidate(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                                format("%s: not allowed while a stream is capturing", call.name));
        }
    }
    return status;
}

CUresult submit(const Call& call, CUstream stream, std::function<CUresult()> work) {
    if (call.status != CUDA_SUCCESS) {
        return call.status;
    }
    if (stream == nullptr) {
        for (CUstream other : call.driver.streams) {
            if (other->blocking && other->capture != nullptr) {
                return invalidate(*other->capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                                  format("%s: work for the default stream while a stream ordered with it is capturing", call.name));
            }
        }
        return work();
    }
    if (call.driver.streams.count(stream) == 0) {
        return fail(CUDA_ERROR_INVALID_HANDLE, format("%s: not a stream", call.name));
    }
    if (stream->capture != nullptr) {
        if (stream->capture->invalid) {
            return fail(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, format("%s: the capture in this stream has failed before", call.name));
        }
        stream->capture->nodes.push_back(std::move(work));
        stream->progress[stream]++;
        return CUDA_SUCCESS;
    }
    return work();
}

namespace {

struct Name {
    CUresult status;
    const char* name;
    const char* text;
};

constexpr Name kNames[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the stream in which it began"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const Name* find(CUresult status) {
    for (const Name& name : kNames) {
        if (name.status == status) {
            return &name;
        }
    }
    return nullptr;
}

// Attributes of an imaginary card, of compute capability 8.0 unless the settings say otherwise; the numbering is CUdevice_attribute's.
int attribute(int number) {
    switch (number) {
    case 1: return 1024;        // MAX_THREADS_PER_BLOCK
    case 2: case 3: return 1024; // MAX_BLOCK_DIM_X, Y
    case 4: return 64;          // MAX_BLOCK_DIM_Z
    case 5: return 0x7fffffff;  // MAX_GRID_DIM_X
    case 6: case 7: return 65535; // MAX_GRID_DIM_Y, Z
    case 8: return 48 * 1024;   // MAX_SHARED_MEMORY_PER_BLOCK
    case 10: return 32;         // WARP_SIZE
    case 12: return 65536;      // MAX_REGISTERS_PER_BLOCK
    case 13: return 1000000;    // CLOCK_RATE, kHz
    case 16: return 4;          // MULTIPROCESSOR_COUNT
    case 36: return 1000000;    // MEMORY_CLOCK_RATE, kHz
    case 37: return 256;        // GLOBAL_MEMORY_BUS_WIDTH, bits
    case 38: return 4 << 20;    // L2_CACHE_SIZE
    case 39: return 2048;       // MAX_THREADS_PER_MULTIPROCESSOR
    case 41: return 1;          // UNIFIED_ADDRESSING
    case 75: return Settings::instance().capability / 10; // COMPUTE_CAPABILITY_MAJOR
    case 76: return Settings::instance().capability % 10; // COMPUTE_CAPABILITY_MINOR
    case 81: return 164 * 1024; // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    case 82: return 65536;      // MAX_REGISTERS_PER_MULTIPROCESSOR
    case 97: return 163 * 1024; // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    // What it has not is 0, as of a card that is older than the question; behind the last that a driver of CUDA 12 knows is none.
    default: return number > 0 && number < 150 ? 0 : -1;
    }
}

} // namespace
} // namespace emulation

using namespace emulation;

CUDA_EXPORT CUresult cuInit(unsigned flags) {
    Driver& driver = Driver::instance();
    std::lock_guard<std::recursive_mutex> lock(driver.mutex);
    if (flags != 0) {
        return fail(CUDA_ERROR_INVALID_VALUE, "cuInit: flags must be 0");
    }
    const Settings& settings = Settings::instance();
    if (!settings.wrong.empty()) {
        return fail(CUDA_ERROR_INVALID_VALUE, "cuInit: " + settings.wrong);
    }
    if (CUresult ordered = ordered_failure("cuInit"); ordered != CUDA_SUCCESS) {
        return ordered;
    }
    if (settings.visible.empty()) {
        return CUDA_ERROR_NO_DEVICE;
    }
    if (!driver.initialised) {
        Order order;
        const char* text = getenv("FORGETTING_EMU_ORDER");
        if (text != nullptr && !Order::parse(text, &order)) {
            return fail(CUDA_ERROR_INVALID_VALUE,
                        format("cuInit: FORGETTING_EMU_ORDER is '%s', not forward, reverse or random:SEED", text));
        }
        Order::set(order);
        driver.initialised = true;
    }
    return CUDA_SUCCESS;
}

// Not part of CUDA: the order of threads and blocks from now on, as in FORGETTING_EMU_ORDER.
CUDA_EXPORT CUresult emulationSetOrder(const char* text) {
    Driver& driver = Driver::instance();
    std::lock_guard<std::recursive_mutex> lock(driver.mutex);
    Order order;
    if (text == nullptr || !Order::parse(text, &order)) {
        return fail(CUDA_ERROR_INVALID_VALUE,
                    format("the thread order '%s' is not forward, reverse or random:SEED", text == nullptr ? "" : text));
    }
    Order::set(order);
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
    const Name* known = find(error);
    *name = known == nullptr ? nullptr : known->name;
    return known == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

// CUDA returns a fixed text for each status; here it is what the last failure with this status was about.
CUDA_EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
    *text = failure_text(error);
    if (*text == nullptr) {
        const Name* known = find(error);
        if (known == nullptr) {
            return CUDA_ERROR_INVALID_VALUE;
        }
        *text = known->text;
    }
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuDriverGetVersion(int* version) {
    *version = Settings::instance().driver_version;
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuDeviceGetCount(int* count) {
    Call call("cuDeviceGetCount", false);
    *count = static_cast<int>(Settings::instance().visible.size());
    return call.status;
}

CUDA_EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    Call call("cuDeviceGet", false);
    size_t devices = Settings::instance().visible.size();
    if (call.status == CUDA_SUCCESS && (ordinal < 0 || static_cast<size_t>(ordinal) >= devices)) {
        return fail(CUDA_ERROR_INVALID_DEVICE, format("cuDeviceGet: there are %zu emulated devices, and no number %d", devices, ordinal));
    }
    *device = ordinal;
    return call.status;
}

CUDA_EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
    Call call("cuDeviceGetName", false);
    if (length > 0 && call.status == CUDA_SUCCESS) {
        int number = Settings::instance().visible[static_cast<size_t>(device)];
        std::string text = number == 0 ? "CUDA emulation" : format("CUDA emulation, card %d", number);
        strncpy(name, text.c_str(), static_cast<size_t>(length));
        name[length - 1] = '\0';
    }
    return call.status;
}

CUDA_EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
    Call call("cuDeviceTotalMem", false);
    *bytes = DeviceMemory::instance().total();
    return call.status;
}

CUDA_EXPORT CUresult cuDeviceGetAttribute(int* value, int number, CUdevice) {
    Call call("cuDeviceGetAttribute", false);
    *value = attribute(number);
    if (*value < 0) {
        return fail(CUDA_ERROR_INVALID_VALUE, format("cuDeviceGetAttribute: the emulation has no attribute %d", number));
    }
    return call.status;
}

CUDA_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
    Call call("cuDevicePrimaryCtxRetain", false);
    if (call.status == CUDA_SUCCESS) {
        call.driver.primary.references++;
        *context = &call.driver.primary;
    }
    return call.status;
}

// Whoever releases the context last must have freed everything: what is left is reported as a failure.
CUDA_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
    Call call("cuDevicePrimaryCtxRelease", false);
    if (call.status != CUDA_SUCCESS) {
        return call.status;
    }
    if (call.driver.primary.references == 0) {
        return fail(CUDA_ERROR_INVALID_CONTEXT, "cuDevicePrimaryCtxRelease: the context is not retained");
    }
    if (--call.driver.primary.references == 0) {
        std::string leaks = DeviceMemory::instance().leaks();
        if (!leaks.empty()) {
            DeviceMemory::instance().free_all();
            return fail(CUDA_ERROR_UNKNOWN, "the context was released with " + leaks);
        }
    }
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
    Call call("cuCtxSetCurrent", false);
    if (call.status == CUDA_SUCCESS && context != nullptr && context != &call.driver.primary) {
        return fail(CUDA_ERROR_INVALID_CONTEXT, "cuCtxSetCurrent: not a context");
    }
    current_context = context;
    return call.status;
}

CUDA_EXPORT CUresult cuCtxGetCurrent(CUcontext* context) {
    Call call("cuCtxGetCurrent", false);
    *context = current_context;
    return call.status;
}

CUDA_EXPORT CUresult cuCtxSynchronize() {
    Call call("cuCtxSynchronize");
    for (Capture* capture : call.driver.captures()) {
        return invalidate(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuCtxSynchronize: a stream is capturing");
    }
    return call.status;
}
