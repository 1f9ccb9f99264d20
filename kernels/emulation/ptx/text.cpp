#include "text.h"

#include "../runtime/report.h"
#include "lexer.h"

#include <algorithm>
#include <string.h>

namespace emulation::ptx {

namespace {

uint32_t bytes_of(std::string_view type) {
    if (type == ".pred") {
        return 1;
    }
    size_t digits = type.find_first_of("0123456789");
    return digits == std::string_view::npos ? 0 : static_cast<uint32_t>(atoi(std::string(type.substr(digits)).c_str())) / 8;
}

// After its state space: .align 4 .b8 name[16] = {…}
Variable read_variable(Lexer& lexer) {
    Variable variable = {{}, 1, 0, {}};
    if (lexer.accept(".align")) {
        variable.alignment = lexer.count();
    }
    uint32_t element = 1;
    for (; !lexer.word().empty() && lexer.word()[0] == '.';) {
        std::string_view word = lexer.take();
        if (word == ".ptr") {
            continue;
        }
        if (word == ".align") {
            lexer.number();
            continue;
        }
        uint32_t bytes = bytes_of(word);
        element = bytes == 0 ? element : bytes;
    }
    variable.name = lexer.take();
    variable.alignment = std::max(variable.alignment, element);
    uint32_t count = 1;
    while (lexer.accept("[")) {
        count *= lexer.at("]") ? 0 : lexer.count();
        lexer.expect("]");
    }
    variable.bytes = element * count;
    if (lexer.accept("=")) {
        bool list = lexer.accept("{");
        do {
            uint64_t value = lexer.number();
            for (uint32_t i = 0; i < element; i++) {
                variable.contents.push_back(static_cast<uint8_t>(value >> (8 * i)));
            }
        } while (lexer.accept(","));
        if (list) {
            lexer.expect("}");
        }
    }
    return variable;
}

class EntryReader {
public:
    EntryReader(Lexer& lexer, EntryText& entry) : lexer_(lexer), entry_(entry) {}

    // From behind .entry to the closing brace.
    void read() {
        entry_.name = lexer_.take();
        if (lexer_.accept("(") && !lexer_.accept(")")) {
            do {
                lexer_.expect(".param");
                entry_.parameters.push_back(read_variable(lexer_));
            } while (lexer_.accept(","));
            lexer_.expect(")");
        }
        while (!lexer_.at("{")) {
            if (lexer_.accept(".maxntid")) {
                entry_.max_threads = lexer_.count();
                while (lexer_.accept(",")) {
                    entry_.max_threads *= lexer_.count();
                }
            } else {
                lexer_.take(); // .minnctapersm and its number
            }
            if (lexer_.word().empty()) {
                lexer_.fail("an entry has no body");
            }
        }
        lexer_.expect("{");
        scopes_.emplace_back();
        while (!scopes_.empty()) {
            read_statement();
        }
    }

private:
    void read_statement() {
        if (lexer_.word().empty()) {
            lexer_.fail("an entry has no end");
        }
        if (lexer_.accept("{")) {
            scopes_.emplace_back();
        } else if (lexer_.at("}")) {
            scopes_.pop_back();
            lexer_.take();
        } else if (lexer_.at(".loc")) {
            lexer_.take();
            file_ = lexer_.count();
            line_ = lexer_.count();
            lexer_.skip_line();
        } else if (lexer_.word()[0] == '.') {
            read_directive();
        } else {
            read_instruction();
        }
    }

    void read_directive() {
        std::string_view directive = lexer_.take();
        if (directive == ".reg") {
            read_registers();
        } else if (directive == ".shared") {
            entry_.shared.push_back(read_variable(lexer_));
        } else if (directive == ".local") {
            entry_.local.push_back(read_variable(lexer_));
        } else {
            while (!lexer_.at(";")) { // .pragma
                if (lexer_.take().empty()) {
                    lexer_.fail("an entry has no end");
                }
            }
        }
        lexer_.expect(";");
    }

    void read_registers() {
        std::string_view type = lexer_.take();
        uint32_t bytes = bytes_of(type);
        if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
            lexer_.fail("registers of an unknown type");
        }
        Width width = bytes == 1 ? Width::Predicate : bytes == 2 ? Width::Bits16 : bytes == 4 ? Width::Bits32 : Width::Bits64;
        do {
            std::string name(lexer_.take());
            if (lexer_.accept("<")) {
                uint32_t count = lexer_.count();
                for (uint32_t i = 0; i < count; i++) {
                    scopes_.back()[name + std::to_string(i)] = add(width);
                }
                lexer_.expect(">");
            } else {
                scopes_.back()[name] = add(width);
            }
        } while (lexer_.accept(","));
    }

    int add(Width width) {
        entry_.registers.push_back(width);
        return static_cast<int>(entry_.registers.size()) - 1;
    }

    int find(std::string_view name) {
        std::string key(name);
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
            if (auto found = scope->find(key); found != scope->end()) {
                return found->second;
            }
        }
        auto [special, added] = entry_.special.try_emplace(name, 0);
        if (added) {
            special->second = add(Width::Bits32);
        }
        return special->second;
    }

    void read_instruction() {
        Statement statement;
        statement.text_line = lexer_.line();
        statement.file = file_;
        statement.line = line_;
        std::string_view first = lexer_.take();
        if (first[0] == '$' && lexer_.accept(":")) {
            entry_.labels[first] = static_cast<uint32_t>(entry_.statements.size());
            return;
        }
        if (first == "@") {
            statement.guard_negated = lexer_.accept("!");
            statement.guard = find(lexer_.take());
            first = lexer_.take();
        }
        statement.opcode = first;
        if (!lexer_.at(";")) {
            do {
                statement.operands.push_back(read_operand());
            } while (lexer_.accept(","));
        }
        lexer_.expect(";");
        entry_.statements.push_back(std::move(statement));
    }

    Operand read_operand() {
        Operand operand = read_simple();
        if (!lexer_.at("|")) {
            return operand;
        }
        Operand pair;
        pair.kind = Operand::Tuple;
        pair.parts.push_back(std::move(operand));
        while (lexer_.accept("|")) {
            pair.parts.push_back(read_simple());
        }
        return pair;
    }

    Operand read_simple() {
        Operand operand;
        if (lexer_.accept("{")) {
            operand.kind = Operand::Tuple;
            do {
                operand.parts.push_back(read_simple());
            } while (lexer_.accept(","));
            lexer_.expect("}");
        } else if (lexer_.accept("[")) {
            operand.kind = Operand::Address;
            if (lexer_.word()[0] == '%') {
                operand.reg = find(lexer_.take());
            } else if (!is_number(lexer_.word())) {
                operand.symbol = lexer_.take();
            }
            if (lexer_.accept("+") || is_number(lexer_.word())) {
                operand.number = lexer_.number();
            }
            lexer_.expect("]");
        } else if (lexer_.accept("!")) {
            operand = read_simple();
            operand.negated = true;
        } else if (lexer_.accept("_")) {
            operand.kind = Operand::Sink;
        } else if (lexer_.at("-") || is_number(lexer_.word())) {
            operand.kind = Operand::Number;
            operand.number = lexer_.number();
        } else if (!lexer_.word().empty() && lexer_.word()[0] == '%') {
            operand.kind = Operand::Register;
            operand.reg = find(lexer_.take());
        } else {
            operand.kind = Operand::Symbol;
            operand.symbol = lexer_.take();
        }
        return operand;
    }

    Lexer& lexer_;
    EntryText& entry_;
    std::vector<std::map<std::string, int>> scopes_;
    uint32_t file_ = 0, line_ = 0;
};

} // namespace

ModuleText::ModuleText(std::string text) : text_(std::move(text)) {
    Lexer lexer(text_, 0, 1);
    while (!lexer.word().empty()) {
        std::string_view word = lexer.take();
        if (word == ".entry") {
            places_[std::string(lexer.word())] = {lexer.offset(), lexer.line()};
            while (!lexer.at("{")) {
                if (lexer.take().empty()) {
                    lexer.fail("an entry has no body");
                }
            }
            lexer.skip_braces();
        } else if (word == ".file") {
            uint32_t number = lexer.count();
            std::string name(lexer.word().substr(1, lexer.word().size() - 2));
            files_[number] = name.substr(name.rfind('/') + 1);
            lexer.skip_line();
        } else if (word == ".extern") {
            if (lexer.accept(".shared")) {
                dynamic_shared_[read_variable(lexer).name] = true;
                lexer.expect(";");
            }
        } else if (word == ".const" || word == ".global") {
            constants_.push_back(read_variable(lexer));
            lexer.expect(";");
        } else if (word == ".func") {
            lexer.fail("functions are not known to the interpreter");
        } else if (word == ".section") {
            lexer.take();
            lexer.skip_braces();
        }
    }
}

const EntryText* ModuleText::entry(const std::string& name) {
    auto known = entries_.find(name);
    if (known != entries_.end()) {
        return &known->second;
    }
    auto place = places_.find(name);
    if (place == places_.end()) {
        return nullptr;
    }
    EntryText entry;
    Lexer lexer(text_, place->second.offset, place->second.line);
    EntryReader(lexer, entry).read();
    return &(entries_[name] = std::move(entry));
}

const std::string& ModuleText::file(uint32_t number) const {
    static const std::string unknown = "?";
    auto found = files_.find(number);
    return found == files_.end() ? unknown : found->second;
}

} // namespace emulation::ptx
