// Down from the GPU, through MPI, and up again; see staged.h.
#include "runtime/device/staged.h"

#include <stdlib.h>

#include "runtime/comm/comm.h"
#include "runtime/comm/traffic.h"
#include "runtime/engine.h"

// For a whole unit on its way; page-locked.
typedef struct Buffer {
  unsigned char *memory;
  SeerDeviceEvent *landed;  // what it held is on the GPU
  bool taken;
} Buffer;

typedef struct Flight {
  int buffer;
  SeerAddress whole;
} Flight;

struct SeerStaged {
  const SeerProgram *program;
  SeerDevice *device;
  SeerDeviceStream *compute, *down, *up;
  SeerDeviceEvent *reached;  // by the stream that another one is about to follow
  SeerAddress gpu_state;
  unsigned char *state;
  unsigned char *numbers;  // of collectives that are not a unit's
  uint64_t numbers_bytes;
  Flight *flights[SEER_WAY_COUNT];  // by unit
  Buffer *buffers;
  int buffer_count;
  uint64_t buffer_bytes;
};

static uint64_t offset_of(const SeerUnitTensor *tensor, SeerWay way) {
  return way == SEER_WAY_GATHER ? tensor->gather_offset : tensor->reduce_offset;
}

// Bytes of a unit's buffer; 0: none of its tensors goes that way.
static uint64_t unit_bytes(const SeerProgram *program, int unit, SeerWay way) {
  uint64_t most = 0;
  for (int i = 0; i < program->units[unit].tensor_count; i++) {
    const SeerUnitTensor *tensor = &program->units[unit].tensors[i];
    if (offset_of(tensor, way) == UINT64_MAX) continue;
    uint64_t end = offset_of(tensor, way) + tensor->part * (uint64_t)program->ranks * sizeof(float);
    if (end > most) most = end;
  }
  return most;
}

static SeerStatus staged_fill(SeerStaged *staged) {
  const SeerProgram *program = staged->program;
  for (int way = 0; way < SEER_WAY_COUNT; way++) {
    staged->flights[way] = calloc((size_t)program->unit_count + 1, sizeof(Flight));
    if (!staged->flights[way]) return seer_fail(SEER_MACHINE, "out of memory");
    for (int unit = 0; unit < program->unit_count && way != SEER_WAY_REFRESH; unit++) {
      uint64_t bytes = unit_bytes(program, unit, (SeerWay)way);
      if (bytes > staged->buffer_bytes) staged->buffer_bytes = bytes;
    }
  }
  // Only what travels is ever touched.
  SeerStatus status = seer_memory_map(program->state_bytes, "parameters on their way between ranks", &staged->state);
  if (!status) status = seer_device_stream_make(staged->device, &staged->down);
  if (!status) status = seer_device_stream_make(staged->device, &staged->up);
  if (!status) status = seer_device_event_make(staged->device, false, &staged->reached);
  return status;
}

SeerStatus seer_staged_make(const SeerProgram *program, SeerDevice *device, SeerDeviceStream *compute,
                            SeerAddress state, SeerStaged **made) {
  *made = NULL;
  SeerStaged *staged = calloc(1, sizeof *staged);
  if (!staged) return seer_fail(SEER_MACHINE, "out of memory");
  *staged = (SeerStaged){.program = program, .device = device, .compute = compute, .gpu_state = state};
  SeerStatus status = staged_fill(staged);
  if (status)
    seer_staged_release(staged);
  else
    *made = staged;
  return status;
}

void seer_staged_release(SeerStaged *staged) {
  if (!staged) return;
  seer_device_stream_release(staged->device, staged->down);
  seer_device_stream_release(staged->device, staged->up);
  seer_device_event_release(staged->device, staged->reached);
  for (int i = 0; i < staged->buffer_count; i++) {
    seer_device_event_release(staged->device, staged->buffers[i].landed);
    seer_device_host_free(staged->device, staged->buffers[i].memory);
  }
  free(staged->buffers);
  seer_device_host_free(staged->device, staged->numbers);
  seer_memory_unmap(staged->state, staged->program->state_bytes);
  for (int way = 0; way < SEER_WAY_COUNT; way++) free(staged->flights[way]);
  free(staged);
}

unsigned char *seer_staged_state(SeerStaged *staged) { return staged->state; }

// What comes to `stream` from here on begins after what was sent to `compute` before.
static SeerStatus follow_compute(SeerStaged *staged, SeerDeviceStream *stream) {
  return seer_device_stream_join(staged->device, stream, staged->compute, staged->reached);
}

SeerStatus seer_staged_begin(SeerStaged *staged) { return follow_compute(staged, staged->down); }

SeerStatus seer_staged_end(SeerStaged *staged) { return seer_device_stream_wait(staged->device, staged->up); }

// ---- numbers ----

// The compute stream has used up what the memory held before whenever it is waited for.
static SeerStatus numbers_grow(SeerStaged *staged, uint64_t bytes) {
  if (bytes <= staged->numbers_bytes) return SEER_OK;
  SeerStatus status = seer_device_stream_wait(staged->device, staged->compute);
  if (status) return status;
  void *memory = NULL;
  seer_device_host_free(staged->device, staged->numbers);
  staged->numbers = NULL;
  staged->numbers_bytes = 0;
  status = seer_device_host_alloc(staged->device, bytes, "what ranks send each other", &memory);
  if (status) return status;
  staged->numbers = memory;
  staged->numbers_bytes = bytes;
  return SEER_OK;
}

static SeerStatus numbers_fetch(SeerStaged *staged, SeerAddress from, uint64_t bytes) {
  SeerStatus status = seer_device_download(staged->device, staged->compute, staged->numbers, from, bytes);
  return status ? status : seer_device_stream_wait(staged->device, staged->compute);
}

SeerStatus seer_staged_gather(SeerStaged *staged, const SeerContext *context, bool group, int64_t floats,
                              SeerAddress mine, SeerAddress all) {
  uint64_t bytes = (uint64_t)floats * sizeof(float), ranks = (uint64_t)staged->program->ranks;
  if (group) ranks = (uint64_t)staged->program->norm_ranks;
  SeerStatus status = numbers_grow(staged, (ranks + 1) * bytes);
  if (!status) status = numbers_fetch(staged, mine, bytes);
  if (status) return status;
  unsigned char *come = staged->numbers + bytes;
  status = group ? seer_comm_group_gather(context->comm, staged->numbers, bytes, come)
                 : seer_comm_all_gather(context->comm, staged->numbers, bytes, come);
  return status ? status : seer_device_upload(staged->device, staged->compute, all, come, ranks * bytes);
}

SeerStatus seer_staged_average(SeerStaged *staged, const SeerContext *context, int64_t count, SeerFormat format,
                               SeerAddress mine, SeerAddress average) {
  uint64_t bytes = (uint64_t)count * sizeof(float);
  int64_t ranks = staged->program->ranks, scratch_floats = ranks * seer_average_share(count, ranks);
  SeerStatus status = numbers_grow(staged, 2 * bytes + (uint64_t)scratch_floats * sizeof(float));
  if (!status) status = numbers_fetch(staged, mine, bytes);
  if (status) return status;
  float *own = (float *)(void *)staged->numbers, *mean = own + count, *scratch = mean + count;
  status = seer_comm_average(context->comm, count, format, 0, own, scratch, mean);
  return status ? status : seer_device_upload(staged->device, staged->compute, average, mean, bytes);
}

// ---- units ----

static SeerStatus buffer_add(SeerStaged *staged) {
  Buffer *buffers = realloc(staged->buffers, ((size_t)staged->buffer_count + 1) * sizeof *buffers);
  if (!buffers) return seer_fail(SEER_MACHINE, "out of memory");
  staged->buffers = buffers;
  void *memory = NULL;
  SeerStatus status =
      seer_device_host_alloc(staged->device, staged->buffer_bytes, "a block's parameters between ranks", &memory);
  if (status) return status;
  Buffer *added = &buffers[staged->buffer_count++];
  *added = (Buffer){.memory = memory};
  return seer_device_event_make(staged->device, false, &added->landed);
}

// One that holds nothing any more.
static SeerStatus buffer_take(SeerStaged *staged, int *taken) {
  int found = 0;
  while (found < staged->buffer_count && staged->buffers[found].taken) found++;
  SeerStatus status = found < staged->buffer_count
                          ? seer_device_event_wait(staged->device, staged->buffers[found].landed)
                          : buffer_add(staged);
  if (status) return status;
  staged->buffers[found].taken = true;
  *taken = found;
  return SEER_OK;
}

// The parts of a unit's parameters that a way takes out of this rank's state, or brings into it (`come`).
static SeerStatus state_copy(SeerStaged *staged, SeerWay way, int unit, int shard, bool come) {
  const SeerUnit *whole = &staged->program->units[unit];
  int kept = staged->program->ranks / staged->program->group;
  SeerStatus status = SEER_OK;
  for (int i = 0; i < whole->tensor_count; i++) {
    const SeerUnitTensor *tensor = &whole->tensors[i];
    if (way == SEER_WAY_GATHER && tensor->gather_offset == UINT64_MAX) continue;
    uint64_t bytes = tensor->part * sizeof(float);
    for (int part = 0; part < kept && !status; part++) {
      bool own = part == shard;
      if (way == SEER_WAY_REFRESH && own == come) continue;
      uint64_t at = tensor->state_offset + (uint64_t)part * bytes;
      if (come)
        status = seer_device_upload(staged->device, staged->up, staged->gpu_state + at, staged->state + at, bytes);
      else
        status = seer_device_download(staged->device, staged->down, staged->state + at, staged->gpu_state + at, bytes);
    }
  }
  return status;
}

// A unit's buffer, between the GPU and this machine's memory.
static SeerStatus buffer_fetch(SeerStaged *staged, SeerWay way, int unit, const Flight *flight) {
  SeerStatus status = follow_compute(staged, staged->down);
  if (status) return status;
  return seer_device_download(staged->device, staged->down, staged->buffers[flight->buffer].memory, flight->whole,
                              unit_bytes(staged->program, unit, way));
}

static SeerStatus buffer_bring(SeerStaged *staged, SeerWay way, int unit, const Flight *flight) {
  Buffer *buffer = &staged->buffers[flight->buffer];
  SeerStatus status = seer_device_upload(staged->device, staged->up, flight->whole, buffer->memory,
                                         unit_bytes(staged->program, unit, way));
  if (!status) status = seer_device_stream_join(staged->device, staged->compute, staged->up, buffer->landed);
  buffer->taken = false;
  return status;
}

static SeerStatus state_bring(SeerStaged *staged, int unit, int shard) {
  SeerStatus status = state_copy(staged, SEER_WAY_REFRESH, unit, shard, true);
  return status ? status : seer_device_stream_join(staged->device, staged->compute, staged->up, staged->reached);
}

SeerStatus seer_staged_start(SeerStaged *staged, SeerContext *context, SeerWay way, int unit, SeerAddress whole) {
  Flight *flight = &staged->flights[way][unit];
  unsigned char *memory = NULL;
  SeerStatus status = SEER_OK;
  if (way != SEER_WAY_REFRESH) {
    status = buffer_take(staged, &flight->buffer);
    if (status) return status;
    flight->whole = whole;
    memory = staged->buffers[flight->buffer].memory;
  }
  // Parameters are older than the entry, what else travels is not.
  if (way == SEER_WAY_REFRESH) status = follow_compute(staged, staged->down);
  if (!status)
    status = way == SEER_WAY_REDUCE ? buffer_fetch(staged, way, unit, flight)
                                    : state_copy(staged, way, unit, context->shard, false);
  if (!status) status = seer_device_stream_wait(staged->device, staged->down);
  if (!status) status = seer_traffic_start(context->traffic, way, unit, memory);
  // From here on the place of what comes is free.
  return status ? status : follow_compute(staged, staged->up);
}

SeerStatus seer_staged_finish(SeerStaged *staged, SeerContext *context, SeerWay way, int unit) {
  SeerStatus status = seer_traffic_finish(context->traffic, way, unit);
  if (status) return status;
  if (way == SEER_WAY_REFRESH) return state_bring(staged, unit, context->shard);
  return buffer_bring(staged, way, unit, &staged->flights[way][unit]);
}
