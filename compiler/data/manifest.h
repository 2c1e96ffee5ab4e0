// Manifests: tables (table.h) with a row for each picture.
//
//   path, image, img, file or file_name   the picture: the first of these that there is, in any case of letters.
//     A path, relative to the manifest's folder, or absolute; 'SHARD.tar:MEMBER' is a member of a tar archive
//   label                                 text or a whole number; without it pictures have no label
//   key                                   the picture's name where it is packed or indexed; else its path
//   every other column                    metadata
//
// Fields of CSV and TSV are numbers in columns where all that are not empty are numbers as JSON writes them and whole
// ones are below 2^53, and words as they are written in all others. An empty field is no value. Columns without a
// name are passed over. Values of JSONL are what they are.
//
// Paths may be absolute and may lead out of the manifest's folder by '..': who writes a manifest says what is read, as
// one who names a folder does, and nothing is ever written there. What is no regular file is not opened.
#ifndef SEER_COMPILER_DATA_MANIFEST_H
#define SEER_COMPILER_DATA_MANIFEST_H

#include "compiler/data/facts.h"
#include "compiler/data/samples.h"
#include "runtime/data/table.h"

typedef struct DataManifest {
  const char *path;
  TableKind kind;
  char hash[33];  // XXH3-128 of its bytes
  // CSV and TSV
  int count, path_at, label_at, key_at;  // columns; -1: there is none
  const char **names;
  bool *is_word;  // by column: some value is no number
} DataManifest;

// Appends the pictures that the rows name: first the files by path, then the members of archives by archive and name.
// A picture that is not there, and one that an earlier row names, is a sample with damage. SEER_INPUT names file and
// line of a row that cannot be read. The manifest is walked through once; of each row its place is kept.
SeerStatus data_manifest_gather(Arena *arena, const char *path, DataSamples *samples);

// Label and columns of a row into facts->columns, an object. SEER_INPUT: the manifest has changed.
SeerStatus data_manifest_row_read(const DataManifestRow *row, DataFacts *facts);

#endif
