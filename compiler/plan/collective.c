// Times of collectives; see collective.h.
//
// Sources: Hockney (1994) for alpha and beta; Thakur, Rabenseifner, Gropp (2005) for rings, doubling and Bruck's
// algorithm in MPI; NCCL's src/graph/tuning.cc for its rings and trees; ratios near those of its
// protocols.
#include "compiler/plan/collective.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/bug.h"

const char *const collective_algorithm_names[ALGORITHM_COUNT] = {"ring", "tree", "doubling", "direct", "hierarchical"};
const char *const exchange_names[EXCHANGE_COUNT] = {"mpi", "nccl", "best"};

// How a library sends: short messages quickly, long ones at the full rate. Latencies are told as multiples of the
// network's own, which are of the quickest protocol.
typedef struct Protocol {
  double start, node, between;  // times the latencies
  double share;                 // of the bandwidth
} Protocol;

enum { MAX_PROTOCOLS = 3 };

typedef struct Library {
  Protocol protocols[MAX_PROTOCOLS];
  int protocol_count;
  int in_flight;                               // messages to different ranks that overlap in a direct exchange
  unsigned algorithms[COLLECTIVE_KIND_COUNT];  // bits
} Library;

#define BIT(name) (1u << ALGORITHM_##name)
#define ANY ((1u << ALGORITHM_COUNT) - 1)

// MPI: eager messages are copied once more, longer ones agree on it first. NCCL: LL, LL128, Simple.
static const Library libraries[EXCHANGE_COUNT] = {
    [EXCHANGE_MPI] = {{{1, 1, 1, 0.5}, {1, 3, 3, 1}},
                      2,
                      4,
                      {[COLLECTIVE_GATHER] = BIT(RING) | BIT(DOUBLING),
                       [COLLECTIVE_SCATTER] = BIT(RING) | BIT(DOUBLING),
                       [COLLECTIVE_REDUCE] = BIT(RING) | BIT(DOUBLING),
                       [COLLECTIVE_BROADCAST] = BIT(RING) | BIT(TREE),
                       [COLLECTIVE_EXCHANGE] = BIT(DIRECT)}},
    [EXCHANGE_NCCL] = {{{1, 1, 1, 0.25}, {2.1, 3.2, 1.5, 0.92}, {1.3, 5.7, 3.6, 1}},
                       3,
                       32,
                       {[COLLECTIVE_GATHER] = BIT(RING),
                        [COLLECTIVE_SCATTER] = BIT(RING),
                        [COLLECTIVE_REDUCE] = BIT(RING) | BIT(TREE),
                        [COLLECTIVE_BROADCAST] = BIT(RING),
                        [COLLECTIVE_EXCHANGE] = BIT(DIRECT)}},
    [EXCHANGE_BEST] = {{{1, 1, 1, 0.25}, {2.1, 3.2, 1.5, 0.92}, {1.3, 5.7, 3.6, 1}}, 3, 32, {ANY, ANY, ANY, ANY, ANY}},
};

Circle circle_of(int count, int stride, int ranks_per_node) {
  if (stride >= ranks_per_node) return (Circle){count, count, 1};
  int span = (count - 1) * stride + 1;
  // One that fits and divides begins where a node does; another lies as badly as it can.
  bool even = ranks_per_node % (count * stride) == 0 || (count * stride) % ranks_per_node == 0;
  int nodes = even ? (span + ranks_per_node - 1) / ranks_per_node : (span - 2 + ranks_per_node) / ranks_per_node + 1;
  if (nodes > count) nodes = count;
  return (Circle){count, nodes, (count + nodes - 1) / nodes};
}

static double larger(double a, double b) { return a > b ? a : b; }
static double smaller(double a, double b) { return a < b ? a : b; }

static int log2_up(int n) {
  int steps = 0;
  for (int64_t reach = 1; reach < n; reach *= 2) steps++;
  return steps;
}

static bool is_power_of_two(int n) { return n > 0 && (n & (n - 1)) == 0; }

// All that goes round passes every rank, and leaves each node by the links of all its ranks.
static double ring_rate(const Network *network, Circle circle) {
  double rate = INFINITY;
  if (circle.per_node > 1) rate = network->node.bytes_per_second;
  if (circle.nodes > 1) rate = smaller(rate, network->between.bytes_per_second * circle.per_node);
  return rate;
}

static double hops_seconds(const Network *network, int node, int between) {
  return node * network->node.latency_seconds + between * network->between.latency_seconds;
}

// The slowest of the parts leaves out a hop within its node.
static double ring(const Network *network, Circle circle, CollectiveKind kind, double bytes) {
  int hops = circle.ranks - 1, crossing = circle.nodes - (circle.nodes == 1 || circle.per_node == 1);
  double once = hops_seconds(network, hops - crossing, crossing), rate = ring_rate(network, circle);
  switch (kind) {
    case COLLECTIVE_GATHER:
    case COLLECTIVE_SCATTER: return once + hops * bytes / rate;
    case COLLECTIVE_REDUCE: return 2 * (once + hops * ceil(bytes / circle.ranks) / rate);
    case COLLECTIVE_BROADCAST: return once + bytes / rate;
    case COLLECTIVE_EXCHANGE:
    case COLLECTIVE_KIND_COUNT: break;
  }
  return -1;
}

// Sums climb a chain within each node and a binary tree of nodes, in a stream of pieces, and come back. A broadcast of
// MPI goes from rank to rank as a whole.
static double tree(const Network *network, Circle circle, CollectiveKind kind, double bytes) {
  int between = log2_up(circle.nodes);
  if (kind == COLLECTIVE_REDUCE)
    return 2 * (hops_seconds(network, circle.per_node - 1, between) + bytes / ring_rate(network, circle));
  if (kind != COLLECTIVE_BROADCAST) return -1;
  int within = log2_up(circle.per_node);
  double seconds = hops_seconds(network, within, between);
  if (between) seconds += between * bytes / network->between.bytes_per_second;
  if (within) seconds += within * bytes / network->node.bytes_per_second;
  return seconds;
}

// A message of every rank to the one that lies `distance` away. Of powers of two they stay within a node or all leave
// it; of others some leave and the rest waits for them.
static double step_seconds(const Network *network, Circle circle, int64_t distance, double bytes) {
  bool aligned = is_power_of_two(circle.ranks) && is_power_of_two(circle.per_node);
  bool leaves = circle.nodes > 1 && (!aligned || distance >= circle.per_node);
  const Link *link = leaves ? &network->between : &network->node;
  return link->latency_seconds + bytes / link->bytes_per_second;
}

static double doubling(const Network *network, Circle circle, CollectiveKind kind, double bytes) {
  bool gathers = kind == COLLECTIVE_GATHER || kind == COLLECTIVE_SCATTER;
  if (!gathers && kind != COLLECTIVE_REDUCE) return -1;
  double seconds = 0;
  for (int64_t distance = 1; distance < circle.ranks; distance *= 2) {
    double parts = gathers ? smaller((double)distance, (double)(circle.ranks - distance)) : 1;
    seconds += step_seconds(network, circle, distance, parts * bytes);
  }
  // Ranks beyond the last power of two hand theirs to another first, and get the sum at the end.
  if (kind == COLLECTIVE_REDUCE && !is_power_of_two(circle.ranks)) {
    seconds -= step_seconds(network, circle, circle.ranks, bytes);
    seconds += 2 * step_seconds(network, circle, 1, bytes);
  }
  return seconds;
}

// So many messages overlap; bytes within the node and between nodes go side by side.
static double direct(const Network *network, Circle circle, CollectiveKind kind, double bytes, int in_flight) {
  if (kind == COLLECTIVE_REDUCE)
    return 2 * direct(network, circle, COLLECTIVE_EXCHANGE, ceil(bytes / circle.ranks), in_flight);
  double node = circle.per_node - 1, between = circle.ranks - circle.per_node;
  double seconds = 0;
  if (node > 0)
    seconds = ceil(node / in_flight) * network->node.latency_seconds + node * bytes / network->node.bytes_per_second;
  if (between > 0)
    seconds = larger(seconds, ceil(between / in_flight) * network->between.latency_seconds +
                                  between * bytes / network->between.bytes_per_second);
  return seconds;
}

static Network network_with(const Network *network, const Protocol *protocol) {
  Network changed = *network;
  changed.start_seconds *= protocol->start;
  changed.node.latency_seconds *= protocol->node;
  changed.node.bytes_per_second *= protocol->share;
  changed.between.latency_seconds *= protocol->between;
  changed.between.bytes_per_second *= protocol->share;
  return changed;
}

static double choose(const Network *network, Circle circle, CollectiveKind kind, unsigned algorithms, double bytes,
                     CollectiveAlgorithm *chosen);

// Each phase is a collective of its own; its algorithm is any but this one.
static double phase(const Network *network, int ranks, bool within, CollectiveKind kind, double bytes) {
  Circle circle = within ? (Circle){ranks, 1, ranks} : (Circle){ranks, ranks, 1};
  return choose(network, circle, kind, ANY & ~BIT(HIERARCHICAL), bytes, NULL);
}

static double hierarchical(const Network *network, Circle circle, CollectiveKind kind, double bytes) {
  int nodes = circle.nodes, per_node = circle.per_node;
  if (nodes == 1 || per_node == 1) return -1;
  double share = ceil(bytes / per_node);
  switch (kind) {
    case COLLECTIVE_GATHER:
    case COLLECTIVE_SCATTER:
      return phase(network, nodes, false, kind, bytes) + phase(network, per_node, true, kind, nodes * bytes);
    case COLLECTIVE_REDUCE:
      return phase(network, per_node, true, COLLECTIVE_SCATTER, share) + phase(network, nodes, false, kind, share) +
             phase(network, per_node, true, COLLECTIVE_GATHER, share);
    case COLLECTIVE_BROADCAST:
      return phase(network, nodes, false, kind, bytes) + phase(network, per_node, true, kind, bytes);
    case COLLECTIVE_EXCHANGE:
      return phase(network, per_node, true, kind, nodes * bytes) + phase(network, nodes, false, kind, per_node * bytes);
    case COLLECTIVE_KIND_COUNT: break;
  }
  BUG("no collective %d", (int)kind);
}

static double one_protocol(const Network *network, Circle circle, CollectiveKind kind, CollectiveAlgorithm algorithm,
                           double bytes, int in_flight) {
  double seconds = -1;
  switch (algorithm) {
    case ALGORITHM_RING: seconds = ring(network, circle, kind, bytes); break;
    case ALGORITHM_TREE: seconds = tree(network, circle, kind, bytes); break;
    case ALGORITHM_DOUBLING: seconds = doubling(network, circle, kind, bytes); break;
    case ALGORITHM_DIRECT: seconds = direct(network, circle, kind, bytes, in_flight); break;
    case ALGORITHM_HIERARCHICAL:
    case ALGORITHM_COUNT: break;
  }
  return seconds < 0 ? seconds : network->start_seconds + seconds;
}

static double with_algorithm(const Network *network, Circle circle, CollectiveKind kind, CollectiveAlgorithm algorithm,
                             double bytes) {
  const Library *library = &libraries[network->exchange];
  if (circle.ranks < 2) return 0;
  if (algorithm == ALGORITHM_HIERARCHICAL) return hierarchical(network, circle, kind, bytes);
  double best = -1;
  for (int i = 0; i < library->protocol_count; i++) {
    Network changed = network_with(network, &library->protocols[i]);
    double seconds = one_protocol(&changed, circle, kind, algorithm, bytes, library->in_flight);
    if (seconds >= 0 && (best < 0 || seconds < best)) best = seconds;
  }
  return best;
}

static double choose(const Network *network, Circle circle, CollectiveKind kind, unsigned algorithms, double bytes,
                     CollectiveAlgorithm *chosen) {
  double best = -1;
  for (int a = 0; a < ALGORITHM_COUNT; a++) {
    if (!(algorithms >> a & 1)) continue;
    double seconds = with_algorithm(network, circle, kind, (CollectiveAlgorithm)a, bytes);
    if (seconds < 0 || (best >= 0 && seconds >= best)) continue;
    best = seconds;
    if (chosen) *chosen = (CollectiveAlgorithm)a;
  }
  if (best < 0) BUG("no algorithm for collective %d of %d ranks", (int)kind, circle.ranks);
  return best;
}

double collective_seconds(const Network *network, Circle circle, CollectiveKind kind, CollectiveAlgorithm algorithm,
                          uint64_t bytes) {
  return with_algorithm(network, circle, kind, algorithm, (double)bytes);
}

int64_t collective_ns(const Network *network, Circle circle, CollectiveKind kind, uint64_t bytes,
                      CollectiveAlgorithm *chosen) {
  unsigned algorithms = libraries[network->exchange].algorithms[kind];
  return (int64_t)(choose(network, circle, kind, algorithms, (double)bytes, chosen) * 1e9 + 0.5);
}
