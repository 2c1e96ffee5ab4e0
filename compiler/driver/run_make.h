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

typedef enum MakeFault {
  MAKE_NONE,
  MAKE_LACKS_TOOL,   // make, the compiler or a library is missing
  MAKE_LACKS_ROOM,   // on the disk
  MAKE_INTERRUPTED,  // the user has had enough
  MAKE_FAILED
} MakeFault;

// NULL when the trainer was built, else what went wrong, and its kind.
const char *run_make(Arena *arena, const MakeRun *run, MakeFault *fault);
// Removes a folder with everything below it; keeps going on errors, which leave the folder behind.
void remove_folder(const char *path);

#endif
