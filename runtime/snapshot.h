// Snapshots: folders RUN/snapshots/step-N, complete or invisible. Each rank writes one safetensors file, all at once;
// the manifest is written last and names them with their hashes.
//
// A rank's file holds the parts that it keeps of shared-out tensors (of ranks that keep the same, the first writes),
// and its share, in bytes, of the tensors that every rank keeps whole. What it does not hold whole is in pieces, see
// runtime/collection.h. So any number of ranks can read what any other has written.
#ifndef SEER_RUNTIME_SNAPSHOT_H
#define SEER_RUNTIME_SNAPSHOT_H

#include "runtime/comm/comm.h"
#include "runtime/files.h"
#include "runtime/loss_scale.h"
#include "runtime/program.h"

typedef struct SeerSnapshot {
  int64_t step;      // steps done
  int64_t steps;     // length of the run
  int64_t position;  // pictures seen by all ranks
  uint64_t seed;
  int ranks;  // that wrote it
  SeerLossScale loss_scale;  // of the next step
  char *monitor;  // to be written: what monitor.json is to hold (monitor.h), malloc'ed; NULL: nothing is counted
} SeerSnapshot;

// What one rank wrote.
typedef struct SeerSnapshotFile {
  uint64_t bytes;
  SeerHash hash;
} SeerSnapshotFile;

// Bytes that one rank of `ranks` writes, at most, without the file's header: what the plan sets aside for staging.
uint64_t seer_snapshot_share_bytes(const SeerTensor *tensors, int count, int ranks);
// Copies what `rank` will write to `staging`, of seer_snapshot_share_bytes.
void seer_snapshot_stage(const SeerProgram *program, int rank, const unsigned char *state, unsigned char *staging);

// A snapshot is made in three steps: rank 0 prepares, every rank writes, rank 0 commits. An older one is never touched
// before the new one is on the disk.
//
// Looks for room on the disk and makes an empty folder with a temporary name.
SeerStatus seer_snapshot_prepare(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run);
// Writes and flushes the file of `rank`, from its staging, or from its state where `staging` is NULL. What is not
// finite is refused.
SeerStatus seer_snapshot_write(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run, int rank,
                               const unsigned char *state, const unsigned char *staging, SeerSnapshotFile *file);
// Writes the manifest, renames the folder to step-N, and removes all but the `keep` newest.
SeerStatus seer_snapshot_commit(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run,
                                const SeerSnapshotFile *files, int64_t keep);
// Instead of committing: removes what was written.
void seer_snapshot_abandon(const SeerSnapshot *snapshot, const char *run);

// Sizes, hashes, headers, and that it is a snapshot of this program. *damaged tells a broken one from another model.
SeerStatus seer_snapshot_verify(const SeerProgram *program, const char *folder, SeerSnapshot *snapshot, bool *damaged);
// Verifies, then fills what `rank` keeps of the state.
SeerStatus seer_snapshot_load(const SeerProgram *program, const char *folder, int rank, unsigned char *state,
                              SeerSnapshot *snapshot, bool *damaged);

typedef struct SeerSnapshotList {
  int64_t *steps;  // rising
  int count;
} SeerSnapshotList;

SeerStatus seer_snapshot_list(const char *run, SeerSnapshotList *list);
void seer_snapshot_list_release(SeerSnapshotList *list);
SeerStatus seer_snapshot_folder(const char *run, int64_t step, SeerPath *folder);
// Removes what a crash in the middle of saving left. Only for who holds the run's lock.
SeerStatus seer_snapshot_leftovers_remove(const char *run);
// Loads the newest sound snapshot of a run into what each rank keeps; the ranks verify its files between them. Damaged
// ones are named on stderr and put aside as step-N.damaged. *found is false when the run has no snapshot at all; only
// damaged ones is SEER_INPUT. Collective, for a run whose lock rank 0 holds.
SeerStatus seer_snapshot_load_newest(const SeerProgram *program, SeerComm *comm, const char *run, unsigned char *state,
                                     SeerSnapshot *snapshot, bool *found);
// The newest snapshot of a run whose files are as they were written; damaged ones are named on stderr.
SeerStatus seer_snapshot_find_newest(const char *run, SeerPath *folder);

// Removes the snapshots of later steps than `step`, the latest first.
SeerStatus seer_snapshot_remove_after(const char *run, int64_t step);

#endif
