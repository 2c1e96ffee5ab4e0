// seerc data stats --by: how the pictures of an index are distributed over the values of columns, and of their
// combinations; and how far that is from a reference.
#ifndef SEER_COMPILER_DATA_BY_H
#define SEER_COMPILER_DATA_BY_H

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"
#include "runtime/data/composition.h"

// At most so many different numbers in a column, and so many combinations.
enum { DATA_BY_NUMBERS_MAX = 1 << 16, DATA_BY_COMBINATIONS_MAX = 1 << 20 };

// Counts; "label" is the label. SEER_INPUT: the index has no such column, is damaged, or has more values than above.
// `columns` must outlive the composition.
SeerStatus by_count(const SeerIndex *index, const char *const *columns, int count, SeerComposition *composition);

// A table (CSV or TSV) with a column named as one of `columns`, whose values these are; or 'value' where there is but
// one; and a column 'share' or 'count'. SEER_INPUT with file and line.
SeerStatus by_reference_load(Arena *arena, const char *path, const char *const *columns, int count,
                             SeerReference *reference);

// `reference`, or NULL. SEER_MACHINE: no memory.
SeerStatus by_print(const SeerComposition *composition, const SeerReference *reference, bool json, Writer *out);

#endif
