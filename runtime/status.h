// Status of runtime calls: 0 or an exit code. The first error of a run is kept with its context and printed once.
#ifndef SEER_RUNTIME_STATUS_H
#define SEER_RUNTIME_STATUS_H

#include <stdbool.h>

typedef enum SeerStatus {
  SEER_OK = 0,
  SEER_INPUT = 1,     // the user's input is wrong: data, weights, arguments' values
  SEER_USAGE = 2,     // the command line is wrong
  SEER_MACHINE = 3,   // the machine lacks something: memory, disk, permission, instruction set
  SEER_BUG = 70,
  SEER_STOPPED = 75   // stopped on request, snapshot written
} SeerStatus;

// Records an error ("what is wrong", then "note: what to do" after a newline) unless one is recorded, and returns
// `status`. Safe from any thread.
SeerStatus seer_fail(SeerStatus status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts "context: " in front of the recorded error and returns `status`.
SeerStatus seer_context(SeerStatus status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts "note: ..." behind the recorded error, on a line of its own, and returns `status`.
SeerStatus seer_note(SeerStatus status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The recorded error, or "" when there is none.
const char *seer_error(void);
// From here on the calling thread keeps its errors apart, in `text` of SEER_ERROR_BYTES, which starts empty: for work
// beside the main thread, which takes them over when it has waited for it. NULL: with all others' again.
enum { SEER_ERROR_BYTES = 8192 };
void seer_error_keep(char *text);
void seer_error_clear(void);
// Prints "NAME: error: ..." to standard error and clears it; nothing when there is none. A rank of several does so
// before it closes its communicator: launchers end all others as soon as one has left.
void seer_error_print(const char *name);

#endif
