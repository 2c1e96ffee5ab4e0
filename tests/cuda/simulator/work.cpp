// See work.h. What is drawn for each wait is a policy: whether only work that the wait needs may run, all of it, or
// either at each step; and whether all lanes are alike or one goes before another for as long as it can.
#include "work.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace simulated {

std::mutex lock;

namespace {

std::vector<OperationRef> pending;  // that nobody else need keep
std::vector<Operation *> ready;
std::condition_variable host_returned;
int in_host;
uint64_t waits;
size_t unfinished;

struct Policy {
  unsigned needed;  // 0: what the wait needs alone; 1: everything; 2: drawn at each step
  bool ranked;
  uint64_t ranks;
};

// What kernels would take: SEER_SIMULATED_CLOCK=LAUNCH:BLOCK, in seconds; else this machine's time goes on.
struct Clock {
  bool is_set;
  double launch, block, now;
} kernel_clock = [] {
  Clock read = {};
  const char *wanted = std::getenv("SEER_SIMULATED_CLOCK");
  read.is_set = wanted != nullptr;
  if (wanted && std::sscanf(wanted, "%lf:%lf", &read.launch, &read.block) != 2) {
    std::fprintf(stderr, "simulated driver: SEER_SIMULATED_CLOCK: '%s' is not LAUNCH:BLOCK\n", wanted);
    std::_Exit(70);
  }
  return read;
}();

double clock_now() {
  if (kernel_clock.is_set) return kernel_clock.now;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCDu;
  value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53u;
  return value ^ (value >> 33);
}

void want(Operation *operation, uint64_t wait) {
  std::vector<Operation *> open{operation};
  while (!open.empty()) {
    Operation *next = open.back();
    open.pop_back();
    if (next->done || next->wanted == wait) continue;
    next->wanted = wait;
    for (const OperationRef &earlier : next->after) open.push_back(earlier.get());
  }
}

size_t choose(const std::vector<Operation *> &open, const Policy &policy, uint64_t wait) {
  const bool needed = policy.needed == 0 || (policy.needed == 2 && work_draw() % 2);
  std::vector<size_t> among;
  for (size_t i = 0; i < open.size(); i++)
    if (!needed || open[i]->wanted == wait) among.push_back(i);
  if (among.empty())
    for (size_t i = 0; i < open.size(); i++) among.push_back(i);
  if (!policy.ranked) return among[work_draw() % among.size()];
  return *std::max_element(among.begin(), among.end(), [&](size_t a, size_t b) {
    return mix(policy.ranks + open[a]->lane) < mix(policy.ranks + open[b]->lane);
  });
}

void run(std::unique_lock<std::mutex> &held, Operation *operation) {
  operation->started = true;
  if (operation->of_host) {
    in_host++;
    held.unlock();
    operation->run();
    held.lock();
    in_host--;
  } else if (operation->run) {
    operation->run();
  }
  operation->done = true;
  unfinished--;
  operation->run = nullptr;
  operation->advance = nullptr;
  operation->seconds = clock_now();
  for (Operation *later : operation->before)
    if (--later->waits_for == 0) ready.push_back(later);
  operation->before.clear();
  operation->after.clear();
  if (operation->of_host) host_returned.notify_all();
}

// Runs one; false: whatever is ready waits for other processes.
bool step(std::unique_lock<std::mutex> &held, const Policy &policy, uint64_t wait) {
  if (ready.empty()) {
    if (!in_host) {
      std::fputs("simulated driver: work waits for itself\n", stderr);
      std::_Exit(70);
    }
    host_returned.wait(held);
    return true;
  }
  for (std::vector<Operation *> open = ready; !open.empty();) {
    const size_t at = choose(open, policy, wait);
    Operation *operation = open[at];
    if (operation->advance && !operation->advance()) {
      open.erase(open.begin() + (std::ptrdiff_t)at);
      continue;
    }
    ready.erase(std::find(ready.begin(), ready.end(), operation));
    run(held, operation);
    return true;
  }
  return false;
}

void step_or_pause(std::unique_lock<std::mutex> &held, const Policy &policy, uint64_t wait) {
  if (step(held, policy, wait)) return;
  held.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(100));
  held.lock();
}

void forget_done() {
  pending.erase(std::remove_if(pending.begin(), pending.end(), [](const OperationRef &one) { return one->done; }),
                pending.end());
}

Policy policy_draw() { return Policy{(unsigned)(work_draw() % 3), work_draw() % 2 == 0, work_draw()}; }

}  // namespace

void clock_launched(size_t blocks) { kernel_clock.now += kernel_clock.launch + kernel_clock.block * (double)blocks; }

uint64_t work_draw() {
  static uint64_t state = [] {
    const char *seed = std::getenv("SEER_SIMULATED_SEED");
    return mix(seed ? std::strtoull(seed, nullptr, 10) + 1 : 1) | 1;
  }();
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 16;
}

OperationRef work_add(std::function<void()> run, bool of_host, unsigned lane, const std::vector<OperationRef> &after,
                      std::function<bool()> advance) {
  OperationRef operation = std::make_shared<Operation>();
  operation->run = std::move(run);
  operation->advance = std::move(advance);
  operation->of_host = of_host;
  operation->lane = lane;
  for (const OperationRef &earlier : after) {
    if (!earlier || earlier->done) continue;
    operation->after.push_back(earlier);
    earlier->before.push_back(operation.get());
    operation->waits_for++;
  }
  pending.push_back(operation);
  unfinished++;
  if (operation->waits_for == 0) ready.push_back(operation.get());
  return operation;
}

void work_wait(std::unique_lock<std::mutex> &held, const OperationRef &operation) {
  if (!operation || operation->done) return;
  const OperationRef target = operation;
  const uint64_t wait = ++waits;
  const Policy policy = policy_draw();
  want(target.get(), wait);
  while (!target->done) step_or_pause(held, policy, wait);
  forget_done();
}

bool work_look(std::unique_lock<std::mutex> &held, const OperationRef &operation) {
  if (!operation || operation->done) return true;
  const OperationRef target = operation;
  const uint64_t wait = ++waits;
  const Policy policy = policy_draw();
  want(target.get(), wait);
  while (!target->done && step(held, policy, wait)) continue;
  forget_done();
  return target->done;
}

void work_drain(std::unique_lock<std::mutex> &held) {
  const Policy policy = policy_draw();
  const uint64_t wait = ++waits;
  while (unfinished) step_or_pause(held, policy, wait);
  forget_done();
}

}  // namespace simulated
