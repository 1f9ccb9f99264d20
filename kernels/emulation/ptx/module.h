// A module made of PTX text: its kernels, decoded when they are asked for, and the memory of its constants.
#pragma once
#include "program.h"

#include <memory>

namespace emulation::ptx {

struct Kernel {
    Program program;
    std::vector<uint32_t> sizes; // of the parameters
    Entry entry;
};

class Module {
public:
    // Throws TextError, as do all others.
    explicit Module(std::string text);

    // Null if there is none of that name.
    const Kernel* kernel(const std::string& name);

    const std::map<std::string, std::unique_ptr<Kernel>>& kernels() const { return kernels_; }

private:
    ModuleText text_;
    std::map<std::string_view, const void*> constants_;
    std::vector<std::unique_ptr<char[]>> memory_;
    std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

// Whether this is PTX text and no binary image.
bool is_text(const char* image);

// Runs a launch to its end; the arguments are as for cuLaunchKernel.
CUresult run(const Program& program, dim3 grid, dim3 block, size_t dynamic_shared, void** arguments);

// How often the warps of this kernel have carried out instructions whose opcode begins so.
uint64_t count_instructions(const Program& program, std::string_view opcode);

// Appends to the file that FORGETTING_PTX_COUNTS names, if there is one, how many instructions of each kind the warps of every kernel have
// carried out.
void write_counts(const Module& module);

} // namespace emulation::ptx
