// The described cluster: what one rank has and how fast its parts are. Filled from specs/machines and the spec's own
// keys.
#ifndef SEER_PLAN_MACHINE_H
#define SEER_PLAN_MACHINE_H

#include "compiler/plan/blocks.h"
#include "compiler/plan/collective.h"
#include "compiler/plan/rates.h"
#include "compiler/plan/shard.h"

// Where a number of the machine comes from.
typedef struct PlanSource {
  const char *key;   // of section cluster
  const char *kind;  // datasheet, published, measured, assumed; spec: the spec sets it; guessed: from this machine
  const char *text;
} PlanSource;

typedef struct PlanMachine {
  const char *name;
  bool has_processors;           // and no GPUs: ranks compute with them
  uint64_t memory_bytes;         // of one rank
  double flops_per_second;       // peak, at the spec's precision
  double efficiency;             // share of the peak that convolutions reach
  double bytes_per_second;       // of the rank's memory
  double link_bytes_per_second;  // of one rank's share of the network between nodes
  double node_bytes_per_second;  // between the ranks of one node
  double host_bytes_per_second;  // between the rank's memory and the host's
  double latency_seconds;        // of a collective, before anything moves
  double node_latency_seconds;   // of a small message within a node
  double link_latency_seconds;   // and between nodes
  Exchange exchange;             // whose collectives run
  const Rates *rates;            // at the spec's precision; NULL: none were measured
  int cores;                     // of a node, shared by its ranks; 0: each has its own
  int rated_cores;               // of these, those that flops, bandwidth and rates are of
  int nodes, ranks_per_node, ranks;
  int norm_ranks;  // whose pictures BatchNorm takes together
  const PlanSource *sources;
  int source_count;
} PlanMachine;

typedef struct PlanPrecision {
  int compute_bytes;   // of an activation and of a gathered parameter: 4, or 2
  int gradient_bytes;  // of a gradient in its unit's buffer
  int reduce_bytes;    // and on its way
} PlanPrecision;

// Cores that a rank has, for each of those that the machine's rates are of.
double plan_core_share(const PlanMachine *machine);

// What a run of an op moves and computes: each operand and result once, in `value_bytes` by ValueId; multiply-adds.
double plan_run_bytes(const Graph *graph, OpId op, RunVariant variant, const uint64_t *value_bytes);
int64_t plan_run_macs(const Graph *graph, OpId op, RunVariant variant);

// What an op's first run sends other ranks: the collectives of trainers, one by one. A BatchNorm's statistics and sums
// are gathered among the ranks that normalise together; running statistics of several such groups become those of their
// mean; Sinkhorn gathers its sums once an iteration; an update averages its gradient, unless that comes in parts: then
// the schedule reduces it.
typedef struct OpTraffic {
  CollectiveKind kind;
  Circle circle;
  uint64_t bytes;  // as collective_ns takes them
  int times;       // how often; 0: never
} OpTraffic;
enum { MAX_OP_TRAFFIC = 2 };
// Returns how many entries of `traffic` are set.
int plan_op_traffic(const Graph *graph, OpId op, const PlanMachine *machine, PlanPrecision precision,
                    const PlanShards *shards, OpTraffic traffic[MAX_OP_TRAFFIC]);
// Bytes that one rank sends in all of an entry.
double plan_op_sent_bytes(const OpTraffic *traffic);

// Fills costs->time_ns from the machine for every op and variant: by the rate of its kind, where that was measured;
// else multiply-adds take two operations at the machine's rate, or the run moves its operands and results once. And
// costs->sync_ns: what an op waits for other ranks, of its plan_op_traffic and of reading what has come.
void plan_costs_time(Arena *arena, const Graph *graph, const PlanMachine *machine, PlanPrecision precision,
                     const PlanShards *shards, PlanCosts *costs);
// Bytes on an accelerator: dense tensors, images in compute precision, the rest in f32.
PlanCosts plan_costs_dense(Arena *arena, const Graph *graph, PlanPrecision precision, const PlanShards *shards);

// Time of the one message that brings together the norms of all parts.
int64_t plan_norms_ns(const Graph *graph, const PlanMachine *machine);

// One unit for each block, of the block's parameters.
PlanUnits *plan_units_make(Arena *arena, const PlanBlocks *blocks, const PlanMachine *machine, PlanPrecision precision,
                           const PlanShards *shards);
// Gives every save mode of every block but the last the time of a copy to the host, or none when the machine has no
// path.
void plan_blocks_price_offload(PlanBlocks *blocks, const PlanMachine *machine);
void plan_chain_add_units(Chain *chain, const PlanUnits *units);

#endif
