// State behind the driver API: one device, its primary context, modules, streams, events and graphs.
#pragma once
#include "../ptx/module.h"
#include "block.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

struct CUctx_st {
    unsigned references = 0;
};

// A library of kernels compiled for the emulation, or PTX.
struct CUmod_st {
    void* library;
    std::unique_ptr<emulation::ptx::Module> text;
    std::vector<std::unique_ptr<CUfunc_st>> functions;
};

struct CUfunc_st {
    const emulation::Entry* entry;
    const emulation::ptx::Program* program; // null in a library
    int max_dynamic_shared;
    uintptr_t image_begin, image_end;
};

namespace emulation {

// In the order of capture, which respects all dependencies.
using Nodes = std::vector<std::function<CUresult()>>;

struct Capture {
    CUstreamCaptureMode mode;
    std::thread::id thread; // that began it
    Nodes nodes;
    bool invalid = false; // something was tried that a capture does not allow
};

// How many nodes of each stream come before a point in a stream.
using Progress = std::map<CUstream, size_t>;

} // namespace emulation

struct CUgraph_st {
    emulation::Nodes nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<const emulation::Nodes> nodes;
};

struct CUstream_st {
    bool blocking = true;                        // ordered with the default stream
    std::shared_ptr<emulation::Capture> capture; // null unless capturing
    bool origin = false;                         // the capture began here
    emulation::Progress progress;                // of the capture
};

struct CUevent_st {
    double time = -1; // milliseconds; negative until recorded
    std::shared_ptr<emulation::Capture> capture;
    emulation::Progress progress;
};

namespace emulation {

struct Driver {
    std::recursive_mutex mutex;
    bool initialised = false;
    CUctx_st primary;
    std::set<CUmodule> modules;
    std::set<CUstream> streams;
    std::set<CUevent> events;
    std::set<CUgraph> graphs;
    std::set<CUgraphExec> executables;
    std::map<std::string, unsigned long long> calls; // so far, by the function's name

    // The captures under way.
    std::set<emulation::Capture*> captures() const;

    static Driver& instance();
};

// The context that is current on the calling operating-system thread.
extern thread_local CUcontext current_context;

// The failure of a call that FORGETTING_EMU_FAIL asks for, or CUDA_SUCCESS.
CUresult ordered_failure(const char* call);

// Taken at the beginning of every call; `status` tells whether the driver is initialised and a context current.
class Call {
public:
    explicit Call(const char* name, bool needs_context = true);
    const char* name;
    Driver& driver;
    CUresult status;

private:
    std::lock_guard<std::recursive_mutex> lock_;
};

// A failure that ends a capture: all that is left is to end it, which gives no graph.
CUresult invalidate(Capture& capture, CUresult status, const std::string& text);

// Called where a call could make the device wait or change what a graph refers to: refused while this thread captures, and while any thread
// captures in the global mode, unless the capture is relaxed.
CUresult check_unsafe(const Call& call);

// Runs `work` now, or makes it a node of the graph that the stream is capturing. The null stream is the legacy default stream.
CUresult submit(const Call& call, CUstream stream, std::function<CUresult()> work);

CUresult violation(const Call& call, const char* what, const Violation& found);

} // namespace emulation
