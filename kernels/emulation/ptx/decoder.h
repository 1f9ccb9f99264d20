// From statements to instructions: opcodes to handlers, names to rows.
#pragma once
#include "program.h"

namespace emulation::ptx {

class Decoder {
public:
    Decoder(const ModuleText& module, const EntryText& entry, const std::map<std::string_view, const void*>& constants)
        : entry_(entry), module_(module), constants_(constants) {
        program_.module = &module;
        program_.name = entry.name;
    }

    Program decode();

private:
    using Places = std::map<std::string_view, uint32_t>;
    static void place(const std::vector<Variable>& variables, Places& places, uint32_t& end, uint32_t gap);
    [[noreturn]] void fail(const char* what) const;
    uint32_t add_row(Width width);
    uint32_t constant(Width width, uint64_t value);

    // The row of a register or number; whatever a register's own width is, it must be the one that the instruction has there.
    uint32_t row(const Operand& operand, Width width);
    uint64_t address_of(std::string_view symbol);

    // Dynamic shared memory begins behind the static arrays.
    uint32_t dynamic_shared() const { return (program_.static_shared + 1023) / 1024 * 1024; }

    Instruction decode_statement();
    bool has_tuple() const;
    uint32_t opcode_number(const std::string& opcode);

    const Operand& operand(size_t i) const {
        if (i >= statement_->operands.size()) {
            fail("an operand is missing");
        }
        return statement_->operands[i];
    }

    void decode_branch(Instruction& instruction);
    void decode_form(Instruction& instruction, std::string_view opcode, const std::vector<Operand>& operands);
    bool is_predicate(const Operand& each) const;
    static void add(Instruction& instruction, uint32_t row, bool writes);

    // setp.lt.and.s32 p|q, a, b, c: the comparison is a form, what it is combined with another.
    void decode_comparison(Instruction& instruction);
    void decode_pack(Instruction& instruction);

    // State space, vector length and type of a memory access; all other modifiers are hints and orders, which change nothing here.
    std::string_view read_modifiers(Instruction& instruction);

    // Puts the address's register, if there is one, at the rows read.
    void read_address(Instruction& instruction, const Operand& address);

    static Operand register_operand(int reg) {
        Operand operand;
        operand.kind = Operand::Register;
        operand.reg = reg;
        return operand;
    }

    // The registers of a value that is loaded or stored, one for each element; they may be wider than the element.
    Width add_values(Instruction& instruction, const Operand& value, bool writes);
    void decode_load(Instruction& instruction);
    void decode_store(Instruction& instruction);
    void decode_atomic(Instruction& instruction);
    void decode_copy(Instruction& instruction);
    void need(Handler handler) const;
    void finish();
    const EntryText& entry_;
    const ModuleText& module_;
    const std::map<std::string_view, const void*>& constants_;
    Program program_;
    const Statement* statement_ = nullptr;
    std::vector<std::string_view> parts_;
    std::vector<uint32_t> rows_;
    Places parameters_, shared_, local_;
    std::map<std::pair<Width, uint64_t>, uint32_t> known_constants_;
    std::map<std::string, uint32_t> opcode_numbers_;
};

} // namespace emulation::ptx
