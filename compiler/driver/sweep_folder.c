// See sweep_folder.h. What is written is complete or not there: through a temporary name and a rename.
#define _XOPEN_SOURCE 700
#include "compiler/driver/sweep_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "runtime/files.h"

enum { MANIFEST_FORMAT = 1, LOCK_SECONDS = 600 };

const char *sweep_path(const Sweep *sweep, const SweepVariant *variant, const char *name) {
  return variant ? arena_printf(sweep->arena, "%s/%s/%s", sweep->folder, variant->folder, name)
                 : arena_printf(sweep->arena, "%s/%s", sweep->folder, name);
}

// ---- the lock ----

typedef struct LockHolder {
  long process;
  char host[65];
} LockHolder;

static LockHolder holder_read(int lock) {
  char text[160] = "";
  LockHolder holder = {0};
  if (pread(lock, text, sizeof text - 1, 0) < 0) text[0] = '\0';
  if (sscanf(text, "process %ld on %64s", &holder.process, holder.host) != 2) holder.process = 0;
  return holder;
}

// Its trainers hold the lock as long as they live, too: of a sweep that was killed they stop with a snapshot.
static bool holder_is_gone(const LockHolder *holder) {
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  return holder->process > 0 && strcmp(host, holder->host) == 0 && kill((pid_t)holder->process, 0) != 0 &&
         errno == ESRCH;
}

static bool lock_wait(const Sweep *sweep) {
  const struct timespec pause = {.tv_nsec = 100000000};
  bool told = false;
  for (int tenths = 0; tenths < 10 * LOCK_SECONDS && !sweep_signals; tenths++) {
    if (flock(sweep->lock, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK) return false;
    LockHolder holder = holder_read(sweep->lock);
    if (!holder_is_gone(&holder)) return false;
    if (!told && tenths > 10)
      fprintf(stderr, "waiting for trainers that a killed sweep has left in '%s'\n", sweep->folder);
    told = told || tenths > 10;
    nanosleep(&pause, NULL);
  }
  return false;
}

static int lock_take(Sweep *sweep) {
  const char *path = sweep_path(sweep, NULL, "lock");
  Arena *arena = sweep->arena;
  sweep->lock = open(path, O_RDWR | O_CREAT, 0666);  // trainers inherit it
  if (sweep->lock < 0)
    return driver_fail(EXIT_MACHINE, "output", arena_printf(arena, "cannot write '%s': %s", path, strerror(errno)),
                       "choose a folder that can be written with '-o'");
  if (!lock_wait(sweep)) {
    if (sweep_signals) return SEER_STOPPED;
    LockHolder holder = holder_read(sweep->lock);
    return driver_fail(EXIT_INPUT, "sweep",
                       arena_printf(arena, "'%s' is in use by another sweep (process %ld on %s)", sweep->folder,
                                    holder.process, holder.host),
                       "wait for it, stop it, or choose another folder with '-o'");
  }
  char text[160], host[65] = "";
  gethostname(host, sizeof host - 1);
  int length = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
  if (ftruncate(sweep->lock, 0) == 0 && pwrite(sweep->lock, text, (size_t)length, 0) == length) return EXIT_DONE;
  return driver_fail(EXIT_MACHINE, "output", arena_printf(arena, "cannot write '%s': %s", path, strerror(errno)),
                     "free some space, or choose another folder with '-o'");
}

void sweep_folder_close(Sweep *sweep) {
  if (sweep->lock >= 0) close(sweep->lock);
  sweep->lock = -1;
}

// ---- sweep.json ----

static void print_texts(const char *const *texts, int count, Writer *out) {
  writer_text(out, "[");
  for (int i = 0; i < count; i++) {
    if (i) writer_text(out, ", ");
    writer_json_string(out, texts[i]);
  }
  writer_text(out, "]");
}

static void print_option(const char *name, const char *text, Writer *out) {
  if (!text) return;
  writer_printf(out, ",\n  \"%s\": ", name);
  writer_json_string(out, text);
}

static void print_variant(const Sweep *sweep, const SweepVariant *variant, Writer *out) {
  writer_text(out, "{\"name\": ");
  writer_json_string(out, variant->name);
  writer_text(out, ", \"folder\": ");
  writer_json_string(out, variant->folder);
  writer_text(out, ", \"values\": ");
  print_texts(variant->values, sweep->axis_count, out);
  writer_text(out, ", \"spec\": ");
  writer_json_string(out, variant->spec_hash);
  writer_text(out, "}");
}

static int manifest_write(const Sweep *sweep) {
  Writer out = {0};
  writer_printf(&out, "{\n  \"format\": %d,\n  \"seer\": \"%s\",\n  \"program\": ", MANIFEST_FORMAT, SEER_VERSION);
  writer_json_string(&out, sweep->program);
  writer_text(&out, ",\n  \"over\": ");
  print_texts(sweep->keys, sweep->axis_count, &out);
  writer_text(&out, ",\n  \"columns\": ");
  print_texts(sweep->columns, sweep->axis_count, &out);
  writer_text(&out, ",\n  \"data\": ");
  print_texts(sweep->data, sweep->data_count, &out);
  print_option("labels", sweep->labels, &out);
  print_option("steps", sweep->steps, &out);
  writer_text(&out, ",\n  \"variants\": [");
  for (int i = 0; i < sweep->variant_count; i++) {
    writer_text(&out, i ? ",\n    " : "\n    ");
    print_variant(sweep, &sweep->variants[i], &out);
  }
  writer_text(&out, "\n  ]\n}\n");
  const char *path = sweep_path(sweep, NULL, "sweep.json");
  int error = writer_save(&out, path);
  writer_release(&out);
  if (!error) return EXIT_DONE;
  return driver_fail(EXIT_MACHINE, "output", arena_printf(sweep->arena, "cannot write '%s': %s", path, strerror(error)),
                     "free some space, or choose another folder with '-o'");
}

static const char *text_copy(Arena *arena, const json_t *text) {
  return json_is_string(text) ? arena_printf(arena, "%s", json_string_value(text)) : NULL;
}

// NULL: it is no list of texts.
static const char *const *texts_copy(Arena *arena, const json_t *list, int *count) {
  *count = (int)json_array_size(list);
  const char **texts = arena_array(arena, const char *, *count + 1);
  for (int i = 0; i < *count; i++) {
    texts[i] = text_copy(arena, json_array_get(list, (size_t)i));
    if (!texts[i]) return NULL;
  }
  return json_is_array(list) ? texts : NULL;
}

static bool is_folder_name(const char *name) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=-";
  return name && *name && *name != '.' && name[strspn(name, plain)] == '\0';
}

static bool variant_unpack(Sweep *sweep, const json_t *object, SweepVariant *variant) {
  int values = 0;
  *variant = (SweepVariant){.name = text_copy(sweep->arena, json_object_get(object, "name")),
                            .folder = text_copy(sweep->arena, json_object_get(object, "folder")),
                            .values = texts_copy(sweep->arena, json_object_get(object, "values"), &values),
                            .spec_hash = text_copy(sweep->arena, json_object_get(object, "spec"))};
  return variant->name && is_folder_name(variant->folder) && variant->values && values == sweep->axis_count &&
         variant->spec_hash;
}

// Fills what the file says; the rest of `sweep` is left.
static bool manifest_unpack(Sweep *sweep, const json_t *root) {
  Arena *arena = sweep->arena;
  const json_t *variants = json_object_get(root, "variants");
  sweep->program = text_copy(arena, json_object_get(root, "program"));
  int columns = 0;
  sweep->columns = texts_copy(arena, json_object_get(root, "columns"), &columns);
  sweep->keys = texts_copy(arena, json_object_get(root, "over"), &sweep->axis_count);
  sweep->data = texts_copy(arena, json_object_get(root, "data"), &sweep->data_count);
  sweep->labels = text_copy(arena, json_object_get(root, "labels"));
  sweep->steps = text_copy(arena, json_object_get(root, "steps"));
  sweep->variant_count = (int)json_array_size(variants);
  sweep->variants = arena_array(arena, SweepVariant, sweep->variant_count + 1);
  sweep->seed_axis = -1;
  if (json_integer_value(json_object_get(root, "format")) != MANIFEST_FORMAT || !sweep->program || !sweep->keys ||
      !sweep->columns || columns != sweep->axis_count || !sweep->data || !json_is_array(variants))
    return false;
  for (int i = 0; i < sweep->axis_count; i++) {
    if (strcmp(sweep->keys[i], "train.seed") == 0) sweep->seed_axis = i;
  }
  for (int i = 0; i < sweep->variant_count; i++) {
    if (!variant_unpack(sweep, json_array_get(variants, (size_t)i), &sweep->variants[i])) return false;
  }
  return true;
}

int sweep_folder_read(Sweep *sweep) {
  const char *path = sweep_path(sweep, NULL, "sweep.json");
  json_error_t error;
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  bool good = root && manifest_unpack(sweep, root);
  json_decref(root);
  if (good) return EXIT_DONE;
  if (access(path, F_OK) != 0)
    return driver_fail(EXIT_INPUT, "sweep", arena_printf(sweep->arena, "'%s' is no folder of a sweep", sweep->folder),
                       "it has no sweep.json: 'seerc sweep SPEC --over KEY=VALUE,... -o FOLDER' makes one");
  return driver_fail(EXIT_INPUT, "sweep", arena_printf(sweep->arena, "'%s' is damaged", path),
                     "begin anew in another folder with '-o'");
}

// ---- what was begun here before ----

static int refuse(const Sweep *sweep, const char *what, const char *there, const char *here) {
  return driver_fail(
      EXIT_INPUT, "sweep",
      arena_printf(sweep->arena, "'%s' holds another sweep: its %s is %s, not %s", sweep->folder, what, there, here),
      "choose another folder with '-o', or remove this one to begin anew");
}

static const char *join(Arena *arena, const char *const *texts, int count) {
  Writer out = {0};
  for (int i = 0; i < count; i++) writer_printf(&out, "%s'%s'", i ? ", " : "", texts[i]);
  const char *text = count ? arena_string(arena, out.text, out.size) : "none";
  writer_release(&out);
  return text;
}

static const char *shown(Arena *arena, const char *text) {
  return text ? arena_printf(arena, "'%s'", text) : "that of the spec";
}

static int compare(const Sweep *sweep, const Sweep *before) {
  Arena *arena = sweep->arena;
  const struct {
    const char *what, *there, *here;
  } facts[] = {
      {"spec", shown(arena, before->program), shown(arena, sweep->program)},
      {"list of keys", join(arena, before->keys, before->axis_count), join(arena, sweep->keys, sweep->axis_count)},
      {"--steps", shown(arena, before->steps), shown(arena, sweep->steps)},
      {"--data", join(arena, before->data, before->data_count), join(arena, sweep->data, sweep->data_count)},
      {"--labels", shown(arena, before->labels), shown(arena, sweep->labels)}};
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    if (strcmp(facts[i].there, facts[i].here) != 0) return refuse(sweep, facts[i].what, facts[i].there, facts[i].here);
  }
  return EXIT_DONE;
}

static const SweepVariant *variant_find(const Sweep *sweep, const SweepVariant *like) {
  for (int i = 0; i < sweep->variant_count; i++) {
    bool same = true;
    for (int axis = 0; axis < sweep->axis_count && same; axis++)
      same = strcmp(sweep->variants[i].values[axis], like->values[axis]) == 0;
    if (same) return &sweep->variants[i];
  }
  return NULL;
}

static bool folder_is_taken(const Sweep *sweep, const char *folder) {
  for (int i = 0; i < sweep->variant_count; i++) {
    if (strcmp(sweep->variants[i].folder, folder) == 0) return true;
  }
  return false;
}

// A variant keeps the folder that it has; names may change with what is swept beside it.
static int folders_take_over(Sweep *sweep, const Sweep *before) {
  for (int i = 0; i < sweep->variant_count; i++) {
    SweepVariant *now = &sweep->variants[i];
    const SweepVariant *old = variant_find(before, now);
    const char *name = now->folder;
    for (int number = 2; !old && folder_is_taken(before, now->folder); number++)
      now->folder = arena_printf(sweep->arena, "%s-%d", name, number);
    if (!old) continue;
    now->folder = old->folder;
    // Specs that had errors may be mended; what was built of others must stay what it is.
    if (*old->spec_hash && strcmp(old->spec_hash, now->spec_hash) != 0)
      return refuse(sweep, arena_printf(sweep->arena, "spec of '%s', by its hash,", old->name), old->spec_hash,
                    *now->spec_hash ? now->spec_hash : "one with errors");
  }
  return EXIT_DONE;
}

static int merge(Sweep *sweep, const Sweep *before) {
  int code = compare(sweep, before);
  if (code == EXIT_DONE) code = folders_take_over(sweep, before);
  if (code != EXIT_DONE) return code;
  SweepVariant *all = arena_array(sweep->arena, SweepVariant, sweep->variant_count + before->variant_count + 1);
  int count = sweep->variant_count;
  memcpy(all, sweep->variants, sizeof *all * (size_t)count);
  for (int i = 0; i < before->variant_count; i++) {
    if (!variant_find(sweep, &before->variants[i])) all[count++] = before->variants[i];
  }
  sweep->variants = all;
  sweep->variant_count = count;
  return EXIT_DONE;
}

int sweep_folder_open(Sweep *sweep) {
  Arena *arena = sweep->arena;
  const char *manifest = sweep_path(sweep, NULL, "sweep.json");
  bool there = seer_path_exists(manifest);
  if (!there && seer_path_exists(sweep->folder) && rmdir(sweep->folder) != 0 &&
      !seer_path_exists(sweep_path(sweep, NULL, "lock")))
    return driver_fail(EXIT_INPUT, "sweep",
                       arena_printf(arena, "'%s' is there, and no folder of a sweep", sweep->folder),
                       "choose another one with '-o'");
  int code = driver_report_runtime("output", seer_folder_make(sweep->folder));
  if (code == EXIT_DONE) code = lock_take(sweep);
  if (code == EXIT_DONE && there) {
    Sweep before = {.arena = arena, .folder = sweep->folder};
    code = sweep_folder_read(&before);
    if (code == EXIT_DONE) code = merge(sweep, &before);
  }
  for (int i = 0; i < sweep->variant_count && code == EXIT_DONE; i++)
    code = driver_report_runtime("output", seer_folder_make(sweep_path(sweep, &sweep->variants[i], "")));
  return code == EXIT_DONE ? manifest_write(sweep) : code;
}
