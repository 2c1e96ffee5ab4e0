// What if: the plans of many variants of one spec side by side, and what can be learnt from them.
#ifndef SEER_DRIVER_VARY_H
#define SEER_DRIVER_VARY_H

#include "compiler/driver/compile.h"
#include "compiler/driver/text_table.h"
#include "compiler/driver/variants.h"

typedef enum VaryOutcome {
  VARY_PLANNED,
  VARY_TOO_LARGE,  // for its budget
  VARY_WRONG,      // its spec has errors
  VARY_FAILED      // seerc itself did, or the machine
} VaryOutcome;

// One variant's plan, in numbers.
typedef struct VaryPlan {
  VaryOutcome outcome;
  int nodes, ranks;
  int64_t images_per_step, micro_steps;
  int64_t parameters_trunk, parameters_total, macs;  // macs: of one picture's trunk, over all of its crops
  uint64_t budget_bytes, minimum_bytes;              // of a rank, also where it is too large
  uint64_t peak_bytes;
  int64_t compute_ns, exposed_ns;  // of a step; exposed: waits for other ranks
  double price;                    // of a rank for an hour; negative: unknown
  Simulation simulation;
  const char *reason;    // why it is not planned
  const char *messages;  // diagnostics, as they are printed
  const char *json;      // its simulation, as a member of an object
} VaryPlan;

// Plans all of them, side by side, with progress on standard error; `jobs` at once, 0: as many as there are cores.
// Diagnostics are printed with the names of their variants. Of specs that are wrong nothing is planned.
void vary_plan(Invocation *invocation, const CompileOptions *options, const Variant *variants, int count, int jobs,
               VaryPlan *plans);
// EXIT_DONE; EXIT_INPUT, where a spec was wrong or nothing fitted; EXIT_BUG and EXIT_MACHINE.
int vary_exit_code(const VaryPlan *plans, int count);

// What a run costs, in the first of these that is known of all variants: money, energy, hours of ranks. Of the whole
// run where all train on as many pictures, else of a million pictures.
typedef enum VaryCostKind { VARY_MONEY, VARY_ENERGY, VARY_RANK_HOURS } VaryCostKind;
typedef struct VaryMeasure {
  VaryCostKind kind;
  bool whole_run;
} VaryMeasure;

typedef struct Varied {
  Arena *arena;
  const char *name;  // of the spec
  const Variants *variants;
  const VaryPlan *plans;  // [variants->count]
  double *numbers;        // [axis_count][count]: what a variant's value of an axis is as a number, or NaN
  VaryMeasure measure;
  int first;              // planned; -1: none is
  int fastest, cheapest;  // by the time of the run, or of a million pictures, and by the measure; -1: none
  bool *is_best;          // [count]: none other is as fast and cheaper, or as cheap and faster
} Varied;

Varied vary_judge(Invocation *invocation, const Variants *variants, const VaryPlan *plans);
double vary_cost(const Varied *varied, int variant);     // the price's currency, kWh, or hours of ranks
double vary_seconds(const Varied *varied, int variant);  // of the run, or of a million pictures
// Pictures a second of one rank over those of the first that is planned.
double vary_efficiency(const Varied *varied, int variant);

// Variants that differ in one axis alone, in the order of its numbers, as lines of pictures take them.
typedef struct VaryLine {
  const char *name;  // of the values of the other axes; NULL: there are none
  int *variants;
  int count;
} VaryLine;
typedef struct VaryLines {
  int axis;  // -1: no axis has several numbers
  VaryLine *items;
  int count;
} VaryLines;
VaryLines vary_lines(const Varied *varied);

// Sentences, one an item of a list: what the variants say about scaling, traffic, price and memory.
typedef struct VaryFindings {
  const char **items;
  size_t count, capacity;
} VaryFindings;
VaryFindings vary_find(const Varied *varied);

// "2.26 GiB", for sentences.
void vary_write_bytes(Writer *out, uint64_t bytes);
int vary_planned(const Varied *varied);  // how many are
// One row a variant; those that are not planned with their reason.
TextTable vary_table(const Varied *varied);
extern const char vary_legend[];  // of the table
void vary_print(const Varied *varied, Writer *out);
void vary_print_json(const Varied *varied, Writer *out);
void vary_print_svg(const Varied *varied, Writer *out);
void vary_print_html(const Varied *varied, Writer *out);

// From --jobs; 0 unless told. EXIT_USAGE after saying why.
int jobs_choose(const Invocation *invocation, int *jobs);
// The whole of `plan --vary`.
int plan_vary(Invocation *invocation);

#endif
