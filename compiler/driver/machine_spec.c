// Numbers of machines: this one's guessed, another's read from its file; see machine_spec.h.
#include "compiler/driver/machine_spec.h"

#include <string.h>
#include <unistd.h>

#include "compiler/driver/rates_spec.h"
#include "compiler/passes/build_model.h"
#include "lang/files.h"
#include "lang/source_text.h"
#include "runtime/schedule.h"

// A number of the description: where it goes, and when a machine's file must have it.
typedef enum Need { NEED_NEVER, NEED_ALWAYS, NEED_RANKS, NEED_PER_NODE, NEED_NODES } Need;
typedef struct MachineNumber {
  SpecKey key;
  double *to;
  Need need;
} MachineNumber;
enum { MAX_NUMBERS = 32 };

static int numbers_of(PlanMachine *machine, Cluster *cluster, MachineNumber numbers[MAX_NUMBERS]) {
  const MachineNumber all[] = {
      {KEY_cluster_flops, &machine->flops_per_second, NEED_ALWAYS},
      {KEY_cluster_bandwidth, &machine->bytes_per_second, NEED_ALWAYS},
      {KEY_cluster_efficiency, &machine->efficiency, NEED_ALWAYS},
      {KEY_cluster_node_bandwidth, &machine->node_bytes_per_second, NEED_PER_NODE},
      {KEY_cluster_link_bandwidth, &machine->link_bytes_per_second, NEED_NODES},
      {KEY_cluster_host_bandwidth, &machine->host_bytes_per_second, NEED_NEVER},
      {KEY_cluster_latency, &machine->latency_seconds, NEED_RANKS},
      {KEY_cluster_node_latency, &machine->node_latency_seconds, NEED_PER_NODE},
      {KEY_cluster_link_latency, &machine->link_latency_seconds, NEED_NODES},
      {KEY_cluster_jitter, &cluster->spread.jitter, NEED_NEVER},
      {KEY_cluster_slow_ranks, &cluster->spread.slow_share, NEED_NEVER},
      {KEY_cluster_slow_factor, &cluster->spread.slow_factor, NEED_NEVER},
      {KEY_cluster_decode_rate, &cluster->decode_pictures_per_second, NEED_NEVER},
      {KEY_cluster_read_bandwidth, &cluster->read_bytes_per_second, NEED_NEVER},
      {KEY_cluster_write_bandwidth, &cluster->write_bytes_per_second, NEED_NEVER},
      {KEY_cluster_node_failures, &cluster->node_failure_seconds, NEED_NEVER},
      {KEY_cluster_restart, &cluster->restart_seconds, NEED_NEVER},
      {KEY_cluster_rank_power, &cluster->rank_watts, NEED_NEVER},
      {KEY_cluster_node_power, &cluster->node_watts, NEED_NEVER},
      {KEY_cluster_power_overhead, &cluster->power_overhead, NEED_NEVER},
      {KEY_cluster_price, &cluster->price, NEED_NEVER},
  };
  memcpy(numbers, all, sizeof all);
  return (int)(sizeof all / sizeof *all);
}

static void override_machine(const Spec *spec, PlanMachine *machine, Cluster *cluster) {
  MachineNumber numbers[MAX_NUMBERS];
  int count = numbers_of(machine, cluster, numbers);
  for (int i = 0; i < count; i++) {
    if (spec_value(spec, numbers[i].key)->kind == SPEC_NUMBER) *numbers[i].to = spec_number(spec, numbers[i].key);
  }
  if (spec_value(spec, KEY_cluster_memory)->kind == SPEC_NUMBER)
    machine->memory_bytes = (uint64_t)spec_integer(spec, KEY_cluster_memory);
  for (int i = 0; i < EXCHANGE_COUNT; i++) {
    if (spec_is(spec, KEY_cluster_exchange, exchange_names[i])) machine->exchange = (Exchange)i;
  }
}

// This machine, guessed from its cores: 16 multiply-adds a cycle at 2.5 GHz, 20 GB/s a core. Its memory is the host's,
// so nothing is copied there; between ranks, which share the cores, MPI over shared memory and 10 Gbit/s Ethernet.
static PlanMachine this_machine(int ranks_per_node) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  double own = cores < 1 ? 1 : (double)cores / ranks_per_node;
  PlanMachine machine = {.name = "this",
                         .flops_per_second = own * 2 * 16 * 2.5e9,
                         .efficiency = 0.7,
                         .bytes_per_second = own * 20e9,
                         .link_bytes_per_second = 1.25e9,
                         .node_bytes_per_second = 10e9,
                         .latency_seconds = 5e-6,
                         .node_latency_seconds = 2e-6,
                         .link_latency_seconds = 25e-6,
                         .exchange = EXCHANGE_MPI,
                         .has_processors = true};
  machine.memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
  return machine;
}

static Cluster usual_cluster(void) {
  return (Cluster){.spread = {.slow_factor = 1}, .restart_seconds = 600, .power_overhead = 1, .price = -1};
}

void machine_set_ranks(const Spec *spec, PlanMachine *machine) {
  machine->nodes = (int)spec_integer(spec, KEY_cluster_nodes);
  machine->ranks_per_node = (int)spec_integer(spec, KEY_cluster_ranks_per_node);
  machine->ranks = machine->nodes * machine->ranks_per_node;
  machine->norm_ranks = (int)norm_ranks_from_spec(spec);
}

// ---- a machine's file ----

static bool is_needed(Need need, const PlanMachine *machine) {
  switch (need) {
    case NEED_NEVER: return false;
    case NEED_ALWAYS: return true;
    case NEED_RANKS: return machine->ranks > 1;
    case NEED_PER_NODE: return machine->ranks_per_node > 1;
    case NEED_NODES: return machine->nodes > 1;
  }
  return false;
}

static bool is_given(const Spec *spec, const Spec *described, SpecKey key) {
  return spec_value(spec, key)->kind == SPEC_NUMBER || spec_value(described, key)->kind == SPEC_NUMBER;
}

static bool has_all(DiagList *diags, const Spec *spec, const Spec *described, PlanMachine *machine, Cluster *cluster) {
  MachineNumber numbers[MAX_NUMBERS];
  int count = numbers_of(machine, cluster, numbers);
  numbers[count++] = (MachineNumber){KEY_cluster_memory, NULL, NEED_ALWAYS};
  size_t before = diags->error_count;
  for (int i = 0; i < count; i++) {
    SpecKey key = numbers[i].key;
    if (!is_needed(numbers[i].need, machine) || is_given(spec, described, key)) continue;
    const char *name = spec_key_name(key);
    diag_error(diags, spec_span(spec, KEY_cluster_machine), "machine", "the machine '%s' has no '%s'", machine->name,
               name);
    diag_note(diags, (SourceSpan){0}, "set '%s' in '%s', or in the spec", name, described->path);
  }
  return diags->error_count == before;
}

static const Spec *described_machine(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec,
                                     const char *library) {
  const char *path = path_of_machine(arena, spec->path, library, spec_text(spec, KEY_cluster_machine));
  if (access(path, R_OK) != 0) {
    diag_error(diags, spec_span(spec, KEY_cluster_machine), "machine", "unknown machine '%s'",
               spec_text(spec, KEY_cluster_machine));
    diag_note(diags, (SourceSpan){0},
              "machines are files of '%s/machines', or of yours by their path; \"this\" is the machine that seerc runs "
              "on",
              library);
    return NULL;
  }
  return spec_load(arena, sources, diags, path, library, NULL, 0);
}

// As `seerc calibrate` writes it: of a machine like this one, whose other numbers are guessed as for this one.
static bool describes_processors(const Spec *described) {
  return spec_value(described, KEY_cluster_machine)->by_user &&
         strcmp(spec_text(described, KEY_cluster_machine), "this") == 0;
}

// ---- what is said of it ----

// Of every number that is known; `described` is NULL for this machine, which is guessed where the spec sets nothing.
static void list_sources(Arena *arena, const Spec *spec, const Spec *described, PlanMachine *machine,
                         Cluster *cluster) {
  MachineNumber numbers[MAX_NUMBERS];
  int count = numbers_of(machine, cluster, numbers);
  numbers[count++] = (MachineNumber){KEY_cluster_memory, NULL, NEED_ALWAYS};
  PlanSource *sources = arena_array(arena, PlanSource, count);
  for (int i = 0; i < count; i++) {
    const char *key = spec_key_name(numbers[i].key) + strlen("cluster.");
    SourceText found;
    PlanSource source = {key, "none", "the machine's file says nothing of it"};
    if (spec_value(spec, numbers[i].key)->kind == SPEC_NUMBER) {
      source = (PlanSource){key, "spec", "set by the spec"};
      if (source_text_find(arena, spec, key, &found)) source = (PlanSource){key, found.kind, found.rest};
    } else if (!described) {
      if (numbers[i].need == NEED_NEVER) continue;
      source = (PlanSource){key, "guessed", "from the cores and the memory of this machine"};
    } else {
      bool given = spec_value(described, numbers[i].key)->kind == SPEC_NUMBER;
      if (!given && (!machine->has_processors || numbers[i].need == NEED_NEVER)) continue;
      if (!given) source = (PlanSource){key, "guessed", "from the cores and the memory of this machine"};
      if (source_text_find(arena, described, key, &found)) source = (PlanSource){key, found.kind, found.rest};
    }
    sources[machine->source_count++] = source;
  }
  machine->sources = sources;
}

static void check_failures(DiagList *diags, const Spec *spec, const PlanMachine *machine, const Cluster *cluster) {
  double between = cluster->node_failure_seconds / machine->nodes;
  if (between <= 0 || cluster->restart_seconds <= between) return;
  diag_warning(diags, spec_span(spec, KEY_cluster_machine), "machine",
               "of %d nodes one fails every %.4g s, and a restart takes %.4g s", machine->nodes, between,
               cluster->restart_seconds);
  diag_note(diags, (SourceSpan){0},
            "the run hardly gets on: 'cluster.node_failures' of one node is %.4g s, "
            "'cluster.restart' %.4g s",
            cluster->node_failure_seconds, cluster->restart_seconds);
}

bool machine_from_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                       PlanMachine *machine, Cluster *cluster) {
  *machine = this_machine((int)spec_integer(spec, KEY_cluster_ranks_per_node));
  *cluster = usual_cluster();
  machine_set_ranks(spec, machine);
  const Spec *described = NULL;
  if (strcmp(spec_text(spec, KEY_cluster_machine), "this") != 0) {
    described = described_machine(arena, sources, diags, spec, library);
    if (!described) return false;
    machine->name = spec_text(spec, KEY_cluster_machine);
    machine->has_processors = describes_processors(described);
    if (!machine->has_processors && !has_all(diags, spec, described, machine, cluster)) return false;
    override_machine(described, machine, cluster);
    rates_from_spec(arena, described, spec, machine);
  }
  override_machine(spec, machine, cluster);
  rates_from_spec(arena, spec, spec, machine);
  list_sources(arena, spec, described, machine, cluster);
  check_failures(diags, spec, machine, cluster);
  return true;
}

void cluster_set_run(const Spec *spec, uint64_t snapshot_bytes, Cluster *cluster) {
  const double usual_picture_bytes = 110e3;  // of ImageNet: 138 GB, 1.28 million pictures
  bool has_size = spec_value(spec, KEY_data_picture_bytes)->kind == SPEC_NUMBER;
  cluster->picture_bytes = has_size ? spec_number(spec, KEY_data_picture_bytes) : usual_picture_bytes;
  cluster->save_every = spec_integer(spec, KEY_save_every);
  cluster->snapshot_bytes = snapshot_bytes;
  cluster->snapshot_waits = !spec_flag(spec, KEY_save_asynchronous);
  cluster->steps = spec_is_set(spec, KEY_train_steps) ? spec_integer(spec, KEY_train_steps) : 0;
  if (!spec_is_set(spec, KEY_train_epochs) || spec_value(spec, KEY_data_count)->kind != SPEC_NUMBER) return;
  cluster->steps =
      seer_schedule_steps(spec_number(spec, KEY_train_epochs), spec_integer(spec, KEY_data_count),
                          (int)spec_integer(spec, KEY_train_batch), (int)spec_integer(spec, KEY_train_accumulate));
}
