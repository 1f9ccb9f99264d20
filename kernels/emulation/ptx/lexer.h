// Words of PTX text.
#pragma once
#include "text.h"

namespace emulation::ptx {

class Lexer {
public:
    Lexer(std::string_view text, size_t offset, uint32_t line) : text_(text), offset_(offset), line_(line) { advance(); }

    // The word at hand: a name with its dots, a number, a string with its quotes or a single character; empty at the end.
    std::string_view word() const { return word_; }
    bool at(std::string_view word) const { return word_ == word; }
    uint32_t line() const { return word_line_; }
    size_t offset() const { return static_cast<size_t>(word_.data() - text_.data()); }

    std::string_view take() {
        std::string_view taken = word_;
        advance();
        return taken;
    }
    bool accept(std::string_view word);
    void expect(std::string_view word);
    // A number as bits: decimal or hexadecimal, with a sign; 0f and 0d give a float's or a double's.
    uint64_t number();
    uint32_t count() { return static_cast<uint32_t>(number()); }
    // Goes past what stands between the brace at hand and its partner.
    void skip_braces();
    void skip_line();

    [[noreturn]] void fail(const std::string& what) const;

private:
    void advance();
    std::string_view text_, word_;
    size_t offset_;
    uint32_t line_, word_line_ = 0;
};

bool is_number(std::string_view word);

} // namespace emulation::ptx
