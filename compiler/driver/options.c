// Reads a command line against the tables: --name=value, --name value, -N value, -Nvalue; "--" ends options.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/base/bug.h"
#include "compiler/driver/driver.h"
#include "lang/schema.h"

const Command driver_commands[] = {
#define COMMAND(name, arguments, help) {#name, arguments, help, command_##name},
#include "compiler/driver/commands.def"
#undef COMMAND
};
const int driver_command_count = (int)(sizeof driver_commands / sizeof *driver_commands);

const Option driver_options[] = {
#define OPTION(commands, name, letter, argument, help) {commands, name, letter, argument, help},
#include "compiler/driver/options.def"
#undef OPTION
};
const int driver_option_count = (int)(sizeof driver_options / sizeof *driver_options);

const Command *command_find(const char *name) {
  for (int i = 0; i < driver_command_count; i++) {
    if (strcmp(driver_commands[i].name, name) == 0) return &driver_commands[i];
  }
  return NULL;
}

bool option_applies(const Option *option, const Command *command) {
  return !*option->commands || schema_names_hold(option->commands, command->name);
}

int usage_error(const Invocation *invocation, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "seerc: error: %s [usage]\n", arena_vprintf(invocation->arena, format, arguments));
  va_end(arguments);
  fprintf(stderr, "seerc: note: see 'seerc %s --help'\n", invocation->command->name);
  return EXIT_USAGE;
}

static int unknown_option(const Invocation *invocation, const char *shown, const char *name) {
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < driver_option_count; i++) {
    if (option_applies(&driver_options[i], invocation->command)) suggestion_offer(&suggestion, driver_options[i].name);
  }
  const char *best = suggestion_best(&suggestion);
  if (!best) return usage_error(invocation, "'%s' has no option '%s'", invocation->command->name, shown);
  fprintf(stderr, "seerc: error: '%s' has no option '%s' [usage]\n", invocation->command->name, shown);
  fprintf(stderr, "seerc: note: did you mean '--%s'?\n", best);
  return EXIT_USAGE;
}

static int find_option(const Invocation *invocation, const char *name, char letter) {
  for (int i = 0; i < driver_option_count; i++) {
    const Option *option = &driver_options[i];
    bool matches = letter ? option->letter == letter : strcmp(option->name, name) == 0;
    if (matches && option_applies(option, invocation->command)) return i;
  }
  return -1;
}

// An argument written "a|b|c" in the table is a choice.
static int check_choice(const Invocation *invocation, const Option *option, const char *value) {
  if (!strchr(option->argument, '|') || schema_names_hold(option->argument, value)) return EXIT_DONE;
  return usage_error(invocation, "'--%s' takes %s, not '%s'", option->name, option->argument, value);
}

static int set_option(Invocation *invocation, int index, const char *value) {
  const Option *option = &driver_options[index];
  if (option->argument) {
    int code = check_choice(invocation, option, value);
    if (code != EXIT_DONE) return code;
  }
  invocation->values[index] = value;
  invocation->given[invocation->given_count++] = (GivenOption){index, value};
  if (strcmp(option->name, "define") == 0) invocation->defines[invocation->define_count++].text = value;
  return EXIT_DONE;
}

// Reads one option at `arguments[*at]` and moves past what it used.
static int read_option(Invocation *invocation, int count, char **arguments, int *at) {
  const char *argument = arguments[*at];
  bool is_long = argument[1] == '-';
  const char *equals = is_long ? strchr(argument, '=') : NULL;
  const char *name = is_long ? arena_string(invocation->arena, argument + 2,
                                            equals ? (size_t)(equals - argument - 2) : strlen(argument + 2))
                             : argument + 1;
  int index = find_option(invocation, name, is_long ? 0 : argument[1]);
  if (index < 0) return unknown_option(invocation, argument, name);
  const Option *option = &driver_options[index];
  const char *attached = is_long ? (equals ? equals + 1 : NULL) : (argument[2] ? argument + 2 : NULL);
  if (!option->argument) {
    if (attached) return usage_error(invocation, "'--%s' takes no argument", option->name);
    return set_option(invocation, index, "");
  }
  if (!attached) {
    if (*at + 1 >= count) return usage_error(invocation, "'--%s' needs an argument %s", option->name, option->argument);
    attached = arguments[++*at];
  }
  return set_option(invocation, index, attached);
}

static bool wants_colour(const Invocation *invocation) {
  const char *when = option_text(invocation, "color");
  if (when && strcmp(when, "auto") != 0) return strcmp(when, "always") == 0;
  const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
  return !(plain && *plain) && terminal && strcmp(terminal, "dumb") != 0 && isatty(STDERR_FILENO);
}

static bool is_folder_of_specs(Arena *arena, const char *folder) {
  return access(arena_printf(arena, "%s/models", folder), X_OK) == 0;
}

// Beside the build folder, or where it is installed; shown relative to the working folder where it lies below.
static const char *find_library(Arena *arena) {
  char program[4096], working[4096];
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0) return NULL;
  program[length] = '\0';
  for (int level = 0; level < 2; level++) {
    char *slash = strrchr(program, '/');
    if (slash) *slash = '\0';
  }
  const char *candidates[] = {arena_printf(arena, "%s/specs", program),
                              arena_printf(arena, "%s/share/seer/specs", program)};
  for (int i = 0; i < 2; i++) {
    if (!is_folder_of_specs(arena, candidates[i])) continue;
    size_t prefix = getcwd(working, sizeof working) ? strlen(working) : 0;
    bool below = prefix > 1 && strncmp(candidates[i], working, prefix) == 0 && candidates[i][prefix] == '/';
    return below ? candidates[i] + prefix + 1 : candidates[i];
  }
  return NULL;
}

int invocation_parse(Invocation *invocation, int count, char **arguments) {
  Arena *arena = invocation->arena;
  invocation->values = arena_array(arena, const char *, driver_option_count);
  invocation->given = arena_array(arena, GivenOption, count + 1);
  invocation->files = arena_array(arena, const char *, count + 1);
  invocation->defines = arena_array(arena, SpecDefine, count + 1);
  bool only_files = false;
  for (int i = 0; i < count; i++) {
    bool is_option = !only_files && arguments[i][0] == '-' && arguments[i][1];
    if (is_option && strcmp(arguments[i], "--") == 0) {
      only_files = true;
    } else if (is_option) {
      int code = read_option(invocation, count, arguments, &i);
      if (code != EXIT_DONE) return code;
    } else {
      invocation->files[invocation->file_count++] = arguments[i];
    }
  }
  invocation->colour = wants_colour(invocation);
  int library = find_option(invocation, "library", 0);
  const char *named = library >= 0 ? invocation->values[library] : NULL;
  invocation->library = named ? named : find_library(arena);
  return EXIT_DONE;
}

const char *option_text(const Invocation *invocation, const char *name) {
  int index = find_option(invocation, name, 0);
  if (index < 0) BUG("command '%s' has no option '%s'", invocation->command->name, name);
  return invocation->values[index];
}

bool option_is_set(const Invocation *invocation, const char *name) { return option_text(invocation, name) != NULL; }

int option_values(const Invocation *invocation, const char *name, const char ***values) {
  int index = find_option(invocation, name, 0), count = 0;
  if (index < 0) BUG("command '%s' has no option '%s'", invocation->command->name, name);
  *values = arena_array(invocation->arena, const char *, invocation->given_count + 1);
  for (int i = 0; i < invocation->given_count; i++) {
    if (invocation->given[i].option == index) (*values)[count++] = invocation->given[i].value;
  }
  return count;
}

int option_count(const Invocation *invocation, const char *name, int *value) {
  const char *text = option_text(invocation, name);
  if (!text) return EXIT_DONE;
  bool digits = *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
  if (!digits || strspn(text, "0") == strlen(text))
    return usage_error(invocation, "'--%s' takes a whole number of at least 1, not '%s'", name, text);
  *value = (int)strtol(text, NULL, 10);
  return EXIT_DONE;
}

int option_positive(const Invocation *invocation, const char *name, double *value) {
  const char *text = option_text(invocation, name);
  if (!text) return EXIT_DONE;
  char *end;
  double number = strtod(text, &end);
  if (end == text || *end || !(number > 0) || !isfinite(number))
    return usage_error(invocation, "'--%s' takes a number above 0, not '%s'", name, text);
  *value = number;
  return EXIT_DONE;
}

bool invocation_needs_files(const Invocation *invocation, int wanted) {
  if (invocation->file_count == wanted) return true;
  if (invocation->file_count < wanted)
    usage_error(invocation, "'%s' needs a spec file", invocation->command->name);
  else
    usage_error(invocation, "'%s' takes %d file%s, not %d", invocation->command->name, wanted, wanted == 1 ? "" : "s",
                invocation->file_count);
  return false;
}
