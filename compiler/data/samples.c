// Walks folders and archives and brings pictures together with their companions.
#include "compiler/data/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/data/manifest.h"
#include "runtime/data/table.h"
#include "runtime/data/catalogue.h"
#include "runtime/data/paths.h"
#include "runtime/data/tar.h"

typedef struct Companion {
  const char *stem;
  DataCompanion kind;
  DataPlace place;
} Companion;

typedef struct Companions {
  Companion *items;
  size_t count, capacity;
} Companions;

// One folder that the user named, or one archive.
typedef struct Gather {
  Arena *arena;
  DataSamples *samples;
  Companions companions;
  const char *container, *container_name;
  size_t first;  // sample of this folder or archive
  int64_t changed;
} Gather;

const char *data_path_base(const char *name) {
  const char *slash = strrchr(name, '/');
  return slash != NULL ? slash + 1 : name;
}

// Which companion a name is of; COMPANION_KINDS: none.
static DataCompanion companion_of(const char *name) {
  static const char *const suffixes[] = {"json", "txt", "cls"};
  const char *dot = strrchr(data_path_base(name), '.');
  DataCompanion kind = COMPANION_JSON;
  while (kind < COMPANION_KINDS && (dot == NULL || strcasecmp(dot + 1, suffixes[kind]) != 0)) kind++;
  return kind;
}

// Adds `name` if it is a picture or a companion.
static void file_take(Gather *gather, const char *name, const char *shown, DataPlace place, const char *label,
                      const uint8_t *start, size_t start_bytes) {
  SeerSuffix suffix = seer_suffix_of(name);
  DataCompanion kind = companion_of(name);
  if (kind != COMPANION_KINDS) {
    const char *stem = arena_string(gather->arena, name, (size_t)(strrchr(name, '.') - name));
    arena_push(gather->arena, &gather->companions, Companion, (Companion){stem, kind, place});
    return;
  }
  bool is_picture = suffix == SEER_SUFFIX_PICTURE || seer_magic_is_picture(start, start_bytes);
  if (!is_picture && suffix != SEER_SUFFIX_UNREAD) return;
  DataSample sample = {.picture = place,
                       .name = name,
                       .container = gather->container,
                       .shown = shown,
                       .label = label,
                       .damage = is_picture ? NULL : "is of a kind that seer does not read",
                       .changed = gather->changed};
  arena_push(gather->arena, gather->samples, DataSample, sample);
}

static int companion_compare(const void *a, const void *b) {
  const Companion *one = a, *other = b;
  int order = strcmp(one->stem, other->stem);
  return order != 0 ? order : (int)one->kind - (int)other->kind;
}

static void companions_match(const Gather *gather, DataSample *sample, size_t stem_length) {
  for (DataCompanion kind = COMPANION_JSON; kind < COMPANION_KINDS; kind++) {
    if (sample->companions[kind].path != NULL || gather->companions.count == 0) continue;
    Companion wanted = {arena_string(gather->arena, sample->name, stem_length), kind, {0}};
    const Companion *found = bsearch(&wanted, gather->companions.items, gather->companions.count,
                                     sizeof *gather->companions.items, companion_compare);
    if (found != NULL) sample->companions[kind] = found->place;
  }
}

static int sample_compare(const void *a, const void *b) {
  const DataSample *one = a, *other = b;
  int order = strcmp(one->name, other->name);
  if (order != 0) return order;
  return (one->picture.offset > other->picture.offset) - (one->picture.offset < other->picture.offset);
}

// Sorts the samples since gather->first and gives each its companions.
static SeerStatus gather_finish(Gather *gather) {
  size_t count = gather->samples->count - gather->first;
  if (count == 0) return SEER_OK;
  DataSample *samples = gather->samples->items + gather->first;
  qsort(samples, count, sizeof *samples, sample_compare);
  if (gather->companions.count > 0)
    qsort(gather->companions.items, gather->companions.count, sizeof *gather->companions.items, companion_compare);
  for (size_t i = 0; i < count; i++) {
    const char *base = data_path_base(samples[i].name), *last = strrchr(base, '.');
    if (i > 0 && gather->container != NULL && strcmp(samples[i - 1].name, samples[i].name) == 0) {
      return seer_fail(SEER_INPUT, "'%s' occurs twice in '%s'\nnote: write the archive again, each member once",
                       samples[i].name, gather->container);
    }
    size_t before = (size_t)(base - samples[i].name);
    companions_match(gather, &samples[i], last != NULL ? (size_t)(last - samples[i].name) : strlen(samples[i].name));
    companions_match(gather, &samples[i], before + strcspn(base, "."));
  }
  return SEER_OK;
}

static SeerStatus member_take(void *context, int file, const SeerTarMember *member) {
  (void)file;
  Gather *gather = context;
  const char *base = data_path_base(member->name), *slash = strchr(member->name, '/');
  if (base[0] == '\0' || base[0] == '.') return SEER_OK;
  const char *name = arena_string(gather->arena, member->name, strlen(member->name));
  const char *label = slash != NULL && slash != member->name
                          ? arena_string(gather->arena, member->name, (size_t)(slash - member->name))
                          : NULL;
  file_take(gather, name, arena_printf(gather->arena, "%s:%s", gather->container_name, name),
            (DataPlace){gather->container, member->content, member->size}, label, member->start, member->start_bytes);
  return SEER_OK;
}

SeerStatus data_archive_gather(Arena *arena, const DataSample *archive, DataSamples *samples) {
  Gather gather = {.arena = arena,
                   .samples = samples,
                   .container = archive->container,
                   .container_name = archive->shown,
                   .first = samples->count,
                   .changed = archive->changed};
  SeerStatus status = seer_tar_walk(archive->container, member_take, &gather, NULL);
  return status != SEER_OK ? status : gather_finish(&gather);
}

static SeerStatus refuse(const char *path, bool is_picture_kind) {
  if (is_picture_kind)
    return seer_fail(SEER_INPUT, "'%s' is of a kind that seer does not read\nnote: pictures are JPEG, PNG or WebP",
                     path);
  return seer_fail(
      SEER_INPUT,
      "'%s' is no folder, tar archive, manifest or picture\nnote: compressed archives must be unpacked with gzip -d; "
      "IDX files need no shards, trainers read them as they are",
      path);
}

size_t data_file_start(const char *path, uint8_t *bytes, size_t room) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t got = file >= 0 ? pread(file, bytes, room, 0) : 0;
  if (file >= 0) close(file);
  return got > 0 ? (size_t)got : 0;
}

// A file found in a folder or named; archives and named manifests are kept for later.
static SeerStatus found_take(Gather *gather, const SeerFound *found, DataSamples *archives) {
  enum { TAR_MAGIC_AT = 257, PROBE_BYTES = 512 };
  const char *relative = found->path + found->root_length;
  relative += strspn(relative, "/");
  if (*relative == '\0') relative = data_path_base(found->path);
  const char *name = arena_string(gather->arena, relative, strlen(relative));
  const char *path = arena_string(gather->arena, found->path, strlen(found->path));
  SeerSuffix suffix = seer_suffix_of(name);
  struct stat info;
  if (stat(path, &info) != 0) {
    if (!found->from_folder || suffix != SEER_SUFFIX_PICTURE)
      return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
    const char *damage = arena_printf(gather->arena, "cannot be read: %s", strerror(errno));
    DataSample sample = {.picture = {path, 0, 0}, .name = name, .shown = name, .damage = damage};
    arena_push(gather->arena, gather->samples, DataSample, sample);
    return SEER_OK;
  }
  uint8_t start[PROBE_BYTES];
  bool probes = !found->from_folder || (suffix == SEER_SUFFIX_OTHER && companion_of(name) == COMPANION_KINDS);
  size_t start_bytes = probes ? data_file_start(path, start, sizeof start) : 0;
  int64_t changed = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
  if (!found->from_folder && table_kind_of(path) != TABLE_NONE) {
    arena_push(gather->arena, archives, DataSample, (DataSample){.container = path});
    return SEER_OK;
  }
  bool is_tar = start_bytes >= TAR_MAGIC_AT + 5 && memcmp(start + TAR_MAGIC_AT, "ustar", 5) == 0;
  if (suffix == SEER_SUFFIX_TAR || (!found->from_folder && is_tar)) {
    DataSample archive = {.picture = {path, 0, (uint64_t)info.st_size},
                          .name = name,
                          .container = path,
                          .shown = name,
                          .changed = changed,
                          .is_archive = true};
    arena_push(gather->arena, archives, DataSample, archive);
    return SEER_OK;
  }
  bool is_picture = suffix == SEER_SUFFIX_PICTURE || seer_magic_is_picture(start, start_bytes);
  if (!found->from_folder && !is_picture) return refuse(path, suffix == SEER_SUFFIX_UNREAD);
  const char *slash = strrchr(name, '/');
  const char *label = slash != NULL ? arena_string(gather->arena, name, (size_t)(slash - name)) : NULL;
  gather->changed = changed;
  file_take(gather, name, name, (DataPlace){path, 0, (uint64_t)info.st_size}, label, start, start_bytes);
  return SEER_OK;
}

static SeerStatus source_gather(Arena *arena, const char *source, bool opens_archives, DataSamples *samples) {
  SeerPaths paths = {.sees_all = true};
  DataSamples archives = {0};
  Gather gather = {.arena = arena, .samples = samples, .first = samples->count};
  SeerStatus status = seer_paths_expand(&paths, source);
  if (status == SEER_OK) seer_paths_sort(&paths);
  for (size_t i = 0; status == SEER_OK && i < paths.count; i++)
    status = found_take(&gather, &paths.items[i], &archives);
  seer_paths_release(&paths);
  if (status == SEER_OK) status = gather_finish(&gather);
  for (size_t i = 0; status == SEER_OK && i < archives.count; i++) {
    if (!archives.items[i].is_archive)
      status = data_manifest_gather(arena, archives.items[i].container, samples);
    else if (opens_archives)
      status = data_archive_gather(arena, &archives.items[i], samples);
    else
      arena_push(arena, samples, DataSample, archives.items[i]);
  }
  return status;
}

SeerStatus data_samples_gather(Arena *arena, const char *const *sources, int count, bool opens_archives,
                               DataSamples *samples) {
  SeerStatus status = SEER_OK;
  for (int i = 0; status == SEER_OK && i < count; i++)
    status = source_gather(arena, sources[i], opens_archives, samples);
  if (status != SEER_OK || samples->count > 0) return status;
  return seer_fail(
      SEER_INPUT,
      "no pictures in '%s'%s\nnote: pictures are JPEG, PNG or WebP, in folders or tar archives, or named by a manifest",
      sources[0], count > 1 ? " and the others" : "");
}
