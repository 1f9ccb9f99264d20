// Operations of a warp: shuffles, votes, matrix products and loads; and what a lane does by itself: asynchronous copies and atomics.
#include "block.h"

#include <algorithm>
#include <string.h>

namespace emulation {

namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

int shuffle_source(const Thread& thread, int lane) {
    int segment = lane & ~(thread.width - 1), last = segment + thread.width - 1;
    switch (thread.shuffle) {
    case Shuffle::Index: return segment | (thread.source & (thread.width - 1));
    case Shuffle::Up: return lane - thread.source < segment ? lane : lane - thread.source;
    case Shuffle::Down: return lane + thread.source > last ? lane : lane + thread.source;
    case Shuffle::Xor: return (lane ^ thread.source) > last ? lane : lane ^ thread.source;
    }
    return lane;
}

void perform_shuffle(uint32_t lanes, Thread* warp) {
    uint64_t results[32];
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        int lane = __builtin_ctz(bits), source = shuffle_source(warp[lane], lane);
        if ((lanes >> source & 1) == 0) {
            abort_launch(CUDA_ERROR_LAUNCH_FAILED, format("a shuffle with mask 0x%08x reads lane %d, which %s", warp[lane].mask, source,
                                                          (warp[lane].mask >> source & 1) == 0 ? "is not in the mask" : "has returned"),
                         &warp[lane], warp[lane].site);
        }
        results[lane] = warp[source].value;
    }
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        int lane = __builtin_ctz(bits);
        warp[lane].value = results[lane];
    }
}

void perform_ballot(uint32_t lanes, Thread* warp) {
    uint64_t result = 0;
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        int lane = __builtin_ctz(bits);
        result |= static_cast<uint64_t>(warp[lane].predicate) << lane;
    }
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        warp[__builtin_ctz(bits)].value = result;
    }
}

void need_all_lanes(uint32_t lanes, const Thread* warp, const char* what) {
    if (lanes != kAllLanes) {
        abort_launch(CUDA_ERROR_LAUNCH_FAILED, format("%s by lanes 0x%08x: all 32 must take part", what, lanes), nullptr,
                     warp[__builtin_ctz(lanes)].site);
    }
}

float lower(uint32_t pair) {
    uint32_t bits = pair << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float upper(uint32_t pair) { return lower(pair >> 16); }

void perform_mma(uint32_t lanes, Thread* warp) {
    need_all_lanes(lanes, warp, "mma");
    float a[16][16], b[16][8], d[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const Thread& thread = warp[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            int row = g + 8 * (i % 2), column = 2 * t + 8 * (i / 2);
            a[row][column] = lower(thread.a[i]);
            a[row][column + 1] = upper(thread.a[i]);
        }
        for (int i = 0; i < 2; i++) {
            b[2 * t + 8 * i][g] = lower(thread.b[i]);
            b[2 * t + 8 * i + 1][g] = upper(thread.b[i]);
        }
        for (int i = 0; i < 4; i++) {
            d[g + 8 * (i / 2)][2 * t + i % 2] = thread.d[i];
        }
    }
    for (int row = 0; row < 16; row++) {
        for (int k = 0; k < 16; k++) {
            for (int column = 0; column < 8; column++) {
                d[row][column] += a[row][k] * b[k][column]; // products of bf16 are exact in fp32
            }
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            warp[lane].d[i] = d[g + 8 * (i / 2)][2 * t + i % 2];
        }
    }
}

void perform_ldmatrix(uint32_t lanes, Thread* warp) {
    need_all_lanes(lanes, warp, "ldmatrix");
    int matrices = warp[0].matrices;
    uint16_t elements[4][8][8];
    for (int lane = 0; lane < 8 * matrices; lane++) {
        memcpy(elements[lane / 8][lane % 8], warp[lane].row, 16);
    }
    for (int lane = 0; lane < 32; lane++) {
        int g = lane / 4, t = 2 * (lane % 4);
        for (int i = 0; i < matrices; i++) {
            const auto& matrix = elements[i];
            uint32_t low = warp[lane].transpose ? matrix[t][g] : matrix[g][t];
            uint32_t high = warp[lane].transpose ? matrix[t + 1][g] : matrix[g][t + 1];
            warp[lane].r[i] = low | high << 16;
        }
    }
}

template <typename T> T updated(Atomic kind, T old, T value, T compare) {
    switch (kind) {
    case Atomic::Add: return static_cast<T>(old + value);
    case Atomic::Minimum: return std::min(old, value);
    case Atomic::Maximum: return std::max(old, value);
    case Atomic::Exchange: return value;
    case Atomic::CompareAndSwap: return old == compare ? value : old;
    case Atomic::And:
    case Atomic::Or: break;
    }
    if constexpr (std::is_integral_v<T>) {
        return kind == Atomic::And ? old & value : old | value;
    } else {
        return old;
    }
}

template <typename T> T read_modify_write(Atomic kind, T* address, T value, T compare) {
    check_aligned_access(address, sizeof(T), Access::Atomic);
    T old = *address;
    *address = updated(kind, old, value, compare);
    return old;
}

} // namespace

void perform(Wait wait, uint32_t lanes, Thread* warp) {
    switch (wait) {
    case Wait::Shuffle: perform_shuffle(lanes, warp); break;
    case Wait::Ballot: perform_ballot(lanes, warp); break;
    case Wait::Mma: perform_mma(lanes, warp); break;
    case Wait::Ldmatrix: perform_ldmatrix(lanes, warp); break;
    case Wait::WarpBarrier:
    case Wait::BlockBarrier:
    case Wait::Nothing: break;
    }
}

void warp_barrier(unsigned mask, Site site) { warp_operation(Wait::WarpBarrier, mask, site); }

uint64_t shuffle(Shuffle kind, unsigned mask, uint64_t bits, int lane, int width, Site site) {
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
        abort_launch(CUDA_ERROR_LAUNCH_FAILED, format("a shuffle of width %d, which is not a power of two up to 32", width), nullptr, site);
    }
    Thread& self = *running;
    self.shuffle = kind;
    self.value = bits;
    self.source = lane;
    self.width = width;
    warp_operation(Wait::Shuffle, mask, site);
    return self.value;
}

unsigned ballot(unsigned mask, bool predicate, Site site) {
    Thread& self = *running;
    self.predicate = predicate;
    warp_operation(Wait::Ballot, mask, site);
    return static_cast<unsigned>(self.value);
}

void mma_m16n8k16(float* d, const uint32_t* a, const uint32_t* b, Site site) {
    Thread& self = *running;
    self.d = d;
    self.a = a;
    self.b = b;
    warp_operation(Wait::Mma, kAllLanes, site);
}

void ldmatrix(uint32_t* r, int matrices, bool transpose, const void* row, Site site) {
    Thread& self = *running;
    if (static_cast<int>(self.number % 32) < 8 * matrices) {
        check_aligned_access(row, 16, Access::Read);
    }
    self.r = r;
    self.matrices = matrices;
    self.transpose = transpose;
    self.row = row;
    warp_operation(Wait::Ldmatrix, kAllLanes, site);
}

// The copy happens when it is waited for, at the latest moment the card would allow: data used too early is still poison.
void cp_async_16(void* shared, const void* global, bool valid) { running->copies.push_back({shared, global, valid, running->group}); }

void cp_async_commit() { running->group++; }

void cp_async_wait(int newest) {
    Thread& self = *running;
    size_t done = 0;
    for (const AsyncCopy& copy : self.copies) {
        if (copy.group + static_cast<uint32_t>(newest) >= self.group) {
            break;
        }
        if (copy.valid) {
            check_aligned_access(copy.global, 16, Access::Read);
        }
        check_aligned_access(copy.shared, 16, Access::Write);
        if (copy.valid) {
            memcpy(copy.shared, copy.global, 16);
        } else {
            memset(copy.shared, 0, 16);
        }
        done++;
    }
    self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<ptrdiff_t>(done));
}

int atomic(Atomic kind, int* address, int value, int compare) { return read_modify_write(kind, address, value, compare); }
unsigned atomic(Atomic kind, unsigned* address, unsigned value, unsigned compare) {
    return read_modify_write(kind, address, value, compare);
}
unsigned long long atomic(Atomic kind, unsigned long long* address, unsigned long long value, unsigned long long compare) {
    return read_modify_write(kind, address, value, compare);
}
float atomic(Atomic kind, float* address, float value, float compare) { return read_modify_write(kind, address, value, compare); }

} // namespace emulation
