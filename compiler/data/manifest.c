// Walks through a manifest, looks after what its rows name, and reads single rows again; see manifest.h.
#define _GNU_SOURCE
#include "compiler/data/manifest.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/tar.h"

// The first that there is names the picture.
static const char *const path_names[] = {"path", "image", "img", "file", "file_name"};
enum { PATH_NAMES = sizeof path_names / sizeof *path_names };

typedef struct Walk {
  Arena *arena;
  DataManifest *manifest;
  DataSamples *samples;
  size_t first;  // sample of this manifest
} Walk;

// ---- paths ----

// Without "." and empty parts.
static const char *path_plain(Arena *arena, const char *path) {
  char *plain = arena_alloc(arena, strlen(path) + 2), *to = plain;
  if (*path == '/') *to++ = '/';
  for (size_t length; *path != '\0'; path += length) {
    path += strspn(path, "/");
    length = strcspn(path, "/");
    if (length == 0 || (length == 1 && *path == '.')) continue;
    if (to > plain && to[-1] != '/') *to++ = '/';
    memcpy(to, path, length);
    to += length;
  }
  *to = '\0';
  return plain;
}

// Where the member begins in 'SHARD.tar:MEMBER'; NULL: it is a file's path.
static const char *member_of(const char *path) {
  static const char mark[] = ".tar:";
  const char *at = strcasestr(path, mark);
  return at != NULL ? at + sizeof mark - 1 : NULL;
}

static const char *path_resolve(Walk *walk, const char *path) {
  const char *manifest = walk->manifest->path;
  if (*path == '/') return path;
  return arena_printf(walk->arena, "%.*s%s", (int)(data_path_base(manifest) - manifest), manifest, path);
}

// A key of the row in place of the path; the suffix stays, for keys are names without it.
static void sample_rename(Arena *arena, DataSample *sample) {
  const char *key = sample->row->key != NULL ? path_plain(arena, sample->row->key) : "";
  key += strspn(key, "/");
  if (*key == '\0') return;
  const char *suffix = sample->row->suffix;
  if (suffix == NULL)
    suffix = seer_suffix_of(sample->name) == SEER_SUFFIX_PICTURE ? strrchr(sample->name, '.') : ".none";
  sample->name = arena_printf(arena, "%s%s", key, suffix);
}

// ---- rows ----

static bool name_is(const char *name, const char *wanted) { return strcasecmp(name, wanted) == 0; }

static SeerStatus header_take(Walk *walk, TableRow *row) {
  DataManifest *manifest = walk->manifest;
  char *fields[TABLE_FIELDS_MAX];
  const char *fault;
  manifest->path_at = manifest->label_at = manifest->key_at = -1;
  manifest->count = table_split(manifest->kind, row->bytes, row->length, fields, &fault);
  if (manifest->count < 0) return table_fail(manifest->path, row->line, fault, NULL);
  manifest->names = arena_array(walk->arena, const char *, manifest->count);
  manifest->is_word = arena_array(walk->arena, bool, manifest->count);
  for (int i = 0; i < manifest->count; i++) {
    manifest->names[i] = arena_string(walk->arena, fields[i], strlen(fields[i]));
    for (int other = 0; *fields[i] != '\0' && other < i; other++) {
      if (strcmp(fields[other], fields[i]) == 0)
        return table_fail(manifest->path, row->line, "names a column twice", fields[i]);
    }
    if (manifest->label_at < 0 && name_is(fields[i], "label")) manifest->label_at = i;
    if (manifest->key_at < 0 && name_is(fields[i], "key")) manifest->key_at = i;
  }
  for (int name = 0; manifest->path_at < 0 && name < PATH_NAMES; name++) {
    for (int i = manifest->count - 1; i >= 0; i--) {
      if (name_is(fields[i], path_names[name])) manifest->path_at = i;
    }
  }
  if (manifest->path_at >= 0) return SEER_OK;
  return table_fail(manifest->path, row->line, "names no column of paths",
                    "the first row names the columns; that of paths is path, image, img, file or file_name");
}

// As JSON writes numbers, finite, whole ones such that a double holds them.
static bool number_is(const char *text) {
  const char *at = text + (*text == '-');
  size_t whole = strspn(at, "0123456789"), digits;
  bool is_whole = true;
  if (whole == 0 || (whole > 1 && *at == '0')) return false;
  at += whole;
  if (*at == '.') {
    is_whole = false;
    digits = strspn(at + 1, "0123456789");
    if (digits == 0) return false;
    at += 1 + digits;
  }
  if (*at == 'e' || *at == 'E') {
    is_whole = false;
    at += 1 + (at[1] == '-' || at[1] == '+');
    digits = strspn(at, "0123456789");
    if (digits == 0) return false;
    at += digits;
  }
  double number = strtod(text, NULL);
  return *at == '\0' && isfinite(number) && (!is_whole || fabs(number) < 9007199254740992.0);
}

static SeerStatus fields_take(Walk *walk, TableRow *row, char **path, char **key) {
  DataManifest *manifest = walk->manifest;
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  const char *fault;
  int count = table_split(manifest->kind, row->bytes, row->length, fields, &fault);
  if (count < 0) return table_fail(manifest->path, row->line, fault, NULL);
  if (count != manifest->count) {
    char what[80];
    snprintf(what, sizeof what, "has %d fields, the first row %d", count, manifest->count);
    return table_fail(manifest->path, row->line, what, "fields that hold delimiters are quoted");
  }
  for (int i = 0; i < count; i++) {
    if (!manifest->is_word[i] && *fields[i] != '\0') manifest->is_word[i] = !number_is(fields[i]);
  }
  *path = fields[manifest->path_at];
  *key = manifest->key_at >= 0 ? fields[manifest->key_at] : NULL;
  return SEER_OK;
}

// The name that a member of an object is found under, whatever the case of its letters; NULL: there is none.
static const char *member_find(json_t *object, const char *wanted) {
  const char *name;
  json_t *value;
  if (json_object_get(object, wanted) != NULL) return wanted;
  json_object_foreach(object, name, value) {
    if (name_is(name, wanted)) return name;
  }
  return NULL;
}

static const char *path_member_find(json_t *object) {
  const char *name = NULL;
  for (int i = 0; name == NULL && i < PATH_NAMES; i++) name = member_find(object, path_names[i]);
  return name;
}

static json_t *named_get(json_t *object, const char *wanted) {
  const char *name = member_find(object, wanted);
  return name != NULL ? json_object_get(object, name) : NULL;
}

// *path and *key last as long as the object.
static SeerStatus object_take(const Walk *walk, const TableRow *row, json_t *object, const char **path,
                              const char **key) {
  const char *file = walk->manifest->path, *name = path_member_find(object);
  const json_t *label = named_get(object, "label"), *key_value = named_get(object, "key");
  *path = name != NULL ? json_string_value(json_object_get(object, name)) : NULL;
  *key = json_string_value(key_value);
  if (*path == NULL)
    return table_fail(file, row->line, "names no picture", "its path is text: path, image, img, file or file_name");
  if (label != NULL && !json_is_string(label) && !json_is_integer(label) && !json_is_null(label))
    return table_fail(file, row->line, "has a label that is neither text nor a whole number", NULL);
  if (key_value != NULL && *key == NULL && !json_is_null(key_value))
    return table_fail(file, row->line, "has a key that is no text", NULL);
  return SEER_OK;
}

static SeerStatus sample_add(Walk *walk, const TableRow *row, uint64_t hash, const char *path, const char *key) {
  Arena *arena = walk->arena;
  if (*path == '\0') return table_fail(walk->manifest->path, row->line, "names no picture", NULL);
  const char *shown = arena_string(arena, path, strlen(path)), *member = member_of(shown);
  const char *file = member == NULL ? shown : arena_string(arena, shown, (size_t)(member - 1 - shown));
  file = path_plain(arena, file);
  const char *name = member != NULL ? path_plain(arena, member) : file;
  DataSample sample = {.picture = {.path = path_resolve(walk, file)},
                       .name = name + strspn(name, "/"),
                       .shown = shown,
                       .row = arena_new(arena, DataManifestRow)};
  *sample.row = (DataManifestRow){.manifest = walk->manifest,
                                  .key = key != NULL && *key != '\0' ? arena_string(arena, key, strlen(key)) : NULL,
                                  .offset = row->offset,
                                  .bytes = row->length,
                                  .line = row->line,
                                  .hash = hash};
  if (member != NULL) sample.container = sample.picture.path;
  arena_push(arena, walk->samples, DataSample, sample);
  return SEER_OK;
}

static SeerStatus row_take(Walk *walk, TableRow *row) {
  DataManifest *manifest = walk->manifest;
  uint64_t hash = XXH3_64bits(row->bytes, row->length);
  if (manifest->kind != TABLE_JSONL) {
    char *path = NULL, *key = NULL;
    if (manifest->names == NULL) return header_take(walk, row);
    SeerStatus status = fields_take(walk, row, &path, &key);
    return status == SEER_OK ? sample_add(walk, row, hash, path, key) : status;
  }
  json_error_t error;
  if (strspn(row->bytes, " \t\r") == row->length) return SEER_OK;
  json_t *object = json_loadb(row->bytes, row->length, JSON_REJECT_DUPLICATES, &error);
  const char *path = NULL, *key = NULL;
  SeerStatus status = json_is_object(object) ? object_take(walk, row, object, &path, &key)
                                             : table_fail(manifest->path, row->line, "is no JSON object",
                                                          object == NULL ? error.text : "an object stands in {}");
  if (status == SEER_OK) status = sample_add(walk, row, hash, path, key);
  json_decref(object);
  return status;
}

// ---- pictures ----

static void damage_set(Arena *arena, DataSample *sample, const char *what) {
  sample->damage = arena_printf(arena, "line %llu of '%s': %s", (unsigned long long)sample->row->line,
                                data_path_base(sample->row->manifest->path), what);
}

// Whether a path leads nowhere; else it was the machine that failed.
static bool errno_is_of_path(int code) {
  return code == ENOENT || code == ENOTDIR || code == EACCES || code == ELOOP || code == ENAMETOOLONG;
}

// What the file system says of a picture's file or of its archive. *there: it can be opened.
static SeerStatus file_find(Arena *arena, DataSample *sample, struct stat *info, bool *there) {
  *there = stat(sample->picture.path, info) == 0 && S_ISREG(info->st_mode);
  if (*there) {
    sample->changed = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
    return SEER_OK;
  }
  bool is_other = stat(sample->picture.path, info) == 0;
  if (!is_other && !errno_is_of_path(errno))
    return seer_fail(SEER_MACHINE, "cannot read '%s': %s", sample->picture.path, strerror(errno));
  damage_set(arena, sample,
             is_other ? "is no regular file" : arena_printf(arena, "cannot be read: %s", strerror(errno)));
  return SEER_OK;
}

static void kind_check(Arena *arena, DataSample *sample, const uint8_t *start, size_t start_bytes) {
  if (seer_suffix_of(sample->name) == SEER_SUFFIX_PICTURE) return;
  if (seer_magic_is_picture(start, start_bytes))
    sample->row->suffix = start[0] == 0xFF ? ".jpg" : start[0] == 0x89 ? ".png" : ".webp";
  else
    damage_set(arena, sample, "is no picture of a kind that seer reads");
}

static SeerStatus file_look(Arena *arena, DataSample *sample) {
  uint8_t start[SEER_MAGIC_BYTES];
  struct stat info;
  bool there;
  SeerStatus status = file_find(arena, sample, &info, &there);
  if (status != SEER_OK || !there) return status;
  sample->picture.bytes = (uint64_t)info.st_size;
  bool probes = seer_suffix_of(sample->name) != SEER_SUFFIX_PICTURE;
  kind_check(arena, sample, start, probes ? data_file_start(sample->picture.path, start, sizeof start) : 0);
  return SEER_OK;
}

// Samples whose archive is one, by name.
typedef struct Group {
  Arena *arena, *scratch;
  DataSample *samples;
  size_t count;
} Group;

static int name_compare(const void *a, const void *b) {
  return strcmp(((const DataSample *)a)->name, ((const DataSample *)b)->name);
}

static SeerStatus member_take(void *context, int file, const SeerTarMember *member) {
  (void)file;
  Group *group = context;
  DataSample wanted = {.name = member->name};
  if (strstr(member->name, "//") != NULL || strstr(member->name, "./") != NULL)
    wanted.name = path_plain(group->scratch, member->name);
  DataSample *found = bsearch(&wanted, group->samples, group->count, sizeof wanted, name_compare);
  if (found == NULL) return SEER_OK;
  while (found > group->samples && strcmp(found[-1].name, wanted.name) == 0) found--;  // others are of later rows
  if (found->picture.offset != 0)
    return seer_fail(SEER_INPUT, "'%s' occurs twice in '%s'\nnote: write the archive again, each member once",
                     wanted.name, found->container);
  found->picture.offset = member->content;
  found->picture.bytes = member->size;
  kind_check(group->arena, found, member->start, member->start_bytes);
  return SEER_OK;
}

static SeerStatus archive_look(Arena *arena, DataSample *samples, size_t count) {
  struct stat info;
  bool there;
  SeerStatus status = file_find(arena, samples, &info, &there);
  for (size_t i = 1; status == SEER_OK && i < count; i++) {
    samples[i].changed = samples->changed;
    if (!there) status = file_find(arena, &samples[i], &info, &there);
  }
  if (status != SEER_OK || !there) return status;
  Group group = {arena, arena_make("members of an archive"), samples, count};
  status = seer_tar_walk(samples->container, member_take, &group, NULL);
  arena_release(group.scratch);
  for (size_t i = 0; i < count; i++) {
    if (samples[i].damage == NULL && samples[i].picture.offset == 0)
      damage_set(arena, &samples[i], "is not in its archive");
  }
  return status;
}

// Files by path, then members by archive and name; of one picture the first row first.
static int sample_compare(const void *a, const void *b) {
  const DataSample *one = a, *other = b;
  if ((one->container == NULL) != (other->container == NULL)) return one->container == NULL ? -1 : 1;
  int order = strcmp(one->picture.path, other->picture.path);
  if (order == 0 && one->container != NULL) order = strcmp(one->name, other->name);
  return order != 0 ? order : (one->row->line > other->row->line) - (one->row->line < other->row->line);
}

static bool picture_is_same(const DataSample *one, const DataSample *other) {
  return (one->container == NULL) == (other->container == NULL) &&
         strcmp(one->picture.path, other->picture.path) == 0 &&
         (one->container == NULL || strcmp(one->name, other->name) == 0);
}

// Marks rows that name a picture again. `samples` are sorted.
static void repeats_mark(Arena *arena, DataSample *samples, size_t count) {
  for (size_t i = 1, first = 0; i < count; i++) {
    if (picture_is_same(&samples[first], &samples[i]))
      damage_set(
          arena, &samples[i],
          arena_printf(arena, "is the picture of line %llu again", (unsigned long long)samples[first].row->line));
    else
      first = i;
  }
}

static SeerStatus samples_look(Walk *walk) {
  size_t count = walk->samples->count - walk->first;
  if (count == 0) return SEER_OK;
  DataSample *samples = walk->samples->items + walk->first;
  qsort(samples, count, sizeof *samples, sample_compare);
  SeerStatus status = SEER_OK;
  for (size_t i = 0, next; status == SEER_OK && i < count; i = next) {
    next = i + 1;
    if (samples[i].container == NULL) {
      status = file_look(walk->arena, &samples[i]);
      continue;
    }
    while (next < count && strcmp(samples[next].container, samples[i].container) == 0) next++;
    status = archive_look(walk->arena, samples + i, next - i);
  }
  if (status == SEER_OK) repeats_mark(walk->arena, samples, count);
  for (size_t i = 0; i < count; i++) sample_rename(walk->arena, &samples[i]);
  return status;
}

SeerStatus data_manifest_gather(Arena *arena, const char *path, DataSamples *samples) {
  Walk walk = {.arena = arena, .manifest = arena_new(arena, DataManifest), .samples = samples, .first = samples->count};
  TableReader reader;
  TableRow row = {0};
  walk.manifest->path = arena_string(arena, path, strlen(path));
  walk.manifest->kind = table_kind_of(path);
  SeerStatus status = table_open(&reader, walk.manifest->path, walk.manifest->kind);
  do {
    if (status == SEER_OK) status = table_next(&reader, &row);
    if (status == SEER_OK && row.bytes != NULL) status = row_take(&walk, &row);
  } while (status == SEER_OK && row.bytes != NULL);
  if (status == SEER_OK) table_hash(&reader, walk.manifest->hash);
  table_close(&reader);
  return status == SEER_OK ? samples_look(&walk) : status;
}

// ---- metadata ----

static bool field_take(const DataManifest *manifest, int column, const char *text, DataFacts *facts) {
  if (column == manifest->label_at) return data_label_set(facts, text);
  if (column == manifest->path_at || column == manifest->key_at || *text == '\0' || *manifest->names[column] == '\0')
    return true;
  json_t *value = manifest->is_word[column] ? json_string(text) : json_loads(text, JSON_DECODE_ANY, NULL);
  return json_object_set_new(facts->columns, manifest->names[column], value) == 0;
}

static bool object_members_take(json_t *object, DataFacts *facts) {
  const char *path = path_member_find(object), *label = member_find(object, "label"), *key = member_find(object, "key");
  const char *name;
  json_t *value;
  json_object_foreach(object, name, value) {
    bool is_known = name == path || (path != NULL && strcmp(name, path) == 0) ||
                    (label != NULL && strcmp(name, label) == 0) || (key != NULL && strcmp(name, key) == 0);
    if (!is_known && !json_is_null(value) && json_object_set(facts->columns, name, value) != 0) return false;
  }
  return data_label_from_json(facts, label != NULL ? json_object_get(object, label) : NULL);
}

// False without memory; *same: the row can be taken apart as before.
static bool row_read(const DataManifest *manifest, char *bytes, size_t length, DataFacts *facts, bool *same) {
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  const char *fault;
  bool fine = true;
  if (manifest->kind == TABLE_JSONL) {
    json_t *object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    *same = json_is_object(object);
    if (*same) fine = object_members_take(object, facts);
    json_decref(object);
    return fine;
  }
  *same = table_split(manifest->kind, bytes, length, fields, &fault) == manifest->count;
  for (int i = 0; *same && fine && i < manifest->count; i++) fine = field_take(manifest, i, fields[i], facts);
  return fine;
}

SeerStatus data_manifest_row_read(const DataManifestRow *row, DataFacts *facts) {
  const DataManifest *manifest = row->manifest;
  const DataPlace place = {manifest->path, row->offset, row->bytes};
  SeerBuffer buffer = {0};
  const char *reason;
  SeerStatus status = SEER_OK;
  bool same = false, fine = true;
  if (data_place_read(&place, TABLE_ROW_BYTES_MAX, &buffer, &reason)) {
    buffer.bytes[row->bytes] = '\0';
    same = XXH3_64bits(buffer.bytes, (size_t)row->bytes) == row->hash;
    if (same) fine = row_read(manifest, (char *)buffer.bytes, (size_t)row->bytes, facts, &same);
  } else if (data_machine_failed(reason)) {
    status = seer_fail(SEER_MACHINE, "'%s' %s", manifest->path, reason);
    same = true;
  }
  if (!fine) status = seer_fail(SEER_MACHINE, "out of memory for the metadata of pictures");
  if (!same)
    status = seer_fail(SEER_INPUT, "'%s' was changed while it was read: line %llu\nnote: run the same command again",
                       manifest->path, (unsigned long long)row->line);
  seer_buffer_release(&buffer);
  return status;
}
