// Streams, events and graphs. Work is done when it is submitted, so a stream never has anything to wait for; what is checked is that
// the calls are allowed, above all during capture.
#include "driver.h"

#include <algorithm>
#include <chrono>

using namespace emulation;

namespace {

double now_ms() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

template <typename Handle> CUresult check(const Call& call, const std::set<Handle>& known, Handle handle, const char* what) {
    if (call.status != CUDA_SUCCESS) {
        return call.status;
    }
    return known.count(handle) != 0 ? CUDA_SUCCESS : fail(CUDA_ERROR_INVALID_HANDLE, format("%s: not %s", call.name, what));
}

// The null stream is always valid.
CUresult check_stream(const Call& call, CUstream stream) {
    return stream == nullptr ? call.status : check(call, call.driver.streams, stream, "a stream");
}

CUresult check_not_capturing(const Call& call, CUstream stream) {
    CUresult status = check_stream(call, stream);
    if (status == CUDA_SUCCESS && stream != nullptr && stream->capture != nullptr) {
        return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, format("%s: the stream is capturing", call.name));
    }
    return status;
}

// An event of a capture happens at no time that could be waited for.
CUresult check_happens(const Call& call, CUevent event) {
    CUresult status = check(call, call.driver.events, event, "an event");
    if (status == CUDA_SUCCESS && event->capture != nullptr) {
        return invalidate(*event->capture, CUDA_ERROR_CAPTURED_EVENT,
                          format("%s: the event was recorded in a capturing stream", call.name));
    }
    return status == CUDA_SUCCESS ? check_unsafe(call) : status;
}

} // namespace

CUDA_EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    Call call("cuStreamCreate");
    if (call.status == CUDA_SUCCESS) {
        *stream = new CUstream_st();
        (*stream)->blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
        call.driver.streams.insert(*stream);
    }
    return call.status;
}

CUDA_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
    Call call("cuStreamDestroy");
    CUresult status = check(call, call.driver.streams, stream, "a stream");
    if (status == CUDA_SUCCESS) {
        call.driver.streams.erase(stream);
        delete stream;
    }
    return status;
}

CUDA_EXPORT CUresult cuStreamSynchronize(CUstream stream) { return check_not_capturing(Call("cuStreamSynchronize"), stream); }

CUDA_EXPORT CUresult cuStreamQuery(CUstream stream) { return check_not_capturing(Call("cuStreamQuery"), stream); }

// A stream that waits for an event recorded in a capturing stream joins the capture.
CUDA_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    Call call("cuStreamWaitEvent");
    CUresult status = check(call, call.driver.events, event, "an event");
    if (status == CUDA_SUCCESS) {
        status = check_stream(call, stream);
    }
    if (status != CUDA_SUCCESS || event->capture == nullptr) {
        return status;
    }
    if (stream == nullptr) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "cuStreamWaitEvent: the default stream cannot join a capture");
    }
    if (stream->capture != nullptr && stream->capture != event->capture) {
        return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                          "cuStreamWaitEvent: the event belongs to another capture");
    }
    stream->capture = event->capture;
    for (auto [other, nodes] : event->progress) {
        stream->progress[other] = std::max(stream->progress[other], nodes);
    }
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuEventCreate(CUevent* event, unsigned) {
    Call call("cuEventCreate");
    if (call.status == CUDA_SUCCESS) {
        *event = new CUevent_st();
        call.driver.events.insert(*event);
    }
    return call.status;
}

CUDA_EXPORT CUresult cuEventDestroy_v2(CUevent event) {
    Call call("cuEventDestroy");
    CUresult status = check(call, call.driver.events, event, "an event");
    if (status == CUDA_SUCCESS) {
        call.driver.events.erase(event);
        delete event;
    }
    return status;
}

CUDA_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    Call call("cuEventRecord");
    CUresult status = check(call, call.driver.events, event, "an event");
    if (status == CUDA_SUCCESS) {
        status = check_stream(call, stream);
    }
    if (status == CUDA_SUCCESS) {
        event->capture = stream == nullptr ? nullptr : stream->capture;
        event->progress = stream == nullptr ? Progress() : stream->progress;
        event->time = now_ms();
    }
    return status;
}

CUDA_EXPORT CUresult cuEventSynchronize(CUevent event) {
    return check_happens(Call("cuEventSynchronize"), event);
}

CUDA_EXPORT CUresult cuEventQuery(CUevent event) { return check_happens(Call("cuEventQuery"), event); }

CUDA_EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    Call call("cuEventElapsedTime");
    CUresult status = check(call, call.driver.events, start, "an event");
    if (status == CUDA_SUCCESS) {
        status = check(call, call.driver.events, end, "an event");
    }
    if (status == CUDA_SUCCESS && (start->time < 0 || end->time < 0)) {
        return fail(CUDA_ERROR_INVALID_HANDLE, "cuEventElapsedTime: an event was not recorded");
    }
    if (status == CUDA_SUCCESS) {
        *milliseconds = static_cast<float>(end->time - start->time);
    }
    return status;
}

CUDA_EXPORT CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime(milliseconds, start, end);
}

CUDA_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    Call call("cuStreamBeginCapture");
    if (stream == nullptr) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: the default stream cannot be captured");
    }
    CUresult status = check_not_capturing(call, stream);
    if (status == CUDA_SUCCESS) {
        stream->capture = std::make_shared<Capture>(Capture{static_cast<CUstreamCaptureMode>(mode), std::this_thread::get_id(), {}});
        stream->origin = true;
    }
    return status;
}

CUDA_EXPORT CUresult cuStreamIsCapturing(CUstream stream, int* status) {
    Call call("cuStreamIsCapturing");
    CUresult known = check_stream(call, stream);
    bool capturing = known == CUDA_SUCCESS && stream != nullptr && stream->capture != nullptr;
    *status = !capturing ? CU_STREAM_CAPTURE_STATUS_NONE
        : stream->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return known;
}

CUDA_EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    Call call("cuStreamEndCapture");
    CUresult status = check(call, call.driver.streams, stream, "a stream");
    if (status != CUDA_SUCCESS) {
        return status;
    }
    if (!stream->origin) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "cuStreamEndCapture: no capture began in this stream");
    }
    auto captured = stream->capture;
    if (captured->mode != CU_STREAM_CAPTURE_MODE_RELAXED && captured->thread != std::this_thread::get_id()) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "cuStreamEndCapture: the capture began in another thread");
    }
    bool joined = true;
    Progress progress = stream->progress;
    for (CUstream other : call.driver.streams) {
        if (other->capture == captured) {
            joined = joined && progress[other] == other->progress[other];
            other->capture = nullptr;
            other->progress.clear();
        }
    }
    for (CUevent event : call.driver.events) {
        if (event->capture == captured) {
            event->capture = nullptr;
        }
    }
    stream->origin = false;
    *graph = nullptr;
    if (captured->invalid) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "cuStreamEndCapture: a call that is not allowed during capture has ended it");
    }
    if (!joined) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "cuStreamEndCapture: work of another stream was not joined to this one");
    }
    *graph = new CUgraph_st{std::move(captured->nodes)};
    call.driver.graphs.insert(*graph);
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
    Call call("cuGraphInstantiate");
    CUresult status = check(call, call.driver.graphs, graph, "a graph");
    if (status == CUDA_SUCCESS) {
        *executable = new CUgraphExec_st{std::make_shared<const Nodes>(graph->nodes)};
        call.driver.executables.insert(*executable);
    }
    return status;
}

CUDA_EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    Call call("cuGraphLaunch");
    CUresult status = check(call, call.driver.executables, executable, "an executable graph");
    return status != CUDA_SUCCESS ? status : submit(call, stream, [nodes = executable->nodes] {
        for (const auto& node : *nodes) {
            CUresult result = node();
            if (result != CUDA_SUCCESS) {
                return result;
            }
        }
        return CUDA_SUCCESS;
    });
}

CUDA_EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable) {
    Call call("cuGraphExecDestroy");
    CUresult status = check(call, call.driver.executables, executable, "an executable graph");
    if (status == CUDA_SUCCESS) {
        call.driver.executables.erase(executable);
        delete executable;
    }
    return status;
}

CUDA_EXPORT CUresult cuGraphDestroy(CUgraph graph) {
    Call call("cuGraphDestroy");
    CUresult status = check(call, call.driver.graphs, graph, "a graph");
    if (status == CUDA_SUCCESS) {
        call.driver.graphs.erase(graph);
        delete graph;
    }
    return status;
}
