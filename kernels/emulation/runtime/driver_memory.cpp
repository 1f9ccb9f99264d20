// Allocation, copies and fills.
#include "driver.h"

#include <string.h>

using namespace emulation;

namespace {

// What a host-to-device, device-to-host or device-to-device copy does when its turn comes.
enum class Copy { HostToDevice, DeviceToHost, DeviceToDevice };

CUresult copy(const Call& call, CUstream stream, Copy kind, void* destination, const void* source, size_t bytes) {
    const char* name = call.name;
    const void* host = kind == Copy::HostToDevice ? source : kind == Copy::DeviceToHost ? destination : nullptr;
    if (call.driver.streams.count(stream) != 0 && stream->capture != nullptr && host != nullptr &&
        !DeviceMemory::instance().contains(host)) {
        return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                          format("%s: host memory that is not page-locked cannot be copied in a capturing stream", name));
    }
    return submit(call, stream, [=]() -> CUresult {
        DeviceMemory& memory = DeviceMemory::instance();
        Violation found;
        if (kind == Copy::HostToDevice) {
            found = memory.write(destination, bytes);
        } else if (kind == Copy::DeviceToHost) {
            found = memory.read(source, bytes);
        } else {
            found = memory.addressable(source, bytes, false);
            if (!found) {
                found = memory.addressable(destination, bytes, true);
            }
        }
        if (found) {
            return fail(found.status, format("%s: %s", name, found.text.c_str()));
        }
        if (kind == Copy::DeviceToDevice) {
            memory.copy(destination, source, bytes);
        } else {
            memcpy(destination, source, bytes);
        }
        return CUDA_SUCCESS;
    });
}

// Copies and fills without a stream are work of the default stream that the caller waits for.
CUresult copy_now(const Call& call, Copy kind, void* destination, const void* source, size_t bytes) {
    CUresult status = check_unsafe(call);
    return status != CUDA_SUCCESS ? status : copy(call, nullptr, kind, destination, source, bytes);
}

template <typename T> CUresult fill(const Call& call, CUstream stream, CUdeviceptr address, T value, size_t count) {
    const char* name = call.name;
    return submit(call, stream, [=]() -> CUresult {
        auto destination = reinterpret_cast<T*>(address);
        if (address % sizeof(T) != 0) {
            return fail(CUDA_ERROR_INVALID_VALUE, format("%s: 0x%zx is not a multiple of %zu", name, address, sizeof(T)));
        }
        Violation found = DeviceMemory::instance().write(destination, count * sizeof(T));
        if (found) {
            return fail(found.status, format("%s: %s", name, found.text.c_str()));
        }
        for (size_t i = 0; i < count; i++) {
            destination[i] = value;
        }
        return CUDA_SUCCESS;
    });
}

void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

} // namespace

CUDA_EXPORT CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    Call call("cuMemGetInfo");
    *total = DeviceMemory::instance().total();
    *free = *total - DeviceMemory::instance().used();
    return call.status;
}

CUDA_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
    Call call("cuMemAlloc");
    CUresult status = check_unsafe(call);
    return status != CUDA_SUCCESS ? status : DeviceMemory::instance().allocate(address, bytes, call.name);
}

CUDA_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
    Call call("cuMemFree");
    CUresult status = check_unsafe(call);
    return status != CUDA_SUCCESS ? status : DeviceMemory::instance().free(address, call.name);
}

CUDA_EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
    Call call("cuMemGetAddressRange");
    if (call.status == CUDA_SUCCESS && !DeviceMemory::instance().range(address, base, bytes)) {
        return fail(CUDA_ERROR_NOT_FOUND, format("cuMemGetAddressRange: 0x%zx is in no allocation", address));
    }
    return call.status;
}

// Page-locked host memory is visible to kernels under the same address, so it comes from the same range; the host writes it unseen.
CUDA_EXPORT CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    Call call("cuMemHostAlloc");
    CUresult status = check_unsafe(call);
    if (status != CUDA_SUCCESS) {
        return status;
    }
    CUdeviceptr block;
    status = DeviceMemory::instance().allocate(&block, bytes, call.name);
    if (status == CUDA_SUCCESS) {
        *address = pointer(block);
        DeviceMemory::instance().write(*address, bytes);
    }
    return status;
}

CUDA_EXPORT CUresult cuMemAllocHost_v2(void** address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }

CUDA_EXPORT CUresult cuMemFreeHost(void* address) {
    Call call("cuMemFreeHost");
    CUresult status = check_unsafe(call);
    return status != CUDA_SUCCESS ? status : DeviceMemory::instance().free(reinterpret_cast<CUdeviceptr>(address), call.name);
}

CUDA_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr destination, const void* source, size_t bytes) {
    return copy_now(Call("cuMemcpyHtoD"), Copy::HostToDevice, pointer(destination), source, bytes);
}
CUDA_EXPORT CUresult cuMemcpyDtoH_v2(void* destination, CUdeviceptr source, size_t bytes) {
    return copy_now(Call("cuMemcpyDtoH"), Copy::DeviceToHost, destination, pointer(source), bytes);
}
CUDA_EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
    return copy_now(Call("cuMemcpyDtoD"), Copy::DeviceToDevice, pointer(destination), pointer(source), bytes);
}
CUDA_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream) {
    return copy(Call("cuMemcpyHtoDAsync"), stream, Copy::HostToDevice, pointer(destination), source, bytes);
}
CUDA_EXPORT CUresult cuMemcpyDtoHAsync_v2(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return copy(Call("cuMemcpyDtoHAsync"), stream, Copy::DeviceToHost, destination, pointer(source), bytes);
}
CUDA_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return copy(Call("cuMemcpyDtoDAsync"), stream, Copy::DeviceToDevice, pointer(destination), pointer(source), bytes);
}

CUDA_EXPORT CUresult cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t count) {
    return fill(Call("cuMemsetD8"), nullptr, address, value, count);
}
CUDA_EXPORT CUresult cuMemsetD16_v2(CUdeviceptr address, unsigned short value, size_t count) {
    return fill(Call("cuMemsetD16"), nullptr, address, value, count);
}
CUDA_EXPORT CUresult cuMemsetD32_v2(CUdeviceptr address, unsigned value, size_t count) {
    return fill(Call("cuMemsetD32"), nullptr, address, value, count);
}
CUDA_EXPORT CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
    return fill(Call("cuMemsetD8Async"), stream, address, value, count);
}
CUDA_EXPORT CUresult cuMemsetD16Async(CUdeviceptr address, unsigned short value, size_t count, CUstream stream) {
    return fill(Call("cuMemsetD16Async"), stream, address, value, count);
}
CUDA_EXPORT CUresult cuMemsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream) {
    return fill(Call("cuMemsetD32Async"), stream, address, value, count);
}
