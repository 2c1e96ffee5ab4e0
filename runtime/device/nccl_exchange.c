// Communicators of a program's ranks, and what goes through them; see nccl_exchange.h.
#include "runtime/device/nccl_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/comm/traffic.h"

// Who is in a communicator with whom, and what for. One each: operations of one wait for each other.
typedef enum Circle {
  CIRCLE_NUMBERS,  // all: the small collectives, in the compute stream
  CIRCLE_NORM,     // ranks that normalise together
  CIRCLE_GATHER,   // ranks that have one copy of the parameters
  CIRCLE_REFRESH,  // ranks that keep the same parts
  CIRCLE_REDUCE,   // all
  CIRCLE_COUNT
} Circle;

// Ranks first, first + stride, ...; this one is number `own` of them. `ranks` 1: there is no communicator.
typedef struct Members {
  int first, stride, ranks, own;
} Members;

// Of a tensor's parts: so many bytes of each rank's, which lies `pitch` behind the one before. `at`: in the room that a
// rank's have in the bounce buffer.
typedef struct Piece {
  SeerAddress place;
  uint64_t pitch, bytes, at;
} Piece;

struct SeerNcclExchange {
  const SeerNccl *nccl;
  SeerExchangeConfig config;
  int rank, ranks;
  Members members[CIRCLE_COUNT];
  SeerNcclComm *comms[CIRCLE_COUNT];
  SeerDeviceStream *gathers, *reductions;
  SeerDeviceEvent *reached;                   // by `compute`, where what follows may begin
  SeerDeviceEvent **arrived[SEER_WAY_COUNT];  // by unit, which `compute` waits for
  Piece *pieces;                              // as many as the largest unit has tensors
  uint64_t room;                              // of a rank in the bounce buffer
};

// ---- making ----

static Members members_of(const SeerProgram *program, Circle circle, int rank) {
  int ranks = program->ranks, norm = program->norm_ranks, group = program->group > 0 ? program->group : 1;
  bool has_units = program->unit_count > 0;
  switch (circle) {
    case CIRCLE_NORM:
      if (norm > 1 && norm < ranks) return (Members){rank / norm * norm, 1, norm, rank % norm};
      break;
    case CIRCLE_GATHER:
      if (has_units && group > 1) return (Members){rank / group * group, 1, group, rank % group};
      break;
    case CIRCLE_REFRESH:
      if (has_units && group < ranks) return (Members){rank % group, group, ranks / group, rank / group};
      break;
    case CIRCLE_REDUCE:
      if (has_units) return (Members){0, 1, ranks, rank};
      break;
    case CIRCLE_NUMBERS:
    case CIRCLE_COUNT: return (Members){0, 1, ranks, rank};
  }
  return (Members){rank, 1, 1, 0};
}

static SeerStatus events_make(SeerNcclExchange *exchange) {
  SeerDevice *device = exchange->config.device;
  int units = exchange->config.program->unit_count;
  SeerStatus status = seer_device_event_make(device, false, &exchange->reached);
  for (int way = 0; way < SEER_WAY_COUNT && !status; way++) {
    exchange->arrived[way] = calloc((size_t)units + 1, sizeof *exchange->arrived[way]);
    if (!exchange->arrived[way]) return seer_fail(SEER_MACHINE, "out of memory");
    for (int unit = 0; unit < units && !status; unit++)
      status = seer_device_event_make(device, false, &exchange->arrived[way][unit]);
  }
  return status;
}

static SeerStatus parts_make(SeerNcclExchange *exchange) {
  const SeerProgram *program = exchange->config.program;
  int most = 1;
  for (int unit = 0; unit < program->unit_count; unit++) {
    if (program->units[unit].tensor_count > most) most = program->units[unit].tensor_count;
  }
  exchange->room = exchange->config.bounce_bytes / (uint64_t)exchange->ranks / SEER_ALIGNMENT * SEER_ALIGNMENT;
  if (program->unit_count && !exchange->room)
    return seer_fail(SEER_BUG, "%d ranks have no room for gradients on their way", exchange->ranks);
  exchange->pieces = calloc((size_t)most, sizeof *exchange->pieces);
  if (!exchange->pieces) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_device_stream_make(exchange->config.device, &exchange->gathers);
  if (!status) status = seer_device_stream_make(exchange->config.device, &exchange->reductions);
  return status ? status : events_make(exchange);
}

typedef struct Ids {
  SeerNcclId of[CIRCLE_COUNT];
} Ids;

// The first of a communicator's ranks names it.
static SeerStatus ids_name(const SeerNcclExchange *exchange, Ids *mine) {
  SeerStatus status = SEER_OK;
  memset(mine, 0, sizeof *mine);
  for (int circle = 0; circle < CIRCLE_COUNT && !status; circle++) {
    const Members *members = &exchange->members[circle];
    if (members->ranks > 1 && members->own == 0)
      status =
          seer_nccl_check(exchange->nccl, NULL, exchange->nccl->get_unique_id(&mine->of[circle]), "ncclGetUniqueId");
  }
  return status;
}

static SeerStatus circles_join(SeerNcclExchange *exchange, const Ids *all) {
  // NCCL takes the GPU that is the thread's.
  uint64_t free_bytes;
  SeerStatus status = seer_device_free_bytes(exchange->config.device, &free_bytes);
  seer_comm_enter(exchange->config.comm, "start of NCCL");
  for (int circle = 0; circle < CIRCLE_COUNT && !status; circle++) {
    const Members *members = &exchange->members[circle];
    if (members->ranks > 1)
      status = seer_nccl_join(exchange->nccl, &all[members->first].of[circle], members->own, members->ranks,
                              &exchange->comms[circle]);
  }
  // The others wait inside of NCCL for who has failed.
  if (status) seer_comm_give_up(exchange->config.comm);
  seer_comm_leave(exchange->config.comm);
  return status;
}

SeerStatus seer_nccl_exchange_make(const SeerNccl *nccl, const SeerExchangeConfig *config, SeerNcclExchange **made) {
  *made = NULL;
  int ranks = seer_comm_size(config->comm), rank = seer_comm_rank(config->comm);
  SeerNcclExchange *exchange = calloc(1, sizeof *exchange);
  Ids mine, *all = calloc((size_t)ranks, sizeof *all);
  SeerStatus status = exchange && all ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  if (!status) {
    *exchange = (SeerNcclExchange){.nccl = nccl, .config = *config, .rank = rank, .ranks = ranks};
    for (int circle = 0; circle < CIRCLE_COUNT; circle++)
      exchange->members[circle] = members_of(config->program, (Circle)circle, rank);
    status = parts_make(exchange);
  }
  if (!status) status = ids_name(exchange, &mine);
  status = seer_comm_agree(config->comm, status);
  if (!status) status = seer_comm_all_gather(config->comm, &mine, sizeof mine, all);
  if (!status) status = circles_join(exchange, all);
  free(all);
  if (status)
    seer_nccl_exchange_release(exchange);
  else
    *made = exchange;
  return status;
}

// Aborted, not destroyed: to destroy, ranks wait for each other, and not all come here at the same time, or at all.
static void circles_leave(SeerNcclExchange *exchange) {
  for (int circle = 0; circle < CIRCLE_COUNT; circle++) {
    if (exchange->comms[circle]) exchange->nccl->comm_abort(exchange->comms[circle]);
    exchange->comms[circle] = NULL;
  }
}

void seer_nccl_exchange_release(SeerNcclExchange *exchange) {
  if (!exchange) return;
  SeerDevice *device = exchange->config.device;
  circles_leave(exchange);
  seer_device_stream_release(device, exchange->gathers);
  seer_device_stream_release(device, exchange->reductions);
  seer_device_event_release(device, exchange->reached);
  for (int way = 0; way < SEER_WAY_COUNT; way++) {
    for (int unit = 0; exchange->arrived[way] && unit < exchange->config.program->unit_count; unit++)
      seer_device_event_release(device, exchange->arrived[way][unit]);
    free(exchange->arrived[way]);
  }
  free(exchange->pieces);
  free(exchange);
}

// ---- calls ----

// What was called and for what, for errors: "ncclSend of gradients of 'block1-0'".
typedef struct Work {
  const char *of, *unit;  // unit: NULL of none
  Circle circle;
  SeerDeviceStream *stream;
} Work;

static SeerStatus failed(SeerNcclExchange *exchange, SeerNcclComm *comm, int result, const char *what) {
  const SeerDeviceFacts *facts = seer_device_facts(exchange->config.device);
  char text[384];
  snprintf(text, sizeof text, "GPU %d '%s': %s", facts->ordinal, facts->name, what);
  SeerStatus status = seer_nccl_check(exchange->nccl, comm, result, text);
  circles_leave(exchange);
  return status;
}

static SeerStatus checked(SeerNcclExchange *exchange, const Work *work, int result, const char *symbol) {
  if (!result) return SEER_OK;
  char what[224];
  snprintf(what, sizeof what, "%s of %s%s%.96s%s", symbol, work->of, work->unit ? " of '" : "",
           work->unit ? work->unit : "", work->unit ? "'" : "");
  return failed(exchange, exchange->comms[work->circle], result, what);
}

static const void *memory_at(SeerAddress address) { return (const void *)(uintptr_t)address; }

// Calls between these go as one. It ends also after an error.
static SeerStatus group_begin(SeerNcclExchange *exchange, const Work *work) {
  return checked(exchange, work, exchange->nccl->group_start(), "ncclGroupStart");
}

static SeerStatus group_finish(SeerNcclExchange *exchange, const Work *work, SeerStatus status) {
  if (status && !exchange->comms[work->circle]) return status;  // aborted, and the group with it
  SeerStatus ended = checked(exchange, work, exchange->nccl->group_end(), "ncclGroupEnd");
  return status ? status : ended;
}

static SeerStatus all_gather(SeerNcclExchange *exchange, const Work *work, SeerAddress from, SeerAddress to,
                             uint64_t bytes) {
  int result = exchange->nccl->all_gather(memory_at(from), (void *)(uintptr_t)to, bytes, SEER_NCCL_BYTES,
                                          exchange->comms[work->circle], work->stream);
  return checked(exchange, work, result, "ncclAllGather");
}

static SeerStatus send(SeerNcclExchange *exchange, const Work *work, SeerAddress from, uint64_t bytes, int peer) {
  if (!bytes) return SEER_OK;
  int result =
      exchange->nccl->send(memory_at(from), bytes, SEER_NCCL_BYTES, peer, exchange->comms[work->circle], work->stream);
  return checked(exchange, work, result, "ncclSend");
}

static SeerStatus receive(SeerNcclExchange *exchange, const Work *work, SeerAddress to, uint64_t bytes, int peer) {
  if (!bytes) return SEER_OK;
  int result = exchange->nccl->recv((void *)(uintptr_t)to, bytes, SEER_NCCL_BYTES, peer, exchange->comms[work->circle],
                                    work->stream);
  return checked(exchange, work, result, "ncclRecv");
}

// ---- waiting ----

void seer_nccl_exchange_begin(SeerNcclExchange *exchange) {
  seer_comm_enter(exchange->config.comm, "exchange by NCCL");
}

static SeerStatus errors_look(SeerNcclExchange *exchange) {
  for (int circle = 0; circle < CIRCLE_COUNT; circle++) {
    SeerNcclComm *comm = exchange->comms[circle];
    if (!comm) continue;
    int found = 0, result = exchange->nccl->comm_get_async_error(comm, &found);
    if (result) return failed(exchange, comm, result, "ncclCommGetAsyncError");
    if (found && found != SEER_NCCL_IN_PROGRESS)
      return failed(exchange, comm, found, "what ranks send each other does not arrive");
  }
  return SEER_OK;
}

SeerStatus seer_nccl_exchange_wait(SeerNcclExchange *exchange) {
  static const struct timespec pause = {.tv_nsec = 20000};
  for (;;) {
    bool done = false;
    SeerStatus status = seer_device_stream_look(exchange->config.device, exchange->config.compute, &done);
    if (status || done) return status;
    status = errors_look(exchange);
    if (status) return status;
    nanosleep(&pause, NULL);
  }
}

// The GPU has worked in the meantime, and nobody knows for how long it has waited.
SeerStatus seer_nccl_exchange_end(SeerNcclExchange *exchange) {
  SeerStatus status = seer_nccl_exchange_wait(exchange);
  if (!status) seer_comm_leave_busy(exchange->config.comm);
  return status;
}

// ---- numbers ----

SeerStatus seer_nccl_exchange_gather(SeerNcclExchange *exchange, bool group, int64_t floats, SeerAddress mine,
                                     SeerAddress all) {
  Work work = {group ? "numbers of a group" : "numbers", NULL, group ? CIRCLE_NORM : CIRCLE_NUMBERS,
               exchange->config.compute};
  return all_gather(exchange, &work, mine, all, (uint64_t)floats * sizeof(float));
}

// A rank's share of `count` numbers.
static uint64_t share_of(int64_t count, int64_t share, int rank) {
  int64_t left = count - rank * share;
  return (uint64_t)(left < 0 ? 0 : left < share ? left : share);
}

static SeerStatus launch(SeerNcclExchange *exchange, int kernel, uint64_t count, void **arguments) {
  uint64_t threads = seer_device_block_threads(exchange->config.device, kernel);
  return seer_device_launch(exchange->config.device, exchange->config.compute, kernel,
                            (unsigned)((count + threads - 1) / threads), 1, 1, arguments);
}

// Every rank's part of this rank's share, one behind the other, `bytes` a number.
static SeerStatus shares_exchange(SeerNcclExchange *exchange, int64_t count, uint64_t bytes, SeerAddress from,
                                  SeerAddress scratch) {
  Work work = {"a gradient", NULL, CIRCLE_NUMBERS, exchange->config.compute};
  int64_t share = seer_average_share(count, exchange->ranks);
  uint64_t own = share_of(count, share, exchange->rank), pitch = own * sizeof(float);
  SeerStatus status = group_begin(exchange, &work);
  for (int rank = 0; rank < exchange->ranks && !status; rank++) {
    uint64_t at = (uint64_t)(rank * share) * bytes;
    status = send(exchange, &work, from + at, share_of(count, share, rank) * bytes, rank);
    if (!status) status = receive(exchange, &work, scratch + (uint64_t)rank * pitch, own * bytes, rank);
  }
  return group_finish(exchange, &work, status);
}

// Every rank's share of the mean lies where it belongs, and goes to all others.
static SeerStatus shares_gather(SeerNcclExchange *exchange, int64_t count, SeerAddress average) {
  Work work = {"an averaged gradient", NULL, CIRCLE_NUMBERS, exchange->config.compute};
  int64_t share = seer_average_share(count, exchange->ranks);
  uint64_t own = share_of(count, share, exchange->rank);
  SeerAddress mine = average + (uint64_t)(exchange->rank * share) * sizeof(float);
  SeerStatus status = group_begin(exchange, &work);
  for (int rank = 0; rank < exchange->ranks && !status; rank++) {
    if (rank == exchange->rank) continue;
    SeerAddress other = average + (uint64_t)(rank * share) * sizeof(float);
    status = send(exchange, &work, mine, own * sizeof(float), rank);
    if (!status) status = receive(exchange, &work, other, share_of(count, share, rank) * sizeof(float), rank);
  }
  return group_finish(exchange, &work, status);
}

static SeerStatus shares_average(SeerNcclExchange *exchange, int64_t count, SeerFormat format, SeerAddress scratch,
                                 SeerAddress average) {
  int64_t share = seer_average_share(count, exchange->ranks);
  uint64_t own = share_of(count, share, exchange->rank);
  if (!own) return SEER_OK;
  int ranks = exchange->ranks, number = (int)format;
  SeerAddress mine = average + (uint64_t)(exchange->rank * share) * sizeof(float);
  if (format == SEER_FP32)
    return launch(exchange, exchange->config.kernels.average, own, (void *[]){&scratch, &mine, &ranks, &own});
  return launch(exchange, exchange->config.kernels.average_narrow, own,
                (void *[]){&scratch, &mine, &ranks, &own, &number});
}

// Narrow numbers go out of the place of the average, which comes later.
SeerStatus seer_nccl_exchange_average(SeerNcclExchange *exchange, int64_t count, SeerFormat format, SeerAddress mine,
                                      SeerAddress scratch, SeerAddress average) {
  uint64_t numbers = (uint64_t)count, bytes = (uint64_t)seer_format_bytes(format);
  int number = (int)format;
  SeerAddress from = mine;
  SeerStatus status = SEER_OK;
  if (format != SEER_FP32) {
    from = average;
    status = launch(exchange, exchange->config.kernels.narrow, numbers, (void *[]){&mine, &average, &numbers, &number});
  }
  if (!status) status = shares_exchange(exchange, count, bytes, from, scratch);
  if (!status) status = shares_average(exchange, count, format, scratch, average);
  return status ? status : shares_gather(exchange, count, average);
}

// ---- units ----

// Part i of a group's rank stands in this rank's state, and goes to where part i of all of them is.
static SeerStatus gather(SeerNcclExchange *exchange, const SeerUnit *unit, SeerAddress whole) {
  Work work = {"parameters", unit->name, CIRCLE_GATHER, exchange->gathers};
  uint64_t group = (uint64_t)exchange->members[CIRCLE_GATHER].ranks, kept = (uint64_t)exchange->ranks / group;
  SeerStatus status = group_begin(exchange, &work);
  for (int i = 0; i < unit->tensor_count && !status; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    uint64_t bytes = tensor->part * sizeof(float);
    SeerAddress from = exchange->config.state + tensor->state_offset, to = whole + tensor->gather_offset;
    for (uint64_t part = 0; part < kept && tensor->gather_offset != UINT64_MAX && !status; part++)
      status = all_gather(exchange, &work, from + part * bytes, to + part * group * bytes, bytes);
  }
  return group_finish(exchange, &work, status);
}

static SeerStatus refresh(SeerNcclExchange *exchange, const SeerUnit *unit) {
  Work work = {"updated parameters", unit->name, CIRCLE_REFRESH, exchange->gathers};
  uint64_t own = (uint64_t)exchange->members[CIRCLE_REFRESH].own;
  SeerStatus status = group_begin(exchange, &work);
  for (int i = 0; i < unit->tensor_count && !status; i++) {
    uint64_t bytes = unit->tensors[i].part * sizeof(float);
    SeerAddress all = exchange->config.state + unit->tensors[i].state_offset;
    status = all_gather(exchange, &work, all + own * bytes, all, bytes);
  }
  return group_finish(exchange, &work, status);
}

// What lies behind a gradient's last number becomes zero; in 16 bits it was made so.
static SeerStatus pads_clear(SeerNcclExchange *exchange, const SeerUnitTensor *tensor, SeerAddress whole) {
  uint64_t pad = (tensor->part * (uint64_t)exchange->ranks - tensor->count) * sizeof(float);
  if (!pad || exchange->config.program->reduce != SEER_FP32) return SEER_OK;
  return seer_device_fill(exchange->config.device, exchange->reductions,
                          whole + tensor->reduce_offset + tensor->count * sizeof(float), 0, pad);
}

// Each rank's into its room.
static SeerStatus piece_bounce(SeerNcclExchange *exchange, const Piece *piece) {
  int kernel = exchange->config.kernels.copy_rows;
  uint64_t threads = seer_device_block_threads(exchange->config.device, kernel);
  SeerAddress from = piece->place, to = exchange->config.bounce + piece->at;
  uint64_t row = piece->bytes / sizeof(float), pitch = piece->pitch / sizeof(float);
  uint64_t room = exchange->room / sizeof(float);
  return seer_device_launch(exchange->config.device, exchange->reductions, kernel,
                            (unsigned)((row + threads - 1) / threads), (unsigned)exchange->ranks, 1,
                            (void *[]){&from, &to, &row, &pitch, &room});
}

// What goes out is brought to the bounce buffer, this rank's own with it, and what comes lands in its place.
static SeerStatus pieces_exchange(SeerNcclExchange *exchange, const Work *work, int count) {
  SeerStatus status = SEER_OK;
  if (!count) return status;
  const Piece *end = exchange->pieces + count;
  for (const Piece *piece = exchange->pieces; piece < end && !status; piece++) status = piece_bounce(exchange, piece);
  if (!status) status = group_begin(exchange, work);
  if (status) return status;
  for (int rank = 0; rank < exchange->ranks; rank++) {
    SeerAddress room = exchange->config.bounce + (uint64_t)rank * exchange->room;
    for (const Piece *piece = exchange->pieces; piece < end && rank != exchange->rank && !status; piece++) {
      status = send(exchange, work, room + piece->at, piece->bytes, rank);
      if (!status) status = receive(exchange, work, piece->place + (uint64_t)rank * piece->pitch, piece->bytes, rank);
    }
  }
  return group_finish(exchange, work, status);
}

// All ranks cut their parts, which are of one size, into the same pieces.
static SeerStatus reduce(SeerNcclExchange *exchange, const SeerUnit *unit, SeerAddress whole) {
  Work work = {"gradients", unit->name, CIRCLE_REDUCE, exchange->reductions};
  uint64_t number = (uint64_t)seer_format_bytes(exchange->config.program->reduce), used = 0;
  int count = 0;
  SeerStatus status = SEER_OK;
  for (int i = 0; i < unit->tensor_count && !status; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    if (tensor->reduce_offset == UINT64_MAX) continue;
    status = pads_clear(exchange, tensor, whole);
    uint64_t pitch = tensor->part * sizeof(float), bytes = tensor->part * number;
    for (uint64_t begin = 0; begin < bytes && !status;) {
      uint64_t left = exchange->room - used, taken = bytes - begin < left ? bytes - begin : left;
      exchange->pieces[count++] = (Piece){whole + tensor->reduce_offset + begin, pitch, taken, used};
      begin += taken;
      used += (taken + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT;
      if (used < exchange->room) continue;
      status = pieces_exchange(exchange, &work, count);
      count = 0;
      used = 0;
    }
  }
  return status ? status : pieces_exchange(exchange, &work, count);
}

SeerStatus seer_nccl_exchange_start(SeerNcclExchange *exchange, SeerContext *context, SeerWay way, int unit,
                                    SeerAddress whole) {
  SeerDevice *device = exchange->config.device;
  SeerDeviceStream *stream = way == SEER_WAY_REDUCE ? exchange->reductions : exchange->gathers;
  const SeerUnit *what = &exchange->config.program->units[unit];
  SeerStatus status = seer_device_stream_join(device, stream, exchange->config.compute, exchange->reached);
  if (status) return status;
  switch (way) {
    case SEER_WAY_GATHER: status = gather(exchange, what, whole); break;
    case SEER_WAY_REFRESH: status = refresh(exchange, what); break;
    case SEER_WAY_REDUCE:
    case SEER_WAY_COUNT: status = reduce(exchange, what, whole); break;
  }
  if (!status) seer_traffic_count(context->traffic, way, unit);
  return status ? status : seer_device_event_record(device, exchange->arrived[way][unit], stream);
}

SeerStatus seer_nccl_exchange_finish(SeerNcclExchange *exchange, SeerWay way, int unit) {
  return seer_device_stream_follow(exchange->config.device, exchange->config.compute, exchange->arrived[way][unit]);
}
