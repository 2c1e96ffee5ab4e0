// Finds the tuning of a command's spec; see tuning_use.h.
#include "compiler/driver/tuning_use.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/tuning_file.h"
#include "lang/files.h"

const char *tuning_path(Arena *arena, const char *spec_path, bool of_gpus) {
  if (strcmp(spec_path, "-") == 0) return NULL;
  return arena_printf(arena, "%s%s", path_without_suffix(arena, spec_path), of_gpus ? ".cuda.tune" : ".tune");
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

static bool fits(const TuningFile *file, const CompileOptions *options) {
  if (file->architectures)
    return options->architectures && tuning_is_for(file, options->architectures, options->architecture_count);
  bool used = !options->architectures || options->carries;
  return used && lanes_of_cpu(file->cpu) == lanes_of_cpu(cpu_of_options(options));
}

// What the file is to be for, as messages call it.
static const char *wanted(Arena *arena, const TuningFile *file, const CompileOptions *options) {
  bool of_gpus = options->architectures && !(file->cpu && options->carries);
  return of_gpus ? architectures_join(arena, options) : cpu_of_options(options);
}

// One file, which must fit if it was `asked` for.
static bool use_file(Invocation *invocation, const LoadedSpec *loaded, const char *path, bool asked,
                     CompileOptions *options) {
  Arena *arena = invocation->arena;
  TuningFile *file = arena_new(arena, TuningFile);
  if (!tuning_file_read(arena, loaded->sources, loaded->diags, path, file)) return false;
  if (fits(file, options)) {
    *(file->architectures ? &options->gpu_tuning : &options->tuning) = &file->values;
    *(file->architectures ? &options->gpu_tuning_name : &options->tuning_name) = file_name(path);
    say(invocation, path);
    return true;
  }
  const char *made_for = tuning_made_for(arena, file), *here = wanted(arena, file, options);
  if (!asked) {
    fprintf(stderr, "seerc: note: '%s' is for %s, not for %s: the kernels are not tuned\n", path, made_for, here);
    return true;
  }
  diag_error(loaded->diags, file->made_for, "tuning", "this tuning is for %s, not for %s", made_for, here);
  diag_note(loaded->diags, (SourceSpan){0}, "'seerc tune' makes one for the machine that it runs on");
  return false;
}

bool tuning_choose(Invocation *invocation, const LoadedSpec *loaded, CompileOptions *options) {
  const char *asked = option_text(invocation, "tuning");
  if (asked && strcmp(asked, "none") == 0) return true;
  if (asked) return use_file(invocation, loaded, asked, true, options);
  bool good = true;
  for (int gpus = 0; gpus < 2; gpus++) {
    if (gpus ? !options->architectures : options->architectures && !options->carries) continue;
    const char *path = tuning_path(invocation->arena, invocation->files[0], gpus);
    if (path && access(path, F_OK) == 0) good = use_file(invocation, loaded, path, false, options) && good;
  }
  return good;
}
