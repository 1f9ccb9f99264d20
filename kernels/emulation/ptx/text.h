// PTX text (NVIDIA's "Parallel Thread Execution ISA") as statements whose register names are resolved.
#pragma once
#include <map>
#include <stdexcept>
#include <stdint.h>
#include <string>
#include <string_view>
#include <vector>

namespace emulation::ptx {

// What the text says cannot be run: it is malformed, or uses what the interpreter does not know.
struct TextError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Width : uint8_t { Predicate, Bits16, Bits32, Bits64 };

struct Operand {
    enum Kind : uint8_t { Register, Number, Symbol, Address, Tuple, Sink } kind = Sink;
    bool negated = false;         // !%p
    int reg = -1;                 // Register; base of an Address, or -1
    uint64_t number = 0;          // Number, as bits; displacement of an Address
    std::string_view symbol;      // Symbol; base of an Address
    std::vector<Operand> parts;   // Tuple: {a, b} or a|b
};

struct Statement {
    std::string_view opcode;
    int guard = -1; // predicate register
    bool guard_negated = false;
    std::vector<Operand> operands;
    uint32_t file = 0, line = 0; // of the source it was compiled from
    uint32_t text_line = 0;
};

// A parameter or an array in shared, local or constant memory.
struct Variable {
    std::string_view name;
    uint32_t bytes, alignment;
    std::vector<uint8_t> contents; // initialised
};

struct EntryText {
    std::string name;
    uint32_t max_threads = 1024;
    std::vector<Variable> parameters, shared, local;
    std::vector<Width> registers;
    std::map<std::string_view, int> special; // %tid.x and the like: their registers
    std::vector<Statement> statements;
    std::map<std::string_view, uint32_t> labels;
};

// The text of a module: entries are found at once and read when they are asked for.
class ModuleText {
public:
    explicit ModuleText(std::string text);

    // Null if there is no entry of that name.
    const EntryText* entry(const std::string& name);
    // Base name of a source file.
    const std::string& file(uint32_t number) const;
    const std::vector<Variable>& constants() const { return constants_; }
    bool is_dynamic_shared(std::string_view name) const { return dynamic_shared_.count(name) != 0; }

private:
    struct Place {
        size_t offset;
        uint32_t line;
    };
    std::string text_;
    std::map<std::string, Place> places_;
    std::map<std::string, EntryText> entries_;
    std::map<uint32_t, std::string> files_;
    std::vector<Variable> constants_;
    std::map<std::string_view, bool> dynamic_shared_;
};

} // namespace emulation::ptx
