#include "decoder.h"

#include "../runtime/report.h"

#include <algorithm>

namespace emulation::ptx {

namespace {

const Forms& forms() {
    static const Forms known = [] {
        Forms all;
        add_integer_forms(all);
        add_comparison_forms(all);
        add_float_forms(all);
        add_conversion_forms(all);
        add_warp_forms(all);
        add_memory_forms(all);
        return all;
    }();
    return known;
}

const std::map<std::string_view, Special>& specials() {
    static const std::map<std::string_view, Special> names = {
        {"%tid.x", Special::ThreadX},     {"%tid.y", Special::ThreadY},     {"%tid.z", Special::ThreadZ},
        {"%ctaid.x", Special::BlockX},    {"%ctaid.y", Special::BlockY},    {"%ctaid.z", Special::BlockZ},
        {"%ntid.x", Special::BlockSizeX}, {"%ntid.y", Special::BlockSizeY}, {"%ntid.z", Special::BlockSizeZ},
        {"%nctaid.x", Special::GridX},    {"%nctaid.y", Special::GridY},    {"%nctaid.z", Special::GridZ},
        {"%laneid", Special::Lane},       {"%warpid", Special::Warp},
    };
    return names;
}

uint32_t units_of(Width width) { return width == Width::Bits64 ? 4 : width == Width::Bits32 ? 2 : 1; }

Width width_of(char letter) {
    return letter == 'p' ? Width::Predicate : letter == 'h' ? Width::Bits16 : letter == 'w' ? Width::Bits32 : Width::Bits64;
}

std::vector<std::string_view> split(std::string_view opcode) {
    std::vector<std::string_view> parts;
    for (size_t begin = 0; begin <= opcode.size();) {
        size_t end = opcode.find('.', begin);
        end = end == std::string_view::npos ? opcode.size() : end;
        parts.push_back(opcode.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

} // namespace

Program Decoder::decode() {
    for (Width width : entry_.registers) {
        rows_.push_back(add_row(width));
    }
    for (auto [name, reg] : entry_.special) {
        auto found = specials().find(name);
        if (found == specials().end()) {
            throw TextError(format("kernel %s: the interpreter has no register %s", entry_.name.c_str(), std::string(name).c_str()));
        }
        program_.special.emplace_back(found->second, rows_[static_cast<size_t>(reg)]);
    }
    place(entry_.parameters, parameters_, program_.parameter_bytes, 0);
    for (const Variable& parameter : entry_.parameters) {
        program_.parameters.emplace_back(parameters_[parameter.name], parameter.bytes);
    }
    place(entry_.local, local_, program_.local_bytes, 0);
    place(entry_.shared, shared_, program_.static_shared, kSharedGap);
    for (const Variable& array : entry_.shared) {
        program_.shared.push_back({shared_[array.name], array.bytes});
    }
    for (const Statement& statement : entry_.statements) {
        statement_ = &statement;
        program_.instructions.push_back(decode_statement());
    }
    finish();
    return std::move(program_);
}

void Decoder::place(const std::vector<Variable>& variables, Places& places, uint32_t& end, uint32_t gap) {
    for (const Variable& variable : variables) {
        end = (end + variable.alignment - 1) / variable.alignment * variable.alignment;
        places[variable.name] = end;
        end += variable.bytes + gap;
    }
}

void Decoder::fail(const char* what) const {
    std::string opcode(statement_->opcode);
    throw TextError(format("kernel %s, line %u of the PTX: %s: %s", entry_.name.c_str(), statement_->text_line, opcode.c_str(), what));
}

uint32_t Decoder::add_row(Width width) {
    uint32_t row = program_.units;
    program_.units += units_of(width);
    return row;
}

uint32_t Decoder::constant(Width width, uint64_t value) {
    auto [known, added] = known_constants_.try_emplace({width, value}, 0);
    if (added) {
        known->second = add_row(width);
        program_.constants.push_back({known->second, width, value});
    }
    return known->second;
}

uint32_t Decoder::row(const Operand& operand, Width width) {
    switch (operand.kind) {
    case Operand::Register:
        if (entry_.registers[static_cast<size_t>(operand.reg)] != width) {
            fail("a register of another width");
        }
        return rows_[static_cast<size_t>(operand.reg)];
    case Operand::Number: return constant(width, width == Width::Predicate ? (operand.number != 0 ? 0xffffffffu : 0) : operand.number);
    case Operand::Symbol: return constant(width, address_of(operand.symbol));
    case Operand::Sink: return add_row(width);
    default: fail("an operand that it does not take");
    }
}

uint64_t Decoder::address_of(std::string_view symbol) {
    if (auto found = shared_.find(symbol); found != shared_.end()) {
        return found->second;
    }
    if (module_.is_dynamic_shared(symbol)) {
        return dynamic_shared();
    }
    if (auto found = local_.find(symbol); found != local_.end()) {
        return found->second;
    }
    if (auto found = parameters_.find(symbol); found != parameters_.end()) {
        return found->second;
    }
    auto found = constants_.find(symbol);
    if (found == constants_.end()) {
        fail("a name that is not declared");
    }
    return reinterpret_cast<uint64_t>(found->second);
}

Instruction Decoder::decode_statement() {
    Instruction instruction;
    instruction.file = statement_->file;
    instruction.line = statement_->line;
    instruction.opcode = opcode_number(std::string(statement_->opcode));
    if (statement_->guard >= 0) {
        instruction.guard = rows_[static_cast<size_t>(statement_->guard)];
        instruction.guard_negated = statement_->guard_negated;
    }
    parts_ = split(statement_->opcode);
    std::string_view name = parts_[0];
    if (name == "bra") {
        decode_branch(instruction);
    } else if (name == "ret" || name == "exit") {
        instruction.flow = Flow::Exit;
    } else if (name == "ld" || name == "ldu") {
        decode_load(instruction);
    } else if (name == "st") {
        decode_store(instruction);
    } else if (name == "atom" || name == "red") {
        decode_atomic(instruction);
    } else if (name == "cp" && statement_->opcode == "cp.async.cg.shared.global") {
        decode_copy(instruction);
    } else if (name == "setp") {
        decode_comparison(instruction);
    } else if (name == "mov" && has_tuple()) {
        decode_pack(instruction);
    } else {
        decode_form(instruction, statement_->opcode, statement_->operands);
    }
    return instruction;
}

bool Decoder::has_tuple() const {
    const std::vector<Operand>& operands = statement_->operands;
    return std::any_of(operands.begin(), operands.end(), [](const Operand& each) { return each.kind == Operand::Tuple; });
}

uint32_t Decoder::opcode_number(const std::string& opcode) {
    auto [known, added] = opcode_numbers_.try_emplace(opcode, static_cast<uint32_t>(program_.opcodes.size()));
    if (added) {
        program_.opcodes.push_back(opcode);
    }
    return known->second;
}

void Decoder::decode_branch(Instruction& instruction) {
    auto label = entry_.labels.find(operand(0).symbol);
    if (label == entry_.labels.end()) {
        fail("no such label");
    }
    instruction.flow = Flow::Branch;
    instruction.target = label->second;
}

void Decoder::decode_form(Instruction& instruction, std::string_view opcode, const std::vector<Operand>& operands) {
    auto found = forms().find(opcode);
    if (found == forms().end()) {
        fail("the interpreter does not know this instruction");
    }
    const Form& form = found->second;
    instruction.run = form.run;
    instruction.flow = form.flow;
    instruction.moves = form.moves;
    instruction.detail = form.detail;
    std::vector<const Operand*> flat;
    for (const Operand& each : operands) {
        if (each.kind == Operand::Tuple) {
            for (const Operand& part : each.parts) {
                flat.push_back(&part);
            }
        } else {
            flat.push_back(&each);
        }
    }
    size_t next = 0;
    bool writes = true;
    for (const char* letter = form.signature.c_str(); *letter != '\0'; letter++) {
        if (*letter == '=') {
            writes = false;
        } else if (*letter == '?') { // what comes before may be left out
        } else if (*letter == '0') { // the number 0 must stand here
            if (next >= flat.size() || flat[next]->kind != Operand::Number || flat[next]->number != 0) {
                fail("only barrier 0 of all threads is known to the interpreter");
            }
            next++;
        } else {
            static const Operand nothing;
            bool optional = letter[1] == '?';
            bool present = next < flat.size() && !(optional && writes && !is_predicate(*flat[next]));
            if (!present && !optional) {
                fail("an operand is missing");
            }
            if (!present && !writes) {
                add(instruction, constant(width_of(*letter), 0), false);
                continue;
            }
            Operand own = present ? *flat[next] : nothing;
            if (own.kind == Operand::Address) {
                own.kind = own.reg >= 0 ? Operand::Register : Operand::Symbol;
                instruction.displacement = static_cast<int64_t>(own.number);
            }
            if (own.negated) {
                fail("a negated operand");
            }
            add(instruction, row(own, width_of(*letter)), writes);
            next += present ? 1 : 0;
        }
    }
    if (next != flat.size()) {
        fail("too many operands");
    }
}

bool Decoder::is_predicate(const Operand& each) const {
    return each.kind == Operand::Sink ||
           (each.kind == Operand::Register && entry_.registers[static_cast<size_t>(each.reg)] == Width::Predicate);
}

void Decoder::add(Instruction& instruction, uint32_t row, bool writes) {
    instruction.rows[instruction.writes + instruction.reads] = row;
    (writes ? instruction.writes : instruction.reads)++;
}

void Decoder::decode_comparison(Instruction& instruction) {
    std::string_view boolean = parts_.size() > 3 ? parts_[2] : "";
    bool combined = boolean == "and" || boolean == "or" || boolean == "xor";
    std::string form = std::string(statement_->opcode);
    if (combined) {
        form.erase(form.find("." + std::string(boolean)), boolean.size() + 1);
    }
    std::vector<Operand> operands = statement_->operands;
    bool negated = combined && operands.back().negated;
    if (combined) {
        operands.back().negated = false;
    }
    decode_form(instruction, form, operands);
    instruction.detail = static_cast<uint8_t>((boolean == "and" ? 1 : boolean == "or" ? 2 : boolean == "xor" ? 3 : 0) | (negated ? 4 : 0));
}

void Decoder::decode_pack(Instruction& instruction) {
    bool unpack = operand(0).kind == Operand::Tuple;
    const Operand &whole = operand(unpack ? 1 : 0), &tuple = operand(unpack ? 0 : 1);
    if (whole.kind != Operand::Register) {
        fail("an operand that it does not take");
    }
    Width width = entry_.registers[static_cast<size_t>(whole.reg)];
    auto parts = static_cast<unsigned>(tuple.parts.size());
    Width part = width == Width::Bits64 && parts == 2 ? Width::Bits32 : Width::Bits16;
    instruction.run = pack_handler(parts, unpack, width);
    if (instruction.run == nullptr) {
        fail("the interpreter does not know this instruction");
    }
    instruction.moves = true;
    if (!unpack) {
        add(instruction, row(whole, width), true);
    }
    for (const Operand& each : tuple.parts) {
        add(instruction, row(each, part), unpack);
    }
    if (unpack) {
        add(instruction, row(whole, width), false);
    }
}

void Decoder::finish() {
    auto count = static_cast<uint32_t>(program_.instructions.size());
    if (count == 0 || program_.instructions.back().flow != Flow::Exit) {
        // Whoever comes to the end of the text returns.
        Instruction end;
        end.flow = Flow::Exit;
        end.opcode = opcode_number("ret");
        program_.instructions.push_back(end);
    }
    for (size_t i = 0; i < count; i++) {
        Instruction& each = program_.instructions[i];
        if (each.flow == Flow::Branch) {
            program_.instructions[each.target].leader = true;
        }
    }
    program_.counts.resize(program_.instructions.size());
    program_.static_shared = entry_.shared.empty() ? 0 : dynamic_shared();
}

Program decode(const ModuleText& module, const EntryText& entry, const std::map<std::string_view, const void*>& constants) {
    return Decoder(module, entry, constants).decode();
}

} // namespace emulation::ptx
