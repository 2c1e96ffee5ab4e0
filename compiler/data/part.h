// A part: what was found in one or some shards, as lines of JSON, kept on disk until the index is made of all parts.
// A part is complete or absent, so a run that was killed goes on behind the last.
//
//   {"shard": PATH, "bytes": N, "xxh3": HEX or ""}   the shard that the next pictures lie in
//   {"picture": NAME, "offset", "bytes", "hash", "width", "height", "whole", "perceptual", "label", "columns"}
//   {"left_out": SHOWN, "reason": TEXT}
//   {"end": N}                                        so many lines stand before
#ifndef SEER_COMPILER_DATA_PART_H
#define SEER_COMPILER_DATA_PART_H

#include "compiler/base/writer.h"
#include "compiler/data/facts.h"

typedef struct DataPart {
  Writer text;
  uint64_t lines;
  bool failed;  // for want of memory, told by data_part_save
} DataPart;

void data_part_shard(DataPart *part, const char *path, uint64_t bytes, const char *xxh3);
// `name` in the shard; bytes that are no UTF-8 become U+FFFD.
void data_part_picture(DataPart *part, const char *name, const DataFacts *facts);
void data_part_left_out(DataPart *part, const char *shown, const char *reason);
// Ends the part and writes it through a temporary name.
SeerStatus data_part_save(DataPart *part, const char *path);
void data_part_release(DataPart *part);

typedef enum DataLine { LINE_SHARD, LINE_PICTURE, LINE_LEFT_OUT } DataLine;

// Calls `take` for each line in order until it fails. SEER_INPUT when the part is not whole: then *whole is false and
// no error is recorded.
SeerStatus data_part_read(const char *path, SeerStatus (*take)(void *context, DataLine kind, json_t *line),
                          void *context, bool *whole);

#endif
