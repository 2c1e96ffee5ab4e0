// A unified diff of two texts, by lines, with three lines of context.
#ifndef SEER_DRIVER_DIFF_H
#define SEER_DRIVER_DIFF_H

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"

void diff_print(Arena *arena, const char *name, const char *before, const char *after, Writer *out);

#endif
