// A GPU as the runtime's accelerator. It takes memory once, as much as the plan says: for the state, the arena behind
// it, and the inputs of a micro-step.
//
// An entry is captured the first time it runs and launched as one graph from then on; where each launch is to be timed
// or looked at, it is sent launch by launch, and once where it calls libraries: what they load when they are first
// called cannot be loaded in a capture.
#include "runtime/device/gpu.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/carried.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/traffic.h"
#include "runtime/device/exchange.h"
#include "runtime/device/inputs.h"
#include "runtime/device/launch.h"
#include "runtime/device/offload.h"
#include "runtime/engine.h"
#include "runtime/finite.h"
#include "runtime/gradient.h"
#include "runtime/profile.h"

enum { ENTRIES = 3 };

typedef struct CapturedEntry {
  SeerEntry *entry;
  SeerDeviceGraph *graph;  // NULL: it was sent launch by launch, once
  uint64_t sent_bytes;     // of units, to other ranks
} CapturedEntry;

struct SeerAccelerator {
  const SeerProgram *program;
  SeerDevice *device;
  SeerDeviceStream *stream;
  SeerDeviceEvent *began, *ended;          // of a launch that is timed
  SeerDeviceEvent *run_began, *run_ended;  // of a run; NULL: nobody has asked
  double run_seconds;                      // of all runs since
  SeerAddress state, arena, inputs;        // of one block, which begins with the state
  SeerInputs places;
  SeerExchange *exchange;    // of several ranks; NULL: not yet joined
  SeerOffload *offload;      // NULL: nothing is offloaded
  SeerLibraries *libraries;  // NULL: none is called
  CapturedEntry captured[ENTRIES];
  unsigned char *resident;  // the state in this machine's memory that the GPU has; NULL: none
  bool is_newer;            // the GPU's, since the last run
};

static void gpu_close(SeerAccelerator *gpu) {
  if (!gpu) return;
  seer_offload_release(gpu->offload);
  for (int i = 0; i < ENTRIES && gpu->device; i++) seer_device_graph_release(gpu->device, gpu->captured[i].graph);
  seer_libraries_close(gpu->libraries);
  seer_exchange_release(gpu->exchange);
  if (gpu->device) {
    seer_device_event_release(gpu->device, gpu->began);
    seer_device_event_release(gpu->device, gpu->ended);
    seer_device_event_release(gpu->device, gpu->run_began);
    seer_device_event_release(gpu->device, gpu->run_ended);
    seer_device_stream_release(gpu->device, gpu->stream);
    seer_device_free(gpu->device, gpu->state);
  }
  seer_device_close(gpu->device);
  free(gpu);
}

static SeerStatus memory_check(const SeerProgram *program, SeerDevice *device, uint64_t *free_bytes_there) {
  uint64_t needed = seer_program_bytes(program), free_bytes = 0;
  SeerStatus status = seer_device_free_bytes(device, &free_bytes);
  *free_bytes_there = free_bytes;
  if (status || needed <= free_bytes) return status;
  const SeerDeviceFacts *facts = seer_device_facts(device);
  return seer_fail(SEER_MACHINE,
                   "GPU %d '%s' has %.1f MiB free and the plan needs %.1f MiB: %.1f of state, %.1f of arena, %.1f of "
                   "pictures\nnote: stop other programs on it, or build with a smaller checkpoint.budget, a smaller "
                   "train.batch or a larger train.accumulate",
                   facts->ordinal, facts->name, (double)free_bytes / 1048576, (double)needed / 1048576,
                   (double)program->state_bytes / 1048576, (double)program->arena_bytes / 1048576,
                   (double)program->input_bytes / 1048576);
}

// Ranks of one host take its GPUs in turn; who sees one alone takes that.
static SeerStatus device_choose(const SeerComm *comm, SeerDevice **device) {
  int count = 0;
  SeerStatus status = seer_device_count(&count);
  return status ? status : seer_device_open(&seer_gpu_kernels, seer_comm_local_rank(comm) % count, device);
}

static SeerStatus gpu_look(const SeerProgram *program, const SeerComm *comm, char *text, size_t bytes) {
  SeerDevice *device = NULL;
  uint64_t free_bytes = 0;
  SeerLibraries *libraries = NULL;
  SeerStatus status = device_choose(comm, &device);
  if (!status) status = memory_check(program, device, &free_bytes);
  if (!status) status = seer_libraries_open(&seer_gpu_calls, device, &libraries);
  if (!status)
    snprintf(text, bytes, "%s, by %s: needs %.1f MiB, %.1f MiB free%s%s", seer_device_facts(device)->name,
             seer_device_facts(device)->architecture, (double)seer_program_bytes(program) / 1048576,
             (double)free_bytes / 1048576, libraries ? "; " : "", libraries ? seer_libraries_told(libraries) : "");
  seer_libraries_close(libraries);
  seer_device_close(device);
  return seer_carried_offer(program, status);
}

static SeerStatus gpu_open(const SeerProgram *program, SeerComm *comm, SeerAccelerator **accelerator) {
  *accelerator = NULL;
  SeerInputs places = seer_inputs_place(program, program->train != NULL, program->features != NULL,
                                        program->tensor_count, program->unit_count > 0);
  if (places.size_bytes != program->input_bytes)
    return seer_fail(SEER_BUG, "the plan gives a micro-step's pictures and labels %llu bytes, and they take %llu",
                     (unsigned long long)program->input_bytes, (unsigned long long)places.size_bytes);
  SeerAccelerator *gpu = calloc(1, sizeof *gpu);
  if (!gpu) return seer_fail(SEER_MACHINE, "out of memory");
  gpu->program = program;
  gpu->places = places;
  uint64_t free_bytes = 0;
  SeerStatus status = device_choose(comm, &gpu->device);
  if (!status) status = memory_check(program, gpu->device, &free_bytes);
  if (!status) status = seer_libraries_open(&seer_gpu_calls, gpu->device, &gpu->libraries);
  if (!status) status = seer_device_stream_make(gpu->device, &gpu->stream);
  if (!status) status = seer_device_event_make(gpu->device, true, &gpu->began);
  if (!status) status = seer_device_event_make(gpu->device, true, &gpu->ended);
  uint64_t inputs = program->state_bytes + program->arena_bytes;
  if (!status)
    status =
        seer_device_alloc(gpu->device, inputs + program->input_bytes, "state, activations and pictures", &gpu->state);
  gpu->arena = gpu->state + program->state_bytes;
  gpu->inputs = gpu->state + inputs;
  if (!status && program->host_bytes)
    status = seer_offload_make(gpu->device, gpu->stream, program->host_bytes, &gpu->offload);
  if (status) {
    gpu_close(gpu);
    return seer_carried_offer(program, status);
  }
  *accelerator = gpu;
  return SEER_OK;
}

static SeerStatus gpu_join(SeerAccelerator *gpu, SeerComm *comm, const char *asked) {
  SeerStatus status = seer_exchange_read(asked);
  // One says it for all.
  if (status && seer_comm_rank(comm) > 0) seer_error_clear();
  if (status || !comm) return status;
  SeerExchangeConfig config = {.program = gpu->program,
                               .comm = comm,
                               .device = gpu->device,
                               .compute = gpu->stream,
                               .state = gpu->state,
                               .bounce = gpu->inputs + gpu->places.bounce,
                               .bounce_bytes = gpu->places.size_bytes - gpu->places.bounce,
                               .kernels = seer_gpu_exchange};
  return seer_exchange_make(&config, asked, &gpu->exchange);
}

static const char *gpu_exchange(const SeerAccelerator *gpu) {
  return gpu->exchange ? seer_exchange_told(gpu->exchange) : NULL;
}

static const char *gpu_libraries(const SeerAccelerator *gpu) {
  return gpu->libraries ? seer_libraries_told(gpu->libraries) : NULL;
}

// In the middle of an entry.
static SeerStatus stream_wait(SeerAccelerator *gpu) {
  return gpu->exchange ? seer_exchange_wait(gpu->exchange) : seer_device_stream_wait(gpu->device, gpu->stream);
}

// ---- state ----

static SeerStatus gpu_state_fetch(SeerAccelerator *gpu) {
  if (!gpu->resident || !gpu->is_newer) return SEER_OK;
  SeerStatus status =
      seer_device_download(gpu->device, gpu->stream, gpu->resident, gpu->state, gpu->program->state_bytes);
  if (!status) status = seer_device_stream_wait(gpu->device, gpu->stream);
  gpu->is_newer = status != SEER_OK;
  return status;
}

static void gpu_state_changed(SeerAccelerator *gpu) {
  gpu->resident = NULL;
  gpu->is_newer = false;
}

static SeerStatus state_bring(SeerAccelerator *gpu, unsigned char *state) {
  if (gpu->resident == state) return SEER_OK;
  SeerStatus status = gpu_state_fetch(gpu);
  if (!status) status = seer_device_upload(gpu->device, gpu->stream, gpu->state, state, gpu->program->state_bytes);
  gpu->resident = status ? NULL : state;
  return status;
}

// ---- launches ----

// Downloads what a launch has made and looks at it; for the step that failed alone.
static SeerStatus output_check(SeerContext *context, int launch) {
  SeerAccelerator *gpu = context->accelerator;
  const SeerLaunch *record = &context->program->launches[launch];
  size_t bytes = (size_t)record->count * (record->is_bf16 || record->is_f16 ? 2 : 4);
  if (!bytes || context->first_not_finite >= 0) return SEER_OK;
  void *output = malloc(bytes);
  if (!output) return seer_fail(SEER_MACHINE, "out of memory");
  SeerAddress from = (record->in_state ? gpu->state : gpu->arena) + record->offset;
  SeerStatus status = seer_device_download(gpu->device, gpu->stream, output, from, bytes);
  if (!status) status = stream_wait(gpu);
  bool finite = status || (record->is_bf16  ? seer_bf16_finite(output, record->count)
                           : record->is_f16 ? seer_f16_finite(output, record->count)
                                            : seer_floats_finite(output, record->count));
  if (!finite) context->first_not_finite = launch;
  free(output);
  return status;
}

static SeerStatus launch_time(SeerContext *context, int launch) {
  SeerAccelerator *gpu = context->accelerator;
  double seconds = 0;
  SeerStatus status = seer_device_event_record(gpu->device, gpu->ended, gpu->stream);
  if (!status) status = seer_device_event_wait(gpu->device, gpu->ended);
  if (!status) status = seer_device_event_seconds(gpu->device, gpu->began, gpu->ended, &seconds);
  if (!status) seer_profile_add(context->profile, launch, seconds);
  return status;
}

static SeerStatus launch_begin(SeerContext *context) {
  SeerAccelerator *gpu = context->accelerator;
  return context->profile ? seer_device_event_record(gpu->device, gpu->began, gpu->stream) : SEER_OK;
}

static void launch_end(SeerContext *context, int launch, SeerStatus status) {
  if (!status && context->profile) status = launch_time(context, launch);
  if (!status && context->check_finite) status = output_check(context, launch);
  seer_traffic_progress(context->traffic);
  context->network = (int)status;
}

void seer_launch_kernel(SeerContext *context, int launch, int kernel, unsigned x, unsigned y, unsigned z,
                        void **arguments) {
  SeerAccelerator *gpu = context->accelerator;
  if (context->network) return;
  SeerStatus status = launch_begin(context);
  if (!status) status = seer_device_launch(gpu->device, gpu->stream, kernel, x, y, z, arguments);
  launch_end(context, launch, status);
}

void seer_launch_library(SeerContext *context, int launch, int call, const void *const *pointers) {
  SeerAccelerator *gpu = context->accelerator;
  if (context->network) return;
  SeerStatus status = launch_begin(context);
  if (!status) {
    char label[256];
    status = seer_libraries_run(gpu->libraries, gpu->stream, call, pointers);
    seer_launch_label(&context->program->launches[launch], label, sizeof label);
    if (status) seer_context(status, "%s", label);
  }
  launch_end(context, launch, status);
}

// ---- entries ----

// The update that follows has no other word on the gradients than these flags. What cannot travel is as bad as what is
// not finite.
static SeerStatus gradients_check(SeerAccelerator *gpu) {
  const SeerProgram *program = gpu->program;
  SeerAddress found = gpu->inputs + gpu->places.found;
  uint64_t threads = seer_device_block_threads(gpu->device, seer_gpu_not_finite);
  uint64_t bytes = (uint64_t)program->tensor_count * sizeof(int32_t);
  float largest = program->ranks > 1 && program->reduce != SEER_FP32 ? seer_format_largest(program->reduce) : FLT_MAX;
  SeerStatus status = seer_device_fill(gpu->device, gpu->stream, found, 0, bytes);
  for (int i = 0; i < program->tensor_count && !status; i++, found += sizeof(int32_t)) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind != SEER_PARAMETER) continue;
    SeerGradientPlace place = seer_gradient_place(program, tensor);
    SeerAddress gradient = (place.in_state ? gpu->state : gpu->arena) + place.offset;
    uint64_t count = seer_gradient_count(tensor);
    status =
        seer_device_launch(gpu->device, gpu->stream, seer_gpu_not_finite, (unsigned)((count + threads - 1) / threads),
                           1, 1, (void *[]){&gradient, &found, &count, &largest});
  }
  return status;
}

static SeerStatus entry_send(SeerAccelerator *gpu, SeerContext *context, SeerEntry *entry) {
  entry(context);
  SeerStatus status = (SeerStatus)context->network;
  return status || entry != gpu->program->train ? status : gradients_check(gpu);
}

// The entry's own place, or a free one, or NULL.
static CapturedEntry *captured_find(SeerAccelerator *gpu, SeerEntry *entry) {
  CapturedEntry *found = NULL;
  for (int i = ENTRIES - 1; i >= 0; i--) {
    if (gpu->captured[i].entry == entry) return &gpu->captured[i];
    if (!gpu->captured[i].entry) found = &gpu->captured[i];
  }
  return found;
}

// The graph of an entry; NULL where it is to be sent launch by launch, as all are for which there is no room.
static SeerStatus entry_capture(SeerAccelerator *gpu, SeerContext *context, SeerEntry *entry, SeerDeviceGraph **graph) {
  *graph = NULL;
  CapturedEntry *own = captured_find(gpu, entry);
  if (!own) return SEER_OK;
  if (own->graph) {
    *graph = own->graph;
    seer_traffic_add_sent(context->traffic, own->sent_bytes);
    return SEER_OK;
  }
  bool is_first = !own->entry;
  own->entry = entry;
  if (is_first && gpu->libraries) return SEER_OK;
  uint64_t sent_before = seer_traffic_sent_bytes(context->traffic);
  SeerStatus status = seer_device_capture_begin(gpu->device, gpu->stream);
  if (status) return status;
  status = entry_send(gpu, context, entry);
  SeerStatus ended = seer_device_capture_end(gpu->device, gpu->stream, graph);
  if (!status) status = ended;
  if (status) {
    seer_device_graph_release(gpu->device, *graph);
    *graph = NULL;
    return status;
  }
  *own = (CapturedEntry){entry, *graph, seer_traffic_sent_bytes(context->traffic) - sent_before};
  return SEER_OK;
}

// Brings the pictures, labels and scalars of a run, and sets the context's addresses to the GPU's.
static SeerStatus inputs_bring(SeerAccelerator *gpu, SeerContext *context, SeerEntry *entry) {
  const SeerProgram *program = gpu->program;
  SeerStatus status = SEER_OK;
  bool evaluates = entry == program->features;
  int groups = evaluates ? 1 : program->views.size_group_count;
  for (int i = 0; i < groups && !status && (evaluates || entry == program->train); i++) {
    uint64_t side = (uint64_t)(evaluates ? program->evaluate_size : program->views.size_groups[i].size);
    uint64_t pictures = evaluates ? (uint64_t)program->evaluate_batch : seer_group_pictures(program, i);
    SeerAddress to = gpu->inputs + (evaluates ? 0 : gpu->places.images[i]);
    status = seer_device_upload(gpu->device, gpu->stream, to, context->images[i], pictures * side * side * 3);
    context->images[i] = (const uint8_t *)(uintptr_t)to;
  }
  if (!status && context->labels) {
    SeerAddress to = gpu->inputs + gpu->places.labels;
    uint64_t bytes = (uint64_t)seer_rank_batch(program) * sizeof(int32_t);
    if (entry == program->train) status = seer_device_upload(gpu->device, gpu->stream, to, context->labels, bytes);
    context->labels = (const int32_t *)(uintptr_t)to;
  }
  SeerAddress scalars = gpu->inputs + gpu->places.scalars;
  if (!status)
    status = seer_device_upload(gpu->device, gpu->stream, scalars, &context->scalars, sizeof context->scalars);
  context->device_scalars = (const unsigned char *)(uintptr_t)scalars;
  context->state = (unsigned char *)(uintptr_t)gpu->state;
  context->arena = (unsigned char *)(uintptr_t)gpu->arena;
  context->accelerator = gpu;
  context->offload = gpu->offload;
  return status;
}

static SeerStatus run_time(SeerAccelerator *gpu) {
  double seconds = 0;
  SeerStatus status = seer_device_event_wait(gpu->device, gpu->run_ended);
  if (!status) status = seer_device_event_seconds(gpu->device, gpu->run_began, gpu->run_ended, &seconds);
  gpu->run_seconds += seconds;
  return status;
}

static SeerStatus gpu_seconds(SeerAccelerator *gpu, double *seconds) {
  *seconds = gpu->run_seconds;
  gpu->run_seconds = 0;
  if (gpu->run_ended) return SEER_OK;
  SeerStatus status = seer_device_event_make(gpu->device, true, &gpu->run_began);
  return status ? status : seer_device_event_make(gpu->device, true, &gpu->run_ended);
}

static SeerStatus gpu_run(SeerAccelerator *gpu, SeerContext *context, SeerEntry *entry) {
  SeerContext on_gpu = *context;
  SeerStatus status = (SeerStatus)context->network;
  if (!status) status = state_bring(gpu, context->state);
  if (!status) status = inputs_bring(gpu, &on_gpu, entry);
  bool by_launch = context->profile || context->check_finite;
  if (gpu->exchange) by_launch = by_launch || !seer_exchange_is_captured(gpu->exchange);
  if (!status && gpu->exchange) status = seer_exchange_begin(gpu->exchange);
  SeerDeviceGraph *graph = NULL;
  if (!status && !by_launch) status = entry_capture(gpu, &on_gpu, entry, &graph);
  if (!status && gpu->run_ended) status = seer_device_event_record(gpu->device, gpu->run_began, gpu->stream);
  if (!status) {
    gpu->is_newer = gpu->is_newer || entry != gpu->program->features;
    status = graph ? seer_device_graph_launch(gpu->device, graph, gpu->stream) : entry_send(gpu, &on_gpu, entry);
  }
  if (!status && gpu->run_ended) status = seer_device_event_record(gpu->device, gpu->run_ended, gpu->stream);
  if (!status)
    status = gpu->exchange ? seer_exchange_end(gpu->exchange) : seer_device_stream_wait(gpu->device, gpu->stream);
  if (!status && gpu->run_ended) status = run_time(gpu);
  context->first_not_finite = on_gpu.first_not_finite;
  context->network = (int)status;
  return status;
}

static SeerStatus gpu_read(SeerAccelerator *gpu, uint64_t arena_offset, uint64_t size_bytes, void *to) {
  SeerStatus status = seer_device_download(gpu->device, gpu->stream, to, gpu->arena + arena_offset, size_bytes);
  return status ? status : seer_device_stream_wait(gpu->device, gpu->stream);
}

static SeerStatus gpu_find_not_finite(SeerAccelerator *gpu, int *tensor) {
  int count = gpu->program->tensor_count;
  int32_t *found = malloc((size_t)count * sizeof *found);
  *tensor = -1;
  if (!found) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_device_download(gpu->device, gpu->stream, found, gpu->inputs + gpu->places.found,
                                           (uint64_t)count * sizeof *found);
  if (!status) status = seer_device_stream_wait(gpu->device, gpu->stream);
  for (int i = count - 1; i >= 0 && !status; i--) {
    if (found[i]) *tensor = i;
  }
  free(found);
  return status;
}

static const char *gpu_name(const SeerAccelerator *gpu) { return seer_device_facts(gpu->device)->name; }

// ---- collectives ----

static SeerAddress address_of(const void *p) { return (SeerAddress)(uintptr_t)p; }

static SeerStatus gpu_gather(SeerContext *context, bool group, int64_t floats, const float *mine, float *all) {
  return seer_exchange_gather(context->accelerator->exchange, context, group, floats, address_of(mine),
                              address_of(all));
}

static SeerStatus gpu_average(SeerContext *context, int64_t count, SeerFormat format, const float *mine, float *scratch,
                              float *average) {
  return seer_exchange_average(context->accelerator->exchange, context, count, format, address_of(mine),
                               address_of(scratch), address_of(average));
}

static SeerStatus gpu_unit_start(SeerContext *context, SeerWay way, int unit, float *whole) {
  return seer_exchange_start(context->accelerator->exchange, context, way, unit, address_of(whole));
}

static SeerStatus gpu_unit_finish(SeerContext *context, SeerWay way, int unit) {
  return seer_exchange_finish(context->accelerator->exchange, context, way, unit);
}

static unsigned char *gpu_unit_memory(SeerAccelerator *gpu) {
  return gpu->exchange ? seer_exchange_unit_memory(gpu->exchange) : NULL;
}

const SeerAcceleratorType seer_gpu = {
    .open = gpu_open,
    .look = gpu_look,
    .join = gpu_join,
    .exchange = gpu_exchange,
    .libraries = gpu_libraries,
    .close = gpu_close,
    .run = gpu_run,
    .seconds = gpu_seconds,
    .state_fetch = gpu_state_fetch,
    .state_changed = gpu_state_changed,
    .read = gpu_read,
    .find_not_finite = gpu_find_not_finite,
    .name = gpu_name,
    .gather = gpu_gather,
    .average = gpu_average,
    .unit_start = gpu_unit_start,
    .unit_finish = gpu_unit_finish,
    .unit_memory = gpu_unit_memory,
};
