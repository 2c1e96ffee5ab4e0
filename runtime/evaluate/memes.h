// Pictures with a text each, as Hateful Memes has them: JSONL with `id`, `img`, `text` and, but for test sets, `label`
// (0 or 1).
#ifndef SEER_RUNTIME_EVALUATE_MEMES_H
#define SEER_RUNTIME_EVALUATE_MEMES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/evaluate/keyed_vectors.h"

typedef struct SeerMeme {
  char *id, *picture, *text;
  int32_t label;  // -1: none
} SeerMeme;

typedef struct SeerMemes {
  const char *path;
  int64_t count, labelled;
  SeerMeme *items;
} SeerMemes;

// SEER_INPUT names the line that lacks something, or an id that is there twice. `labels`: every item must have one.
SeerStatus seer_memes_load(const char *path, bool labels, SeerMemes *memes);
void seer_memes_release(SeerMemes *memes);

// For each item of a set the row of its vector. `by_picture`: names end in the picture's path, or have its file name;
// else names are ids, or, without names, rows follow one another from *next_row on, which is moved. Items without a row
// are an error that counts them and names the first. rows [count], malloc'ed.
SeerStatus seer_memes_rows(const SeerMemes *memes, const SeerKeyedVectors *vectors, bool by_picture, int64_t *next_row,
                           int64_t **rows);

// What two sets share. A picture is the same when its file's bytes are, or, without files, its features.
typedef struct SeerLeak {
  int64_t ids, pictures, texts, near_texts;
  const char *first;  // id of the first item of the second set that leaks, or NULL
} SeerLeak;

// What is told apart by: a hash for each item; of equal things equal ones.
typedef struct SeerMemeMarks {
  uint64_t *ids, *pictures, *texts;  // [count]
  char **words;                      // [count]: the text in small letters, letters and digits only, one blank between
} SeerMemeMarks;

// `pictures`: of each item, or NULL for none.
SeerStatus seer_memes_mark(const SeerMemes *memes, const uint64_t *pictures, SeerMemeMarks *marks);
void seer_memes_marks_release(SeerMemeMarks *marks, int64_t count);
// near: texts of which at least this share of words is common (Jaccard) are told, too; 0: they are not looked for.
SeerStatus seer_memes_leaks(const SeerMemes *a, const SeerMemeMarks *of_a, const SeerMemes *b,
                            const SeerMemeMarks *of_b, double near, SeerLeak *leak);

#endif
