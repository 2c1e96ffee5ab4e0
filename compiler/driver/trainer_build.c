// The C compiler's part of a build; see trainer_build.h.
#include "compiler/driver/trainer_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/modules_build.h"
#include "compiler/driver/run_make.h"

static int count_functions(const Program *program) {
  int functions = 0;
  for (size_t i = 0; program && i < program->segments.count; i++)
    functions += (size_t)program->segments.items[i].function == i;
  return functions;
}

// With those of the trainer that it carries. Block functions appear once each, step and program once for each world;
// the runtime's files are the carried .c files.
static int count_sources(const Trainer *trainer) {
  int files = trainer->reader ? 2 : 1;
  for (int i = 0; i < trainer->world_count; i++)
    files += 2 + count_functions(trainer_own_train(trainer, &trainer->worlds[i])) +
             count_functions(trainer->worlds[i].features);
  for (int i = 0; i < embedded_file_count; i++) {
    size_t length = strlen(embedded_files[i].path);
    bool is_source = length > 2 && strcmp(embedded_files[i].path + length - 2, ".c") == 0;
    files += is_source && trainer_carries(trainer, &embedded_files[i]);
  }
  return trainer->carried ? files + count_sources(trainer->carried) : files;
}

int trainer_build(Invocation *invocation, const Trainer *trainer, const char *folder, const char *output,
                  const char **refusal) {
  const char *error = trainer_emit(trainer, invocation->arena, folder);
  if (error) return driver_fail(EXIT_MACHINE, "output", error, NULL);
  int code = trainer->modules ? modules_build(invocation, trainer, folder, refusal) : EXIT_DONE;
  if (code != EXIT_DONE) return code;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  MakeRun run = {.folder = folder,
                 .output = output,
                 .jobs = cores > 0 ? (int)cores : 1,
                 .files = count_sources(trainer),
                 .show_progress = isatty(STDERR_FILENO)};
  MakeFault fault;
  error = run_make(invocation->arena, &run, &fault);
  if (!error) return EXIT_DONE;
  if (fault == MAKE_INTERRUPTED) return EXIT_MACHINE;
  if (fault == MAKE_LACKS_ROOM)
    return driver_fail(EXIT_MACHINE, "output", error,
                       arena_printf(invocation->arena,
                                    "free some space where '%s' was, or let another folder be used: TMPDIR, or the "
                                    "option that named it",
                                    folder));
  if (fault == MAKE_FAILED && trainer->reader)
    return driver_fail(EXIT_INPUT, "reader", error,
                       "if that was in the file of --reader, mend it there; else this is a fault of seer or of the C "
                       "compiler: please report it with the spec");
  if (fault == MAKE_FAILED)
    return driver_fail(EXIT_BUG, "compiler", error,
                       "this is a fault of seer or of the C compiler; please report it with the spec");
  return driver_fail(EXIT_MACHINE, "compiler", error,
                     "a trainer needs make, a C compiler and the image libraries; on Debian: apt-get install make gcc "
                     "libjpeg62-turbo-dev libpng-dev libwebp-dev libjansson-dev libxxhash-dev zlib1g-dev");
}

const char *trainer_folder_make(Invocation *invocation, int *code) {
  const char *base = getenv("TMPDIR");
  char *folder = arena_printf(invocation->arena, "%s/seerc-XXXXXX", base && *base ? base : "/tmp");
  if (mkdtemp(folder)) return folder;
  const char *message = arena_printf(invocation->arena, "cannot make a folder '%s': %s", folder, strerror(errno));
  *code = driver_fail(EXIT_MACHINE, "output", message, "set TMPDIR to a folder that can be written");
  return NULL;
}
