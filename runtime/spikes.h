// Loss spikes: when a step's loss is not finite, or above `factor` times the median of the last `window` losses, the
// run goes back to a snapshot of at least `rewind` steps before and passes over the pictures of `skip` steps from there
// (Chowdhery et al., PaLM, 2022, section 5.1: the same pictures later do no harm).
//
// Everything that a decision depends on lies in the run folder, so a run that crashed decides as one that did not:
// `losses`, 8 bytes a step, at 8 * (step - 1); `spikes.json`, what was skipped. Rank 0 writes both; all ranks decide
// alike, for the loss of a step is the same number on all.
#ifndef SEER_RUNTIME_SPIKES_H
#define SEER_RUNTIME_SPIKES_H

#include "runtime/comm/comm.h"
#include "runtime/files.h"
#include "runtime/program.h"
#include "runtime/snapshot.h"

// One spike: from step `to` on, the pictures of `skip` steps are passed over.
typedef struct SeerSpike {
  int64_t step, to, pictures;
  double loss;  // NAN: not finite
} SeerSpike;

typedef struct SeerSpikes {
  const SeerSpikeRule *rule;
  SeerComm *comm;
  SeerPath folder;
  SeerSpike *list;
  int count;
  double *window, *sorted;  // [rule->window], the last `known` steps' losses in a ring
  int64_t known, next;      // losses in it; place of the next
  int losses;               // descriptor of rank 0, or -1
} SeerSpikes;

// Reads what the run in `folder` has skipped, and finishes a rewind that was interrupted. Collective.
SeerStatus seer_spikes_open(const SeerProgram *program, SeerComm *comm, const char *folder, SeerSpikes *spikes);
// The losses before the step at which the run goes on, from the run folder. Collective.
SeerStatus seer_spikes_start(SeerSpikes *spikes, int64_t step);
void seer_spikes_release(SeerSpikes *spikes);

bool seer_spikes_on(const SeerSpikes *spikes);
// Pictures passed over before the one that follows `step` steps.
int64_t seer_spikes_skipped(const SeerSpikes *spikes, int64_t step);
// The spike after which the run went on from `step`, or NULL.
const SeerSpike *seer_spikes_after(const SeerSpikes *spikes, int64_t step);
// Is this loss of step `step` (1 for the first) a spike? If not it joins the window.
SeerStatus seer_spikes_look(SeerSpikes *spikes, int64_t step, double loss, bool *is_spike);
// The median that losses are compared with; NAN: too few yet.
double seer_spikes_median(const SeerSpikes *spikes);
// What is written about the steps done is on the disk: before a snapshot of them.
SeerStatus seer_spikes_sync(SeerSpikes *spikes);
// Goes back: notes the spike, loads the snapshot `to`, removes younger ones. Gives up with an error
// after `limit` rewinds that brought the run no further. Collective.
SeerStatus seer_spikes_rewind(SeerSpikes *spikes, const SeerProgram *program, int64_t step, double loss,
                              unsigned char *state, SeerSnapshot *to);

#endif
