// A run on a described cluster: the plan's own steps replayed for what its ranks wait for, then the days, failures,
// energy and cost of the whole run. Times of single steps are whole nanoseconds; figures of a run are doubles, in
// seconds, joules and the currency of `price`. The model, term by term: docs/simulator.md.
#ifndef SEER_SIMULATE_SIMULATE_H
#define SEER_SIMULATE_SIMULATE_H

#include "compiler/plan/report.h"
#include "compiler/simulate/spread.h"

// What a run needs to know beyond the plan. 0 where not said otherwise: unknown, or no limit.
typedef struct Cluster {
  Spread spread;
  double decode_pictures_per_second;                     // of one rank
  double read_bytes_per_second, write_bytes_per_second;  // of one node, from and to storage
  double node_failure_seconds;                           // mean time between failures of one node
  double restart_seconds;
  double rank_watts, node_watts, power_overhead;  // node: besides its ranks; overhead at least 1
  double price;                                   // of a rank for an hour; negative: unknown
  double picture_bytes;                           // of a file, in the mean
  int64_t steps;                                  // of the run
  int64_t save_every;                             // steps between snapshots
  uint64_t snapshot_bytes;                        // one rank's share
  bool snapshot_waits;                            // training stands still while it is written
} Cluster;

// What travels in a step, by what it is for.
typedef enum TrafficKind {
  TRAFFIC_GATHER,  // of parameters
  TRAFFIC_REDUCE,  // of gradients: of units, or of whole ones at the update
  TRAFFIC_NORM,    // BatchNorm's statistics and sums, and running statistics
  TRAFFIC_SINKHORN,
  TRAFFIC_UPDATE,  // norms of parts, parameters that other groups have updated
  TRAFFIC_TO_HOST,
  TRAFFIC_FROM_HOST,
  TRAFFIC_KIND_COUNT
} TrafficKind;
extern const char *const traffic_kind_names[TRAFFIC_KIND_COUNT];

typedef struct Traffic {
  int64_t count;                // collectives, or copies
  int64_t busy_ns, exposed_ns;  // exposed: while the computation waits
  double bytes;                 // sent by one rank
} Traffic;

typedef struct Simulation {
  // One step. step_ns = plan_ns + straggler_ns + data_ns; plan_ns = the computations + all that is exposed.
  int64_t step_ns, plan_ns, straggler_ns, data_ns;
  int64_t forward_ns, again_ns, backward_ns, update_ns;  // computations; again: forwards in the backward, too
  Traffic traffic[TRAFFIC_KIND_COUNT];
  double images_per_second;
  double peak_share;                // of the ranks' peak, by the multiply-adds that are not done again
  double decode_share, read_share;  // of the step that loading takes; above 1: the step waits. 0: unknown
  // Snapshots. pause: of the training; write: until the snapshot counts.
  double snapshot_pause_seconds, snapshot_write_seconds;
  double mean_step_seconds;  // with its share of snapshots
  // Failures. 0 where no node fails. best: steps between snapshots with the most progress.
  double failure_seconds, effective_share;  // between failures; share of the time that becomes progress
  double best_save_steps, daly_save_steps;
  // The whole run; 0 where its length is unknown: then `steps` is.
  int64_t steps;
  double ideal_seconds, run_seconds;  // without and with failures
  double failures;                    // expected
  double watts, joules, cost;         // of all nodes; cost negative: unknown. watts 0: unknown
} Simulation;

// The report's plan must exist.
Simulation simulate_run(const PlanReport *report, const Cluster *cluster);

// The section of the run, for people; and ",\n\"simulation\":{..}", as a member of the plan's object.
void simulation_print(const PlanReport *report, const Cluster *cluster, const Simulation *simulation, Writer *out);
// "3.02 s", "14.7 days".
void simulation_write_duration(Writer *out, double seconds);
void simulation_print_json(const Cluster *cluster, const Simulation *simulation, Writer *out);

#endif
