// Runs a trainer's bench as a child and reads what it says; and what tells a command that measures to end.
#ifndef SEER_DRIVER_BENCH_RUN_H
#define SEER_DRIVER_BENCH_RUN_H

#include <jansson.h>
#include <signal.h>

#include "compiler/driver/driver.h"

typedef enum BenchOutcome {
  BENCH_DONE,
  BENCH_STOPPED,  // by the user
  BENCH_LACKS,    // the machine lacks something; what the child said of it is on standard error
  BENCH_FAILED    // why is on standard error
} BenchOutcome;

// Set by a signal that asks to end; what runs then ends soon.
extern volatile sig_atomic_t bench_signal;
// Gives `work` a folder of its own, by an absolute name, and removes it behind. SIGINT, SIGTERM, SIGHUP and SIGPIPE set
// bench_signal meanwhile, and end the program behind it. An exit code.
typedef int BenchWork(void *data, const char *folder);
int bench_in_folder(Invocation *invocation, BenchWork *work, void *data);

// Runs `arguments`, NULL behind the last; what it writes is kept in `folder`. Says nothing of a bench that fails, but
// of one that cannot be started.
BenchOutcome bench_child(const char *folder, char *const arguments[]);
// What the last one wrote to standard error: as text, and on standard error.
const char *bench_messages(const char *folder, Arena *arena);
void bench_show_messages(const char *folder);

// Runs it and parses its standard output, or says why it failed. The result is the caller's, to be released with
// json_decref.
BenchOutcome bench_run(const char *folder, char *const arguments[], json_t **result);

#endif
