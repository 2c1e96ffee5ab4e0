// What failures cost a run that goes on from its last snapshot, and how often it should write one. Times in seconds.
#ifndef SEER_SIMULATE_FAILURES_H
#define SEER_SIMULATE_FAILURES_H

typedef struct FailureCase {
  double mean_seconds;     // between failures of any node; 0: none fail
  double restart_seconds;  // from a failure to the first step after it
  double work_seconds;     // of training between two snapshots
  double pause_seconds;    // that each snapshot holds the training up
  double write_seconds;    // from the snapshot's step until it counts; the training goes on meanwhile
} FailureCase;

// Share of the time that becomes progress, pauses and lost work counted: failures come independently of each other,
// restarts may fail, too.
double failures_effective_share(const FailureCase *failures);
// The time of work between snapshots with the largest such share. Without pauses and failures it is 0: as often as
// they can be written.
double failures_best_work_seconds(const FailureCase *failures);
// By Young (1974), as improved by Daly (2006), who know no writing beside the training.
double failures_daly_seconds(const FailureCase *failures);

#endif
