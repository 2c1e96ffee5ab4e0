// A snapshot being read, in three steps that cost more and more: its manifest and the sizes of its files, their
// contents against their hashes, their tensors.
#ifndef SEER_RUNTIME_SNAPSHOT_READER_H
#define SEER_RUNTIME_SNAPSHOT_READER_H

#include "runtime/collection.h"
#include "runtime/manifest.h"

typedef struct SeerSnapshotReader {
  SeerPath folder;
  SeerManifest manifest;
  SeerCollection *tensors;  // NULL before it is opened
} SeerSnapshotReader;

SeerStatus seer_snapshot_reader_begin(const char *folder, SeerSnapshotReader *reader);
// Every `stride`-th file from the `first` on.
SeerStatus seer_snapshot_reader_verify(const SeerSnapshotReader *reader, int first, int stride);
SeerStatus seer_snapshot_reader_open(SeerSnapshotReader *reader);
// That it holds this program's tensors, each whole. *damaged tells a broken one from another model.
SeerStatus seer_snapshot_reader_check(const SeerSnapshotReader *reader, const SeerProgram *program, bool *damaged);
// Fills what `rank` keeps of the state.
SeerStatus seer_snapshot_reader_fill(const SeerSnapshotReader *reader, const SeerProgram *program, int rank,
                                     unsigned char *state);
void seer_snapshot_reader_release(SeerSnapshotReader *reader);

#endif
