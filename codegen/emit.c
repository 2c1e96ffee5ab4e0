// Writes a trainer's folder: the printed step, the carried kernels and runtime, and a Makefile.
#include "codegen/emit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char *make_folder(Arena *arena, const char *path) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return NULL;
  return arena_printf(arena, "cannot make folder '%s': %s", path, strerror(errno));
}

static const char *make_folders_to(Arena *arena, const char *folder, const char *file) {
  for (const char *slash = strchr(file, '/'); slash; slash = strchr(slash + 1, '/')) {
    const char *error = make_folder(arena, arena_printf(arena, "%s/%.*s", folder, (int)(slash - file), file));
    if (error) return error;
  }
  return NULL;
}

static const char *save(Arena *arena, Writer *out, const char *folder, const char *file) {
  const char *error = make_folders_to(arena, folder, file);
  const char *path = arena_printf(arena, "%s/%s", folder, file);
  int failure = error ? 0 : writer_save(out, path);
  if (failure) error = arena_printf(arena, "cannot write '%s': %s", path, strerror(failure));
  writer_release(out);
  return error;
}

static const char *emit_functions(const Trainer *trainer, const Program *program, Arena *arena, const char *folder) {
  for (size_t i = 0; i < program->segments.count; i++) {
    const ProgramSegment *segment = &program->segments.items[i];
    if ((size_t)segment->function != i) continue;
    Writer out = {0};
    print_function(trainer, program, segment, &out);
    const char *error = save(arena, &out, folder, arena_printf(arena, "blocks/%s.c", segment->function_name));
    if (error) return error;
  }
  return NULL;
}

static const char *emit_carried(Arena *arena, const char *folder) {
  for (int i = 0; i < embedded_file_count; i++) {
    Writer out = {0};
    writer_text(&out, embedded_files[i].text);
    const char *error = save(arena, &out, folder, embedded_files[i].path);
    if (error) return error;
  }
  return NULL;
}

static const char *emit_printed(const Trainer *trainer, Arena *arena, const char *folder) {
  Writer header = {0}, step = {0}, program = {0}, page = {0}, makefile = {0};
  print_model_header(trainer, &header);
  print_step(trainer, &step);
  print_program(trainer, arena, &program);
  print_plan_page(trainer, &page);
  print_makefile(trainer, &makefile);
  const char *error = save(arena, &header, folder, "model.h"), *next;
  next = save(arena, &step, folder, "step.c");
  error = error ? error : next;
  next = save(arena, &program, folder, "program.c");
  error = error ? error : next;
  next = save(arena, &page, folder, "plan_page.c");
  error = error ? error : next;
  next = save(arena, &makefile, folder, "Makefile");
  return error ? error : next;
}

const char *trainer_emit(const Trainer *trainer, Arena *arena, const char *folder) {
  const char *error = make_folder(arena, folder);
  if (!error) error = emit_carried(arena, folder);
  if (!error) error = emit_functions(trainer, trainer->train, arena, folder);
  if (!error && trainer->features) error = emit_functions(trainer, trainer->features, arena, folder);
  if (!error) error = emit_printed(trainer, arena, folder);
  return error;
}
