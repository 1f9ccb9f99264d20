// State behind the driver API: one device, its primary context, modules, streams, events and graphs.
#pragma once
#include "block.h"

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

struct CUctx_st {
    unsigned references = 0;
};

struct CUmod_st {
    void* library;
    std::vector<std::unique_ptr<CUfunc_st>> functions;
};

struct CUfunc_st {
    const emulation::Entry* entry;
    int max_dynamic_shared;
    uintptr_t image_begin, image_end;
};

struct CUgraph_st {
    std::vector<std::function<CUresult()>> nodes; // in the order of capture, which respects all dependencies
    int streams = 1;                              // capturing into it
};

struct CUgraphExec_st {
    std::vector<std::function<CUresult()>> nodes;
};

struct CUstream_st {
    std::shared_ptr<CUgraph_st> capture; // null unless capturing
    bool origin = false;                 // the capture began here
};

struct CUevent_st {
    double time = -1; // milliseconds; negative until recorded
    std::shared_ptr<CUgraph_st> capture;
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
    int captures = 0; // under way in any stream

    static Driver& instance();
};

// The context that is current on the calling operating-system thread.
extern thread_local CUcontext current_context;

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

// Runs `work` now, or makes it a node of the graph that the stream is capturing. The null stream is the legacy default stream.
CUresult submit(const Call& call, CUstream stream, std::function<CUresult()> work);

CUresult violation(const Call& call, const char* what, const Violation& found);

} // namespace emulation
