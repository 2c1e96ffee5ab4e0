// The plan as one page to look at, offline: `seerc plan --html` and `TRAINER plan --html` write the same bytes.
// The template is runtime/plan_page/, its files one behind the other; the plan is the object of `plan --json`.
#ifndef SEER_RUNTIME_PLAN_PAGE_H
#define SEER_RUNTIME_PLAN_PAGE_H

#include <stdbool.h>

#include "runtime/pieces.h"

// False, and nothing useful printed, when no piece of the template holds the marker that the plan replaces.
bool seer_plan_page_print(FILE *out, SeerPieces page, SeerPieces plan_json);

// The template, of the emitted plan_page.c.
extern const char *const seer_plan_page[];

#endif
