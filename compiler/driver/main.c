// seerc: picks the command and ends the process; the only file that does.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/driver.h"
#include "lang/schema.h"

// BUG() aborts after its report; to the shell a bug of seer is exit code 70.
static void stop_after_bug(int signal_number) {
  (void)signal_number;
  _exit(EXIT_BUG);
}

static int print_text(void (*print)(Writer *)) {
  Writer out = {0};
  print(&out);
  int code = driver_write_stream(&out);
  writer_release(&out);
  return code;
}

static void print_version(Writer *out) { writer_text(out, "seerc " SEER_VERSION "\n"); }

static int unknown_command(const char *name) {
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < driver_command_count; i++) suggestion_offer(&suggestion, driver_commands[i].name);
  const char *best = suggestion_best(&suggestion);
  fprintf(stderr, "seerc: error: unknown command '%s' [usage]\n", name);
  if (best)
    fprintf(stderr, "seerc: note: did you mean '%s'?\n", best);
  else
    fprintf(stderr, "seerc: note: 'seerc --help' lists the commands\n");
  return EXIT_USAGE;
}

static int run(Arena *arena, int count, char **arguments) {
  if (count < 2) {
    Writer out = {0};
    help_print_all(&out);
    fputs(out.text, stderr);
    writer_release(&out);
    return EXIT_USAGE;
  }
  const char *name = arguments[1];
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
    return print_text(help_print_all);
  if (strcmp(name, "--version") == 0) return print_text(print_version);
  const Command *command = command_find(name);
  if (!command) return unknown_command(name);
  Invocation invocation = {.arena = arena, .command = command};
  int code = invocation_parse(&invocation, count - 2, arguments + 2);
  if (code != EXIT_DONE) return code;
  if (option_is_set(&invocation, "help")) {
    Writer out = {0};
    help_print_command(command, &out);
    code = driver_write_stream(&out);
    writer_release(&out);
    return code;
  }
  return command->run(&invocation);
}

int main(int count, char **arguments) {
  signal(SIGABRT, stop_after_bug);
  Arena *arena = arena_make("process");
  int code = run(arena, count, arguments);
  arena_release(arena);
  return code;
}
