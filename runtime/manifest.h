// manifest.json of a snapshot: which program at which step wrote it, on how many ranks, and the bytes and XXH3-128 of
// each rank's file, and of what was counted (monitor.h). It is written last, and a folder without it is no snapshot.
#ifndef SEER_RUNTIME_MANIFEST_H
#define SEER_RUNTIME_MANIFEST_H

#include "runtime/snapshot.h"

typedef struct SeerManifest {
  SeerSnapshot snapshot;
  char program[256];
  uint64_t model_hash;
  SeerSnapshotFile *files;  // [snapshot.ranks]; owned
  SeerSnapshotFile monitor; // bytes 0: there is none
} SeerManifest;

extern const char seer_manifest_name[];

// The file of one rank: model.safetensors of one, model-00002-of-00004.safetensors of the second of four.
SeerStatus seer_manifest_file(const char *folder, int rank, int ranks, SeerPath *path);
// Writes what was counted, too, where the snapshot has it.
SeerStatus seer_manifest_write(const SeerProgram *program, const SeerSnapshot *snapshot, const SeerSnapshotFile *files,
                               const char *folder);
// Reads the manifest, and compares the files' sizes with it.
SeerStatus seer_manifest_read(const char *folder, SeerManifest *manifest);
// Compares one file's content with its hash; with that of rank 0, what was counted, too.
SeerStatus seer_manifest_verify(const SeerManifest *manifest, const char *folder, int rank);
// Of what was counted alone; fine where nothing was.
SeerStatus seer_manifest_verify_monitor(const SeerManifest *manifest, const char *folder);
void seer_manifest_release(SeerManifest *manifest);

#endif
