// Streams, events, captures and graphs of the simulated driver. See driver.cpp.
#include <algorithm>

#include "driver_state.h"

namespace simulated {

int enqueue(SeerDeviceStream *stream, std::function<void()> run, bool of_host, std::function<bool()> advance) {
  if (Capture *capture = stream->capture.get()) {
    if (capture->is_invalid) return STREAM_CAPTURE_INVALIDATED;
    capture->nodes.push_back(Node{std::move(run), std::move(advance), of_host, stream->lane, stream->tail});
    stream->tail = {capture->nodes.size() - 1};
  } else {
    stream->last = work_add(std::move(run), of_host, stream->lane, {stream->last}, std::move(advance));
  }
  return SUCCESS;
}

int forbidden_by_capture() {
  int result = SUCCESS;
  for (const CaptureRef &capture : state.captures) {
    if (capture->mode == CAPTURE_RELAXED) continue;
    if (capture->mode == CAPTURE_OF_THREAD && capture->thread != std::this_thread::get_id()) continue;
    capture->is_invalid = true;
    result = STREAM_CAPTURE_UNSUPPORTED;
  }
  return result;
}

}  // namespace simulated

using namespace simulated;

namespace {

void unite(std::vector<size_t> &nodes, const std::vector<size_t> &more) {
  for (size_t node : more)
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
}

void capture_end(const CaptureRef &capture) {
  for (SeerDeviceStream *stream : capture->streams) {
    stream->capture = nullptr;
    stream->tail.clear();
  }
  capture->streams.clear();
  capture->has_ended = true;
  state.captures.erase(capture);
}

bool is_joined(const Capture &capture) {
  std::vector<bool> reached(capture.nodes.size());
  std::vector<size_t> open = capture.origin->tail;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    for (size_t earlier : capture.nodes[node].after) open.push_back(earlier);
  }
  for (const SeerDeviceStream *stream : capture.streams)
    for (size_t node : stream->tail)
      if (!reached[node]) return false;
  return true;
}

}  // namespace

extern "C" {

int cuStreamCreate(SeerDeviceStream **stream, unsigned) {
  ENTER(true);
  *stream = keep(state.streams, new SeerDeviceStream{current, ++state.lanes, nullptr, nullptr, {}});
  return SUCCESS;
}

int cuStreamDestroy_v2(SeerDeviceStream *stream) {
  ENTER(true);
  if (is_live(state.streams, stream) && stream->capture) {
    const CaptureRef capture = stream->capture;
    capture->is_invalid = true;
    capture->streams.erase(stream);
    if (capture->origin == stream) capture_end(capture);
  }
  return release(state.streams, stream, __func__);
}

int cuStreamSynchronize(SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  if (stream->capture) {
    stream->capture->is_invalid = true;
    return STREAM_CAPTURE_UNSUPPORTED;
  }
  work_wait(held, stream->last);
  return SUCCESS;
}

int cuStreamQuery(SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  if (stream->capture) {
    stream->capture->is_invalid = true;
    return STREAM_CAPTURE_UNSUPPORTED;
  }
  return work_look(held, stream->last) ? SUCCESS : NOT_READY;
}

int cuStreamWaitEvent(SeerDeviceStream *stream, SeerDeviceEvent *event, unsigned) {
  ENTER(true);
  DEMAND_STREAM(stream);
  DEMAND(events, event);
  const CaptureRef own = stream->capture, other = event->capture;
  if (!own && !other) {
    stream->last = work_add(nullptr, false, stream->lane, {stream->last, event->last});
    return SUCCESS;
  }
  if (own == other || (!own && !other->has_ended)) {
    if (other->is_invalid) return STREAM_CAPTURE_INVALIDATED;
    stream->capture = other;
    other->streams.insert(stream);
    unite(stream->tail, event->nodes);
    return SUCCESS;
  }
  if (own) own->is_invalid = true;
  if (!other) return STREAM_CAPTURE_ISOLATION;
  if (other->has_ended) return CAPTURED_EVENT;
  other->is_invalid = true;
  return STREAM_CAPTURE_MERGE;
}

int cuEventCreate(SeerDeviceEvent **event, unsigned flags) {
  ENTER(true);
  *event = keep(state.events, new SeerDeviceEvent{(flags & 2) == 0, nullptr, nullptr, {}});
  return SUCCESS;
}

int cuEventDestroy_v2(SeerDeviceEvent *event) {
  ENTER(true);
  return release(state.events, event, __func__);
}

int cuEventRecord(SeerDeviceEvent *event, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND(events, event);
  DEMAND_STREAM(stream);
  event->capture = stream->capture;
  event->nodes = stream->tail;
  event->last = nullptr;
  if (!stream->capture) event->last = stream->last = work_add(nullptr, false, stream->lane, {stream->last});
  return stream->capture && stream->capture->is_invalid ? STREAM_CAPTURE_INVALIDATED : SUCCESS;
}

int cuEventSynchronize(SeerDeviceEvent *event) {
  ENTER(true);
  DEMAND(events, event);
  if (event->capture) {
    event->capture->is_invalid = true;
    return CAPTURED_EVENT;
  }
  work_wait(held, event->last);
  return SUCCESS;
}

int cuEventElapsedTime(float *milliseconds, SeerDeviceEvent *from, SeerDeviceEvent *to) {
  ENTER(true);
  DEMAND(events, from);
  DEMAND(events, to);
  if (!from->is_timed || !to->is_timed || !from->last || !to->last) return INVALID_HANDLE;
  if (!from->last->done || !to->last->done) return NOT_READY;
  *milliseconds = (float)((to->last->seconds - from->last->seconds) * 1000);
  return SUCCESS;
}

int cuStreamBeginCapture_v2(SeerDeviceStream *stream, int mode) {
  ENTER(true);
  DEMAND_STREAM(stream);
  if (stream->capture) return ILLEGAL_STATE;
  if (mode < CAPTURE_GLOBAL || mode > CAPTURE_RELAXED) return INVALID_VALUE;
  const CaptureRef capture = std::make_shared<Capture>();
  capture->origin = stream;
  capture->streams.insert(stream);
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  stream->capture = capture;
  stream->tail.clear();
  state.captures.insert(capture);
  return SUCCESS;
}

int cuStreamEndCapture(SeerDeviceStream *stream, SeerDriverGraph **graph) {
  ENTER(true);
  DEMAND_STREAM(stream);
  *graph = nullptr;
  const CaptureRef capture = stream->capture;
  if (!capture) return ILLEGAL_STATE;
  if (capture->origin != stream) {
    capture->is_invalid = true;
    return STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CAPTURE_RELAXED && capture->thread != std::this_thread::get_id())
    return STREAM_CAPTURE_WRONG_THREAD;
  const bool joined = is_joined(*capture);
  capture_end(capture);
  if (capture->is_invalid) return STREAM_CAPTURE_INVALIDATED;
  if (!joined) return STREAM_CAPTURE_UNJOINED;
  *graph = keep(state.captured, new SeerDriverGraph{std::move(capture->nodes)});
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(SeerDeviceGraph **graph, SeerDriverGraph *captured, unsigned long long) {
  ENTER(true);
  DEMAND(captured, captured);
  *graph = keep(state.graphs, new SeerDeviceGraph{captured->nodes, nullptr});
  return SUCCESS;
}

int cuGraphLaunch(SeerDeviceGraph *graph, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND(graphs, graph);
  DEMAND_STREAM(stream);
  if (stream->capture) {
    stream->capture->is_invalid = true;
    return NOT_SUPPORTED;
  }
  // One launch of a graph ends before the next one begins.
  const OperationRef start = work_add(nullptr, false, stream->lane, {stream->last, graph->last});
  std::vector<OperationRef> operations, all{start};
  for (const Node &node : graph->nodes) {
    std::vector<OperationRef> after{start};
    for (size_t earlier : node.after) after.push_back(operations[earlier]);
    operations.push_back(work_add(node.run, node.of_host, node.lane, after, node.advance));
    all.push_back(operations.back());
  }
  graph->last = stream->last = work_add(nullptr, false, stream->lane, all);
  return SUCCESS;
}

int cuGraphExecDestroy(SeerDeviceGraph *graph) {
  ENTER(true);
  return release(state.graphs, graph, __func__);
}

int cuGraphDestroy(SeerDriverGraph *captured) {
  ENTER(true);
  return release(state.captured, captured, __func__);
}

}  // extern "C"
