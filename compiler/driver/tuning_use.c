// Finds the tuning of a command's spec; see tuning_use.h.
#include "compiler/driver/tuning_use.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/tuning_file.h"
#include "lang/files.h"

const char *tuning_path(Arena *arena, const char *spec_path) {
  if (strcmp(spec_path, "-") == 0) return NULL;
  return arena_printf(arena, "%s.tune", path_without_suffix(arena, spec_path));
}

static const char *file_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// Plans tell of it themselves.
static void say(const Invocation *invocation, const char *path) {
  if (strcmp(invocation->command->name, "plan") != 0)
    fprintf(stderr, "seerc: note: the kernels are tuned by '%s'\n", path);
}

bool tuning_choose(Invocation *invocation, const LoadedSpec *loaded, CompileOptions *options) {
  Arena *arena = invocation->arena;
  const char *asked = option_text(invocation, "tuning");
  if (asked && strcmp(asked, "none") == 0) return true;
  const char *path = asked ? asked : tuning_path(arena, invocation->files[0]);
  if (!path || (!asked && access(path, F_OK) != 0)) return true;
  TuningFile *file = arena_new(arena, TuningFile);
  if (!tuning_file_read(arena, loaded->sources, loaded->diags, path, file)) return false;
  int lanes = lanes_of_cpu(cpu_of_options(options));
  if (file->values.lanes == lanes) {
    options->tuning = &file->values;
    options->tuning_name = file_name(path);
    say(invocation, path);
    return true;
  }
  if (!asked) {
    fprintf(stderr, "seerc: note: '%s' is for %s and its %" PRId64 " lanes, not for %s: the kernels are not tuned\n",
            path, file->cpu, file->values.lanes, cpu_of_options(options));
    return true;
  }
  diag_error(loaded->diags, file->cpu_span, "tuning", "this tuning is for %s and its %" PRId64 " lanes, not for %s",
             file->cpu, file->values.lanes, cpu_of_options(options));
  diag_note(loaded->diags, (SourceSpan){0}, "'seerc tune' makes one for the machine that it runs on");
  return false;
}
