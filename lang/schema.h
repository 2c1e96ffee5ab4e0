// The language as data: schema.def turned into tables, with look-ups and "did you mean".
// Everything that knows a section, key, call or unit by name asks here.
#ifndef SEER_LANG_SCHEMA_H
#define SEER_LANG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"

typedef enum SchemaType {
  TYPE_INTEGER,
  TYPE_NUMBER,
  TYPE_STRING,
  TYPE_NAME,
  TYPE_RANGE,
  TYPE_FLAG,
  TYPE_LIST_INTEGER,
  TYPE_LIST_NUMBER,
  TYPE_LIST_CALL,
  TYPE_PATHS,
  TYPE_NAMES,
  TYPE_AUTO_INTEGER,
  TYPE_AUTO_BYTES,
  TYPE_AUTO_NUMBER,
  TYPE_CONDITION
} SchemaType;

typedef enum SchemaUnit {
  UNIT_NONE,
  UNIT_PIXELS,
  UNIT_BYTES,
  UNIT_STEPS,
  UNIT_EPOCHS,
  UNIT_SECONDS,
  UNIT_IMAGES,
  UNIT_DEGREES
} SchemaUnit;

// A key, or an argument of a call.
typedef struct SchemaField {
  const char *section, *name;  // for an argument, `section` is the call
  SchemaType type;
  SchemaUnit unit;
  const char *default_text;  // "" when there is none
  const char *help;
  double minimum, maximum;  // of numbers
  const char *names;        // "a|b" for TYPE_NAME, TYPE_FLAG and, besides conditions, TYPE_CONDITION; of TYPE_LIST_CALL
                            // the call
  const char *example;      // of it; NULL for other types
} SchemaField;

typedef struct SchemaSection {
  const char *name, *help;
} SchemaSection;

typedef struct SchemaUnitName {
  const char *name;
  SchemaUnit unit;
  double factor;  // to the base unit
} SchemaUnitName;

// Keys are indexed by SpecKey, arguments by CropArgument.
extern const SchemaField schema_keys[];
extern const int schema_key_count;
extern const SchemaSection schema_sections[];
extern const int schema_section_count;
extern const SchemaSection schema_calls[];
extern const int schema_call_count;
extern const SchemaField schema_arguments[];
extern const int schema_argument_count;
extern const SchemaUnitName schema_units[];
extern const int schema_unit_count;

// Each find returns an index, or -1.
int schema_find_section(const char *name);
int schema_find_key(const char *section, const char *key);
int schema_find_call(const char *name);
int schema_find_argument(const char *call, const char *name);
int schema_find_unit(const char *name);

// The names that leave a key's value to the compiler, by index: "auto", then others of its own; NULL behind the last.
const char *schema_auto_name(const SchemaField *field, int index);
bool schema_is_auto(const SchemaField *field, const char *name);
bool schema_is_whole(SchemaType type);
// Is `name` one of "a|b|c"?
bool schema_names_hold(const char *names, const char *name);
// Is it one that takes a number, as b in "a|b(N)"?
bool schema_name_takes_number(const char *names, const char *name);

// "pixels"; "" for none.
const char *schema_unit_plural(SchemaUnit unit);
// "160px", "40GiB", "0.15": a number in its base unit as a user would write it.
const char *schema_quantity(Arena *arena, double number, SchemaUnit unit);
// "a whole number of pixels from 8px to 4096px, such as 224px"
const char *schema_describe(Arena *arena, const SchemaField *field);

// Candidates for "did you mean": offer each, then ask for the nearest (NULL when nothing is near).
typedef struct Suggestion {
  const char *wanted, *best;
  size_t best_distance;
} Suggestion;

Suggestion suggestion_make(const char *wanted);
void suggestion_offer(Suggestion *suggestion, const char *candidate);
void suggestion_offer_names(Suggestion *suggestion, Arena *arena, const char *names);
const char *suggestion_best(const Suggestion *suggestion);
// What users of other tools write for a key of ours: "batch_size" gives "train.batch". NULL when unknown.
const char *schema_find_alias(const char *name);

#endif
