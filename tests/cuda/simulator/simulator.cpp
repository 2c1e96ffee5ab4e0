// See simulator.h. A block's threads are fibers: stacks of their own between which a few instructions switch.
#include "simulator.h"

#include <immintrin.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS_TELL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS_TELL_ASAN 1
#endif
#endif
#ifdef FIBERS_TELL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

// Keeps the stack pointer of what runs at *save and goes on where `load` was kept.
extern "C" void simulated_switch(void **save, void *load);
asm(R"(
.text
.globl simulated_switch
.type simulated_switch, @function
simulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simulated_switch, . - simulated_switch
)");

namespace simulated {

void fault_end(const char *format, va_list arguments) {
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  std::_Exit(70);
}

namespace {

enum { WARP = 32, STACK_BYTES = 256 * 1024, WORDS_IN = 12, WORDS_OUT = 4 };
enum { POISON = 0xFF };             // of bytes: a NaN in fp16, bf16 and float
enum { SHARED_BASE = 0x00000400 };  // where shared memory begins: address 0 is never right

enum class State { ready, at_barrier, in_warp, done };
enum class Call {
  none,
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
  std::vector<size_t> unpublished;        // pieces that its copies have brought, or it has stored
};

// 16 bytes of shared memory, as products of warpgroups see them: by another way than plain loads.
struct Piece {
  int64_t published_after;  // so many barriers of the block; NEVER
  bool brought;             // by a copy, which has landed, or stored
  int readers;              // products on their way
};
enum { PIECE_BYTES = 16, NEVER = -1 };

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
  Schedule schedule;
  int current, waiting, ended;
  int64_t barriers;
  unsigned char *shared;
  void *scheduler, *scheduler_asan;
  const void *scheduler_stack;
  size_t scheduler_stack_bytes;
  uint64_t random;
};

Block block;

[[noreturn]] __attribute__((format(printf, 1, 2))) void fault(const char *format, ...) {
  std::fputs("simulated device: ", stderr);
  if (block.launch && block.launch->name) std::fprintf(stderr, "kernel '%s', ", block.launch->name);
  std::fprintf(stderr, "block (%u, %u, %u)", block.index.x, block.index.y, block.index.z);
  if (block.current >= 0) std::fprintf(stderr, ", thread %d", block.current);
  std::fputs(": ", stderr);
  va_list arguments;
  va_start(arguments, format);
  fault_end(format, arguments);
}

Thread &running() { return block.threads[(size_t)block.current]; }

// ---- fibers ----

void leave(bool for_ever) {
  Thread &thread = running();
#ifdef FIBERS_TELL_ASAN
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &thread.asan_stack, block.scheduler_stack,
                                 block.scheduler_stack_bytes);
#else
  (void)for_ever;
#endif
  simulated_switch(&thread.pointer, block.scheduler);
#ifdef FIBERS_TELL_ASAN
  __sanitizer_finish_switch_fiber(thread.asan_stack, nullptr, nullptr);
#endif
}

void wait_in(State state) {
  running().state = state;
  leave(false);
}

void thread_main() {
#ifdef FIBERS_TELL_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
  block.launch->kernel(block.launch->arguments);
  Thread &thread = running();
  if (!thread.started.empty()) fault("the kernel ends with copies started and not committed");
  for (const auto &group : thread.groups)
    if (!group.empty()) fault("the kernel ends with copies on their way");
  thread.state = State::done;
  block.ended++;
  leave(true);
  fault("a thread that has ended goes on");
}

void enter(int thread) {
  block.current = thread;
  Thread &next = running();
#ifdef FIBERS_TELL_ASAN
  __sanitizer_start_switch_fiber(&block.scheduler_asan, next.stack, STACK_BYTES);
#endif
  simulated_switch(&block.scheduler, next.pointer);
#ifdef FIBERS_TELL_ASAN
  __sanitizer_finish_switch_fiber(block.scheduler_asan, nullptr, nullptr);
#endif
  block.current = -1;
}

void thread_prepare(Thread &thread, int at) {
  const Index size = block.launch->block;
  const unsigned n = (unsigned)at;
  thread.index = Index{n % size.x, n / size.x % size.y, n / (size.x * size.y)};
  thread.state = State::ready;
  thread.stack = block.stacks[n];
  thread.started.clear();
  thread.groups.clear();
  thread.unpublished.clear();
  // As simulated_switch leaves a stack: six registers, then where to go on; aligned as after a call.
  void **top = (void **)((char *)thread.stack + STACK_BYTES - 64);
  *--top = nullptr;
  *--top = (void *)&thread_main;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  thread.pointer = top;
}

// ---- schedules ----

uint64_t random_next() {
  block.random ^= block.random << 13;
  block.random ^= block.random >> 7;
  block.random ^= block.random << 17;
  return block.random >> 16;
}

[[noreturn]] void deadlock() {
  int barrier = 0, warp = 0;
  for (const Thread &thread : block.threads)
    barrier += thread.state == State::at_barrier, warp += thread.state == State::in_warp;
  fault("waits for ever: %d threads at a barrier, %d in a function of their warp, %d have ended", barrier, warp,
        (int)block.threads.size() - barrier - warp);
}

// Runs the ready threads in turn, in an order that is drawn anew each time.
bool sweep(std::vector<int> &order) {
  bool moved = false;
  for (size_t i = order.size() - 1; i > 0; i--) std::swap(order[i], order[random_next() % (i + 1)]);
  for (int thread : order) {
    if (block.threads[(size_t)thread].state != State::ready) continue;
    enter(thread);
    moved = true;
  }
  return moved;
}

// Runs the first thread of the order that is ready: the others wait for as long as there is one before them.
bool step(const std::vector<int> &order) {
  for (int thread : order) {
    if (block.threads[(size_t)thread].state != State::ready) continue;
    enter(thread);
    return true;
  }
  return false;
}

void block_run() {
  const Schedule schedule = block.schedule;
  const int count = (int)block.threads.size();
  std::vector<int> order((size_t)count);
  for (int i = 0; i < count; i++) order[(size_t)i] = schedule == Schedule::last_first ? count - 1 - i : i;
  block.ended = 0;
  while (block.ended < count)
    if (!(schedule == Schedule::random ? sweep(order) : step(order))) deadlock();
}

unsigned char *shared_at(u32 address, size_t bytes, size_t alignment) {
  if (address < SHARED_BASE || address - SHARED_BASE + bytes > block.launch->shared_bytes)
    fault("shared address %u is outside of the %zu bytes there are", address - SHARED_BASE, block.launch->shared_bytes);
  if ((address - SHARED_BASE) % alignment)
    fault("shared address %u is not a multiple of %zu", address - SHARED_BASE, alignment);
  return block.shared + (address - SHARED_BASE);
}

// ---- functions of a warp ----

template <class Compute>
void together(Call call, const u32 *in, int in_words, u32 *out, int out_words, Compute compute) {
  const int lane = block.current % WARP, first = block.current - lane;
  Warp &warp = block.warps[(size_t)(first / WARP)];
  if (warp.present && warp.call != call) fault("threads of one warp call different functions of it");
  warp.call = call;
  std::copy(in, in + in_words, warp.in[lane]);
  if (++warp.present < WARP) {
    wait_in(State::in_warp);
  } else {
    compute(warp);
    warp.present = 0;
    for (int i = first; i < first + WARP; i++)
      if (block.threads[(size_t)i].state == State::in_warp) block.threads[(size_t)i].state = State::ready;
  }
  std::copy(warp.out[lane], warp.out[lane] + out_words, out);
}

float element(u32 pair, int half, bool bf16) {
  const uint16_t bits = (uint16_t)(pair >> 16 * half);
  return bf16 ? from_bf16(bits) : from_f16(bits);
}

// PTX ISA, fragments of mma.m16n8k16: lane = 4 * row + pair of columns.
void multiply(Warp &warp, bool bf16) {
  float a[16][16], b[16][8], c[16][8];
  for (int lane = 0; lane < WARP; lane++) {
    const u32 *in = warp.in[lane];
    const int row = lane / 4, pair = lane % 4 * 2;
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 4; i++) a[row + i % 2 * 8][pair + i / 2 * 8 + half] = element(in[i], half, bf16);
      for (int i = 0; i < 2; i++) b[pair + i * 8 + half][row] = element(in[4 + i], half, bf16);
    }
    for (int i = 0; i < 4; i++) std::memcpy(&c[row + i / 2 * 8][pair + i % 2], &in[6 + i], sizeof(float));
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
  for (int lane = 0; lane < WARP; lane++)
    for (int i = 0; i < 4; i++)
      std::memcpy(&warp.out[lane][i], &c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2], sizeof(float));
}

// PTX ISA, ldmatrix: matrix m's rows are at the addresses of lanes 8 m .. 8 m + 7.
void load(Warp &warp, bool transposed) {
  for (int m = 0; m < 4; m++) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; row++) std::memcpy(matrix[row], shared_at(warp.in[8 * m + row][0], 16, 16), 16);
    for (int lane = 0; lane < WARP; lane++) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t first = transposed ? matrix[column][row] : matrix[row][column];
      const uint16_t second = transposed ? matrix[column + 1][row] : matrix[row][column + 1];
      warp.out[lane][m] = first | (u32)second << 16;
    }
  }
}

// ---- products of a warpgroup ----

// One operand: PTX ISA, "Matrix descriptor" and "Shared Memory Matrix Layout" of wgmma, for 16 bits.
struct Operand {
  u32 begin, slab_bytes, stride;  // from slab to slab; from eight rows of memory to the next eight
  u32 row_bytes;                  // of which rows are swizzled
  bool turned;                    // rows of memory are the depth's
};

Operand operand_read(u64 description, bool turned) {
  const u64 address = 0x3FFF;
  const int mode = (int)(description >> 62);
  if (description & ~(address | address << 16 | address << 32 | (u64)3 << 62))
    fault("the description of an operand has bits that mean nothing here: %016llx", (unsigned long long)description);
  if (mode == 0) fault("an operand of a product is not swizzled");
  Operand operand = {(u32)(description & address) << 4, (u32)(description >> 16 & address) << 4,
                     (u32)(description >> 32 & address) << 4, (u32)256 >> mode, turned};
  const u32 inside = operand.begin % (8 * operand.row_bytes);
  if (turned ? inside != 0 : inside + 32 > operand.row_bytes)
    fault("an operand begins %u bytes behind a multiple of eight rows of %u bytes", inside, operand.row_bytes);
  return operand;
}

// Where chunk `chunk` of the operand's 16 of depth is: of a line of it, eight of depth; turned, of depth, eight lines.
u32 operand_chunk(const Operand &operand, int lines, int chunk) {
  u32 at;
  if (operand.turned) {
    const int line = chunk % (lines / 8) * 8, depth = chunk / (lines / 8), slab = (int)operand.row_bytes / 2;
    at = operand.begin + (u32)(line / slab) * operand.slab_bytes + (u32)(depth / 8) * operand.stride +
         (u32)(depth % 8) * operand.row_bytes + (u32)(line % slab) * 2;
  } else {
    const int line = chunk / 2;
    at = operand.begin + (u32)(line / 8) * operand.stride + (u32)(line % 8) * operand.row_bytes + (u32)(chunk % 2) * 16;
  }
  return at ^ (at >> 7 & (operand.row_bytes / 16 - 1)) << 4;
}

// Calls visit(piece) for all that a warp's rows of a product need.
template <class Visit>
void operands_visit(const Product &product, Visit visit) {
  const Operand a = operand_read(product.a, product.turned), b = operand_read(product.b, product.turned);
  for (int chunk = 0; chunk < 2 * 64; chunk++)
    visit(block.pieces[(size_t)(shared_at(operand_chunk(a, 64, chunk), 16, 16) - block.shared) / PIECE_BYTES]);
  for (int chunk = 0; chunk < 2 * product.columns; chunk++)
    visit(block.pieces[(size_t)(shared_at(operand_chunk(b, product.columns, chunk), 16, 16) - block.shared) /
                       PIECE_BYTES]);
}

// values [lines][16] or, of the operand b, [16][lines].
void operand_load(const Operand &operand, int lines, bool bf16, float *values, int line_step, int depth_step) {
  for (int chunk = 0; chunk < 2 * lines; chunk++) {
    uint16_t elements[8];
    std::memcpy(elements, shared_at(operand_chunk(operand, lines, chunk), 16, 16), sizeof elements);
    for (int i = 0; i < 8; i++) {
      const int line = operand.turned ? chunk % (lines / 8) * 8 + i : chunk / 2;
      const int depth = operand.turned ? chunk / (lines / 8) : chunk % 2 * 8 + i;
      values[line * line_step + depth * depth_step] = bf16 ? from_bf16(elements[i]) : from_f16(elements[i]);
    }
  }
}

Sums &sums_get(Warp &warp, const Product &product) {
  for (Sums &sums : warp.sums)
    if (sums.at[0] == product.sums[0]) return sums;
  fault("a product whose sums are not on their way");
}

void sums_expect_poison(const Sums &sums) {
  for (int lane = 0; lane < WARP; lane++)
    for (size_t i = 0; i < (size_t)sums.count * sizeof(float); i++)
      if (((const unsigned char *)sums.at[lane])[i] != POISON)
        fault("sums are touched while products are on their way to them");
}

void product_run(Warp &warp, int quarter, Product &product) {
  enum { COLUMNS_MOST = 256 };
  static float a[64][16], b[16][COLUMNS_MOST], c[16][COLUMNS_MOST];
  if (product.done) return;
  product.done = true;
  operand_load(operand_read(product.a, product.turned), 64, product.bf16, a[0], 16, 1);
  operand_load(operand_read(product.b, product.turned), product.columns, product.bf16, b[0], 1, COLUMNS_MOST);
  Sums &sums = sums_get(warp, product);
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < product.columns; j++)
      c[i][j] = product.adds ? sums.values[i % 8 * 4 + j % 8 / 2][(size_t)(j / 8 * 4 + i / 8 * 2 + j % 2)] : 0;
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < product.columns; j++) c[i][j] += a[quarter * 16 + i][k] * b[k][j];
    for (int j = 0; j < product.columns; j++)
      sums.values[i % 8 * 4 + j % 8 / 2][(size_t)(j / 8 * 4 + i / 8 * 2 + j % 2)] = c[i][j];
  }
}

// All that a warp has started, in order: earlier than it must be.
void products_run(Warp &warp, int quarter) {
  for (auto &group : warp.groups)
    for (Product &product : group) product_run(warp, quarter, product);
  for (Product &product : warp.started) product_run(warp, quarter, product);
}

void product_start(Warp &warp, Product product) {
  const size_t number = (size_t)(&warp - block.warps.data()), group = number / 4;
  if (block.warps.size() % 4) fault("a product of a warpgroup that has not four warps");
  if (!warp.fenced) fault("a product is started without warpgroup_fence() since the sums were touched");
  std::vector<Product> &all = block.products[group];
  if (warp.product_count == all.size()) all.push_back(product);
  if (!(all[warp.product_count++] == product)) fault("warps of one warpgroup start different products");
  operands_visit(product, [](Piece &piece) {
    if (!piece.brought) fault("a product reads what no copy has brought");
    if (piece.published_after == NEVER) fault("a product reads what was copied, without copies_publish()");
    if (piece.published_after == block.barriers) fault("a product reads the copies of others without block_wait()");
    piece.readers++;
  });
  const auto found =
      std::find_if(warp.sums.begin(), warp.sums.end(), [&](const Sums &sums) { return sums.at[0] == product.sums[0]; });
  if (found == warp.sums.end()) {
    Sums sums;
    sums.count = product.columns / 2;
    sums.products = 1;
    for (int lane = 0; lane < WARP; lane++) {
      sums.at[lane] = product.sums[lane];
      sums.values[lane].assign(sums.at[lane], sums.at[lane] + sums.count);
      std::memset((void *)sums.at[lane], POISON, sizeof(float) * (size_t)sums.count);
    }
    warp.sums.push_back(std::move(sums));
  } else {
    sums_expect_poison(*found);
    found->products++;
  }
  warp.started.push_back(product);
  // On a GPU products read their operands some time from here to the wait.
  if (block.schedule == Schedule::last_first || (block.schedule == Schedule::random && random_next() % 2))
    products_run(warp, (int)number % 4);
}

void products_wait(Warp &warp, int groups) {
  const int quarter = (int)(&warp - block.warps.data()) % 4;
  while ((int)warp.groups.size() > groups) {
    for (Product &product : warp.groups.front()) {
      product_run(warp, quarter, product);
      operands_visit(product, [](Piece &piece) { piece.readers--; });
      sums_get(warp, product).products--;
    }
    warp.groups.erase(warp.groups.begin());
  }
  for (size_t i = warp.sums.size(); i-- > 0;) {
    if (warp.sums[i].products) continue;
    sums_expect_poison(warp.sums[i]);
    for (int lane = 0; lane < WARP; lane++)
      std::memcpy((void *)warp.sums[i].at[lane], warp.sums[i].values[lane].data(),
                  sizeof(float) * (size_t)warp.sums[i].count);
    warp.sums.erase(warp.sums.begin() + (std::ptrdiff_t)i);
    warp.fenced = false;
  }
}

// What a warp has called together it must call alike: words of `in` that may not differ.
void words_agree(const Warp &warp, int words) {
  for (int lane = 1; lane < WARP; lane++)
    if (std::memcmp(warp.in[lane], warp.in[0], sizeof(u32) * (size_t)words))
      fault("threads of one warp give a function of their warpgroup different parameters");
}

void warps_expect_end() {
  for (size_t i = 0; i < block.warps.size(); i++) {
    const Warp &warp = block.warps[i];
    if (warp.present) fault("a function of a warp that not all its threads have called");
    if (!warp.started.empty()) fault("the kernel ends with products started and not committed");
    if (!warp.groups.empty()) fault("the kernel ends with products on their way");
    if (warp.product_count != block.products[i / 4].size())
      fault("a product that not all warps of a warpgroup started");
  }
}

// ---- memory ----

enum { PAGE = 4096 };

size_t whole_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }
size_t whole_copies(size_t bytes) { return (bytes + 15) / 16 * 16; }

#ifndef FIBERS_TELL_ASAN
void touched(int, siginfo_t *info, void *) { fault("touches memory that is not there, at %p", info->si_addr); }
#endif

// A kernel that touches what it may not ends as other faults do. AddressSanitizer has a better message.
void touch_watch() {
#ifndef FIBERS_TELL_ASAN
  static unsigned char stack[64 * 1024];
  static const stack_t alternative = {stack, 0, sizeof stack};
  struct sigaction action = {};
  action.sa_sigaction = touched;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaltstack(&alternative, nullptr);
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
#endif
}

}  // namespace

void *memory_make(size_t bytes) {
  const size_t whole = whole_pages(whole_copies(bytes));
  char *pages = (char *)mmap(nullptr, whole + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + PAGE, whole, PROT_READ | PROT_WRITE)) {
    std::fprintf(stderr, "simulated device: no memory for %zu bytes\n", bytes);
    std::_Exit(3);
  }
  std::memset(pages + PAGE, POISON, whole);
  return pages + PAGE + whole - whole_copies(bytes);
}

void memory_release(void *memory, size_t bytes) {
  const size_t whole = whole_pages(whole_copies(bytes));
  munmap((char *)memory + whole_copies(bytes) - whole - PAGE, whole + 2 * PAGE);
}

Index thread_index() { return running().index; }
Index block_index() { return block.index; }
unsigned char *shared_memory() { return block.shared; }
u32 address_of(const void *shared) { return (u32)((const unsigned char *)shared - block.shared) + SHARED_BASE; }

void barrier() {
  if (++block.waiting < (int)block.threads.size()) {
    wait_in(State::at_barrier);
    return;
  }
  block.waiting = 0;
  block.barriers++;
  for (Thread &thread : block.threads)
    if (thread.state == State::at_barrier) thread.state = State::ready;
}

void shared_load(u32 *words, u32 shared) {
  std::memcpy(words, shared_at(shared, PIECE_BYTES, PIECE_BYTES), PIECE_BYTES);
}

void shared_store(u32 shared, const u32 *words) {
  unsigned char *to = shared_at(shared, PIECE_BYTES, PIECE_BYTES);
  std::memcpy(to, words, PIECE_BYTES);
  const size_t at = (size_t)(to - block.shared) / PIECE_BYTES;
  if (block.pieces[at].readers) fault("a store overwrites what products on their way read");
  block.pieces[at] = Piece{NEVER, true, 0};
  running().unpublished.push_back(at);
}

void copy_start(u32 shared, const void *global, int bytes) {
  if (bytes < 0 || bytes > 16) fault("a copy of %d bytes", bytes);
  if (bytes && (uintptr_t)global % 16) fault("a copy from a global address that is not a multiple of 16");
  unsigned char *to = shared_at(shared, 16, 16);
  std::memset(to, POISON, 16);
  Piece &piece = block.pieces[(size_t)(to - block.shared) / PIECE_BYTES];
  if (piece.readers) fault("a copy overwrites what products on their way read");
  piece = Piece{NEVER, false, 0};
  running().started.push_back(Copy{to, (const unsigned char *)global, bytes});
}

void copy_commit() {
  Thread &thread = running();
  thread.groups.push_back(std::move(thread.started));
  thread.started.clear();
}

void copy_wait(int groups) {
  Thread &thread = running();
  std::vector<std::vector<Copy>> &all = thread.groups;
  while ((int)all.size() > groups) {
    for (const Copy &copy : all.front()) {
      std::memcpy(copy.to, copy.from, (size_t)copy.bytes);
      std::memset(copy.to + copy.bytes, 0, (size_t)(16 - copy.bytes));
      const size_t piece = (size_t)(copy.to - block.shared) / PIECE_BYTES;
      block.pieces[piece].brought = true;
      thread.unpublished.push_back(piece);
    }
    all.erase(all.begin());
  }
}

void matrices_load(u32 *matrices, u32 row, bool transposed) {
  together(transposed ? Call::matrices_transposed : Call::matrices, &row, 1, matrices, 4,
           [transposed](Warp &warp) { load(warp, transposed); });
}

void matrix_multiply_add(float *c, const u32 *a, u32 b0, u32 b1, bool bf16) {
  u32 in[10];
  std::memcpy(in, a, 16);
  in[4] = b0;
  in[5] = b1;
  std::memcpy(in + 6, c, 16);
  u32 out[4];
  together(bf16 ? Call::multiply_bf16 : Call::multiply_f16, in, 10, out, 4,
           [bf16](Warp &warp) { multiply(warp, bf16); });
  std::memcpy(c, out, sizeof out);
}

void copies_publish() {
  for (size_t piece : running().unpublished) block.pieces[piece].published_after = block.barriers;
  running().unpublished.clear();
}

void warpgroup_fence() {
  together(Call::warpgroup_fence, nullptr, 0, nullptr, 0, [](Warp &warp) { warp.fenced = true; });
}

void warpgroup_commit() {
  together(Call::warpgroup_commit, nullptr, 0, nullptr, 0, [](Warp &warp) {
    warp.groups.push_back(std::move(warp.started));
    warp.started.clear();
  });
}

void warpgroup_wait(int groups) {
  const u32 in = (u32)groups;
  together(Call::warpgroup_wait, &in, 1, nullptr, 0, [groups](Warp &warp) {
    words_agree(warp, 1);
    products_wait(warp, groups);
  });
}

void warpgroup_multiply_add(float *c, int columns, u64 a, u64 b, bool adds, bool turned, bool bf16) {
  enum { SAME = 6 };  // words: after them where the sums are
  const u32 in[SAME + 2] = {(u32)a,
                            (u32)(a >> 32),
                            (u32)b,
                            (u32)(b >> 32),
                            (u32)columns,
                            adds,
                            (u32)(uintptr_t)c,
                            (u32)((u64)(uintptr_t)c >> 32)};
  together(Call::warpgroup_product, in, SAME + 2, nullptr, 0, [=](Warp &warp) {
    words_agree(warp, SAME);
    Product product = {a, b, columns, adds, turned, bf16, false, {}};
    for (int lane = 0; lane < WARP; lane++)
      product.sums[lane] = (float *)(uintptr_t)(warp.in[lane][SAME] | (u64)warp.in[lane][SAME + 1] << 32);
    product_start(warp, product);
  });
}

float from_f16(uint16_t bits) { return _cvtsh_ss(bits); }
uint16_t to_f16(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }

float from_bf16(uint16_t bits) {
  const u32 whole = (u32)bits << 16;
  float value;
  std::memcpy(&value, &whole, sizeof value);
  return value;
}

uint16_t to_bf16(float value) {
  u32 bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

void launch(const Launch &what, Schedule schedule, uint64_t seed) {
  const unsigned threads = what.block.x * what.block.y * what.block.z;
  block.launch = &what;
  block.schedule = schedule;
  block.current = -1;
  block.index = Index{0, 0, 0};
  block.random = seed * 0x9E3779B97F4A7C15u + 1;
  if (threads == 0 || threads % WARP || threads > 1024) fault("a block of %u threads", threads);
  if (what.shared_bytes > SHARED_BYTES_MOST) fault("%zu bytes of shared memory", what.shared_bytes);
  block.threads.resize(threads);
  while (block.stacks.size() < threads) {
    void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) fault("no memory for the stack of a thread");
    block.stacks.push_back(stack);
  }
  touch_watch();
  block.shared = (unsigned char *)memory_make(what.shared_bytes);
  for (unsigned z = 0; z < what.grid.z; z++)
    for (unsigned y = 0; y < what.grid.y; y++)
      for (unsigned x = 0; x < what.grid.x; x++) {
        block.index = Index{x, y, z};
        block.waiting = 0;
        block.barriers = 0;
        block.warps.assign(threads / WARP, Warp{});
        block.products.assign((threads / WARP + 3) / 4, {});
        block.pieces.assign(whole_copies(what.shared_bytes) / PIECE_BYTES, Piece{NEVER, false, 0});
        std::memset(block.shared, POISON, what.shared_bytes);
        for (unsigned i = 0; i < threads; i++) thread_prepare(block.threads[i], (int)i);
        block_run();
        warps_expect_end();
      }
  memory_release(block.shared, what.shared_bytes);
}

}  // namespace simulated
