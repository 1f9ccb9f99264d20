#include "lexer.h"

#include "../runtime/report.h"

#include <stdlib.h>

namespace emulation::ptx {

namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '%' || c == '.';
}

} // namespace

bool is_number(std::string_view word) { return !word.empty() && word[0] >= '0' && word[0] <= '9'; }

void Lexer::advance() {
    for (; offset_ < text_.size(); offset_++) {
        char c = text_[offset_];
        if (c == '\n') {
            line_++;
        } else if (c == '/' && text_.substr(offset_, 2) == "//") {
            offset_ = text_.find('\n', offset_);
            if (offset_ == std::string_view::npos) {
                break;
            }
            line_++;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
    }
    word_line_ = line_;
    if (offset_ >= text_.size()) {
        offset_ = text_.size();
        word_ = text_.substr(offset_);
        return;
    }
    size_t end = offset_ + 1;
    if (text_[offset_] == '"') {
        end = std::min(text_.find('"', end), text_.size() - 1) + 1;
    } else if (text_.substr(offset_, 2) == "::") {
        end = offset_ + 2;
    } else if (is_letter(text_[offset_])) {
        // Two colons belong to an opcode's modifiers, as in .L1::no_allocate.
        while (end < text_.size() &&
               (is_letter(text_[end]) || text_.substr(end, 2) == "::" || (text_[end] == ':' && text_[end - 1] == ':'))) {
            end++;
        }
    }
    word_ = text_.substr(offset_, end - offset_);
    offset_ = end;
}

bool Lexer::accept(std::string_view word) {
    bool found = word_ == word;
    if (found) {
        advance();
    }
    return found;
}

void Lexer::expect(std::string_view word) {
    if (!accept(word)) {
        fail("'" + std::string(word_) + "' where '" + std::string(word) + "' was expected");
    }
}

uint64_t Lexer::number() {
    bool negative = accept("-");
    std::string text(word_);
    if (!is_number(text)) {
        fail(format("'%s' where a number was expected", text.c_str()));
    }
    advance();
    char* end = nullptr;
    uint64_t value;
    if (text.size() == 10 && (text[1] == 'f' || text[1] == 'F')) {
        value = strtoull(text.c_str() + 2, &end, 16);
        value ^= negative ? 0x80000000u : 0;
    } else if (text.size() == 18 && (text[1] == 'd' || text[1] == 'D')) {
        value = strtoull(text.c_str() + 2, &end, 16);
        value ^= negative ? 0x8000000000000000ull : 0;
    } else {
        value = strtoull(text.c_str(), &end, 0);
        end += *end == 'U' ? 1 : 0;
        value = negative ? 0 - value : value;
    }
    if (*end != '\0') {
        fail(format("'%s' is not a number", text.c_str()));
    }
    return value;
}

void Lexer::skip_braces() {
    expect("{");
    for (int depth = 1; depth > 0; advance()) {
        if (word_.empty()) {
            fail("a brace is not closed");
        }
        depth += word_ == "{" ? 1 : word_ == "}" ? -1 : 0;
    }
}

void Lexer::skip_line() {
    for (uint32_t line = word_line_; !word_.empty() && word_line_ == line;) {
        advance();
    }
}

void Lexer::fail(const std::string& what) const { throw TextError(format("line %u of the PTX: %s", word_line_, what.c_str())); }

} // namespace emulation::ptx
