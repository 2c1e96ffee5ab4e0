// Memory of this process that is no mapped file.
#ifndef SEER_TESTS_DATA_MEMORY_H
#define SEER_TESTS_DATA_MEMORY_H

#include <stdio.h>

#include "tests/data/cm.h"

static inline long anonymous_kib(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  long kib = -1;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) sscanf(line, "RssAnon: %ld", &kib);
  if (file != NULL) fclose(file);
  assert_true(kib > 0);
  return kib;
}

#endif
