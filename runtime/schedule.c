// The learning rate; see schedule.h. In the released trainers (VISSL over fvcore's CompositeParamScheduler) the warm-up
// is rescaled to its own interval while the cosine is evaluated at the share of the whole run: the rate drops a little
// where the warm-up ends. `cosine_from_run` keeps that; without it the cosine starts at its maximum.
#include "runtime/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double share_clamp(double share) { return share < 0 ? 0 : share > 1 ? 1 : share; }

static double cosine_rate(const SeerSchedule *schedule, double share) {
  return schedule->end + 0.5 * (schedule->peak - schedule->end) * (1 + cos(pi * share_clamp(share)));
}

double seer_schedule_rate(const SeerSchedule *schedule, int64_t step, int64_t steps) {
  double total = steps > 0 ? (double)steps : 1;
  bool by_share = schedule->warmup_steps < 0;
  double warmup = by_share ? schedule->warmup_fraction * total : (double)schedule->warmup_steps;
  // The release lets the warm-up end a millionth of the run early, so that a share like 5500/126008 ends on a step.
  double reached = (double)step + (by_share ? 1e-6 * total : 0);
  if (reached < warmup) return schedule->start + (schedule->peak - schedule->start) * ((double)step / warmup);
  double share = (double)step / total;
  switch (schedule->shape) {
    case SEER_CONSTANT: return schedule->peak;
    case SEER_COSINE:
      if (schedule->cosine_from_run) return cosine_rate(schedule, share);
      return cosine_rate(schedule, total > warmup ? ((double)step - warmup) / (total - warmup) : 0);
    case SEER_STEP: {
      double rate = schedule->peak;
      for (int i = 0; i < schedule->milestone_count; i++) {
        if (share >= schedule->milestones[i]) rate *= schedule->gamma;
      }
      return rate;
    }
  }
  return schedule->peak;
}

int64_t seer_schedule_steps(double epochs, int64_t pictures, int batch, int accumulate) {
  int64_t micro_batches = pictures / (batch / accumulate);
  double steps = floor(epochs * (double)micro_batches / accumulate);
  if (steps >= 1) return steps < 1e15 ? (int64_t)steps : (int64_t)1e15;
  return micro_batches > 0 ? 1 : 0;
}
