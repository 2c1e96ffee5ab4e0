// How long each launch of the step takes: seer_launch adds to the profile that its context names. Times are kept step
// by step, so that a launch's figure is a median over steps and no mean that one interruption spoils.
//
// What is timed is the launch as the step sees it: its tasks on all threads, from the call to the last one's end. What
// ranks or slices send each other between launches is no launch, and in none of these times.
#ifndef SEER_RUNTIME_PROFILE_H
#define SEER_RUNTIME_PROFILE_H

#include "runtime/status.h"

typedef struct SeerProfile {
  int launch_count, step_limit, step;  // step: the one at hand, 0..step_limit-1; -1: none yet
  double *seconds;                     // [step_limit][launch_count]
  int *calls;                          // [launch_count], of the step at hand
} SeerProfile;

SeerStatus seer_profile_make(int launch_count, int step_limit, SeerProfile *profile);
void seer_profile_release(SeerProfile *profile);
// From here on times belong to the next step; there are at most step_limit of them.
void seer_profile_next_step(SeerProfile *profile);
void seer_profile_add(SeerProfile *profile, int launch, double seconds);
// Of one launch in a step: the median over all steps so far.
double seer_profile_median(const SeerProfile *profile, int launch);
double seer_profile_least(const SeerProfile *profile, int launch);  // the fastest of them
// Of all launches in the step at hand, so far.
double seer_profile_step_seconds(const SeerProfile *profile);

#endif
