// Launch files: what a spec's cluster and its plan say, for Slurm and for mpirun.
#include "compiler/driver/launch_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/decode.h"

typedef struct LaunchFile {
  const char *kind, *suffix;
  void (*print)(const LaunchPlan *plan, Writer *out);
} LaunchFile;

static const LaunchFile launch_files[] = {{"sbatch", "sbatch", print_sbatch},
                                          {"hostfile", "hostfile-openmpi", print_hostfile_openmpi},
                                          {"hostfile", "hostfile-mpich", print_hostfile_mpich}};
enum { LAUNCH_FILE_COUNT = sizeof launch_files / sizeof *launch_files };

// Whether `kind` is one of the words of `list`, with commas between them.
static bool list_holds(const char *list, const char *kind) {
  for (const char *word = list; *word; word += strspn(word, ",")) {
    size_t length = strcspn(word, ",");
    if (length == strlen(kind) && strncmp(word, kind, length) == 0) return true;
    word += length;
  }
  return false;
}

bool emit_names(const Invocation *invocation, const char *kind) {
  const char *list = option_text(invocation, "emit");
  return list && list_holds(list, kind);
}

int launch_files_check(const Invocation *invocation) {
  static const char known_kinds[] = "sbatch, hostfile, c and cuda are known";
  const char *list = option_text(invocation, "emit");
  if (!list) return EXIT_DONE;
  if (!list[strspn(list, ",")]) return usage_error(invocation, "'--emit' names nothing: %s", known_kinds);
  for (const char *word = list; *word; word += strspn(word, ",")) {
    size_t length = strcspn(word, ",");
    bool known = length == 0 || (length == 1 && *word == 'c') || (length == 4 && strncmp(word, "cuda", length) == 0);
    for (int i = 0; i < LAUNCH_FILE_COUNT; i++)
      known = known || (strlen(launch_files[i].kind) == length && strncmp(word, launch_files[i].kind, length) == 0);
    if (!known) return usage_error(invocation, "'--emit' does not know '%.*s': %s", (int)length, word, known_kinds);
    word += length;
  }
  return EXIT_DONE;
}

// Of one rank; 0 where the machine is described and not this one.
static int threads_of(const PlanMachine *machine) {
  if (!machine->has_processors) return 0;
  long cores = machine->cores ? machine->cores : sysconf(_SC_NPROCESSORS_ONLN);
  int threads = (int)(cores > 0 ? cores : 1) / machine->ranks_per_node;
  return threads > 0 ? threads : 1;
}

// What the plan lists outside its blocks, with the threads that a rank of this cluster has; the rule for decoding
// threads is the trainer's own.
static uint64_t outside_bytes(const PlanReport *report, const SeerProgram *settings, int threads) {
  int decoders = settings->decode_threads, computing = threads > 0 ? threads : 1;
  if (decoders <= 0) decoders = computing / 2 < 1 ? 1 : computing / 2 > 8 ? 8 : computing / 2;
  uint64_t bytes = (uint64_t)decoders * (uint64_t)settings->max_pixels * SEER_DECODE_BYTES_A_PIXEL;
  for (int i = 0; i < report->outside_count; i++) {
    if (strcmp(report->outside[i].name, "program") == 0) bytes += report->outside[i].bytes;
  }
  return bytes + ((uint64_t)(computing + decoders + report->slices - 1) << 20);
}

// Time for two steps, a snapshot at 100 MB/s, and two minutes for Slurm's own lateness and a slow disk; whole minutes.
static int64_t stop_seconds_of(const PlanReport *report) {
  double step = (double)report_times(report).step_ns * 1e-9;
  double save = (double)report->train->state_bytes / 100e6;
  return ((int64_t)(2 * step + save) + 120 + 59) / 60 * 60;
}

// Names of the hosts, or NULL when the spec does not give them.
static const char *const *hosts_of(Arena *arena, const Spec *spec, int nodes) {
  const SpecValue *hosts = spec_value(spec, KEY_cluster_hosts);
  const char **names = arena_array(arena, const char *, nodes);
  if (hosts->kind == SPEC_UNSET && nodes > 1) return NULL;
  for (int i = 0; i < nodes; i++)
    names[i] = hosts->kind == SPEC_UNSET ? "localhost" : hosts->kind == SPEC_LIST ? hosts->items[i].text : hosts->text;
  return names;
}

static int file_write(const Invocation *invocation, const LaunchFile *file, const LaunchPlan *plan,
                      const char *output) {
  Writer out = {0};
  file->print(plan, &out);
  const char *path = arena_printf(invocation->arena, "%s.%s", output, file->suffix);
  int error = writer_save(&out, path);
  writer_release(&out);
  if (!error) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", path, strerror(error));
  return EXIT_MACHINE;
}

LaunchPlan launch_plan_make(const Invocation *invocation, const Compiled *compiled) {
  const PlanReport *report = &compiled->report;
  const PlanMachine *machine = &report->machine;
  int threads = threads_of(machine);
  uint64_t rank_bytes = report_peak_bytes(report) + outside_bytes(report, &compiled->trainer.settings, threads);
  return (LaunchPlan){.name = compiled->trainer.settings.name,
                      .trainer = compiled->trainer.settings.name,
                      .nodes = machine->nodes,
                      .ranks_per_node = machine->ranks_per_node,
                      .threads = threads,
                      .node_bytes = rank_bytes * (uint64_t)machine->ranks_per_node,
                      .stop_seconds = stop_seconds_of(report),
                      .hosts = hosts_of(invocation->arena, compiled->spec, machine->nodes)};
}

int launch_files_write(const Invocation *invocation, const Compiled *compiled, const char *output) {
  const char *list = option_text(invocation, "emit"), *trainer = option_text(invocation, "out");
  if (!list) return EXIT_DONE;
  LaunchPlan plan = launch_plan_make(invocation, compiled);
  if (trainer) plan.trainer = trainer;
  for (int i = 0; i < LAUNCH_FILE_COUNT; i++) {
    if (!list_holds(list, launch_files[i].kind)) continue;
    if (launch_files[i].print != print_sbatch && !plan.hosts) {
      fprintf(stderr, "seerc: error: a host file for %d machines needs their names [hosts]\n", plan.nodes);
      fprintf(stderr, "seerc: note: give 'cluster.hosts', for example -D 'cluster.hosts=[\"node1\", \"node2\"]'\n");
      return EXIT_INPUT;
    }
    int code = file_write(invocation, &launch_files[i], &plan, output);
    if (code != EXIT_DONE) return code;
  }
  return EXIT_DONE;
}
