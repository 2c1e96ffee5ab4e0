// seerc build: emits a trainer's sources and compiles them with the system's make and C compiler.
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/launch_files.h"
#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"

// The trainer's path, absolute, since make runs in another folder.
static const char *output_path(Invocation *invocation, const char *name) {
  const char *out = option_text(invocation, "out");
  if (!out) out = name;
  char here[PATH_MAX];
  if (out[0] == '/' || !getcwd(here, sizeof here)) return out;
  return arena_printf(invocation->arena, "%s/%s", here, out);
}

// The sources alone: --emit=c, --emit=cuda.
static int sources_write(Invocation *invocation, const Trainer *trainer, const char *output) {
  const char *target = trainer->modules ? "cuda" : "c", *other = trainer->modules ? "c" : "cuda";
  if (emit_names(invocation, other))
    return usage_error(invocation, "'--emit=%s' is not of target %s: see --target", other, target);
  const char *folder = option_text(invocation, "keep");
  if (!folder) folder = arena_printf(invocation->arena, "%s.sources", output);
  const char *error = trainer_emit(trainer, invocation->arena, folder);
  if (error) return driver_fail(EXIT_MACHINE, "output", error, NULL);
  if (isatty(STDERR_FILENO)) fprintf(stderr, "wrote the sources to %s\n", folder);
  return EXIT_DONE;
}

static int build_in(Invocation *invocation, const Trainer *trainer, const char *output) {
  const char *keep = option_text(invocation, "keep");
  if (keep) return trainer_build(invocation, trainer, keep, output, NULL);
  int code;
  const char *folder = trainer_folder_make(invocation, &code);
  if (!folder) return code;
  code = trainer_build(invocation, trainer, folder, output, NULL);
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
  bool sources_alone = emit_names(invocation, "c") || emit_names(invocation, "cuda");
  code = sources_alone ? sources_write(invocation, &compiled.trainer, output)
                       : build_in(invocation, &compiled.trainer, output);
  if (code == EXIT_DONE) code = launch_files_write(invocation, &compiled, output);
  if (code == EXIT_DONE && !sources_alone && isatty(STDERR_FILENO))
    fprintf(stderr, "built %s for %s\n", output, compiled.trainer.settings.cpu);
  return code;
}
