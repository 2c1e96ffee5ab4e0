// Work that was given to streams of the simulated GPU and has not run. It runs when something waits for it, in an order
// that keeps what streams and events promise and is otherwise drawn: often as late as can be, or with one stream far
// ahead of another, so that whatever lacks an event between two streams goes wrong for some seed.
//
// Everything here is called with `lock` held; work that is the host's runs without it.
#ifndef SEER_SIMULATED_WORK_H
#define SEER_SIMULATED_WORK_H

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace simulated {

struct Operation;
typedef std::shared_ptr<Operation> OperationRef;

struct Operation {
  std::function<void()> run;  // may be empty
  // Of work that waits for other processes: does what it can, and tells whether that was all. May be empty.
  std::function<bool()> advance;
  bool of_host;   // runs without the lock
  unsigned lane;  // of its stream
  std::vector<OperationRef> after;
  std::vector<Operation *> before;
  size_t waits_for;  // of `after` those that are not done
  bool started, done;
  uint64_t wanted;  // by the wait of this number
  double seconds;   // when it was done
};

extern std::mutex lock;

// `after` may hold null and what is done.
OperationRef work_add(std::function<void()> run, bool of_host, unsigned lane, const std::vector<OperationRef> &after,
                      std::function<bool()> advance = nullptr);
// Runs work until this is done. Null is nothing.
void work_wait(std::unique_lock<std::mutex> &held, const OperationRef &operation);
// Runs work until this is done, which it then tells, or all that could run waits for other processes.
bool work_look(std::unique_lock<std::mutex> &held, const OperationRef &operation);
// Until there is none.
void work_drain(std::unique_lock<std::mutex> &held);

uint64_t work_draw();  // from $SEER_SIMULATED_SEED on

void clock_launched(size_t blocks);  // a kernel has run: the clock of $SEER_SIMULATED_CLOCK goes on

}  // namespace simulated

#endif
