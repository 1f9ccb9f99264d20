// A kernel decoded from PTX: an array of instructions whose operands are rows of a warp's register file.
#pragma once
#include "text.h"

#include "../runtime.h"
#include "../runtime/cuda_api.h"

#include <string.h>

namespace emulation::ptx {

struct Warp;
struct Instruction;

constexpr unsigned kLanes = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;
constexpr uint32_t kNoRow = 0xffffffffu;
// A row, one register of all lanes, is whole units: one for predicates (a mask in the first word) and 16 bits, two for 32, four for 64.
constexpr size_t kUnit = 64;

// Carries out an instruction for these lanes.
using Handler = void (*)(Warp& warp, const Instruction& instruction, uint32_t lanes);

enum class Flow : uint8_t {
    Next,
    Branch,
    Exit,
    Barrier,    // waits for the block
    SomeLanes,  // waits for the lanes that its last operand names
    WholeWarp,  // waits for all lanes, which must all be there
};

enum class Space : uint8_t { Generic, Global, Shared, Local, Parameter };

struct Instruction {
    Handler run = nullptr;
    Flow flow = Flow::Next;
    bool moves = false;  // an undefined value may be copied, and stays undefined
    bool leader = false; // something may jump here
    bool guard_negated = false;
    uint8_t writes = 0, reads = 0;
    uint8_t bytes = 0, count = 0; // of an element, and elements, of a memory access
    uint8_t detail = 0;           // what the handler makes of it
    Space space = Space::Generic;
    bool wide = false;            // the address has 64 bits
    uint32_t guard = kNoRow;
    uint32_t target = 0;          // of a branch
    int64_t displacement = 0;     // added to the address, or an absolute address
    uint32_t rows[16] = {};       // those written, then those read
    uint32_t opcode = 0;
    uint32_t file = 0, line = 0;

    uint32_t read(unsigned i) const { return rows[writes + i]; }
};

struct Constant {
    uint32_t row;
    Width width;
    uint64_t value;
};

// Offset and size of an array in the shared memory of a block.
struct SharedArray {
    uint32_t offset, bytes;
};

enum class Special : uint8_t {
    ThreadX, ThreadY, ThreadZ, BlockX, BlockY, BlockZ, BlockSizeX, BlockSizeY, BlockSizeZ, GridX, GridY, GridZ, Lane, Warp
};

struct Program {
    const ModuleText* module;
    std::string name;
    std::vector<Instruction> instructions;
    std::vector<std::string> opcodes;
    std::vector<Constant> constants;
    std::vector<std::pair<Special, uint32_t>> special; // and its row
    uint32_t units = 0;                                // of a warp's register file
    std::vector<SharedArray> shared;
    std::vector<std::pair<uint64_t, uint64_t>> readable; // addresses and sizes of the module's constants
    uint32_t static_shared = 0, local_bytes = 0, parameter_bytes = 0;
    std::vector<std::pair<uint32_t, uint32_t>> parameters; // offset and size
    mutable std::vector<uint64_t> counts;                  // warps that carried out each instruction
    mutable uint64_t launches = 0;
};

// Where generic addresses of shared and of a thread's local memory lie.
constexpr uint64_t kSharedWindow = uint64_t{1} << 60, kLocalWindow = uint64_t{1} << 61, kWindowMask = (uint64_t{1} << 32) - 1;
// Behind every static array, so that an index past its end does not fall into the next one.
constexpr uint32_t kSharedGap = 1024;

// `constants` are the addresses of the module's constants by name. Throws TextError.
Program decode(const ModuleText& module, const EntryText& entry, const std::map<std::string_view, const void*>& constants);

// One way to write an instruction: its rows as letters p, h, w and l for predicates and 16, 32 and 64 bits, those written before the =.
struct Form {
    Handler run;
    std::string signature;
    Flow flow = Flow::Next;
    bool moves = false;
    uint8_t detail = 0;
};
using Forms = std::map<std::string, Form, std::less<>>;

void add_integer_forms(Forms& forms);
void add_comparison_forms(Forms& forms);
void add_float_forms(Forms& forms);
void add_conversion_forms(Forms& forms);
void add_warp_forms(Forms& forms);
void add_memory_forms(Forms& forms);

// Handlers that a table of forms cannot name.
Handler load_handler(bool is_signed, unsigned bytes, Width to);
Handler store_handler(unsigned bytes, Width from);
Handler atomic_handler(std::string_view operation, std::string_view type);
Handler copy_handler();
Handler pack_handler(unsigned parts, bool unpack, Width whole);

} // namespace emulation::ptx
