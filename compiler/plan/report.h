// The plan for people and for programs: a table, and the JSON object of design section 8.
#ifndef SEER_PLAN_REPORT_H
#define SEER_PLAN_REPORT_H

#include "compiler/plan/plan.h"

enum { REPORT_MAX_STAGES = 64, REPORT_MAX_SIZES = 9 };

// What the report says of the model beyond the graphs.
typedef struct PlanModel {
  const char *name, *family;
  int stage_count;
  int64_t depths[REPORT_MAX_STAGES], widths[REPORT_MAX_STAGES], group_widths[REPORT_MAX_STAGES];
  int64_t parameters_trunk, parameters_total;  // trunk: without head, prototypes and classifier
  int size_count;
  int sizes[REPORT_MAX_SIZES];     // pixels
  int64_t macs[REPORT_MAX_SIZES];  // of one picture's trunk forward at that size
} PlanModel;

typedef struct PlanMachine {
  const char *name;
  uint64_t memory_bytes;  // of one rank
  double flops_per_second, bytes_per_second;
  int ranks;
} PlanMachine;

typedef struct PlanReport {
  PlanModel model;
  PlanMachine machine;
  const Plan *train, *features;
  int64_t images_per_step;
  int64_t micro_steps;
  uint64_t budget_bytes;
  uint64_t ring_bytes;  // of the loader
  int64_t flops_per_step;
} PlanReport;

// One arena serves both entry points.
uint64_t report_arena_bytes(const PlanReport *report);
// All that one rank allocates: state, arena and the loader's ring.
uint64_t report_peak_bytes(const PlanReport *report);
// False when the plan does not fit its budget; the peak is then the smallest budget that does.
bool report_fits(const PlanReport *report);

void report_print(const PlanReport *report, Writer *out);
void report_print_json(const PlanReport *report, Writer *out);

#endif
