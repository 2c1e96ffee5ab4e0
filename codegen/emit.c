// Writes a trainer's folder: the printed step, the carried kernels and runtime, and a Makefile.
#include "codegen/emit.h"

#include "codegen/c/tuning.h"
#include "codegen/cuda/modules.h"

#include <errno.h>
#include <stdio.h>
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

// Where files go.
typedef struct Folder {
  Arena *arena;
  const char *path;
  bool keep_same;
} Folder;

static bool is_there(const Writer *out, const char *path) {
  FILE *file = fopen(path, "rb");
  size_t size = 0;
  char part[4096];
  bool same = file != NULL;
  for (size_t got; same && (got = fread(part, 1, sizeof part, file)) > 0; size += got)
    same = got <= out->size - size && memcmp(part, out->text + size, got) == 0;
  if (file) fclose(file);
  return same && size == out->size;
}

static const char *save(const Folder *folder, Writer *out, const char *file) {
  Arena *arena = folder->arena;
  const char *error = make_folders_to(arena, folder->path, file);
  const char *path = arena_printf(arena, "%s/%s", folder->path, file);
  int failure = error || (folder->keep_same && is_there(out, path)) ? 0 : writer_save(out, path);
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

static const char *emit_functions(const Trainer *trainer, const Program *program, const Folder *folder) {
  for (size_t i = 0; program && i < program->segments.count; i++) {
    const ProgramSegment *segment = &program->segments.items[i];
    if ((size_t)segment->function != i) continue;
    Writer out = {0};
    print_function(trainer, program, segment, &out);
    const char *error = save(folder, &out, arena_printf(folder->arena, "blocks/%s.c", segment->function_name));
    if (error) return error;
  }
  return NULL;
}

static bool begins(const char *path, const char *folder) { return strncmp(path, folder, strlen(folder)) == 0; }

bool trainer_carries(const Trainer *trainer, const EmbeddedFile *file) {
  if (begins(file->path, "runtime/device/") || begins(file->path, "kernels/cuda/")) return trainer->modules != NULL;
  return !trainer->modules || !begins(file->path, "kernels/");
}

static const char *emit_carried(const Trainer *trainer, const Folder *folder) {
  for (int i = 0; i < embedded_file_count; i++) {
    if (!trainer_carries(trainer, &embedded_files[i])) continue;
    Writer out = {0};
    writer_text(&out, embedded_files[i].text);
    const char *error = save(folder, &out, embedded_files[i].path);
    if (error) return error;
  }
  return NULL;
}

static const char *emit_world(const Trainer *trainer, const TrainerWorld *world, const Folder *folder) {
  Arena *arena = folder->arena;
  Writer step = {0}, program = {0};
  print_step(trainer, world, &step);
  print_program(trainer, world, arena, &program);
  const char *error = save(folder, &step, arena_printf(arena, "%sstep.c", world->prefix)), *next;
  next = save(folder, &program, arena_printf(arena, "%sprogram.c", world->prefix));
  error = error ? error : next;
  if (!error) error = emit_functions(trainer, trainer_own_train(trainer, world), folder);
  return error ? error : emit_functions(trainer, world->features, folder);
}

static const char *emit_modules(const Trainer *trainer, const Folder *folder) {
  const CudaModules *modules = trainer->modules;
  Writer numbers = {0}, bytes = {0}, calls = {0};
  print_cuda_numbers(modules, &numbers);
  print_cuda_calls(modules, &calls);
  print_cuda_bytes(modules, trainer->carried != NULL, &bytes);
  const char *error = save(folder, &numbers, "modules.h"), *next;
  next = save(folder, &bytes, "code.S");
  error = error ? error : next;
  next = save(folder, &calls, "libraries.c");
  error = error ? error : next;
  for (size_t i = 0; i < modules->count && !error; i++) {
    Writer out = {0};
    print_cuda_module(trainer, &modules->items[i], &out);
    error = save(folder, &out, arena_printf(folder->arena, "modules/%s.cu", modules->items[i].name));
  }
  return error;
}

static const char *emit_printed(const Trainer *trainer, const Folder *folder) {
  Writer header = {0}, page = {0}, makefile = {0}, tuned = {0};
  print_model_header(trainer, &header);
  print_plan_page(trainer, &page);
  print_makefile(trainer, &makefile);
  if (!trainer->modules) print_tuned(&trainer->tuning, &tuned);
  const char *error = save(folder, &header, "model.h"), *next;
  next = save(folder, &page, "plan_page.c");
  error = error ? error : next;
  next = save(folder, &makefile, "Makefile");
  error = error ? error : next;
  if (trainer->reader) {
    Writer reader = {0};
    writer_text(&reader, trainer->reader);
    next = save(folder, &reader, "reader.c");
    error = error ? error : next;
  }
  next = trainer->modules ? emit_modules(trainer, folder) : save(folder, &tuned, "kernels/tuned.h");
  return error ? error : next;
}

const char *trainer_emit_modules(const Trainer *trainer, Arena *arena, const char *path) {
  const Folder folder = {arena, path, trainer->keep_same};
  Writer table = {0}, codes = {0};
  print_cuda_table(trainer->modules, &table);
  print_cuda_codes(trainer->modules, &codes);
  const char *error = save(&folder, &table, "modules.c"), *other = save(&folder, &codes, "modules/table.txt");
  return error ? error : other;
}

const char *trainer_emit(const Trainer *trainer, Arena *arena, const char *path) {
  const Folder folder = {arena, path, trainer->keep_same};
  const char *error = make_folder(arena, path);
  if (!error) error = emit_carried(trainer, &folder);
  for (int i = 0; i < trainer->world_count && !error; i++) error = emit_world(trainer, &trainer->worlds[i], &folder);
  if (!error) error = emit_printed(trainer, &folder);
  if (error || !trainer->carried) return error;
  return trainer_emit(trainer->carried, arena, arena_printf(arena, "%s/carried", path));
}
