// seerc build: emits a trainer's sources and compiles them with the system's make and C compiler.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/launch_files.h"
#include "compiler/driver/run_make.h"

static int fail(int code, const char *check, const char *message, const char *note) {
  fprintf(stderr, "seerc: error: %s [%s]\n", message, check);
  if (note) fprintf(stderr, "seerc: note: %s\n", note);
  return code;
}

// The trainer's path, absolute, since make runs in another folder.
static const char *output_path(Invocation *invocation, const char *name) {
  const char *out = option_text(invocation, "out");
  if (!out) out = name;
  char here[PATH_MAX];
  if (out[0] == '/' || !getcwd(here, sizeof here)) return out;
  return arena_printf(invocation->arena, "%s/%s", here, out);
}

static int count_functions(const Program *program) {
  int functions = 0;
  for (size_t i = 0; program && i < program->segments.count; i++)
    functions += (size_t)program->segments.items[i].function == i;
  return functions;
}

// Block functions appear once each, step and program once for each world; the runtime's files are the carried .c files.
static int count_sources(const Trainer *trainer) {
  int files = 1;
  for (int i = 0; i < trainer->world_count; i++)
    files += 2 + count_functions(trainer_own_train(trainer, &trainer->worlds[i])) +
             count_functions(trainer->worlds[i].features);
  for (int i = 0; i < embedded_file_count; i++) {
    size_t length = strlen(embedded_files[i].path);
    files += length > 2 && strcmp(embedded_files[i].path + length - 2, ".c") == 0;
  }
  return files;
}

static int make_trainer(Invocation *invocation, const Trainer *trainer, const char *folder, const char *output) {
  const char *error = trainer_emit(trainer, invocation->arena, folder);
  if (error) return fail(EXIT_MACHINE, "output", error, NULL);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  MakeRun run = {.folder = folder,
                 .output = output,
                 .jobs = cores > 0 ? (int)cores : 1,
                 .files = count_sources(trainer),
                 .show_progress = isatty(STDERR_FILENO)};
  bool lacks_tool;
  error = run_make(invocation->arena, &run, &lacks_tool);
  if (!error) return EXIT_DONE;
  if (!lacks_tool)
    return fail(EXIT_BUG, "compiler", error,
                "this is a fault of seer or of the C compiler; please report it with the spec");
  return fail(EXIT_MACHINE, "compiler", error,
              "a trainer needs make, a C compiler and the image libraries; on Debian: apt-get install make gcc "
              "libjpeg62-turbo-dev "
              "libpng-dev libwebp-dev libjansson-dev libxxhash-dev zlib1g-dev");
}

static int build_in(Invocation *invocation, const Trainer *trainer, const char *output) {
  const char *keep = option_text(invocation, "keep");
  if (keep) return make_trainer(invocation, trainer, keep, output);
  const char *base = getenv("TMPDIR");
  char *folder = arena_printf(invocation->arena, "%s/seerc-XXXXXX", base && *base ? base : "/tmp");
  if (!mkdtemp(folder)) {
    const char *message = arena_printf(invocation->arena, "cannot make a folder '%s': %s", folder, strerror(errno));
    return fail(EXIT_MACHINE, "output", message, "set TMPDIR to a folder that can be written, or use '--keep DIR'");
  }
  int code = make_trainer(invocation, trainer, folder, output);
  remove_folder(folder);
  return code;
}

int command_build(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  int code = launch_files_check(invocation);
  if (code != EXIT_DONE) return code;
  Compiled compiled;
  DiagList *diags;
  code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code != EXIT_DONE) return code;
  const char *output = output_path(invocation, compiled.trainer.settings.name);
  code = build_in(invocation, &compiled.trainer, output);
  if (code == EXIT_DONE) code = launch_files_write(invocation, &compiled, output);
  if (code == EXIT_DONE && isatty(STDERR_FILENO))
    fprintf(stderr, "built %s for %s\n", output, compiled.trainer.settings.cpu);
  return code;
}
