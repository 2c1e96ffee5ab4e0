// Prints where a broken promise was found, and aborts: the only way out that is not main.c's.
#include "compiler/base/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *current_stage;

void bug_set_stage(const char *stage) { current_stage = stage; }

void bug_report(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "seerc: bug at %s:%d", file, line);
  if (current_stage) fprintf(stderr, " during '%s'", current_stage);
  fprintf(stderr, ": ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\nnote: this is a fault of seer, not of the spec; please report it with the spec\n");
  va_end(arguments);
  abort();
}
