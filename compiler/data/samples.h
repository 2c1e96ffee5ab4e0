// What there is to pack or to index: pictures in folders and tar archives, each with the files beside it that tell of
// it, or those that a manifest names (manifest.h). A picture and its companions have one stem: 'cats/1.jpg',
// 'cats/1.json', 'cats/1.txt', 'cats/1.cls'. As in WebDataset the stem may also end at the first dot of the name:
// 'cats/1.left.jpg' and 'cats/1.json' belong together.
#ifndef SEER_COMPILER_DATA_SAMPLES_H
#define SEER_COMPILER_DATA_SAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/arena.h"
#include "runtime/status.h"

typedef enum DataCompanion { COMPANION_JSON, COMPANION_TXT, COMPANION_CLS, COMPANION_KINDS } DataCompanion;

typedef struct DataPlace {
  const char *path;  // NULL: there is none
  uint64_t offset, bytes;
} DataPlace;

// The row of a manifest that tells of a picture; it is read again when it is needed.
typedef struct DataManifestRow {
  const struct DataManifest *manifest;
  const char *key;     // as the row has it; NULL: from the path
  const char *suffix;  // of what its first bytes are, where the name has none; else NULL
  uint64_t offset, bytes, line, hash;
} DataManifestRow;

typedef struct DataSample {
  DataPlace picture, companions[COMPANION_KINDS];
  DataManifestRow *row;   // instead of companions; NULL: from no manifest
  const char *name;       // relative to the folder that the user named, or in the archive; or a manifest's key
  const char *container;  // the archive's path; NULL: the picture is a file of its own
  const char *shown;      // relative, with the archive's name: "a.tar:cats/1.jpg"; or as the manifest has it
  const char *label;      // from its folder; NULL: none
  const char *damage;     // why it cannot be a sample at all; NULL
  bool is_archive;        // stands for all of `container`, which has not been opened
  int64_t changed;        // when its file was, in ns
} DataSample;

typedef struct DataSamples {
  DataSample *items;
  size_t count, capacity;
} DataSamples;

// In the order of `sources`; in each first the files by path, then archives and manifests by path, in archives by name,
// in manifests likewise. Folders are walked as trainers walk them, and manifests in them passed over. About 500 bytes a
// picture are held; where archives are not opened, none for theirs.
SeerStatus data_samples_gather(Arena *arena, const char *const *sources, int count, bool opens_archives,
                               DataSamples *samples);
// The samples of an archive that has not been opened.
SeerStatus data_archive_gather(Arena *arena, const DataSample *archive, DataSamples *samples);

// The first bytes of a file; none when it cannot be read.
size_t data_file_start(const char *path, uint8_t *bytes, size_t room);
// The last part of a path.
const char *data_path_base(const char *path);

#endif
