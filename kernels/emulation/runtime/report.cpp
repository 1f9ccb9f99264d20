#include "report.h"

#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <unordered_map>

namespace emulation {

namespace {
std::mutex mutex;
const std::string* last = nullptr;

// Texts are kept for the life of the process: callers hold pointers to them. There is one a status at most per distinct text.
std::unordered_map<int, const std::string*>& texts() {
    static std::unordered_map<int, const std::string*> map;
    return map;
}
} // namespace

CUresult fail(CUresult status, std::string text) {
    std::lock_guard<std::mutex> lock(mutex);
    const std::string*& known = texts()[status];
    if (known == nullptr || *known != text) {
        known = new std::string(std::move(text));
    }
    last = known;
    return status;
}

const char* last_failure_text() {
    std::lock_guard<std::mutex> lock(mutex);
    return last == nullptr ? nullptr : last->c_str();
}

const char* failure_text(CUresult status) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = texts().find(status);
    return found == texts().end() ? nullptr : found->second->c_str();
}

std::string format(const char* pattern, ...) {
    char buffer[1024];
    va_list arguments;
    va_start(arguments, pattern);
    vsnprintf(buffer, sizeof buffer, pattern, arguments);
    va_end(arguments);
    return buffer;
}

} // namespace emulation
