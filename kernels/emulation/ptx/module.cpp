#include "module.h"

#include "machine.h"

#include <algorithm>
#include <stdio.h>
#include <stdlib.h>

namespace emulation::ptx {

Module::Module(std::string text) : text_(std::move(text)) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        throw TextError("the interpreter of PTX is compiled for processors with AVX2 and FMA");
    }
    for (const Variable& constant : text_.constants()) {
        auto memory = std::make_unique<char[]>(constant.bytes + 256);
        char* begin = memory.get() + (256 - reinterpret_cast<uintptr_t>(memory.get()) % 256);
        memcpy(begin, constant.contents.data(), std::min<size_t>(constant.bytes, constant.contents.size()));
        constants_[constant.name] = begin;
        memory_.push_back(std::move(memory));
    }
}

const Kernel* Module::kernel(const std::string& name) {
    std::unique_ptr<Kernel>& kernel = kernels_[name];
    if (kernel == nullptr) {
        const EntryText* text = text_.entry(name);
        if (text == nullptr) {
            kernels_.erase(name);
            return nullptr;
        }
        kernel = std::make_unique<Kernel>();
        kernel->program = decode(text_, *text, constants_);
        for (const Variable& constant : text_.constants()) {
            kernel->program.readable.emplace_back(reinterpret_cast<uint64_t>(constants_[constant.name]), constant.bytes);
        }
        for (auto [offset, bytes] : kernel->program.parameters) {
            kernel->sizes.push_back(bytes);
        }
        auto count = static_cast<uint32_t>(kernel->sizes.size());
        kernel->entry = {kernel->program.name.c_str(), nullptr, kernel->sizes.data(), count, text->max_threads, true, nullptr};
    }
    return kernel.get();
}

bool is_text(const char* image) {
    std::string_view start(image, strnlen(image, 1024));
    return start.substr(0, 2) == "//" || start.find(".version") != std::string_view::npos;
}

CUresult run(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, void** arguments) {
    std::vector<uint64_t> parameters(program.parameter_bytes / 8 + 1);
    for (size_t i = 0; i < program.parameters.size(); i++) {
        auto [offset, bytes] = program.parameters[i];
        memcpy(reinterpret_cast<char*>(parameters.data()) + offset, arguments[i], bytes);
    }
    return run(program, grid, block, dynamic_shared, static_cast<const void*>(parameters.data()));
}

uint64_t count_instructions(const Program& program, std::string_view opcode) {
    uint64_t count = 0;
    for (size_t i = 0; i < program.counts.size(); i++) {
        count += program.opcodes[program.instructions[i].opcode].rfind(opcode, 0) == 0 ? program.counts[i] : 0;
    }
    return count;
}

void write_counts(const Module& module) {
    const char* path = getenv("FORGETTING_PTX_COUNTS");
    FILE* file = path == nullptr ? nullptr : fopen(path, "a");
    if (file == nullptr) {
        return;
    }
    for (const auto& [name, kernel] : module.kernels()) {
        const Program& program = kernel->program;
        std::map<std::string, uint64_t> kinds;
        uint64_t all = 0;
        for (size_t i = 0; i < program.counts.size(); i++) {
            kinds[program.opcodes[program.instructions[i].opcode]] += program.counts[i];
            all += program.counts[i];
        }
        if (all == 0) {
            continue;
        }
        auto launches = static_cast<unsigned long>(program.launches);
        fprintf(file, "%s\t%lu launches\t%lu instructions\n", name.c_str(), launches, static_cast<unsigned long>(all));
        std::vector<std::pair<uint64_t, std::string>> sorted;
        for (const auto& [kind, count] : kinds) {
            sorted.emplace_back(count, kind);
        }
        std::sort(sorted.rbegin(), sorted.rend());
        for (const auto& [count, kind] : sorted) {
            if (count > 0) {
                fprintf(file, "\t%lu\t%s\n", static_cast<unsigned long>(count), kind.c_str());
            }
        }
    }
    fclose(file);
}

} // namespace emulation::ptx
