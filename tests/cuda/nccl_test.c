// What ranks exchange by NCCL, on simulated GPUs and a simulated NCCL: `nccl_test CASE MODULE`, started by mpirun on
// four ranks; MODULE has the kernels of kernels/cuda/ranks.cu. "good": all that trainers ask for, launch by launch and
// captured, with a bounce buffer that holds a fraction of a unit. Other cases do what ends the process.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/comm/traffic.h"
#include "runtime/device/nccl_exchange.h"
#include "runtime/narrow.h"
#include "tests/cuda/module_file.h"

enum { NUMBERS = 1000, NORM_FLOATS = 24, ROUNDS = 3, BOUNCE_BYTES = 1536, RANKS_MOST = 8, STATE_FLOATS = 4096 };

#define CHECK(condition)                                                                               \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      fprintf(stderr, "%s:%d: not so: %s; error: %s\n", __FILE__, __LINE__, #condition, seer_error()); \
      exit(1);                                                                                         \
    }                                                                                                  \
  } while (0)
#define GOOD(call) CHECK((call) == SEER_OK)

static SeerModule module;
static const SeerBlock blocks[] = {{256, 0}, {256, 0}, {256, 0}, {256, 0}};
static SeerArchitecture architectures[1] = {{"simulated", &module, blocks}};
static const SeerKernel kernel_list[] = {{"average_parts", "average_parts", 0},
                                         {"average_narrow_parts", "average_narrow_parts", 0},
                                         {"narrow_floats", "narrow_floats", 0},
                                         {"copy_rows", "copy_rows", 0}};
static SeerKernels kernels = {1, 1, 4, architectures, kernel_list};

static void module_load(const char *path) {
  module = module_read(path);
  CHECK(module.bytes);
}

// ---- a rank with a program of two units ----

typedef struct Rank {
  SeerProgram program;
  SeerUnit units[2];
  SeerUnitTensor tensors[3];
  int rank, ranks;
  SeerExchangeConfig config;
  const SeerNccl *nccl;
  SeerNcclExchange *exchange;
  SeerContext context;
  SeerAddress numbers, unit;  // floats: mine, of all ranks, average; a unit's buffer
} Rank;

static const uint64_t counts[3] = {700, 5, 333};

static uint64_t at_multiple(uint64_t floats) { return (floats + 15) / 16 * 16; }

// Two tensors, and one. The buffer of a reduction has them one behind the other, as that of a gather.
static void program_make(Rank *rank, int group, int norm_ranks, SeerFormat reduce) {
  uint64_t ranks = (uint64_t)rank->ranks, state = 0, buffer = 0;
  for (int i = 0; i < 3; i++) {
    SeerUnitTensor *tensor = &rank->tensors[i];
    tensor->count = counts[i];
    tensor->part = at_multiple((counts[i] + ranks - 1) / ranks);
    tensor->state_offset = state;
    if (i == 2) buffer = 0;
    tensor->reduce_offset = buffer;
    tensor->gather_offset = group > 1 ? buffer : UINT64_MAX;
    state += tensor->part * (ranks / (uint64_t)group) * sizeof(float);
    buffer += tensor->part * ranks * sizeof(float);
  }
  rank->units[0] = (SeerUnit){"first", 2, rank->tensors};
  rank->units[1] = (SeerUnit){"second", 1, rank->tensors + 2};
  rank->program = (SeerProgram){.ranks = rank->ranks,
                                .norm_ranks = norm_ranks,
                                .reduce = reduce,
                                .group = group,
                                .unit_count = 2,
                                .units = rank->units,
                                .state_bytes = state};
}

static void rank_open(Rank *rank, SeerComm *comm, int group, int norm_ranks, SeerFormat reduce) {
  *rank = (Rank){.rank = seer_comm_rank(comm), .ranks = seer_comm_size(comm)};
  program_make(rank, group, norm_ranks, reduce);
  SeerExchangeConfig *config = &rank->config;
  *config = (SeerExchangeConfig){
      .program = &rank->program, .comm = comm, .bounce_bytes = BOUNCE_BYTES, .kernels = {0, 1, 2, 3}};
  GOOD(seer_device_open(&kernels, seer_comm_local_rank(comm), &config->device));
  GOOD(seer_device_stream_make(config->device, &config->compute));
  GOOD(seer_device_alloc(config->device, STATE_FLOATS * sizeof(float), "state", &config->state));
  GOOD(seer_device_alloc(config->device, BOUNCE_BYTES, "gradients on their way", &config->bounce));
  GOOD(seer_device_alloc(config->device, STATE_FLOATS * sizeof(float), "numbers", &rank->numbers));
  GOOD(seer_device_alloc(config->device, STATE_FLOATS * sizeof(float), "a unit", &rank->unit));
  GOOD(seer_nccl_open(&rank->nccl));
  GOOD(seer_nccl_exchange_make(rank->nccl, config, &rank->exchange));
  rank->context = (SeerContext){.program = &rank->program, .comm = comm};
  // It counts what is sent.
  static unsigned char state[STATE_FLOATS * sizeof(float)];
  GOOD(seer_traffic_make(comm, &rank->program, state, &rank->context.traffic));
}

static void rank_close(Rank *rank) {
  SeerDevice *device = rank->config.device;
  seer_nccl_exchange_release(rank->exchange);
  seer_traffic_release(rank->context.traffic);
  const SeerAddress addresses[] = {rank->config.state, rank->config.bounce, rank->numbers, rank->unit};
  for (int i = 0; i < 4; i++) seer_device_free(device, addresses[i]);
  seer_device_stream_release(device, rank->config.compute);
  seer_device_close(device);
}

static void bring(Rank *rank, SeerAddress to, const float *from, uint64_t floats) {
  GOOD(seer_device_upload(rank->config.device, rank->config.compute, to, from, floats * sizeof *from));
}

static void fetch(Rank *rank, float *to, SeerAddress from, uint64_t floats) {
  GOOD(seer_device_download(rank->config.device, rank->config.compute, to, from, floats * sizeof *to));
  GOOD(seer_device_stream_wait(rank->config.device, rank->config.compute));
}

// Number `i` of a rank's, of no bits that would be the same in 16.
static float value_of(int rank, uint64_t i, int round) {
  return (float)((double)(rank + 1) * sin((double)i + 1) + round) / 3;
}

static void values_bring(Rank *rank, SeerAddress to, uint64_t floats, int round) {
  static float values[STATE_FLOATS];
  for (uint64_t i = 0; i < floats; i++) values[i] = value_of(rank->rank, i, round);
  bring(rank, to, values, floats);
}

typedef SeerStatus Send(Rank *rank);

// Sends it, the second time as a graph that is captured, and from then on launches that.
static void entry_run(Rank *rank, Send *send, int round, SeerDeviceGraph **graph) {
  SeerDevice *device = rank->config.device;
  SeerDeviceStream *stream = rank->config.compute;
  seer_nccl_exchange_begin(rank->exchange);
  if (round == 1) {
    GOOD(seer_device_capture_begin(device, stream));
    GOOD(send(rank));
    GOOD(seer_device_capture_end(device, stream, graph));
  }
  if (round == 0)
    GOOD(send(rank));
  else
    GOOD(seer_device_graph_launch(device, *graph, stream));
  GOOD(seer_nccl_exchange_end(rank->exchange));
}

// ---- cases ----

static float mean_of(const Rank *rank, uint64_t i, int round, SeerFormat format) {
  double sum = 0;
  for (int r = 0; r < rank->ranks; r++) {
    float value = value_of(r, i, round);
    sum += (double)(format == SEER_FP32 ? value : seer_widen(format, seer_narrow(format, value)));
  }
  return (float)(sum / rank->ranks);
}

static SeerFormat format_at_hand;

static SeerStatus average_send(Rank *rank) {
  SeerAddress scratch = rank->numbers + NUMBERS * sizeof(float), average = rank->unit;
  return seer_nccl_exchange_average(rank->exchange, NUMBERS, format_at_hand, rank->numbers, scratch, average);
}

static void averages_test(SeerComm *comm) {
  static float got[NUMBERS];
  const SeerFormat formats[] = {SEER_FP32, SEER_BF16, SEER_FP16};
  for (int f = 0; f < 3; f++) {
    Rank rank;
    SeerDeviceGraph *graph = NULL;
    rank_open(&rank, comm, 1, seer_comm_size(comm), SEER_FP32);
    format_at_hand = formats[f];
    for (int round = 0; round < ROUNDS; round++) {
      values_bring(&rank, rank.numbers, NUMBERS, round);
      entry_run(&rank, average_send, round, &graph);
      fetch(&rank, got, rank.unit, NUMBERS);
      for (uint64_t i = 0; i < NUMBERS; i++) CHECK(got[i] == mean_of(&rank, i, round, formats[f]));
    }
    seer_device_graph_release(rank.config.device, graph);
    rank_close(&rank);
  }
}

static SeerStatus numbers_send(Rank *rank) {
  SeerAddress all = rank->numbers + NUMBERS * sizeof(float);
  SeerStatus status = seer_nccl_exchange_gather(rank->exchange, true, NORM_FLOATS, rank->numbers, all);
  all += (uint64_t)(rank->program.norm_ranks * NORM_FLOATS) * sizeof(float);
  return status ? status : seer_nccl_exchange_gather(rank->exchange, false, NORM_FLOATS, rank->numbers, all);
}

// Of a group of two first, then of all.
static void numbers_test(SeerComm *comm) {
  static float got[RANKS_MOST * 2 * NORM_FLOATS];
  Rank rank;
  SeerDeviceGraph *graph = NULL;
  rank_open(&rank, comm, 1, 2, SEER_FP32);
  for (int round = 0; round < ROUNDS; round++) {
    values_bring(&rank, rank.numbers, NORM_FLOATS, round);
    entry_run(&rank, numbers_send, round, &graph);
    fetch(&rank, got, rank.numbers + NUMBERS * sizeof(float), (uint64_t)((rank.ranks + 2) * NORM_FLOATS));
    for (int r = 0; r < rank.ranks + 2; r++) {
      int from = r < 2 ? rank.rank / 2 * 2 + r : r - 2;
      for (uint64_t i = 0; i < NORM_FLOATS; i++) CHECK(got[(uint64_t)r * NORM_FLOATS + i] == value_of(from, i, round));
    }
  }
  seer_device_graph_release(rank.config.device, graph);
  rank_close(&rank);
}

// The number of a tensor that stands at `i` of its place in a whole buffer, and whose part that is.
static uint64_t part_at(const SeerUnitTensor *tensor, uint64_t i) { return i / tensor->part; }

// Parts of all ranks' state, as if every one kept part p as values of rank p.
static void state_bring(Rank *rank, int round) {
  static float state[STATE_FLOATS];
  int group = rank->program.group, kept = rank->ranks / group;
  for (int t = 0; t < 3; t++) {
    const SeerUnitTensor *tensor = &rank->tensors[t];
    for (int part = 0; part < kept; part++) {
      uint64_t at = tensor->state_offset / sizeof(float) + (uint64_t)part * tensor->part;
      // Of a part that another group has updated, what is here is old.
      int holder = part * group + rank->rank % group, own = part == rank->rank / group;
      for (uint64_t i = 0; i < tensor->part; i++)
        state[at + i] = own ? value_of(holder, i + (uint64_t)t, round) : (float)NAN;
    }
  }
  bring(rank, rank->config.state, state, rank->program.state_bytes / sizeof(float));
}

static SeerStatus parameters_send(Rank *rank) {
  SeerStatus status = SEER_OK;
  bool is_split = rank->program.group < rank->ranks;
  for (int unit = 0; unit < 2 && !status && is_split; unit++)
    status = seer_nccl_exchange_start(rank->exchange, &rank->context, SEER_WAY_REFRESH, unit, 0);
  for (int unit = 0; unit < 2 && !status && is_split; unit++)
    status = seer_nccl_exchange_finish(rank->exchange, SEER_WAY_REFRESH, unit);
  if (!status && rank->program.group > 1)
    status = seer_nccl_exchange_start(rank->exchange, &rank->context, SEER_WAY_GATHER, 0, rank->unit);
  if (!status && rank->program.group > 1) status = seer_nccl_exchange_finish(rank->exchange, SEER_WAY_GATHER, 0);
  return status;
}

static void state_check(Rank *rank, int round) {
  static float state[STATE_FLOATS];
  int group = rank->program.group, kept = rank->ranks / group;
  fetch(rank, state, rank->config.state, rank->program.state_bytes / sizeof(float));
  for (int t = 0; t < 3; t++) {
    const SeerUnitTensor *tensor = &rank->tensors[t];
    for (uint64_t i = 0; i < tensor->part * (uint64_t)kept; i++) {
      int holder = (int)part_at(tensor, i) * group + rank->rank % group;
      CHECK(state[tensor->state_offset / sizeof(float) + i] == value_of(holder, i % tensor->part + (uint64_t)t, round));
    }
  }
}

static void parameters_test(SeerComm *comm) {
  static float got[STATE_FLOATS];
  for (int group = 1; group <= seer_comm_size(comm); group *= 2) {
    Rank rank;
    SeerDeviceGraph *graph = NULL;
    rank_open(&rank, comm, group, seer_comm_size(comm), SEER_FP32);
    for (int round = 0; round < ROUNDS; round++) {
      state_bring(&rank, round);
      entry_run(&rank, parameters_send, round, &graph);
      state_check(&rank, round);
      fetch(&rank, got, rank.unit, STATE_FLOATS);
      for (int t = 0; t < 2 && group > 1; t++) {
        const SeerUnitTensor *tensor = &rank.tensors[t];
        const float *whole = got + tensor->gather_offset / sizeof(float);
        for (uint64_t i = 0; i < tensor->part * (uint64_t)rank.ranks; i++)
          CHECK(whole[i] == value_of((int)part_at(tensor, i), i % tensor->part + (uint64_t)t, round));
      }
    }
    seer_device_graph_release(rank.config.device, graph);
    rank_close(&rank);
  }
}

static SeerStatus gradients_send(Rank *rank) {
  SeerStatus status = seer_nccl_exchange_start(rank->exchange, &rank->context, SEER_WAY_REDUCE, 0, rank->unit);
  if (!status) status = seer_nccl_exchange_start(rank->exchange, &rank->context, SEER_WAY_REDUCE, 1, rank->numbers);
  if (!status) status = seer_nccl_exchange_finish(rank->exchange, SEER_WAY_REDUCE, 1);
  return status ? status : seer_nccl_exchange_finish(rank->exchange, SEER_WAY_REDUCE, 0);
}

// A rank's part of every rank's gradient, which lies in the place of that rank's own part.
static void gradients_check(Rank *rank, int round, const float *got, const SeerUnitTensor *tensor) {
  SeerFormat format = rank->program.reduce;
  for (int r = 0; r < rank->ranks; r++) {
    const float *part = got + tensor->reduce_offset / sizeof(float) + (uint64_t)r * tensor->part;
    for (uint64_t i = 0; i < tensor->part; i++) {
      uint64_t number = (uint64_t)rank->rank * tensor->part + i;
      uint64_t at = tensor->reduce_offset / sizeof(float) + number;
      float wanted = number < tensor->count ? value_of(r, at, round) : 0;
      if (format == SEER_FP32)
        CHECK(part[i] == wanted);
      else if (number < tensor->count)
        CHECK(((const uint16_t *)(const void *)part)[i] == seer_narrow(format, wanted));
    }
  }
}

// As narrow_parts does it.
static void gradients_narrow(const Rank *rank, float *values, const SeerUnitTensor *tensor) {
  for (int r = 0; r < rank->ranks; r++) {
    float *part = values + tensor->reduce_offset / sizeof(float) + (uint64_t)r * tensor->part;
    uint16_t *narrow = (uint16_t *)(void *)part;
    for (uint64_t i = 0; i < tensor->part; i++) narrow[i] = seer_narrow(rank->program.reduce, part[i]);
  }
}

static void gradients_bring(Rank *rank, SeerAddress to, int unit, int round) {
  static float values[STATE_FLOATS];
  for (uint64_t i = 0; i < STATE_FLOATS; i++) values[i] = value_of(rank->rank, i, round);
  for (int t = 0; t < rank->units[unit].tensor_count && rank->program.reduce != SEER_FP32; t++)
    gradients_narrow(rank, values, &rank->units[unit].tensors[t]);
  bring(rank, to, values, STATE_FLOATS);
}

static void gradients_test(SeerComm *comm) {
  static float got[STATE_FLOATS];
  const SeerFormat formats[] = {SEER_FP32, SEER_BF16};
  for (int f = 0; f < 2; f++) {
    Rank rank;
    SeerDeviceGraph *graph = NULL;
    rank_open(&rank, comm, seer_comm_size(comm), seer_comm_size(comm), formats[f]);
    for (int round = 0; round < ROUNDS; round++) {
      uint64_t before = seer_traffic_sent_bytes(rank.context.traffic);
      gradients_bring(&rank, rank.unit, 0, round);
      gradients_bring(&rank, rank.numbers, 1, round);
      entry_run(&rank, gradients_send, round, &graph);
      fetch(&rank, got, rank.unit, STATE_FLOATS);
      gradients_check(&rank, round, got, &rank.tensors[0]);
      gradients_check(&rank, round, got, &rank.tensors[1]);
      fetch(&rank, got, rank.numbers, STATE_FLOATS);
      gradients_check(&rank, round, got, &rank.tensors[2]);
      uint64_t part = rank.tensors[0].part + rank.tensors[1].part + rank.tensors[2].part;
      uint64_t sent = (uint64_t)(rank.ranks - 1) * part * (uint64_t)seer_format_bytes(formats[f]);
      CHECK(round > 1 || seer_traffic_sent_bytes(rank.context.traffic) - before == sent);
    }
    seer_device_graph_release(rank.config.device, graph);
    rank_close(&rank);
  }
}

// ---- what ends the process ----

typedef SeerStatus Fault(Rank *rank);

static SeerStatus order_fault(Rank *rank) {
  int64_t floats[] = {16, 32};
  for (int i = 0; i < 2; i++) {
    int64_t own = floats[rank->rank == 1 ? 1 - i : i];
    GOOD(seer_nccl_exchange_gather(rank->exchange, false, own, rank->numbers, rank->unit));
  }
  return SEER_OK;
}

static SeerStatus place_fault(Rank *rank) {
  return seer_nccl_exchange_gather(rank->exchange, false, 16, rank->unit + 4, rank->unit);
}

static SeerStatus bounds_fault(Rank *rank) {
  SeerAddress last = rank->unit + (STATE_FLOATS - 16) * sizeof(float);
  return seer_nccl_exchange_gather(rank->exchange, false, 16, rank->numbers, last);
}

// Of one communicator in two streams, with nothing between them.
static SeerStatus streams_fault(Rank *rank) {
  SeerNcclId mine, all[RANKS_MOST];
  SeerNcclComm *comm;
  SeerDeviceStream *streams[2];
  CHECK(rank->nccl->get_unique_id(&mine) == 0);
  GOOD(seer_comm_all_gather(rank->config.comm, &mine, sizeof mine, all));
  GOOD(seer_nccl_join(rank->nccl, all, rank->rank, rank->ranks, &comm));
  for (int i = 0; i < 2; i++) GOOD(seer_device_stream_make(rank->config.device, &streams[i]));
  for (int i = 0; i < 8; i++) {
    const void *from = (const void *)(uintptr_t)rank->numbers;
    void *to = (void *)(uintptr_t)(i % 2 ? rank->unit : rank->config.state);
    CHECK(rank->nccl->all_gather(from, to, 64, SEER_NCCL_BYTES, comm, streams[i % 2]) == 0);
  }
  GOOD(seer_device_stream_wait(rank->config.device, streams[0]));
  return seer_device_stream_wait(rank->config.device, streams[1]);
}

static void fault_run(SeerComm *comm, Fault *fault) {
  Rank rank;
  rank_open(&rank, comm, 1, seer_comm_size(comm), SEER_FP32);
  seer_nccl_exchange_begin(rank.exchange);
  SeerStatus status = fault(&rank);
  if (!status) status = seer_nccl_exchange_end(rank.exchange);
  if (status) seer_comm_give_up(comm);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  module_load(argv[2]);
  SeerComm *comm = NULL;
  GOOD(seer_comm_open("nccl_test", 20, &comm));
  CHECK(comm && seer_comm_size(comm) == 4);
  const struct {
    const char *name;
    Fault *fault;
  } faults[] = {{"order", order_fault}, {"place", place_fault}, {"bounds", bounds_fault}, {"streams", streams_fault}};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    if (strcmp(argv[1], faults[i].name) == 0) fault_run(comm, faults[i].fault);
  }
  CHECK(strcmp(argv[1], "good") == 0);
  averages_test(comm);
  numbers_test(comm);
  parameters_test(comm);
  gradients_test(comm);
  seer_comm_close(comm);
  return 0;
}
