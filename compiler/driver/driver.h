// The seerc program: commands and options as tables, and what commands share. A command gets an Invocation, prints its
// messages itself and returns an exit code; only main.c ends the process.
#ifndef SEER_DRIVER_DRIVER_H
#define SEER_DRIVER_DRIVER_H

#include <stdbool.h>

#include "compiler/base/diag.h"
#include "lang/spec.h"
#include "runtime/status.h"

typedef enum ExitCode {
  EXIT_DONE = 0,
  EXIT_INPUT = 1,    // the user's spec, data or values are wrong
  EXIT_USAGE = 2,    // the command line is wrong
  EXIT_MACHINE = 3,  // the machine lacks something
  EXIT_BUG = 70
} ExitCode;

typedef struct Option {
  const char *commands, *name;
  char letter;           // 0: none
  const char *argument;  // NULL: a flag
  const char *help;
} Option;

typedef struct Invocation Invocation;

typedef struct Command {
  const char *name, *arguments, *help;
  int (*run)(Invocation *invocation);
} Command;

// One option of the command line, in the order given.
typedef struct GivenOption {
  int option;  // of driver_options
  const char *value;
} GivenOption;

struct Invocation {
  Arena *arena;
  const Command *command;
  const char **values;  // by option: its last argument, "" for a flag, NULL when absent
  GivenOption *given;
  int given_count;
  const char **files;
  int file_count;
  SpecDefine *defines;  // -D, in order
  int define_count;
  const char *library;  // the folder of shipped specs; NULL when there is none
  bool colour;          // for messages on standard error
};

extern const Command driver_commands[];
extern const int driver_command_count;
extern const Option driver_options[];
extern const int driver_option_count;

#define COMMAND(name, ...) int command_##name(Invocation *invocation);
#include "compiler/driver/commands.def"
#undef COMMAND

const Command *command_find(const char *name);
bool option_applies(const Option *option, const Command *command);

// Fills the invocation from argv after the command's name. EXIT_DONE, or EXIT_USAGE after saying why.
int invocation_parse(Invocation *invocation, int count, char **arguments);
// The argument of an option of this command, or NULL; a misspelt name is a bug.
const char *option_text(const Invocation *invocation, const char *name);
bool option_is_set(const Invocation *invocation, const char *name);
// All arguments of an option that may be repeated, in order. Returns how many.
int option_values(const Invocation *invocation, const char *name, const char ***values);
// A whole number of at least 1, or a number above 0; where the option is not given, *value is left. EXIT_DONE, or
// EXIT_USAGE after saying why.
int option_count(const Invocation *invocation, const char *name, int *value);
int option_positive(const Invocation *invocation, const char *name, double *value);
// Exactly `wanted` files; otherwise says so and returns false.
bool invocation_needs_files(const Invocation *invocation, int wanted);
int usage_error(const Invocation *invocation, const char *format, ...) __attribute__((format(printf, 2, 3)));

void help_print_all(Writer *out);
void help_print_command(const Command *command, Writer *out);
void help_print_man(Writer *out);
// False when the shell is unknown.
bool help_print_completion(const char *shell, Writer *out);

// One spec as a command reads it: sources and messages belong together.
typedef struct LoadedSpec {
  SourceMap *sources;
  DiagList *diags;
  const Spec *spec;  // NULL after an error
} LoadedSpec;

// Loads without printing; with the invocation's -D, or with other overrides.
LoadedSpec driver_load(Invocation *invocation, const char *path);
LoadedSpec driver_load_with(Invocation *invocation, const char *path, const SpecDefine *defines, int define_count);
// Prints messages to standard error; EXIT_INPUT when there is an error among them, else EXIT_DONE.
int driver_report(const Invocation *invocation, DiagList *diags);
// Prints what went wrong outside of any spec, and a note unless it is NULL. Returns `code`.
int driver_fail(int code, const char *check, const char *message, const char *note);
// Prints the error that the runtime has recorded, with its notes. Returns `status` as an exit code.
int driver_report_runtime(const char *check, SeerStatus status);
// Writes to -o, or to standard output. EXIT_DONE, or EXIT_MACHINE after saying why.
int driver_write(const Invocation *invocation, const Writer *out);
int driver_write_stream(const Writer *out);

#endif
