// Prints the runtime's learning rates for tests/train/schedule_test.py, one per line.
// usage: schedule_tool STEPS WARMUP_STEPS WARMUP_FRACTION START PEAK END SHAPE FROM_RUN GAMMA [MILESTONE]...
// with the numbers of the steps on standard input.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/schedule.h"

int main(int argc, char **argv) {
  if (argc < 10 || argc > 26) return 2;
  double milestones[16];
  int milestone_count = argc - 10;
  for (int i = 0; i < milestone_count; i++) milestones[i] = strtod(argv[10 + i], NULL);
  SeerScheduleShape shape = strcmp(argv[7], "constant") == 0 ? SEER_CONSTANT
                            : strcmp(argv[7], "step") == 0   ? SEER_STEP
                                                             : SEER_COSINE;
  SeerSchedule schedule = {.warmup_steps = strtoll(argv[2], NULL, 10),
                           .warmup_fraction = strtod(argv[3], NULL),
                           .start = strtod(argv[4], NULL),
                           .peak = strtod(argv[5], NULL),
                           .end = strtod(argv[6], NULL),
                           .shape = shape,
                           .cosine_from_run = strcmp(argv[8], "1") == 0,
                           .gamma = strtod(argv[9], NULL),
                           .milestone_count = milestone_count,
                           .milestones = milestones};
  int64_t steps = strtoll(argv[1], NULL, 10);
  long long step;
  while (scanf("%lld", &step) == 1) printf("%.17g\n", seer_schedule_rate(&schedule, step, steps));
  return 0;
}
