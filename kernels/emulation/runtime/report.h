// Failures: a status for the caller of the driver API, and a text that says what happened where.
#pragma once
#include "cuda_api.h"

#include <string>

namespace emulation {

// Remembers `text` as the meaning of `status` (cuGetErrorString returns it) and returns the status.
CUresult fail(CUresult status, std::string text);

// The text of the last failure with this status, or null.
const char* failure_text(CUresult status);

// The text of the last failure of all, or null.
const char* last_failure_text();

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

} // namespace emulation
