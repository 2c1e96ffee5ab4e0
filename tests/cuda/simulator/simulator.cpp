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
enum class Call { none, matrices, matrices_transposed, multiply_f16, multiply_bf16 };

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
};

// A call of all threads of a warp: the last to come computes for all.
struct Warp {
  Call call;
  int present;
  u32 in[WARP][WORDS_IN], out[WARP][WORDS_OUT];
};

struct Block {
  const Launch *launch;
  Index index;
  std::vector<void *> stacks;  // of as many threads as a block ever had
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  int current, waiting, ended;
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

void block_run(Schedule schedule) {
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
  std::memcpy(warp.in[lane], in, sizeof(u32) * (size_t)in_words);
  if (++warp.present < WARP) {
    wait_in(State::in_warp);
  } else {
    compute(warp);
    warp.present = 0;
    for (int i = first; i < first + WARP; i++)
      if (block.threads[(size_t)i].state == State::in_warp) block.threads[(size_t)i].state = State::ready;
  }
  std::memcpy(out, warp.out[lane], sizeof(u32) * (size_t)out_words);
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
  for (Thread &thread : block.threads)
    if (thread.state == State::at_barrier) thread.state = State::ready;
}

void copy_start(u32 shared, const void *global, int bytes) {
  if (bytes < 0 || bytes > 16) fault("a copy of %d bytes", bytes);
  if (bytes && (uintptr_t)global % 16) fault("a copy from a global address that is not a multiple of 16");
  unsigned char *to = shared_at(shared, 16, 16);
  std::memset(to, POISON, 16);
  running().started.push_back(Copy{to, (const unsigned char *)global, bytes});
}

void copy_commit() {
  Thread &thread = running();
  thread.groups.push_back(std::move(thread.started));
  thread.started.clear();
}

void copy_wait(int groups) {
  std::vector<std::vector<Copy>> &all = running().groups;
  while ((int)all.size() > groups) {
    for (const Copy &copy : all.front()) {
      std::memcpy(copy.to, copy.from, (size_t)copy.bytes);
      std::memset(copy.to + copy.bytes, 0, (size_t)(16 - copy.bytes));
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
        block.warps.assign(threads / WARP, Warp{});
        std::memset(block.shared, POISON, what.shared_bytes);
        for (unsigned i = 0; i < threads; i++) thread_prepare(block.threads[i], (int)i);
        block_run(schedule);
        for (const Warp &warp : block.warps)
          if (warp.present) fault("a function of a warp that not all its threads have called");
      }
  memory_release(block.shared, what.shared_bytes);
}

}  // namespace simulated
