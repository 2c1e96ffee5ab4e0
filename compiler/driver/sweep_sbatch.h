// A sweep as an array of Slurm jobs.
#ifndef SEER_DRIVER_SWEEP_SBATCH_H
#define SEER_DRIVER_SWEEP_SBATCH_H

#include "compiler/driver/sweep.h"

// Writes FOLDER/sweep.sbatch, one task for each variant that this start would run; builds nothing. EXIT_DONE, or an
// exit code after saying why: tasks of one array have as many ranks.
int sweep_sbatch_write(Sweep *sweep);

#endif
