#include "block.h"

#include <algorithm>
#include <link.h>
#include <string.h>

namespace emulation {

Thread* running = nullptr;

namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMaxDynamicShared = 227 * 1024;

const Launch* launch = nullptr;
uint3 block_number;
Context scheduler = nullptr;
Thread threads[kMaxThreads];
Warp warps[kMaxThreads / 32];
unsigned thread_count, warp_count, live_count;

// The block barrier.
unsigned arrived, predicates;
BarrierResult barrier_result;

CUresult failure;

// Epochs never repeat, so that the shadow of shared memory need not be cleared between blocks.
uint32_t epoch = 1, block_start = 1;
SharedRange static_shared, dynamic_shared_range;
alignas(1024) char dynamic_buffer[kMaxDynamicShared];

std::string describe(uint3 index) { return format("(%u, %u, %u)", index.x, index.y, index.z); }

std::string describe(Site site) {
    const char* slash = strrchr(site.file, '/');
    return format("%s:%d", slash == nullptr ? site.file : slash + 1, site.line);
}

const char* name(Wait wait) {
    switch (wait) {
    case Wait::BlockBarrier: return "__syncthreads";
    case Wait::WarpBarrier: return "__syncwarp";
    case Wait::Shuffle: return "a shuffle";
    case Wait::Ballot: return "a vote";
    case Wait::Mma: return "mma";
    case Wait::Ldmatrix: return "ldmatrix";
    case Wait::Nothing: break;
    }
    return "nothing";
}

void release_barrier() {
    barrier_result = {static_cast<int>(predicates), predicates == live_count, predicates > 0};
    arrived = predicates = 0;
    epoch++;
    for (unsigned w = 0; w < warp_count; w++) {
        warps[w].ready = warps[w].live;
    }
    for (unsigned t = 0; t < thread_count; t++) {
        threads[t].wait = Wait::Nothing;
    }
}

// Performs the warp operation that `thread` waits for if all live lanes of its mask have arrived at it.
bool try_perform(const Thread& thread) {
    unsigned w = thread.number / 32;
    Thread* lanes = threads + w * 32;
    Warp& warp = warps[w];
    uint32_t group = thread.mask & warp.live;
    for (uint32_t bits = group; bits != 0; bits &= bits - 1) {
        const Thread& other = lanes[__builtin_ctz(bits)];
        if (other.wait != thread.wait || other.mask != thread.mask ||
            (thread.wait != Wait::WarpBarrier && other.site.line != thread.site.line)) {
            return false;
        }
    }
    perform(thread.wait, group, lanes);
    if (thread.wait == Wait::WarpBarrier) {
        warp.epoch++;
    }
    for (uint32_t bits = group; bits != 0; bits &= bits - 1) {
        lanes[__builtin_ctz(bits)].wait = Wait::Nothing;
    }
    warp.ready |= group;
    return true;
}

void yield() {
    Thread* self = running;
    emulation_switch(&self->context, scheduler);
}

void leave() {
    Thread& self = *running;
    Warp& warp = warps[self.number / 32];
    uint32_t lane = 1u << (self.number % 32);
    warp.live &= ~lane;
    warp.ready &= ~lane;
    live_count--;
    // Those who remain must not wait for a thread that has returned.
    if (arrived > 0 && arrived == live_count) {
        release_barrier();
    }
    for (uint32_t bits = warp.live & ~warp.ready; bits != 0; bits &= bits - 1) {
        const Thread& other = threads[self.number / 32 * 32 + static_cast<unsigned>(__builtin_ctz(bits))];
        if (other.wait > Wait::BlockBarrier) {
            try_perform(other);
        }
    }
    emulation_switch(&self.context, scheduler);
    __builtin_unreachable();
}

void thread_main() {
    launch->entry->invoke(launch->arguments);
    leave();
}

void resume(Thread& thread) {
    if (thread.stack == nullptr) {
        thread.stack = StackPool::instance().take();
        thread.context = StackPool::prepare(thread.stack, thread_main);
    }
    running = &thread;
    emulation_switch(&scheduler, thread.context);
    if (failure == CUDA_SUCCESS && !StackPool::intact(thread.stack)) {
        failure = fail(CUDA_ERROR_LAUNCH_FAILED,
                       format("kernel %s: a thread needs more than %zu bytes of stack", launch->entry->name, kStackBytes));
    }
    if (failure == CUDA_SUCCESS && (warps[thread.number / 32].live >> (thread.number % 32) & 1) == 0) {
        StackPool::instance().give_back(thread.stack);
        thread.stack = nullptr;
    }
    running = nullptr;
}

// One turn for every lane of the warp that is ready.
void run_lanes(unsigned w) {
    Sequence lanes(32);
    for (int i = 0; i < 32; i++) {
        auto lane = static_cast<unsigned>(lanes.next());
        if ((warps[w].ready >> lane & 1) != 0) {
            resume(threads[w * 32 + lane]);
            if (failure != CUDA_SUCCESS) {
                return;
            }
        }
    }
}

void report_deadlock() {
    std::string text;
    Wait first = Wait::Nothing;
    int first_line = 0;
    const Thread* blamed = nullptr;
    for (unsigned t = 0; t < thread_count; t++) {
        const Thread& thread = threads[t];
        if (thread.wait == Wait::Nothing || (blamed != nullptr && thread.wait == first && thread.site.line == first_line)) {
            continue;
        }
        text += (blamed == nullptr ? "" : ", ") + format("thread %s waits at %s in %s", describe(thread.index).c_str(), name(thread.wait),
                                                         describe(thread.site).c_str());
        if (thread.wait > Wait::BlockBarrier) {
            text += format(" with mask 0x%08x", thread.mask);
        }
        if (blamed != nullptr) {
            break;
        }
        blamed = &thread;
        first = thread.wait;
        first_line = thread.site.line;
    }
    failure = fail(CUDA_ERROR_LAUNCH_FAILED, format("kernel %s, block %s: divergent barrier: %s, and no thread can go on",
                                                    launch->entry->name, describe(block_number).c_str(), text.c_str()));
}

void prepare_block(uint64_t linear) {
    const dim3& grid = launch->grid;
    block_number = {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
                    static_cast<unsigned>(linear / grid.x / grid.y)};
    const dim3& block = launch->block;
    for (unsigned t = 0; t < thread_count; t++) {
        Thread& thread = threads[t];
        thread.stack = nullptr;
        thread.index = {t % block.x, t / block.x % block.y, t / block.x / block.y};
        thread.number = static_cast<uint16_t>(t);
        thread.wait = Wait::Nothing;
        thread.copies.clear();
        thread.group = 0;
    }
    for (unsigned w = 0; w < warp_count; w++) {
        unsigned lanes = std::min(32u, thread_count - w * 32);
        warps[w].live = warps[w].ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
        warps[w].epoch = 0;
    }
    live_count = thread_count;
    arrived = predicates = 0;
    block_start = ++epoch;
    if (launch->entry->checked) {
        static_shared.poison(false);
        dynamic_shared_range.poison(false);
    }
}

void run_block(uint64_t linear) {
    prepare_block(linear);
    while (live_count > 0 && failure == CUDA_SUCCESS) {
        bool progress = false;
        Sequence sequence(warp_count);
        for (unsigned i = 0; i < warp_count && failure == CUDA_SUCCESS; i++) {
            auto w = static_cast<unsigned>(sequence.next());
            // In random order the warps take turns; else each goes on until all its lanes wait for the block, which is cheaper.
            while (warps[w].ready != 0 && failure == CUDA_SUCCESS) {
                progress = true;
                run_lanes(w);
                if (Order::current().kind == Order::Random) {
                    break;
                }
            }
        }
        if (!progress && failure == CUDA_SUCCESS) {
            report_deadlock();
        }
    }
    if (failure != CUDA_SUCCESS) {
        for (unsigned t = 0; t < thread_count; t++) {
            if (threads[t].stack != nullptr) {
                StackPool::instance().give_back(threads[t].stack);
            }
        }
    }
}

// The calling thread's copy of the kernel library's thread-local block, which is its static shared memory.
void find_static_shared(const Entry& entry) {
    struct Search {
        char* anchor;
        char* base;
        size_t bytes;
    } search = {static_cast<char*>(entry.shared_anchor()), nullptr, 0};
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
            auto& wanted = *static_cast<Search*>(data);
            auto base = static_cast<char*>(info->dlpi_tls_data);
            for (int i = 0; base != nullptr && i < info->dlpi_phnum; i++) {
                const auto& header = info->dlpi_phdr[i];
                if (header.p_type == PT_TLS && wanted.anchor >= base && wanted.anchor < base + header.p_memsz) {
                    wanted.base = base;
                    wanted.bytes = header.p_memsz;
                    return 1;
                }
            }
            return 0;
        },
        &search);
    static_shared.reset(search.base, search.bytes);
}

} // namespace

CUresult run(const Launch& next) {
    launch = &next;
    thread_count = next.block.x * next.block.y * next.block.z;
    warp_count = (thread_count + 31) / 32;
    failure = CUDA_SUCCESS;
    find_static_shared(*next.entry);
    dynamic_shared_range.reset(dynamic_buffer, next.dynamic_shared);
    if (!next.entry->checked) {
        DeviceMemory::instance().assume_written();
        static_shared.poison(true);
        dynamic_shared_range.poison(true);
    }
    uint64_t blocks = static_cast<uint64_t>(next.grid.x) * next.grid.y * next.grid.z;
    Sequence sequence(blocks);
    for (uint64_t i = 0; i < blocks && failure == CUDA_SUCCESS; i++) {
        run_block(sequence.next());
    }
    launch = nullptr;
    return failure;
}

void abort_launch(CUresult status, const std::string& what, const Thread* thread, Site site) {
    const Thread& culprit = thread == nullptr ? *running : *thread;
    failure =
        fail(status, format("kernel %s, block %s, thread %s%s: %s", launch->entry->name, describe(block_number).c_str(),
                            describe(culprit.index).c_str(), site.file == nullptr ? "" : (", " + describe(site)).c_str(), what.c_str()));
    yield(); // for good: the scheduler gives up the block
    __builtin_unreachable();
}

void warp_operation(Wait wait, unsigned mask, Site site) {
    Thread& self = *running;
    if ((mask >> (self.number % 32) & 1) == 0) {
        abort_launch(CUDA_ERROR_LAUNCH_FAILED,
                     format("%s with mask 0x%08x, which leaves out the calling lane %u", name(wait), mask, self.number % 32u), nullptr,
                     site);
    }
    self.wait = wait;
    self.mask = mask;
    self.site = site;
    warps[self.number / 32].ready &= ~(1u << (self.number % 32));
    if (!try_perform(self)) {
        yield();
    }
}

BarrierResult block_barrier(bool predicate, Site site) {
    Thread& self = *running;
    self.wait = Wait::BlockBarrier;
    self.site = site;
    if (arrived > 0) {
        for (unsigned t = 0; t < thread_count; t++) {
            const Thread& other = threads[t];
            if (other.wait == Wait::BlockBarrier) {
                if (other.site.line != site.line) {
                    abort_launch(CUDA_ERROR_LAUNCH_FAILED,
                                 format("divergent barrier: it arrives here while thread %s waits at the one in %s",
                                        describe(other.index).c_str(), describe(other.site).c_str()),
                                 nullptr, site);
                }
                break;
            }
        }
    }
    warps[self.number / 32].ready &= ~(1u << (self.number % 32));
    arrived++;
    predicates += predicate;
    if (arrived == live_count) {
        release_barrier();
    }
    yield(); // the last one to arrive too, so that the order of threads is kept
    return barrier_result;
}

void check_access(const void* address, size_t bytes, Access access) {
    SharedRange* shared = static_shared.contains(address)          ? &static_shared
                          : dynamic_shared_range.contains(address) ? &dynamic_shared_range
                                                                   : nullptr;
    Violation violation;
    if (shared != nullptr && !launch->entry->checked) {
        return; // who wrote it is not known: only this access, by an instruction that the runtime carries out, is seen
    }
    if (shared != nullptr) {
        violation = shared->access(address, bytes, access, {epoch, warps[running->number / 32].epoch, running->number}, block_start);
    } else if (StackPool::instance().contains(address)) {
        return;
    } else if (access == Access::Read &&
               reinterpret_cast<uintptr_t>(address) - launch->image_begin < launch->image_end - launch->image_begin) {
        return;
    } else if (static_cast<size_t>(static_cast<const char*>(address) - dynamic_buffer) < kMaxDynamicShared) {
        violation = {CUDA_ERROR_ILLEGAL_ADDRESS,
                     format("access %zu bytes into the %zu bytes of dynamic shared memory: beyond its end",
                            static_cast<size_t>(static_cast<const char*>(address) - dynamic_buffer), launch->dynamic_shared)};
    } else {
        DeviceMemory& memory = DeviceMemory::instance();
        if (access != Access::Write) {
            violation = memory.read(address, bytes);
        }
        if (!violation && access != Access::Read) {
            violation = memory.write(const_cast<void*>(address), bytes);
        }
    }
    if (violation) {
        abort_launch(violation.status, violation.text);
    }
}

void check_aligned_access(const void* address, size_t bytes, Access access) {
    if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
        abort_launch(CUDA_ERROR_MISALIGNED_ADDRESS,
                     format("misaligned access of %zu bytes at 0x%zx", bytes, reinterpret_cast<uintptr_t>(address)));
    }
    check_access(address, bytes, access);
}

uint3 thread_index() { return running->index; }
uint3 block_index() { return block_number; }
dim3 block_dimensions() { return launch->block; }
dim3 grid_dimensions() { return launch->grid; }
void* dynamic_shared() { return dynamic_buffer; }

void trap(Site site) { abort_launch(CUDA_ERROR_ASSERT, "__trap", nullptr, site); }

} // namespace emulation
