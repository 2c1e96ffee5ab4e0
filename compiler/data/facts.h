// What is known of one picture: found in its bytes and in the files beside it, written to a part, read from it again.
#ifndef SEER_COMPILER_DATA_FACTS_H
#define SEER_COMPILER_DATA_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler/data/profile.h"
#include "compiler/data/samples.h"
#include "runtime/data/buffer.h"

#define DATA_MAX_PIXELS ((int64_t)1 << 26)  // data.max_pixels unless a spec says other

typedef struct DataFacts {
  uint64_t offset, hash;  // hash: XXH3-64 of the bytes, 0: not known
  uint64_t perceptual;    // 0: not known
  uint32_t bytes;
  int width, height;  // 0: not known
  bool is_whole_file;
  char profile[DATA_PROFILE_BYTES];  // profile.h
  char *label;                       // UTF-8; NULL: none
  json_t *columns;                   // an object
} DataFacts;

// Reads `place` into `buffer`. False with a reason, which the next call of this thread overwrites.
bool data_place_read(const DataPlace *place, uint64_t limit, SeerBuffer *buffer, const char **reason);
// Whether it was the machine that failed (memory, descriptors, a device) when data_place_read or a decoder of this
// thread gave this reason: then another time the picture may be sound, and it must not be left out.
bool data_machine_failed(const char *reason);
// Label and columns from the companions of a sample, over the label of its folder, or from its row of a manifest.
// *left: what of companions could not be read, and why, or NULL; lasts until the next call of this thread. SEER_INPUT:
// the manifest has changed since it was first read.
//
// A JSON object's members are columns, but for 'key', 'width', 'height' and 'hash'; 'label' is the label, and an object
// 'columns', as pack writes it, stands for the rest. Text is a column 'txt', a class the label. What the picture itself
// says of its colours is a column 'colour_profile', unless there is one.
SeerStatus data_companions_read(const DataSample *sample, DataFacts *facts, const char **left);
// The text of a label; empty: none. False without memory.
bool data_label_set(DataFacts *facts, const char *text);
// Text or a whole number; anything else is none.
bool data_label_from_json(DataFacts *facts, const json_t *label);
// Hash, size and profile, from the bytes.
void data_facts_measure(const uint8_t *bytes, size_t count, DataFacts *facts);
void data_facts_release(DataFacts *facts);

#endif
