// Times of launches; see profile.h.
#include "runtime/profile.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/sample.h"

SeerStatus seer_profile_make(int launch_count, int step_limit, SeerProfile *profile) {
  *profile = (SeerProfile){.launch_count = launch_count, .step_limit = step_limit, .step = -1};
  size_t launches = launch_count > 0 ? (size_t)launch_count : 1;
  profile->seconds = calloc(launches * (size_t)step_limit, sizeof *profile->seconds);
  profile->calls = calloc(launches, sizeof *profile->calls);
  if (profile->seconds && profile->calls) return SEER_OK;
  seer_profile_release(profile);
  return seer_fail(SEER_MACHINE, "no memory for a profile of %d launches", launch_count);
}

void seer_profile_release(SeerProfile *profile) {
  free(profile->seconds);
  free(profile->calls);
  *profile = (SeerProfile){.step = -1};
}

void seer_profile_next_step(SeerProfile *profile) {
  if (profile->step + 1 < profile->step_limit) profile->step++;
  memset(profile->calls, 0, (size_t)profile->launch_count * sizeof *profile->calls);
}

void seer_profile_add(SeerProfile *profile, int launch, double seconds) {
  profile->seconds[(size_t)profile->step * (size_t)profile->launch_count + (size_t)launch] += seconds;
  profile->calls[launch]++;
}

double seer_profile_median(const SeerProfile *profile, int launch) {
  enum { MOST = 64 };
  double seconds[MOST];
  int count = profile->step + 1 < MOST ? profile->step + 1 : MOST;
  for (int i = 0; i < count; i++)
    seconds[i] = profile->seconds[(size_t)i * (size_t)profile->launch_count + (size_t)launch];
  return seer_sample_summarize(seconds, count).median;
}

double seer_profile_least(const SeerProfile *profile, int launch) {
  const double *seconds = profile->seconds + launch;
  double least = *seconds;
  for (int i = 1; i <= profile->step; i++) {
    double next = seconds[(size_t)i * (size_t)profile->launch_count];
    if (next < least) least = next;
  }
  return least;
}

double seer_profile_step_seconds(const SeerProfile *profile) {
  const double *seconds = profile->seconds + (size_t)profile->step * (size_t)profile->launch_count;
  double sum = 0;
  for (int i = 0; i < profile->launch_count; i++) sum += seconds[i];
  return sum;
}
