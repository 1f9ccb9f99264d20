// Modules and launches. A module's image is a shared library of kernels compiled for the emulation, in place of a fatbin, or PTX, which is
// interpreted.
#include "driver.h"

#include <dlfcn.h>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace emulation;

namespace {

constexpr int kDefaultDynamicShared = 48 * 1024, kMaxDynamicShared = 163 * 1024;

// Size of the image, which is not passed: section headers come last in what linkers write. 0 if it is no library of this machine.
size_t image_bytes(const void* image) {
    Elf64_Ehdr header;
    if (memcmp(image, ELFMAG, SELFMAG) != 0) {
        return 0;
    }
    memcpy(&header, image, sizeof header);
    if (header.e_type != ET_DYN || header.e_machine != EM_X86_64) {
        return 0;
    }
    return header.e_shoff + static_cast<size_t>(header.e_shnum) * header.e_shentsize;
}

CUresult load(const Call& call, CUmodule* module, const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return fail(CUDA_ERROR_INVALID_IMAGE, format("%s: %s", call.name, dlerror()));
    }
    *module = new CUmod_st{library, nullptr, {}};
    call.driver.modules.insert(*module);
    return CUDA_SUCCESS;
}

CUresult load_text(const Call& call, CUmodule* module, std::string text) {
    try {
        *module = new CUmod_st{nullptr, std::make_unique<ptx::Module>(std::move(text)), {}};
    } catch (const ptx::TextError& error) {
        return fail(CUDA_ERROR_INVALID_IMAGE, format("%s: %s", call.name, error.what()));
    }
    call.driver.modules.insert(*module);
    return CUDA_SUCCESS;
}

// The text of a file of PTX; empty if it is none.
std::string read_text(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(64, '\0');
    text.resize(static_cast<size_t>(file.read(text.data(), 64).gcount()));
    if (!ptx::is_text(text.c_str())) {
        return {};
    }
    file.clear();
    return text.append(std::istreambuf_iterator<char>(file), {});
}

CUresult run_launch(const Launch& launch) {
    return launch.program == nullptr ? run(launch)
                                     : ptx::run(*launch.program, launch.grid, launch.block, launch.dynamic_shared, launch.arguments);
}

// Addresses of the library that holds `entry`.
void find_image(CUfunc_st* function) {
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
            auto& wanted = *static_cast<CUfunc_st*>(data);
            auto address = reinterpret_cast<uintptr_t>(wanted.entry);
            uintptr_t begin = ~uintptr_t{0}, end = 0;
            for (int i = 0; i < info->dlpi_phnum; i++) {
                const auto& header = info->dlpi_phdr[i];
                if (header.p_type == PT_LOAD) {
                    begin = std::min(begin, info->dlpi_addr + header.p_vaddr);
                    end = std::max(end, info->dlpi_addr + header.p_vaddr + header.p_memsz);
                }
            }
            if (address < begin || address >= end) {
                return 0;
            }
            wanted.image_begin = begin;
            wanted.image_end = end;
            return 1;
        },
        function);
}

// A launch whose arguments are kept, as a graph needs it.
struct KeptLaunch {
    Launch launch;
    std::vector<uint64_t> storage;
    std::vector<void*> arguments;

    explicit KeptLaunch(const Launch& source) : launch(source) {
        const Entry& entry = *source.entry;
        size_t words = 0;
        for (uint32_t i = 0; i < entry.count; i++) {
            words += (entry.sizes[i] + 15) / 16 * 2;
        }
        storage.resize(words);
        words = 0;
        for (uint32_t i = 0; i < entry.count; i++) {
            memcpy(&storage[words], source.arguments[i], entry.sizes[i]);
            arguments.push_back(&storage[words]);
            words += (entry.sizes[i] + 15) / 16 * 2;
        }
        launch.arguments = arguments.data();
    }
};

} // namespace

CUDA_EXPORT CUresult cuModuleLoad(CUmodule* module, const char* path) {
    Call call("cuModuleLoad");
    if (CUresult status = check_unsafe(call); status != CUDA_SUCCESS) {
        return status;
    }
    if (access(path, R_OK) != 0) {
        return fail(CUDA_ERROR_FILE_NOT_FOUND, format("cuModuleLoad: cannot read %s", path));
    }
    std::string text = read_text(path);
    return text.empty() ? load(call, module, path) : load_text(call, module, std::move(text));
}

CUDA_EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    Call call("cuModuleLoadData");
    if (CUresult status = check_unsafe(call); status != CUDA_SUCCESS) {
        return status;
    }
    if (ptx::is_text(static_cast<const char*>(image))) {
        return load_text(call, module, static_cast<const char*>(image));
    }
    size_t bytes = image_bytes(image);
    if (bytes == 0) {
        return fail(CUDA_ERROR_INVALID_IMAGE, "cuModuleLoadData: not a kernel library for the emulation");
    }
    int file = memfd_create("kernels", MFD_CLOEXEC);
    if (file < 0 || write(file, image, bytes) != static_cast<ssize_t>(bytes)) {
        return fail(CUDA_ERROR_OUT_OF_MEMORY, "cuModuleLoadData: cannot keep the image in memory");
    }
    CUresult status = load(call, module, format("/proc/self/fd/%d", file).c_str());
    close(file);
    return status;
}

// Options are for the card's compiler.
CUDA_EXPORT CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, const int*, void**) {
    return cuModuleLoadData(module, image);
}

CUDA_EXPORT CUresult cuModuleUnload(CUmodule module) {
    Call call("cuModuleUnload");
    if (CUresult status = check_unsafe(call); status != CUDA_SUCCESS) {
        return status;
    }
    if (call.driver.modules.erase(module) == 0) {
        return fail(CUDA_ERROR_INVALID_HANDLE, "cuModuleUnload: not a module");
    }
    if (module->text != nullptr) {
        ptx::write_counts(*module->text);
    } else {
        dlclose(module->library);
    }
    delete module;
    return CUDA_SUCCESS;
}

// Not part of CUDA: how often warps have carried out instructions whose opcode begins with `opcode`, in kernels of that name in all modules
// of PTX.
CUDA_EXPORT CUresult emulationCountInstructions(const char* kernel, const char* opcode, unsigned long long* count) {
    Call call("emulationCountInstructions");
    *count = 0;
    for (CUmodule module : call.driver.modules) {
        if (module->text != nullptr && module->text->kernels().count(kernel) != 0) {
            *count += ptx::count_instructions(module->text->kernels().at(kernel)->program, opcode);
        }
    }
    return call.status;
}

CUDA_EXPORT CUresult emulationCountCalls(const char* function, unsigned long long* count) {
    std::lock_guard<std::recursive_mutex> lock(Driver::instance().mutex);
    *count = 0;
    for (const auto& [name, calls] : Driver::instance().calls) {
        bool own = name.rfind("emulation", 0) == 0;
        *count += !own && name.rfind(function, 0) == 0 ? calls : 0;
    }
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    Call call("cuModuleGetFunction");
    if (call.status != CUDA_SUCCESS) {
        return call.status;
    }
    if (call.driver.modules.count(module) == 0) {
        return fail(CUDA_ERROR_INVALID_HANDLE, "cuModuleGetFunction: not a module");
    }
    if (module->text != nullptr) {
        try {
            const ptx::Kernel* kernel = module->text->kernel(name);
            if (kernel != nullptr) {
                module->functions.push_back(
                    std::make_unique<CUfunc_st>(CUfunc_st{&kernel->entry, &kernel->program, kDefaultDynamicShared, 0, 0}));
                *function = module->functions.back().get();
                return CUDA_SUCCESS;
            }
        } catch (const ptx::TextError& error) {
            return fail(CUDA_ERROR_INVALID_IMAGE, format("cuModuleGetFunction: %s", error.what()));
        }
        return fail(CUDA_ERROR_NOT_FOUND, format("cuModuleGetFunction: no kernel %s in the module", name));
    }
    auto entry = static_cast<const Entry*>(dlsym(module->library, (std::string("emulation_entry_") + name).c_str()));
    if (entry == nullptr) {
        return fail(CUDA_ERROR_NOT_FOUND, format("cuModuleGetFunction: no kernel %s in the module", name));
    }
    module->functions.push_back(std::make_unique<CUfunc_st>(CUfunc_st{entry, nullptr, kDefaultDynamicShared, 0, 0}));
    *function = module->functions.back().get();
    find_image(*function);
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction function) {
    Call call("cuFuncGetAttribute");
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = static_cast<int>(function->entry->max_threads); break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = function->max_dynamic_shared; break;
    default: *value = 0; // registers, local memory and the like mean nothing here
    }
    return call.status;
}

CUDA_EXPORT CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    Call call("cuFuncSetAttribute");
    if (call.status == CUDA_SUCCESS && attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || value > kMaxDynamicShared) {
            return fail(CUDA_ERROR_INVALID_VALUE,
                        format("cuFuncSetAttribute: %d bytes of dynamic shared memory for %s, of which a block has %d", value,
                               function->entry->name, kMaxDynamicShared));
        }
        function->max_dynamic_shared = value;
    }
    return call.status;
}

CUDA_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                    unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** arguments, void**) {
    Call call("cuLaunchKernel");
    if (call.status != CUDA_SUCCESS) {
        return call.status;
    }
    const Entry& entry = *function->entry;
    uint64_t threads = static_cast<uint64_t>(block_x) * block_y * block_z;
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || threads == 0 || grid_x > 0x7fffffff || grid_y > 65535 || grid_z > 65535 ||
        block_z > 64 || threads > 1024 || shared_bytes > static_cast<unsigned>(function->max_dynamic_shared)) {
        return fail(
            CUDA_ERROR_INVALID_VALUE,
            format("cuLaunchKernel: %s cannot be launched with grid (%u, %u, %u), block (%u, %u, %u) and %u bytes of dynamic shared memory",
                   entry.name, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes));
    }
    if (threads > entry.max_threads) {
        return fail(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, format("cuLaunchKernel: %s is compiled for at most %u threads a block, not %lu",
                                                               entry.name, entry.max_threads, static_cast<unsigned long>(threads)));
    }
    Launch launch = {&entry, function->program, dim3(grid_x, grid_y, grid_z), dim3(block_x, block_y, block_z), shared_bytes, arguments,
                     function->image_begin, function->image_end};
    if (stream != nullptr && call.driver.streams.count(stream) != 0 && stream->capture != nullptr) {
        auto kept = std::make_shared<KeptLaunch>(launch);
        return submit(call, stream, [kept] { return run_launch(kept->launch); });
    }
    return submit(call, stream, [&launch] { return run_launch(launch); });
}
