// Snapshots: folders RUN/snapshots/step-N with model.safetensors and manifest.json, complete or invisible.
// The manifest names the program, the model's hash, the step and the XXH3-128 of the file.
#ifndef SEER_RUNTIME_SNAPSHOT_H
#define SEER_RUNTIME_SNAPSHOT_H

#include "runtime/files.h"
#include "runtime/program.h"
#include "runtime/safetensors.h"

typedef struct SeerSnapshot {
  int64_t step;      // steps done
  int64_t steps;     // length of the run
  int64_t position;  // pictures seen
  uint64_t seed;
} SeerSnapshot;

// Writes RUN/snapshots/step-N and then removes all but the `keep` newest. An older snapshot is never touched before the
// new one is on the disk. A state that is not finite is refused.
SeerStatus seer_snapshot_save(const SeerProgram *program, const unsigned char *state, const SeerSnapshot *snapshot,
                              const char *run, int64_t keep, SeerPath *folder);
// Size, hash, header, and that it is a snapshot of this program. *damaged tells a broken file from another model.
SeerStatus seer_snapshot_verify(const SeerProgram *program, const char *folder, SeerSnapshot *snapshot, bool *damaged);
// Verifies, then fills the state.
SeerStatus seer_snapshot_load(const SeerProgram *program, const char *folder, unsigned char *state,
                              SeerSnapshot *snapshot, bool *damaged);

typedef struct SeerSnapshotList {
  int64_t *steps;  // rising
  int count;
} SeerSnapshotList;

SeerStatus seer_snapshot_list(const char *run, SeerSnapshotList *list);
void seer_snapshot_list_release(SeerSnapshotList *list);
SeerStatus seer_snapshot_folder(const char *run, int64_t step, SeerPath *folder);
// Loads the newest sound snapshot of a run. Damaged ones are named on stderr. The `owner`, who holds the run's lock,
// also puts them aside as step-N.damaged and removes what a crash left. *found is false when the run has no snapshot at
// all; only damaged ones is SEER_INPUT.
SeerStatus seer_snapshot_load_newest(const SeerProgram *program, const char *run, bool owner, unsigned char *state,
                                     SeerSnapshot *snapshot, bool *found);

// Removes the snapshots of later steps than `step`, the latest first.
SeerStatus seer_snapshot_remove_after(const char *run, int64_t step);

typedef struct SeerWeights {
  int loaded, missing;        // tensors of the program
  const char *first_missing;  // a tensor's name, or NULL
} SeerWeights;

// Parameters and statistics from a run folder (its newest snapshot), a snapshot folder or a safetensors file, by name;
// tensors that the file lacks are left alone and counted.
SeerStatus seer_weights_load(const SeerProgram *program, const char *path, unsigned char *state, SeerWeights *weights);

#endif
