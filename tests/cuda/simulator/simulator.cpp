// See simulator.h. A block's threads are fibers: stacks of their own between which a few instructions switch.
#include <immintrin.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "block.h"

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

Block block;

void fault(const char *format, ...) {
  std::fputs("simulated device: ", stderr);
  if (block.launch && block.launch->name) std::fprintf(stderr, "kernel '%s', ", block.launch->name);
  std::fprintf(stderr, "block (%u, %u, %u)", block.index.x, block.index.y, block.index.z);
  if (block.current >= 0) std::fprintf(stderr, ", thread %d", block.current);
  std::fputs(": ", stderr);
  va_list arguments;
  va_start(arguments, format);
  fault_end(format, arguments);
}

unsigned char *shared_at(u32 address, size_t bytes, size_t alignment) {
  if (address < SHARED_BASE || address - SHARED_BASE + bytes > block.launch->shared_bytes)
    fault("shared address %u is outside of the %zu bytes there are", address - SHARED_BASE, block.launch->shared_bytes);
  if ((address - SHARED_BASE) % alignment)
    fault("shared address %u is not a multiple of %zu", address - SHARED_BASE, alignment);
  return block.shared + (address - SHARED_BASE);
}

uint64_t random_next() {
  block.random ^= block.random << 13;
  block.random ^= block.random >> 7;
  block.random ^= block.random << 17;
  return block.random >> 16;
}

namespace {

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

void thread_main() {
#ifdef FIBERS_TELL_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
  block.launch->kernel(block.launch->arguments);
  Thread &thread = running();
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
  thread.landed.clear();
  thread.over.clear();
  // As simulated_switch leaves a stack: six registers, then where to go on; aligned as after a call.
  void **top = (void **)((char *)thread.stack + STACK_BYTES - 64);
  *--top = nullptr;
  *--top = (void *)&thread_main;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  thread.pointer = top;
}

// ---- schedules ----

[[noreturn]] void deadlock() {
  int barrier = 0, warp = 0;
  for (const Thread &thread : block.threads)
    barrier += thread.state == State::at_barrier, warp += thread.state == State::in_warp;
  std::string said;
  for (const Mbarrier &m : block.mbarriers) {
    if (m.waiters == 0) continue;
    said += ", " + std::to_string(m.waiters) + " at the mbarrier at " + std::to_string(m.address - SHARED_BASE) +
            " (in phase " + std::to_string(m.phase) + ", where " + std::to_string(m.pending) + " arrivals and " +
            std::to_string(m.bytes) + " bytes are to come)";
  }
  fault("waits for ever: %d threads at a barrier, %d in a function of their warp%s, %d have ended", barrier, warp,
        said.c_str(), block.ended);
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
  while (block.ended < count) {
    const bool moved = schedule == Schedule::random ? sweep(order) : step(order);
    if (!bulk_copies_move(moved) && !moved) deadlock();
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

void wait_in(State state) {
  running().state = state;
  leave(false);
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
        block.pieces.assign(whole_copies(what.shared_bytes) / PIECE_BYTES, EMPTY);
        block.mbarriers.clear();
        block.bulk_copies.clear();
        std::memset(block.shared, POISON, what.shared_bytes);
        for (unsigned i = 0; i < threads; i++) thread_prepare(block.threads[i], (int)i);
        block_run();
        copies_expect_end();
        warps_expect_end();
      }
  memory_release(block.shared, what.shared_bytes);
}

}  // namespace simulated
