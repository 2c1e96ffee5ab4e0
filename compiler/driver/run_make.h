// Runs make in a folder of emitted sources, with progress on a terminal.
#ifndef SEER_DRIVER_RUN_MAKE_H
#define SEER_DRIVER_RUN_MAKE_H

#include <stdbool.h>

#include "compiler/base/arena.h"

typedef struct MakeRun {
  const char *folder, *output;  // output: absolute path of the trainer
  int jobs, files;              // files: how many will be compiled, for the progress
  bool show_progress;
} MakeRun;

// NULL when the trainer was built, else what went wrong; `*lacks_tool` tells that make or the compiler is missing.
const char *run_make(Arena *arena, const MakeRun *run, bool *lacks_tool);
// Removes a folder with everything below it; keeps going on errors, which leave the folder behind.
void remove_folder(const char *path);

#endif
