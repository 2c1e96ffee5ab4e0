// Small networks whose trainers time what kernels reach: built in a folder of their own, benched in turn, and read run
// by run.
#ifndef SEER_DRIVER_CALIBRATE_LAB_H
#define SEER_DRIVER_CALIBRATE_LAB_H

#include "compiler/driver/bench_run.h"
#include "compiler/driver/calibrate_fit.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"

enum { CALIBRATE_NETS = 3, CALIBRATE_MOST_EXCHANGES = 32 };

// A net in one precision. Of each run the shortest of the benches' medians is kept: whoever else used the machine is in
// none of them as soon as one bench was left alone.
typedef struct CalibrateTrainer {
  const char *name, *precision;
  const char *path;         // of the trainer, once it is built
  RateSample *samples;      // by run, in the step's order
  int sample_count;         // 0: not yet timed
  double gradient_bytes;    // that are looked through before an update
  double rest_seconds;      // of a step, outside of all runs
  double flops, bandwidth;  // the processor's, as its bench measures them; 0 of a GPU
  const Graph *graph;
  const Plan *plan;
  const uint64_t *value_bytes;
} CalibrateTrainer;

// What ranks exchange, alone, as the shortest of the benches' medians.
typedef struct CalibrateExchange {
  const char *kind;  // "gather", "average"
  double bytes, seconds;
} CalibrateExchange;

typedef struct CalibrateLab {
  Invocation *invocation;
  CompileOptions options;
  const char *folder;  // absolute
  int threads;         // 0: the step runs on a GPU
  bool live;           // says on the terminal what is being done
} CalibrateLab;

// The text of a net's spec, one of CALIBRATE_NETS, for so many ranks of one node.
const char *calibrate_spec(Arena *arena, int net, const char *precision, int ranks);

// Compiles and builds; EXIT_DONE, or an exit code after saying why.
int calibrate_build(CalibrateLab *lab, int net, const char *precision, int ranks, CalibrateTrainer *trainer);
// One bench of one rank; what was shorter than before is kept. EXIT_DONE, or an exit code after saying why.
int calibrate_bench(const CalibrateLab *lab, CalibrateTrainer *trainer);
// Of two ranks; *count grows to the exchanges' number.
int calibrate_exchange(const CalibrateLab *lab, const CalibrateTrainer *trainer, CalibrateExchange *exchanges,
                       int *count);
// mpirun is there.
bool calibrate_has_mpirun(void);

#endif
