// The whole pipeline behind `plan`, `build` and `show`: from a spec file to graphs, plan and program.
#ifndef SEER_DRIVER_COMPILE_H
#define SEER_DRIVER_COMPILE_H

#include "codegen/emit.h"
#include "codegen/tuning.h"
#include "compiler/driver/settings.h"
#include "compiler/passes/pipeline.h"
#include "compiler/simulate/simulate.h"

typedef struct CompileOptions {
  const char *cpu;                   // "native", or a level: x86-64, x86-64-v3, x86-64-v4, x86-64-v4+bf16
  const char *const *architectures;  // of target cuda: "sm_90a", ...; NULL: target c
  int architecture_count;
  bool carries;                       // of target cuda: a trainer of target c as well
  NormalizeOnRead normalize_on_read;  // of target cuda
  bool sanitize;
  const char *reader;          // of the user's pictures, as C; NULL: none
  bool plan_only;                        // no program: clusters and precisions that no target builds yet can be planned
  bool curve;                            // step time for a range of budgets
  const TuningSet *tuning, *gpu_tuning;  // of target c, for the processor's lanes; of target cuda
  const char *tuning_name, *gpu_tuning_name;  // what they are called; NULL with it: the defaults
  PassHook *hook;                             // sees the training graph after each pass; or NULL
  void *hook_data;
} CompileOptions;

typedef struct Compiled {
  const Spec *spec;
  const Graph *train_graph, *features_graph;
  const Plan *train_plan, *features_plan;
  PlanReport report;
  Cluster cluster;
  Trainer trainer;  // programs included
} Compiled;

// False when a diagnostic says why: the spec is wrong, the machine unknown, the plan larger than its budget, or
// something that seerc cannot do yet.
bool compile_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                  const CompileOptions *options, Compiled *compiled);

// The plan as one JSON object, with its simulation: what `plan --json` prints, and trainers carry.
void plan_print_json(const PlanReport *report, const Cluster *cluster, Writer *out);

// The level that the options ask for.
const char *cpu_of_options(const CompileOptions *options);
// The level of this machine's processor, by what it supports.
const char *native_cpu(void);
bool cpu_is_known(const char *cpu);
bool architecture_is_known(const char *name);  // of GPUs, PTX apart
bool architecture_is_simulated(const char *name);
bool architecture_is_ptx(const char *name);
// Those of the options but PTX: "sm_90a,sm_80".
const char *architectures_join(Arena *arena, const CompileOptions *options);

// What the commands share: loads the invocation's spec, compiles it for its --cpu and --sanitize, and prints the
// messages. EXIT_DONE, or an exit code.
struct Invocation;
int cpu_check(const struct Invocation *invocation);  // EXIT_USAGE where --cpu is unknown
// From --target and --normalize-on-read. EXIT_USAGE after saying why.
int target_choose(const struct Invocation *invocation, CompileOptions *options);
// --cpu, --target, --sanitize and the like; EXIT_USAGE after saying why.
int compile_options(const struct Invocation *invocation, CompileOptions *options);
int driver_compile(struct Invocation *invocation, PassHook *hook, void *hook_data, Compiled *compiled,
                   DiagList **diags);

#endif
