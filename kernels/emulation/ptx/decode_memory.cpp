// Accesses to memory: state spaces, addresses, vectors.
#include "decoder.h"

#include <stdlib.h>

namespace emulation::ptx {

std::string_view Decoder::read_modifiers(Instruction& instruction) {
    instruction.count = 1;
    for (std::string_view part : parts_) {
        if (part == "global" || part == "const") {
            instruction.space = Space::Global;
        } else if (part == "shared" || part == "shared::cta") {
            instruction.space = Space::Shared;
        } else if (part == "local") {
            instruction.space = Space::Local;
        } else if (part == "param") {
            instruction.space = Space::Parameter;
        } else if (part == "v2" || part == "v4") {
            instruction.count = static_cast<uint8_t>(part[1] - '0');
        }
    }
    std::string_view type = parts_.back();
    size_t bits = static_cast<size_t>(atoi(std::string(type.substr(1)).c_str()));
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64) {
        fail("a type that the interpreter does not know");
    }
    instruction.bytes = static_cast<uint8_t>(bits / 8);
    return type;
}

void Decoder::read_address(Instruction& instruction, const Operand& address) {
    if (address.kind != Operand::Address) {
        fail("an address is missing");
    }
    instruction.displacement = static_cast<int64_t>(address.number);
    if (address.reg >= 0) {
        Width width = entry_.registers[static_cast<size_t>(address.reg)];
        instruction.wide = width == Width::Bits64;
        add(instruction, row(register_operand(address.reg), width), false);
    } else {
        instruction.wide = true;
        uint64_t base = address.symbol.empty() ? 0 : address_of(address.symbol);
        add(instruction, constant(Width::Bits64, base), false);
    }
}

Width Decoder::add_values(Instruction& instruction, const Operand& value, bool writes) {
    const std::vector<Operand> single = {value};
    const std::vector<Operand>& values = value.kind == Operand::Tuple ? value.parts : single;
    if (values.size() != instruction.count) {
        fail("more or fewer registers than elements");
    }
    Width width = instruction.bytes == 8 ? Width::Bits64 : instruction.bytes == 4 ? Width::Bits32 : Width::Bits16;
    for (const Operand& each : values) {
        if (each.kind == Operand::Register) {
            width = entry_.registers[static_cast<size_t>(each.reg)];
        }
    }
    for (const Operand& each : values) {
        add(instruction, row(each, width), writes);
    }
    return width;
}

void Decoder::decode_load(Instruction& instruction) {
    std::string_view type = read_modifiers(instruction);
    Width width = add_values(instruction, operand(0), true);
    read_address(instruction, operand(1));
    need(instruction.run = load_handler(type[0] == 's', instruction.bytes, width));
}

void Decoder::decode_store(Instruction& instruction) {
    read_modifiers(instruction);
    read_address(instruction, operand(0));
    Width width = add_values(instruction, operand(1), false);
    need(instruction.run = store_handler(instruction.bytes, width));
}

void Decoder::decode_atomic(Instruction& instruction) {
    std::string_view type = read_modifiers(instruction);
    bool returns = parts_[0] == "atom";
    Width width = instruction.bytes == 8 ? Width::Bits64 : Width::Bits32;
    if (returns) {
        add(instruction, row(operand(0), width), true);
    }
    size_t next = returns ? 1 : 0;
    read_address(instruction, operand(next++));
    for (; next < statement_->operands.size(); next++) {
        add(instruction, row(operand(next), width), false);
    }
    need(instruction.run = atomic_handler(parts_[parts_.size() - 2], type));
}

void Decoder::decode_copy(Instruction& instruction) {
    read_address(instruction, operand(0));
    if (instruction.displacement != 0 || operand(1).kind != Operand::Address || operand(1).reg < 0 || operand(2).number != 16) {
        fail("only copies of 16 bytes between addresses in registers are known to the interpreter");
    }
    instruction.displacement = static_cast<int64_t>(operand(1).number);
    add(instruction, row(register_operand(operand(1).reg), Width::Bits64), false);
    Operand whole;
    whole.kind = Operand::Number;
    whole.number = 16;
    add(instruction, row(statement_->operands.size() > 3 ? operand(3) : whole, Width::Bits32), false);
    instruction.run = copy_handler();
}

void Decoder::need(Handler handler) const {
    if (handler == nullptr) {
        fail("the interpreter does not know this instruction");
    }
}

} // namespace emulation::ptx
