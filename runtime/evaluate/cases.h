// What is measured: pictures, or boxes in pictures, with what is known of who or what they show. Read from tables of
// one's own and from those of known data sets as they are distributed (docs/fairness.md says how each is taken).
//
// A table has a row for each case. Its columns, whatever the case of their letters:
//   path, image, img, file or file_name  the picture, relative to the folder of the pictures
//   key                                  its name in files of predictions and features; else the path as it is written
//   xmin, ymin, xmax, ymax               a box, in pixels
//   person, subject or household         the unit that was sampled; --unit names another column
//   concept, topic or label              what is to be seen, for the geographic indicator: a word, or several as a list
//   every other column                   an attribute
#ifndef SEER_RUNTIME_EVALUATE_CASES_H
#define SEER_RUNTIME_EVALUATE_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/evaluate/words.h"
#include "runtime/status.h"

enum { SEER_ATTRIBUTES_MAX = 64, SEER_TOLD_MAX = 256 };

// Something that a user should know of: how often, and the first place.
typedef struct SeerToldRow {
  char *what, *example;
  int64_t count;
  bool is_loss;  // what was to be measured was not
} SeerToldRow;

typedef struct SeerTold {
  SeerToldRow rows[SEER_TOLD_MAX];
  int count;  // more kinds than there is room for are told by the last row together
} SeerTold;

void seer_told_add(SeerTold *told, bool is_loss, const char *example, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void seer_told_release(SeerTold *told);

// One of the things that are to be seen in a picture.
typedef struct SeerConcept {
  int32_t word, next;  // next: of SeerCases.concepts, -1: no more
} SeerConcept;

typedef struct SeerCase {
  int32_t name, picture;  // words; picture: a path that can be opened, -1: none is named
  int32_t unit;           // of `units`
  int32_t concepts;       // the first, of SeerCases.concepts; -1: none
  uint64_t line;          // of the manifest; 0: it has no lines
  double box[4];          // left, top, right, bottom, in pixels or in sides of the picture
  bool has_box;
  bool used;  // false: left out, and told why
} SeerCase;

typedef struct SeerCases {
  SeerCase *items;
  int64_t count, capacity;
  int64_t named;  // cases that the manifest names, the ones named twice included
  SeerWords words, units;
  int32_t *repeats, repeats_room;  // by word: how often it was a name; of what was seen, the case's place, from 1
  int attribute_count;
  char *attributes[SEER_ATTRIBUTES_MAX];  // gender, skin, age, income, region, or as the column is called
  int32_t *values;                        // [count][attribute_count], words; -1: unknown
  const char *layout;
  bool relative;     // boxes are in sides of the picture, not in pixels
  const char *unit;  // what a unit is: "household"; "picture" where each is its own
  bool has_concepts;
  SeerConcept *concepts;
  int32_t concept_count, concept_room;
  char hash[33];  // of the manifest: XXH3-128
} SeerCases;

typedef struct SeerCasesRequest {
  const char *manifest;  // a table, a JSON file, or a folder of pictures
  const char *layout;    // NULL: by what the manifest looks like
  const char *pictures;  // folder; NULL: that of the manifest
  const char *unit;      // column; NULL: by its name
  const char *concept_column;
} SeerCasesRequest;

// SEER_INPUT names file and line of a row that cannot be read. Values that are unknown or make no sense are told and
// leave a case out of the groups of that attribute; a case that is named twice is told and left out, but what it is to
// show the second time counts, too.
SeerStatus seer_cases_load(const SeerCasesRequest *request, SeerTold *told, SeerCases *cases);
void seer_cases_release(SeerCases *cases);
int seer_cases_attribute(const SeerCases *cases, const char *name);  // -1: there is none

// For the readers of layouts: adds a case; `values` [attribute_count] as they are written, NULL or "": unknown.
typedef struct SeerCaseRow {
  const char *path, *key, *unit, *thing;  // key, unit, thing (a concept, or a list of them): NULL, none
  const char *const *values;
  const double *box;  // [4] or NULL
  uint64_t line;
} SeerCaseRow;

SeerStatus seer_cases_add(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told, const SeerCaseRow *row);
// By the name of its column: the canonical one. SEER_INPUT: too many.
SeerStatus seer_cases_add_attribute(SeerCases *cases, const char *column);
// Adds what a case is to show: a word, or a list of them as Python and JSON write it, "['Beds', 'Bedrooms']". *added:
// how many it did not show before.
SeerStatus seer_cases_add_concepts(SeerCases *cases, SeerCase *item, const char *text, int *added);
SeerStatus seer_cases_read_utkface(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told);
SeerStatus seer_cases_read_conversations(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told);

// A value of an attribute as groups are named: Fitzpatrick types to lighter and darker, years and incomes to their
// brackets, region codes to names, all else in small letters. *known false: unknown, or none of these.
void seer_attribute_value(const char *attribute, const char *text, char *value, size_t bytes, bool *known,
                          bool *understood);

#endif
