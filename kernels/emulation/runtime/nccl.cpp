// NCCL between processes of this machine, over shared memory: bytes, and sums of fp32 that are added in the order of ranks. A collective is
// done when it is submitted, like all else here, so it waits for the other ranks in the call; ncclCommAbort from another thread, or by
// another rank, ends the wait.
#include "driver.h"

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <random>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace emulation;

namespace {

constexpr size_t kSlotBytes = 256 << 10; // of each rank; a larger collective takes several turns
constexpr int kMostRanks = 256;

enum Kind : int { kAllReduce = 1, kReduceScatter, kAllGather, kBroadcast };

// What a rank calls; all must call the same.
struct Request {
    int kind, type, root;
    size_t count;

    bool operator!=(const Request& other) const {
        return kind != other.kind || type != other.type || root != other.root || count != other.count;
    }
};

struct Shared {
    std::atomic<int> joined;
    std::atomic<int> aborted;
    std::atomic<int> arrived;
    std::atomic<unsigned> generation;
    Request requests[kMostRanks];

    char* slot(int rank) { return reinterpret_cast<char*>(this + 1) + rank * kSlotBytes; }
};

size_t bytes_of(int ranks) { return sizeof(Shared) + ranks * kSlotBytes; }

void rest(int turn) {
    if (turn < 100) {
        sched_yield();
    } else {
        usleep(100);
    }
}

} // namespace

struct ncclComm {
    Shared* shared;
    int rank, size;
    std::atomic<int> failure; // an ncclResult_t

    // False where the communicator was aborted meanwhile, here or by another rank.
    bool meet() {
        unsigned before = shared->generation.load();
        if (shared->arrived.fetch_add(1) + 1 == size) {
            shared->arrived = 0;
            shared->generation.fetch_add(1);
            return true;
        }
        for (int turn = 0; shared->generation.load() == before; turn++) {
            if (shared->aborted.load() != 0) {
                failure = ncclRemoteError;
                return false;
            }
            rest(turn);
        }
        return true;
    }
};

namespace {

ncclResult_t invalid(const char* call, const std::string& what, ncclResult_t result = ncclInvalidArgument) {
    fail(CUDA_ERROR_INVALID_VALUE, format("%s: %s", call, what.c_str()));
    return result;
}

size_t size_of(int type) { return type == ncclFloat32 ? 4 : 1; }

// One turn: `bytes` of every rank's slot are filled, and `take` reads the slots.
template <typename Take> bool turn(ncclComm& comm, const void* own, size_t bytes, Take take) {
    memcpy(comm.shared->slot(comm.rank), own, bytes);
    if (!comm.meet()) {
        return false;
    }
    take();
    return comm.meet();
}

void add_slots(ncclComm& comm, size_t first, float* to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float sum = reinterpret_cast<float*>(comm.shared->slot(0))[first + i];
        for (int rank = 1; rank < comm.size; rank++) {
            sum += reinterpret_cast<float*>(comm.shared->slot(rank))[first + i];
        }
        to[i] = sum;
    }
}

// each(done, part) for one piece after the other; false as soon as one is.
template <typename Each> bool in_pieces(size_t bytes, size_t most, Each each) {
    for (size_t done = 0; done < bytes; done += most) {
        if (!each(done, std::min(bytes - done, most))) {
            return false;
        }
    }
    return true;
}

bool run_all_reduce(ncclComm& comm, const char* send, char* receive, size_t bytes) {
    return in_pieces(bytes, kSlotBytes, [&](size_t done, size_t part) {
        return turn(comm, send + done, part, [&] { add_slots(comm, 0, reinterpret_cast<float*>(receive + done), part / 4); });
    });
}

// `bytes` are those of a rank's part.
bool run_reduce_scatter(ncclComm& comm, const char* send, char* receive, size_t bytes) {
    std::vector<char> parts(kSlotBytes);
    return in_pieces(bytes, kSlotBytes / comm.size / 4 * 4, [&](size_t done, size_t part) {
        for (int rank = 0; rank < comm.size; rank++) {
            memcpy(parts.data() + rank * part, send + rank * bytes + done, part);
        }
        auto take = [&] { add_slots(comm, comm.rank * part / 4, reinterpret_cast<float*>(receive + done), part / 4); };
        return turn(comm, parts.data(), part * comm.size, take);
    });
}

bool run_all_gather(ncclComm& comm, const char* send, char* receive, size_t bytes) {
    return in_pieces(bytes, kSlotBytes, [&](size_t done, size_t part) {
        return turn(comm, send + done, part, [&] {
            for (int rank = 0; rank < comm.size; rank++) {
                memcpy(receive + rank * bytes + done, comm.shared->slot(rank), part);
            }
        });
    });
}

bool run_broadcast(ncclComm& comm, const char* send, char* receive, size_t bytes, int root) {
    return in_pieces(bytes, kSlotBytes, [&](size_t done, size_t part) {
        auto take = [&] { memcpy(receive + done, comm.shared->slot(root), part); };
        return turn(comm, send + done, comm.rank == root ? part : 0, take);
    });
}

CUresult run(const char* name, ncclComm& comm, Request request, const void* send, void* receive) {
    size_t bytes = request.count * size_of(request.type), all = bytes * comm.size;
    DeviceMemory& memory = DeviceMemory::instance();
    Violation found;
    if (request.kind != kBroadcast || comm.rank == request.root) {
        found = memory.read(send, request.kind == kReduceScatter ? all : bytes);
    }
    if (!found) {
        found = memory.write(receive, request.kind == kAllGather ? all : bytes);
    }
    if (found) {
        comm.shared->aborted = 1;
        return fail(found.status, format("%s: %s", name, found.text.c_str()));
    }
    comm.shared->requests[comm.rank] = request;
    bool there = comm.meet();
    for (int rank = 0; there && rank < comm.size; rank++) {
        if (request != comm.shared->requests[rank]) {
            comm.failure = ncclInvalidUsage;
            return fail(CUDA_ERROR_INVALID_VALUE, format("%s: rank %d calls another collective, or one of another size", name, rank));
        }
    }
    auto from = static_cast<const char*>(send);
    auto to = static_cast<char*>(receive);
    there = there && comm.meet()
        && (request.kind == kAllReduce       ? run_all_reduce(comm, from, to, bytes)
            : request.kind == kReduceScatter ? run_reduce_scatter(comm, from, to, bytes)
            : request.kind == kAllGather     ? run_all_gather(comm, from, to, bytes)
                                             : run_broadcast(comm, from, to, bytes, request.root));
    return there ? CUDA_SUCCESS : fail(CUDA_ERROR_UNKNOWN, format("%s: the communicator was aborted", name));
}

ncclResult_t collective(const char* name, ncclComm_t comm, Request request, const void* send, void* receive, CUstream stream) {
    Call call(name);
    if (call.status != CUDA_SUCCESS) {
        return ncclUnhandledCudaError;
    }
    if (comm == nullptr || request.root < 0 || request.root >= comm->size) {
        return invalid(name, comm == nullptr ? "no communicator" : "no such root");
    }
    bool sums = request.kind == kAllReduce || request.kind == kReduceScatter;
    if (request.type != ncclFloat32 && (sums || request.type != ncclUint8)) {
        return invalid(name, "only sums of fp32, and bytes, are emulated");
    }
    if (comm->failure != ncclSuccess) {
        return static_cast<ncclResult_t>(comm->failure.load());
    }
    CUresult status = submit(call, stream, [=] { return run(name, *comm, request, send, receive); });
    return status == CUDA_SUCCESS ? ncclSuccess
        : comm->failure != ncclSuccess ? static_cast<ncclResult_t>(comm->failure.load()) : ncclUnhandledCudaError;
}

} // namespace

CUDA_EXPORT ncclResult_t ncclGetVersion(int* version) {
    *version = 22304;
    return ncclSuccess;
}

CUDA_EXPORT const char* ncclGetErrorString(ncclResult_t result) {
    switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    }
    return "unknown result code";
}

// What the last failure was about.
CUDA_EXPORT const char* ncclGetLastError(ncclComm_t) {
    const char* text = last_failure_text();
    return text == nullptr ? "" : text;
}

CUDA_EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    memset(id, 0, sizeof *id);
    std::random_device random;
    std::string name = format("/forgetting-nccl-%d-%08x%08x", getpid(), random(), random());
    memcpy(id->internal, name.c_str(), name.size());
    return ncclSuccess;
}

CUDA_EXPORT ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
    if (size < 1 || size > kMostRanks || rank < 0 || rank >= size) {
        return invalid("ncclCommInitRank", format("rank %d of %d", rank, size));
    }
    int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
    void* memory = MAP_FAILED;
    if (file >= 0) {
        if (ftruncate(file, static_cast<off_t>(bytes_of(size))) == 0) {
            memory = mmap(nullptr, bytes_of(size), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        }
        close(file);
    }
    if (memory == MAP_FAILED) {
        fail(CUDA_ERROR_UNKNOWN, format("ncclCommInitRank: no shared memory: %s", strerror(errno)));
        return ncclSystemError;
    }
    *comm = new ncclComm{static_cast<Shared*>(memory), rank, size, {ncclSuccess}}; // new memory is zero
    (*comm)->shared->joined.fetch_add(1);
    for (int turn = 0; (*comm)->shared->joined.load() < size; turn++) {
        rest(turn);
    }
    if (rank == 0) {
        shm_unlink(id.internal);
    }
    return ncclSuccess;
}

CUDA_EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    munmap(comm->shared, bytes_of(comm->size));
    delete comm;
    return ncclSuccess;
}

// The memory stays: another thread may be in a call.
CUDA_EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
    comm->failure = ncclRemoteError;
    comm->shared->aborted = 1;
    return ncclSuccess;
}

CUDA_EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
    *result = comm->shared->aborted.load() != 0 ? ncclRemoteError : static_cast<ncclResult_t>(comm->failure.load());
    return ncclSuccess;
}

// A process has one communicator here, whose collectives are done in the order of their calls.
CUDA_EXPORT ncclResult_t ncclGroupStart() { return ncclSuccess; }

CUDA_EXPORT ncclResult_t ncclGroupEnd() { return ncclSuccess; }

CUDA_EXPORT ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, int type, int operation, ncclComm_t comm,
                                       CUstream stream) {
    return operation != ncclSum ? invalid("ncclAllReduce", "only sums are emulated")
                                : collective("ncclAllReduce", comm, {kAllReduce, type, 0, count}, send, receive, stream);
}

CUDA_EXPORT ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, int type, int operation, ncclComm_t comm,
                                           CUstream stream) {
    return operation != ncclSum ? invalid("ncclReduceScatter", "only sums are emulated")
                                : collective("ncclReduceScatter", comm, {kReduceScatter, type, 0, count}, send, receive, stream);
}

CUDA_EXPORT ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, int type, ncclComm_t comm, CUstream stream) {
    return collective("ncclAllGather", comm, {kAllGather, type, 0, count}, send, receive, stream);
}

CUDA_EXPORT ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, int type, int root, ncclComm_t comm,
                                       CUstream stream) {
    return collective("ncclBroadcast", comm, {kBroadcast, type, root, count}, send, receive, stream);
}
