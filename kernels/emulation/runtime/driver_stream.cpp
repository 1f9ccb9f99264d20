// Streams, events and graphs. Work is done when it is submitted, so a stream never has anything to wait for; what is checked is that
// the calls are allowed, above all during capture.
#include "driver.h"

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
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, format("%s: the stream is capturing", call.name));
    }
    return status;
}

} // namespace

CUDA_EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned) {
    Call call("cuStreamCreate");
    if (call.status == CUDA_SUCCESS) {
        *stream = new CUstream_st();
        call.driver.streams.insert(*stream);
    }
    return call.status;
}

CUDA_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
    Call call("cuStreamDestroy");
    CUresult status = check(call, call.driver.streams, stream, "a stream");
    if (status == CUDA_SUCCESS) {
        if (stream->origin) {
            call.driver.captures--;
        }
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
    if (stream->capture == nullptr) {
        stream->capture = event->capture;
        stream->capture->streams++;
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
        event->time = now_ms();
    }
    return status;
}

CUDA_EXPORT CUresult cuEventSynchronize(CUevent event) {
    Call call("cuEventSynchronize");
    CUresult status = check(call, call.driver.events, event, "an event");
    if (status == CUDA_SUCCESS && event->capture != nullptr) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuEventSynchronize: the event was recorded in a capturing stream");
    }
    return status;
}

CUDA_EXPORT CUresult cuEventQuery(CUevent event) {
    Call call("cuEventQuery");
    return check(call, call.driver.events, event, "an event");
}

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

CUDA_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int) {
    Call call("cuStreamBeginCapture");
    if (stream == nullptr) {
        return fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: the default stream cannot be captured");
    }
    CUresult status = check_not_capturing(call, stream);
    if (status == CUDA_SUCCESS) {
        stream->capture = std::make_shared<CUgraph_st>();
        stream->origin = true;
        call.driver.captures++;
    }
    return status;
}

CUDA_EXPORT CUresult cuStreamIsCapturing(CUstream stream, int* status) {
    Call call("cuStreamIsCapturing");
    *status = stream != nullptr && stream->capture != nullptr ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return check_stream(call, stream);
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
    *graph = new CUgraph_st(*stream->capture);
    call.driver.graphs.insert(*graph);
    auto captured = stream->capture;
    for (CUstream other : call.driver.streams) {
        if (other->capture == captured) {
            other->capture = nullptr;
        }
    }
    for (CUevent event : call.driver.events) {
        if (event->capture == captured) {
            event->capture = nullptr;
        }
    }
    stream->origin = false;
    call.driver.captures--;
    return CUDA_SUCCESS;
}

CUDA_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
    Call call("cuGraphInstantiate");
    CUresult status = check(call, call.driver.graphs, graph, "a graph");
    if (status == CUDA_SUCCESS) {
        *executable = new CUgraphExec_st{graph->nodes};
        call.driver.executables.insert(*executable);
    }
    return status;
}

CUDA_EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    Call call("cuGraphLaunch");
    CUresult status = check(call, call.driver.executables, executable, "an executable graph");
    return status != CUDA_SUCCESS ? status : submit(call, stream, [nodes = &executable->nodes] {
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
