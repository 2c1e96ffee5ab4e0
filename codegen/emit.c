// Writes a trainer's folder: the printed step, the carried kernels and runtime, and a Makefile.
#include "codegen/emit.h"

#include "codegen/tuning.h"

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

void program_add_prefix(Program *program, const char *prefix) {
  if (!*prefix) return;
  for (size_t i = 0; i < program->segments.count; i++) {
    ProgramSegment *segment = &program->segments.items[i];
    segment->function_name = arena_printf(program->arena, "%s%s", prefix, segment->function_name);
  }
  for (int i = 0; i < program->entry_count; i++)
    program->entries[i].name = arena_printf(program->arena, "%s%s", prefix, program->entries[i].name);
}

const Program *trainer_own_train(const Trainer *trainer, const TrainerWorld *world) {
  for (const TrainerWorld *earlier = trainer->worlds; earlier < world; earlier++) {
    if (earlier->train == world->train) return NULL;
  }
  return world->train;
}

static const char *emit_functions(const Trainer *trainer, const Program *program, Arena *arena, const char *folder) {
  for (size_t i = 0; program && i < program->segments.count; i++) {
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

static const char *emit_world(const Trainer *trainer, const TrainerWorld *world, Arena *arena, const char *folder) {
  Writer step = {0}, program = {0};
  print_step(trainer, world, &step);
  print_program(trainer, world, arena, &program);
  const char *error = save(arena, &step, folder, arena_printf(arena, "%sstep.c", world->prefix)), *next;
  next = save(arena, &program, folder, arena_printf(arena, "%sprogram.c", world->prefix));
  error = error ? error : next;
  if (!error) error = emit_functions(trainer, trainer_own_train(trainer, world), arena, folder);
  return error ? error : emit_functions(trainer, world->features, arena, folder);
}

static const char *emit_printed(const Trainer *trainer, Arena *arena, const char *folder) {
  Writer header = {0}, page = {0}, makefile = {0}, tuned = {0};
  print_model_header(trainer, &header);
  print_plan_page(trainer, &page);
  print_makefile(trainer, &makefile);
  print_tuned(&trainer->tuning, &tuned);
  const char *error = save(arena, &header, folder, "model.h"), *next;
  next = save(arena, &page, folder, "plan_page.c");
  error = error ? error : next;
  next = save(arena, &makefile, folder, "Makefile");
  error = error ? error : next;
  next = save(arena, &tuned, folder, "kernels/tuned.h");
  return error ? error : next;
}

const char *trainer_emit(const Trainer *trainer, Arena *arena, const char *folder) {
  const char *error = make_folder(arena, folder);
  if (!error) error = emit_carried(arena, folder);
  for (int i = 0; i < trainer->world_count && !error; i++)
    error = emit_world(trainer, &trainer->worlds[i], arena, folder);
  return error ? error : emit_printed(trainer, arena, folder);
}
