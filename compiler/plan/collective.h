// What a collective among ranks takes: by algorithm, message size and place of the ranks. A message pays its link's
// latency, then its bytes at the link's rate (alpha and beta of Hockney's model); links are of two kinds, within a node
// and between nodes. Bytes and times of a step's collectives go through here, so that the planner weighs what the
// simulation shows. Formulas, and which algorithm runs where: docs/simulator.md.
#ifndef SEER_PLAN_COLLECTIVE_H
#define SEER_PLAN_COLLECTIVE_H

#include <stdint.h>

typedef enum CollectiveKind {
  COLLECTIVE_GATHER,     // each rank's part goes to all
  COLLECTIVE_SCATTER,    // sums: each rank gets the sum of all ranks' numbers for its part
  COLLECTIVE_REDUCE,     // sums: all get the sum of all
  COLLECTIVE_BROADCAST,  // one rank's message goes to all
  COLLECTIVE_EXCHANGE,   // each rank has another part for each rank
  COLLECTIVE_KIND_COUNT
} CollectiveKind;

typedef enum CollectiveAlgorithm {
  ALGORITHM_RING,          // each part goes round, from rank to rank
  ALGORITHM_TREE,          // up and down a tree
  ALGORITHM_DOUBLING,      // partners at distance 1, 2, 4, ..; of ranks that are no power of two, Bruck's
  ALGORITHM_DIRECT,        // each rank sends every other its own
  ALGORITHM_HIERARCHICAL,  // within nodes and between them, in turns
  ALGORITHM_COUNT
} CollectiveAlgorithm;
extern const char *const collective_algorithm_names[ALGORITHM_COUNT];

// Whose algorithms run. EXCHANGE_BEST is for what-if: of each collective the fastest of all, which no trainer runs.
typedef enum Exchange { EXCHANGE_MPI, EXCHANGE_NCCL, EXCHANGE_BEST, EXCHANGE_COUNT } Exchange;
extern const char *const exchange_names[EXCHANGE_COUNT];

typedef struct Link {
  double bytes_per_second;  // of one rank, in each direction
  double latency_seconds;   // of one small message
} Link;

typedef struct Network {
  Exchange exchange;
  double start_seconds;  // of a collective, before anything moves
  Link node, between;    // within a node; a rank's share of what its node has between nodes
} Network;

// Ranks of one collective. Other ranks of the same nodes are busy with their own, so each has its share of the links.
typedef struct Circle {
  int ranks, nodes, per_node;  // per_node: of the fullest
} Circle;
// `count` ranks one behind the other, or every `stride`-th, of those that lie `ranks_per_node` in a node: the worst of
// such circles.
Circle circle_of(int count, int stride, int ranks_per_node);

// bytes: one rank's part; of COLLECTIVE_REDUCE and COLLECTIVE_BROADCAST the whole message. 0 for a circle of one rank.
// Negative: no such algorithm for that kind and circle.
double collective_seconds(const Network *network, Circle circle, CollectiveKind kind, CollectiveAlgorithm algorithm,
                          uint64_t bytes);
// By the network's own choice of algorithm and protocol; `chosen`, or NULL, is told. Rounded to whole nanoseconds.
int64_t collective_ns(const Network *network, Circle circle, CollectiveKind kind, uint64_t bytes,
                      CollectiveAlgorithm *chosen);

#endif
