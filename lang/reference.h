// Texts made from the schema: the language reference, and what `seerc explain` says of a section, key, call or check.
#ifndef SEER_LANG_REFERENCE_H
#define SEER_LANG_REFERENCE_H

#include <stdbool.h>

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"

// The language reference as Markdown.
void reference_print(Arena *arena, Writer *out);
// "train", "train.batch", "batch" (every section that has it), "crop", "crop.size", "group-width". False when unknown.
bool reference_explain(Arena *arena, const char *name, Writer *out);
// The nearest known name, or NULL.
const char *reference_suggest(Arena *arena, const char *name);
// Every section with its help.
void reference_list(Writer *out);

#endif
