// Inside of compile_spec: what its stages hand on. Not for other files than compile*.c.
#ifndef SEER_DRIVER_COMPILE_STAGES_H
#define SEER_DRIVER_COMPILE_STAGES_H

#include "codegen/cuda/tuning.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/machine_spec.h"
#include "compiler/driver/worlds.h"

// What a compilation is for. None: it can be planned alone.
typedef enum BuildTarget { TARGET_NONE, TARGET_C, TARGET_CUDA } BuildTarget;

// What all worlds of a compilation have in common.
typedef struct Compilation {
  Arena *arena;
  SourceMap *sources;
  DiagList *diags;
  const CompileOptions *options;
  const char *cpu;
  KernelTuning tuning;  // of target c
  CudaTuning gpu_tuning;
  PlanMachine machine;  // of the declared world
  Cluster cluster;
  int64_t classes;
  SeerMonitorRule monitor;
  const struct Planning *original;  // of a rehearsal: the whole cluster's plan at full width; else NULL
} Compilation;

// Everything of one world's compilation on its way from the spec to the plan.
typedef struct Planning {
  Arena *arena;
  const Spec *spec;
  const World *world;
  BuildTarget target;
  SeerProgram settings;
  const Graph *train, *features;
  const PlanShards *train_shards, *features_shards;
  PlanCosts *train_costs, *features_costs;
  Lowering *train_lowering, *features_lowering;  // NULL: no target builds it yet
  PlanMachine machine;
  Cluster cluster;
  PlanPolicy policy;
  const Plan *state;  // where states and parameters lie
  PlanReport *report;
} Planning;

// Whether it has the world's training: that of one rank is always there, since it can evaluate where it cannot train.
bool world_trains(const Planning *planning);

// ---- compile_target.c ----

BuildTarget target_of(const CompileOptions *options, const Spec *spec, const PlanMachine *machine);
GraphTarget graph_target(const CompileOptions *options, BuildTarget target, const Spec *spec);
// What the target cannot do yet: false after an error.
bool check_limits(DiagList *diags, BuildTarget target, const Spec *spec);

// ---- compile_report.c ----

PlanModel model_of(const RegNetShape *shape, const Spec *spec, const SeerProgram *settings, const Graph *train,
                   const Graph *features);
// Of the vectors of target c: the share that pictures fill.
double vector_fill(const Spec *spec, const SeerProgram *settings, const Graph *train, int lanes);
void list_outside(PlanReport *report, const SeerProgram *settings);
// Every report tells of all worlds.
void list_worlds(Arena *arena, const Planning *plannings, int count);
// False after an error: the plan is larger than its budget.
bool check_fits(DiagList *diags, const Spec *spec, const PlanReport *report);

// ---- compile_trainer.c ----

void finish_trainer(const Compilation *compilation, const Planning *plannings, int count, Compiled *compiled);

#endif
