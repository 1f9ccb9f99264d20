// Loads, stores, atomics and asynchronous copies.
#include "lanes.h"

namespace emulation::ptx {

namespace {

[[noreturn]] void fault(unsigned lane, CUresult status, std::string text) { throw Fault{status, std::move(text), lane}; }

template <bool Write> bool allowed(DeviceMemory& memory, const void* address, unsigned bytes) {
    switch (bytes) {
    case 1: return memory.allowed<1, Write>(address);
    case 2: return memory.allowed<2, Write>(address);
    case 4: return memory.allowed<4, Write>(address);
    case 8: return memory.allowed<8, Write>(address);
    case 16: return memory.allowed<16, Write>(address);
    default: return false;
    }
}

// Addresses as a lane has them in its register, whatever its width, with the displacement.
struct Addresses {
    const uint64_t* wide;
    const uint32_t* narrow;
    int64_t displacement;
    uint64_t operator[](unsigned lane) const {
        return (wide != nullptr ? wide[lane] : narrow[lane]) + static_cast<uint64_t>(displacement);
    }
};

Addresses addresses(const Warp& warp, const Instruction& instruction, uint32_t row) {
    const uint64_t* wide = instruction.wide ? warp.row<uint64_t>(row) : nullptr;
    return {wide, wide == nullptr ? warp.row<uint32_t>(row) : nullptr, instruction.displacement};
}

template <typename Element, typename Register> void load(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    Addresses from = addresses(warp, instruction, instruction.read(0));
    unsigned bytes = sizeof(Element) * instruction.count;
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(bits));
        const char* data = warp.machine->access(warp, lane, instruction.space, from[lane], bytes, Access::Read);
        for (unsigned i = 0; i < instruction.count; i++) {
            Element element;
            memcpy(&element, data + i * sizeof(Element), sizeof element);
            warp.row<Register>(instruction.rows[i])[lane] = static_cast<Register>(element);
        }
    }
}

template <typename Element, typename Register> void store(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    Addresses to = addresses(warp, instruction, instruction.read(0));
    unsigned bytes = sizeof(Element) * instruction.count;
    for (unsigned i = 0; i < kLanes; i++) {
        unsigned lane = warp.machine->nth_lane(i);
        if ((lanes >> lane & 1) == 0) {
            continue;
        }
        char* data = warp.machine->access(warp, lane, instruction.space, to[lane], bytes, Access::Write);
        for (unsigned k = 0; k < instruction.count; k++) {
            auto element = static_cast<Element>(warp.row<Register>(instruction.read(1 + k))[lane]);
            memcpy(data + k * sizeof(Element), &element, sizeof element);
        }
    }
}

template <typename Element> Handler load_into(Width to) {
    switch (to) {
    case Width::Bits16: return sizeof(Element) <= 2 ? load<Element, uint16_t> : nullptr;
    case Width::Bits32: return sizeof(Element) <= 4 ? load<Element, uint32_t> : nullptr;
    case Width::Bits64: return load<Element, uint64_t>;
    default: return nullptr;
    }
}

template <typename Element> Handler store_from(Width from) {
    switch (from) {
    case Width::Bits16: return sizeof(Element) <= 2 ? store<Element, uint16_t> : nullptr;
    case Width::Bits32: return sizeof(Element) <= 4 ? store<Element, uint32_t> : nullptr;
    case Width::Bits64: return store<Element, uint64_t>;
    default: return nullptr;
    }
}

template <typename T> T plus(T old, T value, T) { return static_cast<T>(old + value); }
template <typename T> T lesser(T old, T value, T) { return value < old ? value : old; }
template <typename T> T greater(T old, T value, T) { return value > old ? value : old; }
template <typename T> T exchanged(T, T value, T) { return value; }
template <typename T> T both(T old, T value, T) { return old & value; }
template <typename T> T either(T old, T value, T) { return old | value; }
template <typename T> T differing(T old, T value, T) { return old ^ value; }
template <typename T> T swapped(T old, T compare, T value) { return old == compare ? value : old; }

// Lanes act one after the other in the order that is set.
template <typename T, auto Update> void atomic(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    Addresses at = addresses(warp, instruction, instruction.read(0));
    const T* a = warp.row<T>(instruction.read(1));
    const T* b = instruction.reads > 2 ? warp.row<T>(instruction.read(2)) : a;
    for (unsigned i = 0; i < kLanes; i++) {
        unsigned lane = warp.machine->nth_lane(i);
        if ((lanes >> lane & 1) == 0) {
            continue;
        }
        char* data = warp.machine->access(warp, lane, instruction.space, at[lane], sizeof(T), Access::Atomic);
        T old;
        memcpy(&old, data, sizeof old);
        T updated = Update(old, a[lane], b[lane]);
        memcpy(data, &updated, sizeof updated);
        if (instruction.writes > 0) {
            warp.row<T>(instruction.rows[0])[lane] = old;
        }
    }
}

template <typename T> Handler arithmetic(std::string_view operation) {
    return operation == "add"   ? atomic<T, plus<T>>
           : operation == "min" ? atomic<T, lesser<T>>
           : operation == "max" ? atomic<T, greater<T>>
                                : nullptr;
}

template <typename T> Handler bitwise(std::string_view operation) {
    return operation == "exch"  ? atomic<T, exchanged<T>>
           : operation == "cas" ? atomic<T, swapped<T>>
           : operation == "and" ? atomic<T, both<T>>
           : operation == "or"  ? atomic<T, either<T>>
           : operation == "xor" ? atomic<T, differing<T>>
                                : nullptr;
}

void copy(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    Addresses to = addresses(warp, instruction, instruction.read(0));
    to.displacement = 0; // it is the source's
    const uint64_t* from = warp.row<uint64_t>(instruction.read(1));
    const uint32_t* bytes = warp.row<uint32_t>(instruction.read(2));
    for (uint32_t bits = lanes; bits != 0; bits &= bits - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(bits));
        uint64_t source = from[lane] + static_cast<uint64_t>(instruction.displacement);
        if (bytes[lane] > 16 || source % 16 != 0) {
            fault(lane, CUDA_ERROR_MISALIGNED_ADDRESS,
                  format("cp.async of %u bytes from 0x%lx", bytes[lane], static_cast<unsigned long>(source)));
        }
        const char* data = nullptr;
        if (bytes[lane] > 0) {
            data = warp.machine->access(warp, lane, Space::Global, source, bytes[lane], Access::Read);
        }
        warp.machine->start_copy(warp, lane, {static_cast<uint32_t>(to[lane]), data, bytes[lane], warp.copy_group[lane]});
    }
}

void commit(Warp& warp, const Instruction&, uint32_t lanes) {
    each_lane(lanes, [&](unsigned lane) { warp.copy_group[lane]++; });
}

void wait_group(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    const uint32_t* newest = warp.row<uint32_t>(instruction.read(0));
    each_lane(lanes, [&](unsigned lane) { warp.machine->finish_copies(warp, lane, newest[lane]); });
}

void wait_all(Warp& warp, const Instruction&, uint32_t lanes) {
    each_lane(lanes, [&](unsigned lane) {
        warp.copy_group[lane]++;
        warp.machine->finish_copies(warp, lane, 0);
    });
}

template <typename Whole, typename Part, bool Unpack, unsigned Parts>
void pack(Warp& warp, const Instruction& instruction, uint32_t lanes) {
    each_lane(lanes, [&](unsigned lane) {
        Whole whole = Unpack ? warp.row<Whole>(instruction.read(0))[lane] : 0;
        for (unsigned i = 0; i < Parts; i++) {
            if (Unpack) {
                warp.row<Part>(instruction.rows[i])[lane] = static_cast<Part>(whole >> (8 * sizeof(Part) * i));
            } else {
                whole |= static_cast<Whole>(warp.row<Part>(instruction.read(i))[lane]) << (8 * sizeof(Part) * i);
            }
        }
        if (!Unpack) {
            warp.row<Whole>(instruction.rows[0])[lane] = whole;
        }
    });
}

} // namespace

Handler load_handler(bool is_signed, unsigned bytes, Width to) {
    switch (bytes) {
    case 1: return is_signed ? load_into<int8_t>(to) : load_into<uint8_t>(to);
    case 2: return is_signed ? load_into<int16_t>(to) : load_into<uint16_t>(to);
    case 4: return is_signed ? load_into<int32_t>(to) : load_into<uint32_t>(to);
    default: return load_into<uint64_t>(to);
    }
}

Handler store_handler(unsigned bytes, Width from) {
    switch (bytes) {
    case 1: return store_from<uint8_t>(from);
    case 2: return store_from<uint16_t>(from);
    case 4: return store_from<uint32_t>(from);
    default: return store_from<uint64_t>(from);
    }
}

Handler atomic_handler(std::string_view operation, std::string_view type) {
    if (type == "f32") {
        return operation == "add" ? atomic<float, plus<float>> : nullptr;
    }
    bool wide = type.substr(1) == "64";
    if (Handler found = wide ? bitwise<uint64_t>(operation) : bitwise<uint32_t>(operation)) {
        return found;
    }
    return type == "u32" ? arithmetic<uint32_t>(operation)
           : type == "s32" ? arithmetic<int32_t>(operation)
           : type == "u64" ? arithmetic<uint64_t>(operation)
           : type == "s64" ? arithmetic<int64_t>(operation)
                           : nullptr;
}

Handler copy_handler() { return copy; }

Handler pack_handler(unsigned parts, bool unpack, Width whole) {
    if (whole == Width::Bits32 && parts == 2) {
        return unpack ? pack<uint32_t, uint16_t, true, 2> : pack<uint32_t, uint16_t, false, 2>;
    }
    if (whole == Width::Bits64 && parts == 2) {
        return unpack ? pack<uint64_t, uint32_t, true, 2> : pack<uint64_t, uint32_t, false, 2>;
    }
    if (whole == Width::Bits64 && parts == 4) {
        return unpack ? pack<uint64_t, uint16_t, true, 4> : pack<uint64_t, uint16_t, false, 4>;
    }
    return nullptr;
}

void add_memory_forms(Forms& forms) {
    forms["cp.async.commit_group"] = {commit, "="};
    forms["cp.async.wait_group"] = {wait_group, "=w"};
    forms["cp.async.wait_all"] = {wait_all, "="};
}

char* Machine::access(const Warp& warp, unsigned lane, Space space, uint64_t address, unsigned bytes, Access kind) {
    if (address % bytes != 0) {
        fault(lane, CUDA_ERROR_MISALIGNED_ADDRESS,
              format("misaligned access of %u bytes at 0x%lx", bytes, static_cast<unsigned long>(address)));
    }
    if (space == Space::Generic) {
        uint64_t window = address & ~kWindowMask;
        space = window == kSharedWindow ? Space::Shared : window == kLocalWindow ? Space::Local : Space::Global;
        address = space == Space::Global ? address : address & kWindowMask;
    }
    if (space == Space::Global) {
        auto pointer = reinterpret_cast<char*>(address);
        DeviceMemory& memory = DeviceMemory::instance();
        if (__builtin_expect(memory.contains(pointer), 1) && (kind == Access::Write || allowed<false>(memory, pointer, bytes)) &&
            (kind == Access::Read || allowed<true>(memory, pointer, bytes))) {
            return pointer;
        }
        for (auto [begin, size] : program.readable) {
            if (kind == Access::Read && address - begin < size && bytes <= size - (address - begin)) {
                return pointer;
            }
        }
        Violation found = kind == Access::Write ? memory.write(pointer, bytes) : memory.read(pointer, bytes);
        if (found) {
            fault(lane, found.status, found.text);
        }
        return pointer;
    }
    if (space == Space::Shared) {
        return shared_access(warp, lane, address, bytes, kind);
    }
    if (space == Space::Parameter) {
        if (address + bytes > program.parameter_bytes) {
            fault(lane, CUDA_ERROR_ILLEGAL_ADDRESS, "a read beyond the parameters");
        }
        return const_cast<char*>(parameters) + address;
    }
    size_t offset = static_cast<size_t>(warp.number * kLanes + lane) * program.local_bytes + address;
    if (address + bytes > program.local_bytes) {
        fault(lane, CUDA_ERROR_ILLEGAL_ADDRESS,
              format("access %lu bytes into the %u bytes of local memory", static_cast<unsigned long>(address), program.local_bytes));
    }
    if (kind == Access::Write) {
        memset(&local_written[offset], 1, bytes);
    } else if (memchr(&local_written[offset], 0, bytes) != nullptr) {
        fault(lane, CUDA_ERROR_LAUNCH_FAILED, "read of local memory that was never written");
    }
    return &local[offset];
}

char* Machine::shared_access(const Warp& warp, unsigned lane, uint64_t offset, unsigned bytes, Access kind) {
    char* pointer = shared.data() + offset;
    SharedRange* range = nullptr;
    for (SharedRange& each : ranges) {
        if (offset < shared.size() && each.contains(pointer)) {
            range = &each;
            break;
        }
    }
    if (range == nullptr) {
        bool dynamic = offset >= program.static_shared;
        size_t inside = offset - (dynamic ? program.static_shared : 0), size = dynamic_bytes;
        for (const SharedArray& array : program.shared) {
            if (!dynamic && array.offset <= offset) {
                inside = offset - array.offset;
                size = array.bytes;
            }
        }
        const char* kind_of_memory = dynamic ? "dynamic" : "static";
        fault(lane, CUDA_ERROR_ILLEGAL_ADDRESS,
              format("access %zu bytes into the %zu bytes of %s shared memory: beyond its end", inside, size, kind_of_memory));
    }
    if (copies_under_way > 0 && under_way[offset / 16] != 0) {
        auto at_offset = static_cast<unsigned long>(offset);
        fault(lane, CUDA_ERROR_LAUNCH_FAILED,
              format("access to shared memory at offset %lu, into which an asynchronous copy is under way", at_offset));
    }
    auto thread = static_cast<uint16_t>(warp.number * kLanes + lane);
    if (Violation found = range->access(pointer, bytes, kind, {epoch, warp.epoch, thread}, block_start)) {
        fault(lane, found.status, found.text);
    }
    return pointer;
}

// From now on until it is waited for the card may write at any time: it counts as a write at both ends, and nothing may touch it between.
void Machine::start_copy(Warp& warp, unsigned lane, const Copy& copy) {
    if (copy.shared % 16 != 0) {
        fault(lane, CUDA_ERROR_MISALIGNED_ADDRESS, format("cp.async to offset %u of shared memory", copy.shared));
    }
    shared_access(warp, lane, copy.shared, 16, Access::Write);
    under_way[copy.shared / 16] = 1;
    copies_under_way++;
    warp.copies[lane].push_back(copy);
}

void Machine::finish_copies(Warp& warp, unsigned lane, uint32_t newest) {
    std::vector<Copy>& copies = warp.copies[lane];
    size_t done = 0;
    for (; done < copies.size() && copies[done].group + newest < warp.copy_group[lane]; done++) {
        const Copy& copy = copies[done];
        under_way[copy.shared / 16] = 0;
        copies_under_way--;
        char* to = shared_access(warp, lane, copy.shared, 16, Access::Write);
        if (copy.bytes > 0) {
            memcpy(to, copy.global, copy.bytes);
        }
        memset(to + copy.bytes, 0, 16 - copy.bytes);
    }
    copies.erase(copies.begin(), copies.begin() + static_cast<ptrdiff_t>(done));
}

} // namespace emulation::ptx
