// The command line of a trainer, read by the table options.def.
#ifndef SEER_RUNTIME_OPTIONS_H
#define SEER_RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/status.h"

typedef enum SeerCommand {
#define COMMAND(NAME, ...) SEER_COMMAND_##NAME,
#include "runtime/options.def"
  SEER_COMMAND_COUNT
} SeerCommand;

enum { SEER_LIST_MAX = 255 };

// NULL-terminated.
typedef struct SeerTextList {
  const char *items[SEER_LIST_MAX + 1];
  int count;
} SeerTextList;

typedef bool SeerOptionFLAG;
typedef int64_t SeerOptionCOUNT;      // -1: not given
typedef int64_t SeerOptionPOSITIVE;   // -1: not given
typedef double SeerOptionNUMBER;      // -1: not given
typedef const char *SeerOptionTEXT;   // NULL: not given
typedef const char *SeerOptionMAYBE;  // NULL: not given; "": given without its argument
typedef SeerTextList SeerOptionLIST;

typedef struct SeerOptions {
  SeerCommand command;
  bool help, version;
  const char *program;  // as it was called, for messages
  const char *operand;  // NULL: none
#define OPTION(KIND, field, ...) SeerOption##KIND field;
#include "runtime/options.def"
} SeerOptions;

// SEER_USAGE with the mistake named and the nearest known word offered. Texts point into argv.
SeerStatus seer_options_read(int argc, char **argv, SeerOptions *options);
// The options of the command at hand, one by one from *at = 0: "seed", and as text what was given, "" for nothing.
// NULL when there are no more.
const char *seer_options_next(const SeerOptions *options, int *at, char *value, size_t bytes);
// General, or of one command when `command` is one.
void seer_options_help(FILE *out, const char *program, const char *trainer, SeerCommand command);

#endif
