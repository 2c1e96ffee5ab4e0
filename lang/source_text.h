// Where a machine's numbers come from, as cluster.sources tells it: a text for some keys each, such as
// "flops bandwidth: datasheet, NVIDIA A100 (2020)".
#ifndef SEER_LANG_SOURCE_TEXT_H
#define SEER_LANG_SOURCE_TEXT_H

#include "lang/spec.h"

// From a sheet of the vendor; from a publication; by `seerc calibrate` or another measurement; without a source.
enum { SOURCE_KIND_COUNT = 4 };
extern const char *const source_kinds[SOURCE_KIND_COUNT];

typedef struct SourceText {
  const char *keys;  // of section cluster, blanks between
  const char *kind;  // of source_kinds; NULL: none of them
  const char *rest;  // what stands behind the kind, or ""
} SourceText;

// False: there is no ':' in it.
bool source_text_parse(Arena *arena, const char *text, SourceText *parsed);
// The next key of `*keys`, which moves behind it; NULL at the end.
const char *source_text_next_key(Arena *arena, const char **keys);
// What a machine's spec says of a key of section cluster; false: nothing.
bool source_text_find(Arena *arena, const Spec *spec, const char *key, SourceText *found);

#endif
