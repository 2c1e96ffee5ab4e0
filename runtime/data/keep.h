// Which pictures a condition (runtime/keep.h) holds for: found once, by reading the columns that it names from front to
// back, on several threads.
//
// Columns named country hold codes of ISO 3166-1, as elsewhere: fr, FR and FRA are one. A word of a column that is
// compared with a number counts as the number that it spells, or as unknown. Labels are words.
#ifndef SEER_RUNTIME_DATA_KEEP_H
#define SEER_RUNTIME_DATA_KEEP_H

#include <stdint.h>

#include "runtime/data/index.h"
#include "runtime/data/kept.h"
#include "runtime/keep.h"

// Add up over several sets of pictures; start from {0}.
typedef struct SeerKeepCounts {
  int64_t pictures, kept, unknown;             // the rest is dropped because the condition is false
  int64_t holds[SEER_KEEP_TERMS_MAX];          // by term: pictures that it is true for,
  int64_t without_value[SEER_KEEP_TERMS_MAX];  // and unknown for
} SeerKeepCounts;

// Leaves those pictures of the index that the condition holds for: from here on all numbers of pictures count these
// alone. `folder`: for what does not lie in memory (kept.h). SEER_INPUT: the index has no such column, or is damaged.
SeerStatus seer_index_keep(SeerIndex *index, const SeerKeep *keep, int threads, const char *folder,
                           SeerKeepCounts *counts);

// What is known of a picture without metadata; of a number -1, and of a label NULL: nothing.
typedef struct SeerKeepFacts {
  const char *label;
  int64_t width, height, bytes;
} SeerKeepFacts;
// Any thread. `sizes`: width, height and bytes are wanted, too.
typedef void SeerKeepLook(const void *set, int64_t picture, bool sizes, SeerKeepFacts *facts);
// The same of `pictures` pictures that no index tells of, into `kept`. `name`: of one of them.
SeerStatus seer_keep_look(const SeerKeep *keep, int64_t pictures, SeerKeepLook *look, const void *set, const char *name,
                          int threads, const char *folder, SeerKeepCounts *counts, SeerKept *kept);

// "kept 812 of 1203: 380 dropped, 11 of unknown country or age"
void seer_keep_describe(const SeerKeep *keep, const SeerKeepCounts *counts, char *text, size_t room);

#endif
