// Snapshots of a run in progress, written beside the training: begin copies the rank's share of the state, a thread
// writes the copy, and a later call, at the end of a step, finds all ranks done and commits. Only the calling thread
// talks to other ranks. Every call is collective.
#ifndef SEER_RUNTIME_SAVER_H
#define SEER_RUNTIME_SAVER_H

#include "runtime/snapshot.h"

typedef struct SeerSaver SeerSaver;

// `staging`, of program->snapshot_bytes, may be NULL: then begin writes, and returns when the snapshot is committed.
// `step`: of the newest snapshot, -1: none. `run` and `staging` must outlive the saver.
SeerStatus seer_saver_make(const SeerProgram *program, SeerComm *comm, const char *run, int64_t keep, int64_t step,
                           unsigned char *staging, SeerSaver **saver);
// Begins a snapshot, after the one before is committed; nothing happens when there is one of this step. A failed
// snapshot is abandoned; those before it stay. Takes over snapshot->monitor.
SeerStatus seer_saver_begin(SeerSaver *saver, const unsigned char *state, const SeerSnapshot *snapshot);
// Takes the snapshot in flight a step further, if all ranks are ready; never waits for a disk.
SeerStatus seer_saver_poll(SeerSaver *saver);
// Waits until the snapshot in flight is committed.
SeerStatus seer_saver_finish(SeerSaver *saver);
// The run has gone back: the newest snapshot is that of `step`, and nothing is in flight. Not collective.
void seer_saver_rewind(SeerSaver *saver, int64_t step);
// What is in flight is lost. Not collective.
void seer_saver_release(SeerSaver *saver);

#endif
