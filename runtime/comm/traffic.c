// Units on their way; see traffic.h. Where a rank's part of each tensor lies is told to MPI as types, made once: one
// for each unit and rank, and way.
#include "runtime/comm/traffic.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/mpi.h"

// MPI holds on to the arrays until an exchange is over.
typedef struct UnitTypes {
  void *mine[SEER_WAY_COUNT];                                   // what this rank sends out of the state
  void **parts[SEER_WAY_COUNT];                                 // [ranks]: each rank's parts where they land
  unsigned char *sending[SEER_WAY_COUNT], *landing[SEER_WAY_COUNT];  // [ranks] handles, as MPI wants them
} UnitTypes;

typedef struct Flight {
  void *request;
  bool active;
} Flight;

struct SeerTraffic {
  SeerComm *comm;
  const SeerMpi *mpi;
  const SeerProgram *program;
  unsigned char *state;
  int rank, ranks, group, groups;
  UnitTypes *types;            // by unit
  Flight *flights[SEER_WAY_COUNT];  // by unit
  int active;
  int *peers[SEER_WAY_COUNT], peer_count[SEER_WAY_COUNT];  // [ranks]: messages to each
  int *zeros;                                    // [ranks]: offsets
  int *lengths;                                  // [parts of a rank in the largest unit]
  intptr_t *begins;
  uint64_t sent_bytes;
};

static const char *way_name(SeerWay way) {
  static const char *const names[] = {"gather of parameters", "exchange of updated parameters",
                                      "exchange of gradients"};
  return names[way];
}

// Whether two ranks have anything to tell each other.
static bool are_peers(const SeerTraffic *traffic, SeerWay way, int rank) {
  if (rank == traffic->rank) return false;
  if (way == SEER_WAY_GATHER) return rank / traffic->group == traffic->rank / traffic->group;
  return way == SEER_WAY_REDUCE || rank % traffic->group == traffic->rank % traffic->group;
}

static uint64_t offset_of(const SeerUnitTensor *tensor, SeerWay way) {
  return way == SEER_WAY_GATHER    ? tensor->gather_offset
         : way == SEER_WAY_REFRESH ? tensor->state_offset
                                   : tensor->reduce_offset;
}

static SeerStatus type_make(SeerTraffic *traffic, int count, const char *unit, void **type) {
  const SeerMpi *mpi = traffic->mpi;
  if (mpi->type_create_hindexed(count, traffic->lengths, traffic->begins, mpi->byte, type) != 0 ||
      mpi->type_commit(type) != 0)
    return seer_fail(SEER_MACHINE, "MPI cannot describe the parts of '%s'", unit);
  return SEER_OK;
}

// Bytes from the beginning of a tensor's place to the `index`-th part that a rank sends or receives on a way.
static uint64_t part_begin(const SeerTraffic *traffic, const SeerUnitTensor *tensor, SeerWay way, int rank, int index) {
  uint64_t bytes = tensor->part * sizeof(float), group = (uint64_t)traffic->group;
  switch (way) {
    case SEER_WAY_GATHER: return ((uint64_t)index * group + (uint64_t)rank % group) * bytes;
    case SEER_WAY_REFRESH: return (uint64_t)rank / group * bytes;
    case SEER_WAY_REDUCE:
    case SEER_WAY_COUNT: break;
  }
  return (uint64_t)rank * bytes;
}

// Bytes of a part as it travels.
static uint64_t part_bytes(const SeerTraffic *traffic, const SeerUnitTensor *tensor, SeerWay way) {
  return tensor->part * (uint64_t)(way == SEER_WAY_REDUCE ? seer_format_bytes(traffic->program->reduce) : 4);
}

static SeerStatus parts_describe(SeerTraffic *traffic, const SeerUnit *unit, SeerWay way, int rank, void **type) {
  int count = 0, parts = way == SEER_WAY_GATHER ? traffic->groups : 1;
  for (int i = 0; i < unit->tensor_count; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    if (offset_of(tensor, way) == UINT64_MAX) continue;
    for (int part = 0; part < parts; part++) {
      traffic->lengths[count] = (int)part_bytes(traffic, tensor, way);
      traffic->begins[count++] =
          (intptr_t)(offset_of(tensor, way) + part_begin(traffic, tensor, way, rank, part));
    }
  }
  return type_make(traffic, count, unit->name, type);
}

// Open MPI takes equal addresses of what is sent and received for MPI_IN_PLACE: what is sent is told from so many bytes
// into the state.
enum { STATE_BASE = 64 };

// All parts that this rank keeps, or the one it has updated.
static SeerStatus mine_describe(SeerTraffic *traffic, const SeerUnit *unit, SeerWay way, void **type) {
  for (int i = 0; i < unit->tensor_count; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    uint64_t parts = way == SEER_WAY_GATHER ? (uint64_t)traffic->groups : 1;
    uint64_t skipped = way == SEER_WAY_GATHER ? 0 : part_begin(traffic, tensor, way, traffic->rank, 0);
    traffic->lengths[i] = (int)(tensor->part * parts * sizeof(float));
    traffic->begins[i] = (intptr_t)(tensor->state_offset + skipped) - STATE_BASE;
  }
  return type_make(traffic, unit->tensor_count, unit->name, type);
}

// Handles are numbers of 4 bytes in MPICH, in memory as in the low end of a word.
static void handle_put(const SeerTraffic *traffic, unsigned char *handles, int index, void *handle) {
  memcpy(handles + (size_t)index * traffic->mpi->handle_bytes, &handle, traffic->mpi->handle_bytes);
}

// Who is no peer gets no message, but MPI wants a type for it.
static SeerStatus way_describe(SeerTraffic *traffic, const SeerUnit *unit, SeerWay way, UnitTypes *types) {
  size_t ranks = (size_t)traffic->ranks;
  types->parts[way] = calloc(ranks, sizeof(void *));
  types->sending[way] = calloc(ranks, sizeof(void *));
  types->landing[way] = calloc(ranks, sizeof(void *));
  if (!types->parts[way] || !types->sending[way] || !types->landing[way])
    return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = mine_describe(traffic, unit, way, &types->mine[way]);
  for (int rank = 0; rank < traffic->ranks && !status; rank++) {
    bool peers = are_peers(traffic, way, rank);
    if (peers) status = parts_describe(traffic, unit, way, rank, &types->parts[way][rank]);
    void *landing = peers ? types->parts[way][rank] : types->mine[way];
    handle_put(traffic, types->landing[way], rank, landing);
    handle_put(traffic, types->sending[way], rank, way == SEER_WAY_REDUCE ? landing : types->mine[way]);
  }
  return status;
}

static SeerStatus unit_describe(SeerTraffic *traffic, int index) {
  const SeerUnit *unit = &traffic->program->units[index];
  SeerStatus status = SEER_OK;
  for (int way = 0; way < SEER_WAY_COUNT && !status; way++) {
    if (traffic->peer_count[way]) status = way_describe(traffic, unit, (SeerWay)way, &traffic->types[index]);
  }
  return status;
}

static void peers_find(SeerTraffic *traffic, SeerWay way) {
  for (int rank = 0; rank < traffic->ranks; rank++) {
    traffic->peers[way][rank] = are_peers(traffic, way, rank);
    traffic->peer_count[way] += traffic->peers[way][rank];
  }
}

static SeerStatus scratch_make(SeerTraffic *traffic) {
  const SeerProgram *program = traffic->program;
  size_t ranks = (size_t)traffic->ranks, units = (size_t)program->unit_count, most = 1;
  for (int u = 0; u < program->unit_count; u++) {
    if ((size_t)program->units[u].tensor_count > most) most = (size_t)program->units[u].tensor_count;
    for (int i = 0; i < program->units[u].tensor_count; i++) {
      if (program->units[u].tensors[i].part > INT_MAX / sizeof(float) / (uint64_t)traffic->groups)
        return seer_fail(SEER_MACHINE, "a part of '%s' is too long to be sent at once", program->units[u].name);
    }
  }
  traffic->types = calloc(units, sizeof *traffic->types);
  traffic->zeros = calloc(ranks, sizeof *traffic->zeros);
  most *= (size_t)traffic->groups;
  traffic->lengths = calloc(most, sizeof *traffic->lengths);
  traffic->begins = calloc(most, sizeof *traffic->begins);
  bool made = traffic->types && traffic->zeros && traffic->lengths && traffic->begins;
  for (int way = 0; way < SEER_WAY_COUNT && made; way++) {
    traffic->flights[way] = calloc(units, sizeof(Flight));
    traffic->peers[way] = calloc(ranks, sizeof *traffic->peers[way]);
    made = traffic->flights[way] && traffic->peers[way];
    if (made) peers_find(traffic, (SeerWay)way);
  }
  return made ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
}

SeerStatus seer_traffic_make(SeerComm *comm, const SeerProgram *program, unsigned char *state, SeerTraffic **made) {
  *made = NULL;
  if (!comm || program->unit_count == 0) return SEER_OK;
  SeerTraffic *traffic = calloc(1, sizeof *traffic);
  if (!traffic) return seer_fail(SEER_MACHINE, "out of memory");
  *traffic = (SeerTraffic){.comm = comm,
                           .mpi = seer_comm_mpi(comm),
                           .program = program,
                           .state = state,
                           .rank = seer_comm_rank(comm),
                           .ranks = seer_comm_size(comm),
                           .group = program->group,
                           .groups = seer_comm_size(comm) / program->group};
  *made = traffic;
  SeerStatus status = scratch_make(traffic);
  for (int unit = 0; unit < program->unit_count && !status; unit++) status = unit_describe(traffic, unit);
  return status;
}

static void type_free(const SeerTraffic *traffic, void *type) {
  if (type) traffic->mpi->type_free(&type);
}

void seer_traffic_release(SeerTraffic *traffic) {
  if (!traffic) return;
  for (int unit = 0; traffic->types && unit < traffic->program->unit_count; unit++) {
    UnitTypes *types = &traffic->types[unit];
    for (int way = 0; way < SEER_WAY_COUNT; way++) {
      type_free(traffic, types->mine[way]);
      for (int rank = 0; types->parts[way] && rank < traffic->ranks; rank++)
        type_free(traffic, types->parts[way][rank]);
      free(types->parts[way]);
      free(types->sending[way]);
      free(types->landing[way]);
    }
  }
  free(traffic->types);
  for (int way = 0; way < SEER_WAY_COUNT; way++) {
    free(traffic->flights[way]);
    free(traffic->peers[way]);
  }
  free(traffic->zeros);
  free(traffic->lengths);
  free(traffic->begins);
  free(traffic);
}

static SeerStatus exchange(SeerTraffic *traffic, int unit, SeerWay way, const void *mine, void *whole) {
  const UnitTypes *types = &traffic->types[unit];
  const int *peers = traffic->peers[way];
  Flight *flight = &traffic->flights[way][unit];
  if (traffic->mpi->ialltoallw(mine, peers, traffic->zeros, types->sending[way], whole, peers, traffic->zeros,
                               types->landing[way], traffic->mpi->world, &flight->request) != 0)
    return seer_fail(SEER_MACHINE, "rank %d cannot send its part of '%s'", traffic->rank,
                     traffic->program->units[unit].name);
  flight->active = true;
  traffic->active++;
  return SEER_OK;
}

static void count_sent(SeerTraffic *traffic, const SeerUnit *unit, SeerWay way) {
  uint64_t parts = way == SEER_WAY_GATHER ? (uint64_t)traffic->groups : 1;
  for (int i = 0; i < unit->tensor_count; i++) {
    if (offset_of(&unit->tensors[i], way) != UINT64_MAX)
      traffic->sent_bytes += parts * part_bytes(traffic, &unit->tensors[i], way) * (uint64_t)traffic->peer_count[way];
  }
}

static SeerStatus gather(SeerTraffic *traffic, int index, void *whole) {
  const SeerUnit *unit = &traffic->program->units[index];
  for (int i = 0; i < unit->tensor_count; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    size_t bytes = tensor->part * sizeof(float);
    unsigned char *all = (unsigned char *)whole + tensor->gather_offset;
    for (int part = 0; part < traffic->groups; part++)
      memcpy(all + part_begin(traffic, tensor, SEER_WAY_GATHER, traffic->rank, part),
             traffic->state + tensor->state_offset + (size_t)part * bytes, bytes);
  }
  count_sent(traffic, unit, SEER_WAY_GATHER);
  return exchange(traffic, index, SEER_WAY_GATHER, traffic->state + STATE_BASE, whole);
}

static SeerStatus refresh(SeerTraffic *traffic, int index) {
  count_sent(traffic, &traffic->program->units[index], SEER_WAY_REFRESH);
  return exchange(traffic, index, SEER_WAY_REFRESH, traffic->state + STATE_BASE, traffic->state);
}

// Every rank's part of this rank's gradients goes out, and this rank's part of every other's lands in its place.
static SeerStatus reduce(SeerTraffic *traffic, int index, void *whole) {
  const SeerUnit *unit = &traffic->program->units[index];
  bool narrow = traffic->program->reduce != SEER_FP32;  // then zeros were put there when it was narrowed
  for (int i = 0; i < unit->tensor_count && !narrow; i++) {
    const SeerUnitTensor *tensor = &unit->tensors[i];
    if (tensor->reduce_offset == UINT64_MAX) continue;
    float *values = (float *)(void *)((unsigned char *)whole + tensor->reduce_offset);
    memset(values + tensor->count, 0, (tensor->part * (uint64_t)traffic->ranks - tensor->count) * sizeof *values);
  }
  count_sent(traffic, unit, SEER_WAY_REDUCE);
  return exchange(traffic, index, SEER_WAY_REDUCE, traffic->mpi->in_place, whole);
}

SeerStatus seer_traffic_start(SeerTraffic *traffic, SeerWay way, int unit, void *whole) {
  switch (way) {
    case SEER_WAY_GATHER: return gather(traffic, unit, whole);
    case SEER_WAY_REFRESH: return refresh(traffic, unit);
    case SEER_WAY_REDUCE: return reduce(traffic, unit, whole);
    case SEER_WAY_COUNT: break;
  }
  return seer_fail(SEER_BUG, "parameters go no way %d", (int)way);
}

SeerStatus seer_traffic_finish(SeerTraffic *traffic, SeerWay way, int unit) {
  Flight *flight = &traffic->flights[way][unit];
  if (!flight->active) return SEER_OK;
  flight->active = false;
  traffic->active--;
  seer_comm_enter(traffic->comm, way_name(way));
  bool failed = flight->request && traffic->mpi->wait(&flight->request, traffic->mpi->status_ignore) != 0;
  seer_comm_leave(traffic->comm);
  if (failed)
    return seer_fail(SEER_MACHINE, "rank %d waited for '%s' in vain", traffic->rank,
                     traffic->program->units[unit].name);
  return SEER_OK;
}

void seer_traffic_progress(SeerTraffic *traffic) {
  if (!traffic || !traffic->active) return;
  for (int way = 0; way < SEER_WAY_COUNT; way++) {
    for (int unit = 0; unit < traffic->program->unit_count; unit++) {
      Flight *flight = &traffic->flights[way][unit];
      int done = 0;
      // An error shows again in the wait.
      if (flight->active) traffic->mpi->test(&flight->request, &done, traffic->mpi->status_ignore);
    }
  }
}

void seer_traffic_count(SeerTraffic *traffic, SeerWay way, int unit) {
  count_sent(traffic, &traffic->program->units[unit], way);
}

void seer_traffic_add_sent(SeerTraffic *traffic, uint64_t bytes) {
  if (traffic) traffic->sent_bytes += bytes;
}

uint64_t seer_traffic_sent_bytes(const SeerTraffic *traffic) { return traffic ? traffic->sent_bytes : 0; }
