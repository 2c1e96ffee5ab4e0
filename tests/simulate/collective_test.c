// Times of collectives against closed forms, and against a simulation of their messages, one by one, on few ranks: each
// rank's ports send one message at a time, and a message leaves when what it holds has come.
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
// cmocka wants these four before it.
#include <cmocka.h>

#include "compiler/plan/collective.h"

static const Network slow = {
    .exchange = EXCHANGE_MPI, .start_seconds = 5e-6, .node = {8e9, 2e-6}, .between = {1e9, 20e-6}};

// As the library sends short and long messages: half the rate, or three times the latency.
static Network eager(Network network) {
  network.node.bytes_per_second /= 2;
  network.between.bytes_per_second /= 2;
  return network;
}

static Network agreed(Network network) {
  network.node.latency_seconds *= 3;
  network.between.latency_seconds *= 3;
  return network;
}

// ---- messages one by one ----

enum { MAX_RANKS = 64 };

static bool same_node(int a, int b, int per_node) { return a / per_node == b / per_node; }

static double larger(double a, double b) { return a > b ? a : b; }

// A port of one rank to the next, through all links of its node where that leaves it.
static double ring_gather(const Network *network, int ranks, int per_node, double bytes) {
  double has[MAX_RANKS][MAX_RANKS], port[MAX_RANKS] = {0}, end = 0;
  int nodes = (ranks + per_node - 1) / per_node;
  for (int rank = 0; rank < ranks; rank++) has[rank][rank] = 0;
  for (int step = 0; step + 1 < ranks; step++) {
    for (int rank = 0; rank < ranks; rank++) {
      int part = (rank - step + ranks) % ranks, next = (rank + 1) % ranks;
      bool within = nodes == 1 || same_node(rank, next, per_node);
      double rate = within ? network->node.bytes_per_second : network->between.bytes_per_second * per_node;
      double latency = within ? network->node.latency_seconds : network->between.latency_seconds;
      double begin = larger(port[rank], has[rank][part]);
      port[rank] = begin + bytes / rate;
      has[next][part] = port[rank] + latency;
      end = larger(end, has[next][part]);
    }
  }
  return network->start_seconds + end;
}

// Bruck's: step k sends all it has, at most what is missing, to the rank 2^k below. With powers of two, partners swap.
static double doubling_gather(const Network *network, int ranks, int per_node, double bytes) {
  double ready[MAX_RANKS] = {0};
  bool swaps = (ranks & (ranks - 1)) == 0;
  for (int distance = 1; distance < ranks; distance *= 2) {
    double next[MAX_RANKS];
    double parts = distance < ranks - distance ? distance : ranks - distance;
    for (int rank = 0; rank < ranks; rank++) {
      int from = swaps ? rank ^ distance : (rank + distance) % ranks;
      const Link *link = same_node(rank, from, per_node) ? &network->node : &network->between;
      next[rank] = larger(ready[rank], ready[from] + link->latency_seconds + parts * bytes / link->bytes_per_second);
    }
    for (int rank = 0; rank < ranks; rank++) ready[rank] = next[rank];
  }
  double end = 0;
  for (int rank = 0; rank < ranks; rank++) end = larger(end, ready[rank]);
  return network->start_seconds + end;
}

// A rank has so many messages on their way at once, of each kind of link; the rate of the link is for all of them.
static double direct_exchange(const Network *network, int ranks, int per_node, double bytes, int in_flight) {
  double end = 0;
  for (int kind = 0; kind < 2; kind++) {
    const Link *link = kind ? &network->between : &network->node;
    double arrived[MAX_RANKS], port = 0;
    int count = kind ? ranks - per_node : per_node - 1;
    for (int i = 0; i < count; i++) {
      double begin = i >= in_flight ? larger(port, arrived[i - in_flight]) : port;
      port = begin + bytes / link->bytes_per_second;
      arrived[i] = port + link->latency_seconds;
      end = larger(end, arrived[i]);
    }
  }
  return network->start_seconds + end;
}

static double best_of(double a, double b) { return a < b ? a : b; }

static void assert_near(double found, double least, double most) {
  if (found < least * (1 - 1e-9) || found > most * (1 + 1e-9)) fail_msg("%g s, expected %g to %g", found, least, most);
}

static const int shapes[][2] = {{2, 1}, {2, 2}, {4, 4}, {5, 5}, {8, 2}, {8, 8}, {12, 4}, {24, 8}, {32, 8}, {48, 8}};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static const uint64_t sizes[] = {8, 1024, 65536, 1 << 20, 1 << 26};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_ring(void **state) {
  (void)state;
  Network short_one = eager(slow), long_one = agreed(slow);
  for (int i = 0; i < SHAPES; i++) {
    for (int s = 0; s < SIZES; s++) {
      int ranks = shapes[i][0], per_node = shapes[i][1];
      double bytes = (double)sizes[s];
      double events =
          best_of(ring_gather(&short_one, ranks, per_node, bytes), ring_gather(&long_one, ranks, per_node, bytes));
      double found =
          collective_seconds(&slow, circle_of(ranks, 1, per_node), COLLECTIVE_GATHER, ALGORITHM_RING, sizes[s]);
      // Where hops are alike they are in step.
      bool alike = ranks == per_node || per_node == 1;
      assert_near(found, events, events * (alike ? 1 : 1.2));
    }
  }
}

static void test_doubling(void **state) {
  (void)state;
  Network short_one = eager(slow), long_one = agreed(slow);
  for (int i = 0; i < SHAPES; i++) {
    for (int s = 0; s < SIZES; s++) {
      int ranks = shapes[i][0], per_node = shapes[i][1];
      double bytes = (double)sizes[s];
      double events = best_of(doubling_gather(&short_one, ranks, per_node, bytes),
                              doubling_gather(&long_one, ranks, per_node, bytes));
      double found =
          collective_seconds(&slow, circle_of(ranks, 1, per_node), COLLECTIVE_GATHER, ALGORITHM_DOUBLING, sizes[s]);
      bool exact = (ranks & (ranks - 1)) == 0 || ranks == per_node;
      assert_near(found, events, events * (exact ? 1 : 1.6));
    }
  }
}

static void test_direct(void **state) {
  (void)state;
  Network short_one = eager(slow), long_one = agreed(slow);
  for (int i = 0; i < SHAPES; i++) {
    for (int s = 0; s < SIZES; s++) {
      int ranks = shapes[i][0], per_node = shapes[i][1];
      double bytes = (double)sizes[s];
      double events = best_of(direct_exchange(&short_one, ranks, per_node, bytes, 4),
                              direct_exchange(&long_one, ranks, per_node, bytes, 4));
      double found =
          collective_seconds(&slow, circle_of(ranks, 1, per_node), COLLECTIVE_EXCHANGE, ALGORITHM_DIRECT, sizes[s]);
      assert_near(found, events, events * 1.3);
    }
  }
}

// Of one message size and one protocol, as the books have them; a network without protocols is the limit of long and of
// short messages.
static void test_closed_forms(void **state) {
  (void)state;
  const uint64_t large = (uint64_t)1 << 34;
  double m = (double)large;
  Circle one = circle_of(8, 1, 8), many = circle_of(64, 1, 8);
  double ring = collective_seconds(&slow, one, COLLECTIVE_REDUCE, ALGORITHM_RING, large);
  assert_near(ring, 2 * 7.0 / 8 * m / 8e9, 2 * 7.0 / 8 * m / 8e9 + 1e-4);
  // All of a node's links carry what leaves it.
  double gather = collective_seconds(&slow, many, COLLECTIVE_GATHER, ALGORITHM_RING, large / 64);
  assert_near(gather, 63.0 / 64 * m / 8e9, 63.0 / 64 * m / 8e9 + 5e-3);
  double direct = collective_seconds(&slow, many, COLLECTIVE_EXCHANGE, ALGORITHM_DIRECT, large / 64);
  assert_near(direct, 56.0 / 64 * m / 1e9, 56.0 / 64 * m / 1e9 + 5e-3);
  // Within nodes first: an eighth of the bytes goes between them.
  double hierarchical = collective_seconds(&slow, many, COLLECTIVE_SCATTER, ALGORITHM_HIERARCHICAL, large / 64);
  assert_near(hierarchical, 7.0 / 8 * m / 8e9 + 7.0 / 64 * m / 1e9, 7.0 / 8 * m / 8e9 + 7.0 / 64 * m / 1e9 + 5e-3);
  double tree = collective_seconds(&slow, many, COLLECTIVE_REDUCE, ALGORITHM_TREE, 0);
  assert_near(tree, 5e-6 + 2 * (7 * 2e-6 + 3 * 20e-6), 5e-6 + 2 * (7 * 2e-6 + 3 * 20e-6));
  double broadcast = collective_seconds(&slow, one, COLLECTIVE_BROADCAST, ALGORITHM_TREE, 0);
  assert_near(broadcast, 5e-6 + 3 * 2e-6, 5e-6 + 3 * 2e-6);
  assert_true(collective_seconds(&slow, one, COLLECTIVE_GATHER, ALGORITHM_TREE, 8) < 0);
  assert_true(collective_seconds(&slow, one, COLLECTIVE_GATHER, ALGORITHM_HIERARCHICAL, 8) < 0);
  assert_int_equal(collective_ns(&slow, circle_of(1, 1, 8), COLLECTIVE_REDUCE, large, NULL), 0);
}

// Eight ranks of NCCL in a node: 7 hops of a short message's protocol.
static void test_nccl(void **state) {
  (void)state;
  Network nccl = {EXCHANGE_NCCL, 6e-6, {200e9, 0.6e-6}, {20e9, 2.7e-6}};
  CollectiveAlgorithm chosen = ALGORITHM_COUNT;
  assert_int_equal(collective_ns(&nccl, circle_of(8, 1, 8), COLLECTIVE_GATHER, 0, &chosen), 6000 + 7 * 600);
  assert_int_equal(chosen, ALGORITHM_RING);
  int64_t of_all = collective_ns(&nccl, circle_of(496, 1, 8), COLLECTIVE_GATHER, 0, NULL);
  assert_int_equal(of_all, 6000 + (495 - 62) * 600 + 62 * 2700);
  // Trees are for many ranks and short messages, rings for long ones.
  collective_ns(&nccl, circle_of(496, 1, 8), COLLECTIVE_REDUCE, 4096, &chosen);
  assert_int_equal(chosen, ALGORITHM_TREE);
}

static void test_monotone(void **state) {
  (void)state;
  for (int e = 0; e < EXCHANGE_COUNT; e++) {
    for (int kind = 0; kind < COLLECTIVE_KIND_COUNT; kind++) {
      for (int i = 0; i < SHAPES; i++) {
        int64_t last = 0;
        Circle circle = circle_of(shapes[i][0], 1, shapes[i][1]);
        for (int s = 0; s < SIZES; s++) {
          Network base = slow, wider = slow, nearer = slow;
          base.exchange = wider.exchange = nearer.exchange = (Exchange)e;
          wider.node.bytes_per_second *= 2;
          wider.between.bytes_per_second *= 2;
          nearer.node.latency_seconds /= 2;
          nearer.between.latency_seconds /= 2;
          int64_t now = collective_ns(&base, circle, (CollectiveKind)kind, sizes[s], NULL);
          assert_true(now >= last);
          assert_true(collective_ns(&wider, circle, (CollectiveKind)kind, sizes[s], NULL) <= now);
          assert_true(collective_ns(&nearer, circle, (CollectiveKind)kind, sizes[s], NULL) < now);
          // The best of all algorithms is no slower than any library's with the same protocols.
          Network best = base;
          best.exchange = EXCHANGE_BEST;
          if (e == EXCHANGE_NCCL)
            assert_true(collective_ns(&best, circle, (CollectiveKind)kind, sizes[s], NULL) <= now);
          last = now;
        }
      }
    }
  }
}

static void assert_circle(Circle circle, int ranks, int nodes, int per_node) {
  assert_int_equal(circle.ranks, ranks);
  assert_int_equal(circle.nodes, nodes);
  assert_int_equal(circle.per_node, per_node);
}

static void test_circles(void **state) {
  (void)state;
  assert_circle(circle_of(8, 1, 8), 8, 1, 8);
  assert_circle(circle_of(4, 1, 8), 4, 1, 4);
  assert_circle(circle_of(64, 1, 8), 64, 8, 8);
  assert_circle(circle_of(62, 8, 8), 62, 62, 1);  // ranks that keep the same parts
  assert_circle(circle_of(4, 2, 8), 4, 1, 4);
  assert_circle(circle_of(31, 16, 8), 31, 31, 1);
  assert_circle(circle_of(3, 1, 8), 3, 2, 2);  // one of such groups lies across
  assert_circle(circle_of(12, 1, 8), 12, 3, 4);
  assert_circle(circle_of(1, 1, 8), 1, 1, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ring),         cmocka_unit_test(test_doubling), cmocka_unit_test(test_direct),
      cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_nccl),     cmocka_unit_test(test_monotone),
      cmocka_unit_test(test_circles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
