// Describes the pictures of each archive, or of some files, in a part of its own; then builds the index of all parts.
#define _XOPEN_SOURCE 700
#include "compiler/data/index_make.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/data/jobs.h"
#include "compiler/data/part.h"
#include "compiler/data/perceptual.h"
#include "runtime/data/decode.h"
#include "runtime/files.h"
#include "runtime/utf8.h"

enum { FILES_A_PART = 256 };

typedef struct Make {
  Arena *arena;
  const DataIndexOptions *options;
  DataSamples samples;
  size_t *firsts, part_count;    // firsts: sample that each part begins with, and behind the last
  const char **parts, **shards;  // shards: by sample, its path as it stands in the index
  DataProgress progress;
} Make;

static const char *folder_of(Arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  if (slash == NULL) return ".";
  return slash == path ? "/" : arena_string(arena, path, (size_t)(slash - path));
}

SeerStatus data_path_relative(Arena *arena, const char *folder, const char *path, const char **relative) {
  char from[PATH_MAX], to[2 * PATH_MAX];
  const char *its_folder = folder_of(arena, path), *slash = strrchr(path, '/');
  if (folder != NULL && realpath(folder, from) == NULL)
    return seer_fail(SEER_INPUT, "cannot read '%s': %s", folder, strerror(errno));
  if (realpath(its_folder, to) == NULL)
    return seer_fail(SEER_INPUT, "cannot read '%s': %s", its_folder, strerror(errno));
  size_t length = strlen(to);
  snprintf(to + length, sizeof to - length, "%s%s", length > 1 ? "/" : "", slash != NULL ? slash + 1 : path);
  if (folder == NULL) {
    *relative = arena_string(arena, to, strlen(to));
    return SEER_OK;
  }
  size_t common = 0, i = 0;  // common: behind the last '/' of what both share
  for (; from[i] != '\0' && from[i] == to[i]; i++) common = to[i] == '/' ? i + 1 : common;
  if (from[i] == '\0' && to[i] == '/') common = i + 1;
  Writer text = {0};
  if (from[i] != '\0' || to[i] != '/') {
    for (const char *rest = from + common; *rest != '\0'; rest++) {
      if (rest == from + common || rest[-1] == '/') writer_text(&text, "../");
    }
  }
  writer_text(&text, to + common);
  *relative = arena_string(arena, text.text, text.size);
  writer_release(&text);
  return SEER_OK;
}

// ---- what a part tells ----

// An index holds paths as UTF-8 of a limited length.
static const char *path_fault(const char *path) {
  if (strlen(path) >= SEER_INDEX_NAME_MAX) return "has too long a path for an index";
  for (size_t length; *path != '\0'; path += length) {
    length = seer_utf8_length(path);
    if (length == 0) return "has a path that is no UTF-8, which no index holds";
  }
  return NULL;
}

static SeerStatus shard_describe(Make *make, size_t i, DataPart *part) {
  const char *path = make->samples.items[i].picture.path;
  struct stat info;
  SeerHash hash = {""};
  if (stat(path, &info) != 0) return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  SeerStatus status = make->options->reads_pictures ? seer_file_hash(path, &hash) : SEER_OK;
  if (status == SEER_OK) data_part_shard(part, make->shards[i], (uint64_t)info.st_size, hash.hex);
  return status;
}

// Finds out what is told of a picture. False with a reason.
static bool picture_look(const Make *make, const DataSample *sample, SeerPicture *picture, DataFacts *facts,
                         const char **reason) {
  *facts = (DataFacts){.offset = sample->picture.offset,
                       .bytes = (uint32_t)sample->picture.bytes,
                       .is_whole_file = sample->container == NULL};
  *reason = sample->damage;
  if (sample->picture.bytes > SEER_MAX_FILE_BYTES) *reason = "is larger than any picture";
  if (*reason != NULL || !make->options->reads_pictures) return *reason == NULL;
  if (!data_place_read(&sample->picture, SEER_MAX_FILE_BYTES, &picture->file, reason)) return false;
  size_t count = (size_t)sample->picture.bytes;
  data_facts_measure(picture->file.bytes, count, facts);
  picture->shrink = data_perceptual_shrink;
  // One that does not decode looks like nothing; want of memory is no trait of a picture.
  if (make->options->is_perceptual) {
    if (seer_decode(picture->file.bytes, count, DATA_MAX_PIXELS, picture, reason))
      facts->perceptual = data_perceptual_hash(picture);
    else if (data_machine_failed(*reason))
      return false;
  }
  return true;
}

static SeerStatus facts_tell(const DataSample *sample, DataFacts *facts, DataPart *part) {
  const char *left;
  SeerStatus status = data_companions_read(sample, facts, &left);
  if (status != SEER_OK) return status;
  data_part_picture(part, sample->name, facts);
  if (left != NULL) {
    char what[400];
    snprintf(what, sizeof what, "indexed, but without its metadata: %s", left);
    data_part_left_out(part, sample->shown, what);
  }
  return SEER_OK;
}

static SeerStatus left_out_tell(const DataSample *sample, const char *reason, DataPart *part) {
  if (sample->damage == NULL && data_machine_failed(reason))
    return seer_fail(SEER_MACHINE, "'%s' %s", sample->picture.path, reason);
  data_part_left_out(part, sample->shown, reason);
  return SEER_OK;
}

static SeerStatus archive_describe(Make *make, size_t i, SeerPicture *picture, DataPart *part) {
  const DataSample *archive = &make->samples.items[i];
  const char *fault = path_fault(make->shards[i]);
  if (fault != NULL) return seer_fail(SEER_INPUT, "'%s' %s\nnote: rename it", archive->container, fault);
  Arena *arena = arena_make("archive");
  DataSamples samples = {0};
  SeerStatus status = data_archive_gather(arena, archive, &samples);
  if (status == SEER_OK) status = shard_describe(make, i, part);
  data_progress_expect(&make->progress, samples.count);
  for (size_t k = 0; status == SEER_OK && k < samples.count; k++) {
    DataFacts facts;
    const char *reason;
    if (picture_look(make, &samples.items[k], picture, &facts, &reason))
      status = facts_tell(&samples.items[k], &facts, part);
    else
      status = left_out_tell(&samples.items[k], reason, part);
    data_facts_release(&facts);
    data_progress_add(&make->progress, 1, samples.items[k].picture.bytes);
  }
  arena_release(arena);
  return status;
}

static bool container_is_same(const DataSample *one, const DataSample *other) {
  return one->container != NULL && other->container != NULL && strcmp(one->container, other->container) == 0;
}

// `described`: a sample in this part whose archive has been described. Samples of one archive follow each other.
static SeerStatus file_describe(Make *make, size_t i, SeerPicture *picture, DataPart *part,
                                const DataSample **described) {
  const DataSample *sample = &make->samples.items[i];
  DataFacts facts = {0};
  const char *reason = make->shards[i] != NULL ? path_fault(make->shards[i]) : NULL;
  SeerStatus status = SEER_OK;
  if (reason != NULL || !picture_look(make, sample, picture, &facts, &reason)) {
    status = left_out_tell(sample, reason, part);
  } else {
    if (*described == NULL || !container_is_same(*described, sample)) status = shard_describe(make, i, part);
    *described = sample;
    if (status == SEER_OK) status = facts_tell(sample, &facts, part);
  }
  data_facts_release(&facts);
  data_progress_expect(&make->progress, 1);
  data_progress_add(&make->progress, 1, sample->picture.bytes);
  return status;
}

static SeerStatus part_make(void *context, size_t job, int worker) {
  (void)worker;
  Make *make = context;
  DataPart part = {0};
  SeerPicture picture = {0};
  const DataSample *described = NULL;
  SeerStatus status = SEER_OK;
  for (size_t i = make->firsts[job]; status == SEER_OK && i < make->firsts[job + 1]; i++) {
    bool is_archive = make->samples.items[i].is_archive;
    status =
        is_archive ? archive_describe(make, i, &picture, &part) : file_describe(make, i, &picture, &part, &described);
  }
  if (status == SEER_OK) status = data_part_save(&part, make->parts[job]);
  data_part_release(&part);
  seer_picture_release(&picture);
  return status;
}

// ---- parts ----

static void parts_plan(Make *make, const char *folder) {
  size_t count = make->samples.count;
  const DataSample *samples = make->samples.items;
  make->firsts = arena_array(make->arena, size_t, count + 1);
  for (size_t i = 0; i < count; i++) {
    bool begins = i == 0 || samples[i].is_archive || samples[i - 1].is_archive ||
                  (!container_is_same(&samples[i - 1], &samples[i]) &&
                   (samples[i].container != NULL || samples[i - 1].container != NULL ||
                    i - make->firsts[make->part_count - 1] >= FILES_A_PART));
    if (begins) make->firsts[make->part_count++] = i;
  }
  make->firsts[make->part_count] = count;
  make->parts = arena_array(make->arena, const char *, make->part_count + 1);
  for (size_t i = 0; i < make->part_count; i++) make->parts[i] = arena_printf(make->arena, "%s/%06zu.part", folder, i);
}

static SeerStatus shards_name(Make *make) {
  const char *folder = folder_of(make->arena, make->options->path);
  make->shards = arena_array(make->arena, const char *, make->samples.count + 1);
  for (size_t i = 0; i < make->samples.count; i++) {
    const DataSample *sample = &make->samples.items[i];
    if (sample->damage != NULL) continue;
    const char *before = i > 0 && container_is_same(sample - 1, sample) ? make->shards[i - 1] : NULL;
    if (before != NULL) {
      make->shards[i] = before;
      continue;
    }
    SeerStatus status = data_path_relative(make->arena, make->options->is_for_once ? NULL : folder,
                                           sample->picture.path, &make->shards[i]);
    if (status != SEER_OK) return status;
  }
  return SEER_OK;
}

static SeerStatus make_in(Make *make, const char *folder, DataBuilt *built) {
  parts_plan(make, folder);
  data_progress_begin(&make->progress, "indexing", 0);
  SeerStatus status = data_jobs_run(make->options->jobs, make->part_count, part_make, make);
  data_progress_end(&make->progress);
  if (status != SEER_OK) return status;
  return data_index_build(make->arena, make->parts, make->part_count, make->options->path, built);
}

// ---- the folder of parts ----

// Locked while its process lives. -1: it cannot be, or another process has it.
static int lock_take(Arena *arena, const char *folder, int flags) {
  int lock = open(arena_printf(arena, "%s/lock", folder), O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0666);
  if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  if (lock >= 0) close(lock);
  return -1;
}

// Removes what runs for the same index left behind that were killed.
static void abandoned_remove(Arena *arena, const char *where, const char *name) {
  DIR *stream = opendir(where);
  size_t length = strlen(name);
  for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
    const char *rest = entry->d_name + 1 + length;
    bool is_one = entry->d_name[0] == '.' && strncmp(entry->d_name + 1, name, length) == 0 && rest[0] == '.' &&
                  strlen(rest) == strlen(".XXXXXX");
    if (!is_one) continue;
    const char *folder = arena_printf(arena, "%s/%s", where, entry->d_name);
    int lock = lock_take(arena, folder, 0);
    if (lock < 0) continue;
    // What cannot be removed is in nobody's way.
    if (seer_folder_remove(folder) != SEER_OK) seer_error_clear();
    close(lock);
  }
  if (stream != NULL) closedir(stream);
}

SeerStatus data_index_make(Arena *arena, const DataIndexOptions *options, DataBuilt *built) {
  Make make = {.arena = arena, .options = options};
  SeerStatus status = data_samples_gather(arena, options->sources, options->source_count, false, &make.samples);
  if (status == SEER_OK) status = shards_name(&make);
  if (status != SEER_OK) return status;
  const char *slash = strrchr(options->path, '/'), *name = slash != NULL ? slash + 1 : options->path;
  char *folder = arena_printf(arena, "%s/.%s.XXXXXX", folder_of(arena, options->path), name);
  abandoned_remove(arena, folder_of(arena, options->path), name);
  if (mkdtemp(folder) == NULL)
    return seer_fail(SEER_MACHINE, "cannot write to folder '%s': %s\nnote: name another place for the index with -o",
                     folder_of(arena, options->path), strerror(errno));
  int lock = lock_take(arena, folder, O_CREAT);
  status = make_in(&make, folder, built);
  SeerStatus removed = seer_folder_remove(folder);
  if (lock >= 0) close(lock);
  return status != SEER_OK ? status : removed;
}

// ---- data sets ----

const char *data_index_of(Arena *arena, const char *source) {
  char magic[8];
  const char *path = seer_path_is_folder(source) ? arena_printf(arena, "%s/%s", source, SEER_INDEX_NAME) : source;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool is_index = file >= 0 && (path != source || (pread(file, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
                                                   memcmp(magic, SEER_INDEX_MAGIC, sizeof magic) == 0));
  if (file >= 0) close(file);
  return is_index ? path : NULL;
}

SeerStatus data_set_open(Arena *arena, const DataIndexOptions *options, SeerIndex **index) {
  const char *there = options->source_count == 1 ? data_index_of(arena, options->sources[0]) : NULL;
  if (there != NULL) return seer_index_open(there, index);
  const char *temporary = getenv("TMPDIR");
  char *folder = arena_printf(arena, "%s/seerc-data-XXXXXX", temporary != NULL && *temporary ? temporary : "/tmp");
  *index = NULL;
  if (mkdtemp(folder) == NULL)
    return seer_fail(SEER_MACHINE, "cannot write to the folder of temporary files '%s': %s\nnote: set TMPDIR", folder,
                     strerror(errno));
  DataIndexOptions once = *options;
  DataBuilt built;
  once.is_for_once = true;
  once.path = arena_printf(arena, "%s/%s", folder, SEER_INDEX_NAME);
  SeerStatus status = data_index_make(arena, &once, &built);
  if (status == SEER_OK) status = seer_index_open(once.path, index);
  SeerStatus removed = seer_folder_remove(folder);  // what is mapped stays readable
  return status != SEER_OK ? status : removed;
}
