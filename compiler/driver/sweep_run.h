// Trainers of a sweep, in turn or side by side.
#ifndef SEER_DRIVER_SWEEP_RUN_H
#define SEER_DRIVER_SWEEP_RUN_H

#include "compiler/driver/sweep.h"

// Catches what asks to end, from here on.
void sweep_signals_catch(void);
// Whether this start would run it.
bool sweep_variant_runs(const SweepVariant *variant);
// Arguments of a trainer behind its name, NULL behind the last; `run`: its run folder.
char **sweep_trainer_options(const Sweep *sweep, const SweepVariant *variant, const char *run);
// Runs every variant that is built and not done, sweep->jobs at a time and as the machine's memory allows. On a signal,
// or after sweep->minutes, trainers are asked for a snapshot and waited for; a second signal kills them. EXIT_DONE,
// whatever became of single variants; SEER_STOPPED; or another exit code after saying why.
int sweep_run(Sweep *sweep);

#endif
