// Inside of the simulator: the block that runs, its threads, and what of copies and products is on its way. Not for
// kernels nor tests.
#ifndef SEER_SIMULATOR_BLOCK_H
#define SEER_SIMULATOR_BLOCK_H

#include <cstdint>
#include <vector>

#include "simulator.h"

namespace simulated {

enum { WARP = 32, STACK_BYTES = 256 * 1024, WORDS_IN = 12, WORDS_OUT = 4 };
enum { POISON = 0xFF };             // of bytes: a NaN in fp16, bf16 and float
enum { SHARED_BASE = 0x00000400 };  // where shared memory begins: address 0 is never right

enum class State { ready, at_barrier, at_mbarrier, in_warp, done };
enum class Call {
  none,
  same,
  matrices,
  matrices_transposed,
  multiply_f16,
  multiply_bf16,
  warpgroup_fence,
  warpgroup_product,
  warpgroup_commit,
  warpgroup_wait
};

struct Copy {
  unsigned char *to;
  const unsigned char *from;
  int bytes;
};

struct Thread {
  void *stack, *pointer;
  void *asan_stack;  // what AddressSanitizer keeps of a fiber that does not run
  State state;
  Index index;
  std::vector<Copy> started;              // since the last commit
  std::vector<std::vector<Copy>> groups;  // committed, the oldest first
  std::vector<size_t> landed;             // pieces that its copies have brought, or it has stored
  size_t mbarrier;                        // that it waits for, in the block's list
  u32 parity;                             // of the phase
  std::vector<int64_t> over;              // of each mbarrier of the block, how many phases it knows to be over
};

// 16 bytes of shared memory, as products of warpgroups see them: by another way than plain loads.
struct Piece {
  int64_t published_after;  // so many barriers of the block; NEVER
  bool arrives, brought;    // by a copy: it is on its way, it has landed; or by a store
  int readers;              // products on their way
  int mbarrier;             // of the bulk copy that brings it, in the block's list; NEVER: another copy
  int64_t phase;            // of that mbarrier, which ends when it has landed
};
enum { PIECE_BYTES = 16, NEVER = -1 };
const Piece EMPTY = {NEVER, false, false, 0, NEVER, 0};

// PTX ISA, "mbarrier": a phase is over when nothing is pending, neither arrivals nor bytes.
struct Mbarrier {
  u32 address;
  int arrivals, pending;    // of a phase; of this one those to come
  int64_t bytes;            // expected in this phase and not come
  int64_t phase;            // its number
  int waiters, maker;       // threads
  int64_t published_after;  // so many barriers of the block; NEVER
};
enum { MBARRIER_BYTES = 8, ARRIVALS_MOST = (1 << 20) - 1, EXPECTED_MOST = (1 << 20) - 1 };

struct BulkCopy {
  u32 to;
  const unsigned char *from;
  int bytes, mbarrier;
};

// A product of a warpgroup, as a warp has started it, whose rows are 16 of the 64.
struct Product {
  u64 a, b;
  int columns;
  bool adds, turned, bf16, done;
  float *sums[WARP];
  bool operator==(const Product &other) const {
    return a == other.a && b == other.b && columns == other.columns && adds == other.adds && turned == other.turned &&
           bf16 == other.bf16;
  }
};

// Sums of a warp that products are on their way to: what they are, while registers are poison.
struct Sums {
  float *at[WARP];
  int count, products;  // of each thread; on their way
  std::vector<float> values[WARP];
};

// A call of all threads of a warp: the last to come computes for all.
struct Warp {
  Call call;
  int present;
  u32 in[WARP][WORDS_IN], out[WARP][WORDS_OUT];
  bool fenced;                               // since its sums were touched
  size_t product_count;                      // that it has started
  std::vector<Product> started;              // since the last commit
  std::vector<std::vector<Product>> groups;  // committed, the oldest first
  std::vector<Sums> sums;
};

struct Block {
  const Launch *launch;
  Index index;
  std::vector<void *> stacks;  // of as many threads as a block ever had
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<std::vector<Product>> products;  // of each warpgroup, as its first warp has started them
  std::vector<Piece> pieces;                   // of shared memory
  std::vector<Mbarrier> mbarriers;             // in the order in which they were made
  std::vector<BulkCopy> bulk_copies;           // on their way
  Schedule schedule;
  int current, waiting, ended;
  int64_t barriers;
  unsigned char *shared;
  void *scheduler, *scheduler_asan;
  const void *scheduler_stack;
  size_t scheduler_stack_bytes;
  uint64_t random;
};

extern Block block;

// Ends the process: with the kernel, the block and the thread.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fault(const char *format, ...);

inline Thread &running() { return block.threads[(size_t)block.current]; }
// The running thread goes on when somebody has made it ready.
void wait_in(State state);
uint64_t random_next();

// Of shared memory, where so many bytes must be there.
unsigned char *shared_at(u32 address, size_t bytes, size_t alignment);
template <class Visit>
void pieces_visit(u32 shared, int bytes, Visit visit) {
  const size_t first = (shared - SHARED_BASE) / PIECE_BYTES;
  for (size_t i = first; i < first + (size_t)bytes / PIECE_BYTES; i++) visit(block.pieces[i]);
}

// Lands bulk copies that somebody waits for: at once, or, as late as it may be, when no thread has `moved` since; in
// drawn orders others, too. False: there was none.
bool bulk_copies_move(bool moved);

// At the end of a block: everything was waited for.
void copies_expect_end();
void warps_expect_end();

}  // namespace simulated

#endif
