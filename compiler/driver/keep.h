// A condition of the language as the runtime evaluates it.
#ifndef SEER_DRIVER_KEEP_H
#define SEER_DRIVER_KEEP_H

#include "lang/spec.h"
#include "runtime/keep.h"

// Of data.keep, or of spec_condition; NULL: every picture.
const SeerKeep *keep_from_condition(Arena *arena, const SpecValue *condition);

#endif
