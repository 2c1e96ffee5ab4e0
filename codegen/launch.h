// Files that start a trainer on a cluster: a batch script for Slurm, host files for mpirun. Shell quoting is done here:
// nothing of a spec can end a word.
#ifndef SEER_CODEGEN_LAUNCH_H
#define SEER_CODEGEN_LAUNCH_H

#include <stdint.h>

#include "compiler/base/writer.h"

// What the files must know of a trainer and its cluster.
typedef struct LaunchPlan {
  const char *name;     // of the spec
  const char *trainer;  // as -o names it
  int nodes, ranks_per_node;
  int threads;               // of one rank; 0: not known
  uint64_t node_bytes;       // at most, of all ranks of a node
  int64_t stop_seconds;      // from the signal to the time limit
  const char *const *hosts;  // [nodes]
} LaunchPlan;

// TRAINER.sbatch: requeued after a preemption or the time limit, run again after a crash.
void print_sbatch(const LaunchPlan *plan, Writer *out);
// A task of an array of jobs: the variant of a sweep that lies in `folder` below the sweep's.
typedef struct LaunchTask {
  int number;  // SLURM_ARRAY_TASK_ID
  const char *folder;
  char *const *options;  // of the trainer, NULL behind the last
} LaunchTask;

typedef struct LaunchArray {
  const char *folder;  // the sweep's
  const LaunchTask *tasks;
  int count;
  int at_once;  // 0: as Slurm likes
} LaunchArray;

// FOLDER/sweep.sbatch: as the one of a trainer, for each task.
void print_sweep_sbatch(const LaunchPlan *plan, const LaunchArray *array, Writer *out);
// TRAINER.hostfile-openmpi, TRAINER.hostfile-mpich: a line for each host.
void print_hostfile_openmpi(const LaunchPlan *plan, Writer *out);
void print_hostfile_mpich(const LaunchPlan *plan, Writer *out);

// codegen/launch/job.sh.
extern const char embedded_job[];

#endif
