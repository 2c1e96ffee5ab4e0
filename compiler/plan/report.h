// The plan for people and for programs: a summary that fits a screen, the JSON object of design section 8, what the
// alternatives of a block would cost, budget against time, and a trace that Perfetto opens.
#ifndef SEER_PLAN_REPORT_H
#define SEER_PLAN_REPORT_H

#include "compiler/graph/layer.h"
#include "compiler/plan/alternatives.h"

enum { REPORT_MAX_STAGES = 64, REPORT_MAX_SIZES = 9, REPORT_MAX_OUTSIDE = 8, REPORT_CURVE_POINTS = 16 };

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

// Memory of the process that no arena holds: at most so many bytes.
typedef struct PlanOutside {
  const char *name, *why;
  uint64_t bytes;
} PlanOutside;

typedef struct CurvePoint {
  uint64_t budget_bytes, peak_bytes;  // of the rank
  int64_t time_ns;                    // of a step
} CurvePoint;

// A number of ranks that a trainer can be started with.
typedef struct PlanWorld {
  int ranks;
  bool trains;  // false: its plan does not fit, or was not asked for; it can evaluate
  uint64_t peak_bytes, minimum_bytes;
  int64_t step_ns;
} PlanWorld;

typedef struct PlanReport {
  PlanModel model;
  PlanMachine machine;
  PlanPrecision precision;
  PlanAlternatives *alternatives;
  PlanProblem *problem;  // the one of them that `answer` answers
  PlanPolicy policy;
  PlanAnswer answer;
  const struct PlanReport *rehearsed;  // the whole cluster's, at full width, whose steps these are; NULL: no rehearsal
  const Plan *train, *features;  // features NULL: of parts, they are another program's work
  int64_t images_per_step;       // over all ranks
  int64_t micro_steps;
  int slices;  // that one rank runs in turns, each of them as planned here, in an arena of its own; 1: it is one
  int vector_pictures;  // that the kernels compute with at once, each with a place in a vector; 0: they do not
  const char *tuning;  // of the kernels, by name; NULL: the defaults
  int tuning_changes;  // how many of its parameters differ from them
  LayerUses layers;    // of target cuda
  LayerChoices layer_choices;
  uint64_t library_bytes;  // that a library is given to work in
  double vector_fill;   // share of those places that pictures take, weighted by the work of their size
  uint64_t budget_bytes;    // of one rank: state, arena, ring and snapshot
  uint64_t state_bytes;     // of one rank
  uint64_t ring_bytes;      // of the loader
  uint64_t snapshot_bytes;  // the copy that a snapshot is written from
  PlanOutside outside[REPORT_MAX_OUTSIDE];
  int outside_count;
  CurvePoint curve[REPORT_CURVE_POINTS];
  int curve_count;          // 0: not asked for
  const PlanWorld *worlds;  // the declared one first
  int world_count;
} PlanReport;

// One arena serves both entry points, or the slices' arenas do.
uint64_t report_arena_bytes(const PlanReport *report);
// What one rank allocates besides the arena.
uint64_t report_fixed_bytes(const PlanReport *report);
// All that one rank allocates: state, arena, the loader's ring and the copy for snapshots.
uint64_t report_peak_bytes(const PlanReport *report);
// The smallest budget that a step fits into.
uint64_t report_minimum_bytes(const PlanReport *report);
// What sets it: an operation of the step, its update, or the features of evaluate.batch pictures.
typedef enum MinimumCause { MINIMUM_BY_OPERATION, MINIMUM_BY_UPDATE, MINIMUM_BY_EVALUATION } MinimumCause;
MinimumCause report_minimum_cause(const PlanReport *report);
void report_write_minimum_cause(const PlanReport *report, Writer *out);  // "the backward of 'block1-0'"
// What arenas have beyond the largest live sum of training: free places between items, and what features need more.
uint64_t report_gap_bytes(const PlanReport *report);
uint64_t report_evaluation_bytes(const PlanReport *report);
// What the arena may take of a budget; of slices, each one's.
uint64_t report_arena_budget(const PlanReport *report, uint64_t budget_bytes);
bool report_fits(const PlanReport *report);

// What goes on side by side. Statistics are the small all-reduces behind some runs: for each, the others stand still.
typedef enum PlanStream {
  STREAM_COMPUTE,
  STREAM_NETWORK,
  STREAM_TO_HOST,
  STREAM_FROM_HOST,
  STREAM_STATISTICS,
  STREAM_COUNT
} PlanStream;
PlanStream report_stream(StepKind kind);
// Of a step that is no computation: how many ranks it brings together, and the bytes that one of them sends, or that
// are copied to the host or back.
int report_step_ranks(const PlanReport *report, const PlanStep *step);
double report_step_bytes(const PlanReport *report, const PlanStep *step);
// What a computation waits for other ranks to send: how many entries of `traffic` are set.
int report_step_traffic(const PlanReport *report, const PlanStep *step, OpTraffic traffic[MAX_OP_TRAFFIC]);

// Sets the steps' starts on their streams: operations begin when the one before and what it hid are done. Returns the
// micro-step's length: what the chain's account says, the first gather, the last reduction and the syncs.
int64_t report_simulate(const PlanReport *report);

// Time of a step, and where it goes.
typedef struct StepTimes {
  int64_t step_ns, forward_ns, reforward_ns, backward_ns, remade_ns, update_ns;  // remade: forwards inside backwards
  int64_t network_ns, host_copy_ns, exposed_ns;
  int64_t macs, macs_again;
} StepTimes;
StepTimes report_times(const PlanReport *report);

// Peak of the rank and time of the step with another answer of the same problem.
uint64_t report_peak_with(const PlanReport *report, const PlanAnswer *answer);  // before placing: its account
int64_t report_time_with(const PlanReport *report, const StepTimes *times, const PlanAnswer *answer);

// Fills the curve: the best step time for budgets between the smallest and what no step needs more than. `watch`, or
// NULL, is called behind each: large networks take a minute or two.
typedef void CurveWatch(int done, int of);
void report_add_curve(PlanReport *report, CurveWatch *watch);

// Network, memory and blocks; then, behind what the step takes, how good the plan is and what else could be had.
void report_print(const PlanReport *report, Writer *out);
void report_print_proof(PlanReport *report, Writer *out);
// All of the object but its closing brace: more members may follow.
void report_print_json(const PlanReport *report, Writer *out);
// False when there is no such block; `out` then lists those there are.
bool report_print_why(PlanReport *report, const char *block, Writer *out);
void report_print_sweep(const PlanReport *report, Writer *out);
// Every placement that is known, on the same chain, at the report's budget.
void report_print_compare(PlanReport *report, Writer *out);
// Chrome's trace event format.
void report_print_trace(const PlanReport *report, Writer *out);

// Shared by the printers. "12.3 MiB" and "3.02 s": what is enough to read; the JSON has the exact numbers.
void report_write_bytes(Writer *out, double bytes);
void report_write_time(Writer *out, double time_ns);
// The mode that a block is saved in when its backward runs, and how often its forward runs.
typedef struct BlockChoice {
  const SaveMode *mode;
  ChainResidency residency;
  bool offload;
  int forwards;
} BlockChoice;
BlockChoice report_choice(const PlanReport *report, int block);
typedef struct StateBytes {
  uint64_t parameters, velocities, statistics;
} StateBytes;
StateBytes report_state_bytes(const Plan *plan);
const char *report_block_name(const PlanReport *report, const PlanStep *step);  // "update" of what is no block's
const char *report_step_name(const PlanReport *report, const PlanStep *step);   // of its op, or of its block
const char *report_residency_name(const PlanReport *report, const BlockChoice *choice);

#endif
