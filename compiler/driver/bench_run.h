// Runs a trainer's bench as a child and reads what it says; and what tells a command that measures to end.
#ifndef SEER_DRIVER_BENCH_RUN_H
#define SEER_DRIVER_BENCH_RUN_H

#include <jansson.h>
#include <signal.h>

typedef enum BenchOutcome {
  BENCH_DONE,
  BENCH_STOPPED,  // by the user
  BENCH_LACKS,    // the machine lacks something; what the child said of it is on standard error
  BENCH_FAILED    // why is on standard error
} BenchOutcome;

// Set by a signal that asks to end; what runs then ends soon.
extern volatile sig_atomic_t bench_signal;
// From here on SIGINT, SIGTERM, SIGHUP and SIGPIPE set it.
void bench_catch_signals(void);

// Runs `arguments`, NULL behind the last, and parses its standard output; `folder` is for what it writes. The result is
// the caller's, to be released with json_decref.
BenchOutcome bench_run(const char *folder, char *const arguments[], json_t **result);

#endif
