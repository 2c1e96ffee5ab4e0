// Plans the shards, has them written, then makes the index of them; see pack.h.
#define _XOPEN_SOURCE 700
#include "compiler/data/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "compiler/data/duplicates.h"
#include "compiler/data/index_build.h"
#include "compiler/data/keys.h"
#include "compiler/data/manifest.h"
#include "compiler/data/pack_shard.h"
#include "compiler/data/part.h"
#include "runtime/data/index.h"
#include "runtime/files.h"

typedef struct Pack {
  Arena *arena;
  const DataPackOptions *options;
  DataSamples samples;
  const char **keys;
  size_t *firsts, shard_count;  // firsts: sample that each shard begins with, and behind the last
  char input[33], state[33];    // hashes of what is packed; state: with the times of files
  DataProgress progress;
  DataBuilt built;
} Pack;

// ---- what is packed ----

static void shards_plan(Pack *pack) {
  uint64_t room = 0;
  pack->firsts = arena_array(pack->arena, size_t, pack->samples.count + 1);
  for (size_t i = 0; i < pack->samples.count; i++) {
    uint64_t bytes = data_sample_bytes(&pack->samples.items[i]);
    if (i == 0 || bytes > room) {
      pack->firsts[pack->shard_count++] = i;
      room = pack->options->shard_bytes;
    }
    room -= bytes < room ? bytes : room;
  }
  pack->firsts[pack->shard_count] = pack->samples.count;
}

static void text_add(XXH3_state_t *hash, const char *text) { XXH3_128bits_update(hash, text, strlen(text) + 1); }

static SeerStatus input_hash(const Pack *pack, bool with_times, char hex[33]) {
  XXH3_state_t *hash = XXH3_createState();
  if (hash == NULL) return seer_fail(SEER_MACHINE, "out of memory to pack");
  XXH3_128bits_reset(hash);
  XXH3_128bits_update(hash, &pack->options->shard_bytes, sizeof pack->options->shard_bytes);
  if (pack->options->is_perceptual) text_add(hash, "perceptual");
  for (size_t i = 0; i < pack->samples.count; i++) {
    const DataSample *sample = &pack->samples.items[i];
    uint64_t numbers[] = {sample->picture.bytes,
                          sample->picture.offset,
                          sample->companions[COMPANION_JSON].bytes,
                          sample->companions[COMPANION_TXT].bytes,
                          sample->companions[COMPANION_CLS].bytes,
                          with_times ? (uint64_t)sample->changed : 0};
    text_add(hash, sample->shown);
    text_add(hash, sample->label != NULL ? sample->label : "");
    if (sample->row != NULL) text_add(hash, sample->row->manifest->hash);
    XXH3_128bits_update(hash, numbers, sizeof numbers);
  }
  XXH128_hash_t value = XXH3_128bits_digest(hash);
  XXH3_freeState(hash);
  snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)value.high64, (uint64_t)value.low64);
  return SEER_OK;
}

// ---- the folder ----

static const char *in_folder(const Pack *pack, const char *name) {
  return arena_printf(pack->arena, "%s/%s", pack->options->folder, name);
}

static SeerStatus refuse(const Pack *pack, const char *what) {
  return seer_fail(SEER_INPUT, "'%s' %s\nnote: choose a new folder with -o, or remove this one", pack->options->folder,
                   what);
}

// Whether the folder holds anything but .pack.
static bool folder_holds_others(const char *path) {
  DIR *stream = opendir(path);
  bool others = false;
  for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
    const char *name = entry->d_name;
    others |= strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, ".pack") != 0;
  }
  if (stream != NULL) closedir(stream);
  return others;
}

// Makes sure that nobody else packs into the folder until the process ends.
static SeerStatus folder_lock(const Pack *pack) {
  int file = open(in_folder(pack, ".pack/lock"), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0)
    return seer_fail(SEER_MACHINE, "cannot write to folder '%s': %s", pack->options->folder, strerror(errno));
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return SEER_OK;
  close(file);
  return seer_fail(SEER_INPUT, "another process is packing into '%s'\nnote: wait for it to end", pack->options->folder);
}

// What lies in a folder that is packed would be packed the next time.
static SeerStatus place_check(const Pack *pack) {
  char folder[PATH_MAX], source[PATH_MAX];
  if (realpath(pack->options->folder, folder) == NULL)
    return seer_fail(SEER_INPUT, "cannot read '%s': %s", pack->options->folder, strerror(errno));
  for (int i = 0; i < pack->options->source_count; i++) {
    size_t length = realpath(pack->options->sources[i], source) != NULL ? strlen(source) : 0;
    if (length == 0 || strncmp(folder, source, length) != 0) continue;
    if (length > 1 && folder[length] != '/' && folder[length] != '\0') continue;
    rmdir(folder);  // if it was made for this
    return seer_fail(SEER_INPUT, "'%s' lies in '%s', which is to be packed\nnote: choose a folder elsewhere with -o",
                     pack->options->folder, pack->options->sources[i]);
  }
  return SEER_OK;
}

// Sets *done when all of this input has been packed there.
static SeerStatus folder_open(Pack *pack, bool *done) {
  const char *state = in_folder(pack, ".pack/input"), *about = in_folder(pack, "pack.json");
  json_t *packed = json_load_file(about, 0, NULL);
  const char *input = json_string_value(json_object_get(packed, "input"));
  bool other = packed != NULL && (input == NULL || strcmp(input, pack->input) != 0);
  *done = packed != NULL && !other && access(in_folder(pack, SEER_INDEX_NAME), F_OK) == 0;
  json_decref(packed);
  if (other) return refuse(pack, "was packed from other input, or with other --shard-bytes");
  if (*done) return SEER_OK;
  bool began = access(state, F_OK) == 0;
  if (!began && folder_holds_others(pack->options->folder)) return refuse(pack, "holds other files");
  SeerStatus status = seer_folder_make(in_folder(pack, ".pack"));
  if (status == SEER_OK) status = folder_lock(pack);
  if (status != SEER_OK) return status;
  if (!began) return seer_file_replace(state, pack->state, strlen(pack->state));
  char *text;
  uint64_t bytes;
  status = seer_file_read(state, sizeof pack->state, &text, &bytes);
  if (status != SEER_OK) return status;
  bool same = strcmp(text, pack->state) == 0;
  free(text);
  return same ? SEER_OK : refuse(pack, "was begun with other input: files were added, removed or changed since");
}

// ---- packing ----

static SeerStatus shard_job(void *context, size_t job, int worker) {
  (void)worker;
  Pack *pack = context;
  size_t first = pack->firsts[job];
  DataShardPlan plan = {.folder = pack->options->folder,
                        .samples = pack->samples.items + first,
                        .keys = pack->keys + first,
                        .count = pack->firsts[job + 1] - first,
                        .number = job,
                        .is_perceptual = pack->options->is_perceptual};
  return data_shard_write(&plan, &pack->progress);
}

static SeerStatus left_out_collect(void *context, DataLine kind, json_t *line) {
  Writer *list = context;
  if (kind != LINE_LEFT_OUT) return SEER_OK;
  writer_text(list, "{\"picture\":");
  writer_json_string(list, json_string_value(json_object_get(line, "left_out")));
  writer_text(list, ",\"reason\":");
  writer_json_string(list, json_string_value(json_object_get(line, "reason")));
  writer_text(list, "}\n");
  return SEER_OK;
}

static SeerStatus left_out_write(const Pack *pack, const char *const *parts) {
  Writer list = {0};
  SeerStatus status = SEER_OK;
  for (size_t i = 0; status == SEER_OK && i < pack->shard_count; i++) {
    bool whole;
    status = data_part_read(parts[i], left_out_collect, &list, &whole);
    if (status != SEER_OK) seer_fail(status, "'%s' is damaged\nnote: remove it and pack again", parts[i]);
  }
  if (status == SEER_OK && list.size > 0)
    status = seer_file_replace(in_folder(pack, "left_out.jsonl"), list.text, list.size);
  writer_release(&list);
  return status;
}

static SeerStatus about_write(const Pack *pack) {
  Writer text = {0};
  writer_printf(&text,
                "{\"packed_by\":\"seerc data pack\",\"version\":1,\"input\":\"%s\",\"shard_bytes\":%" PRIu64
                ",\"shards\":%zu,\"samples\":%zu}\n",
                pack->input, pack->options->shard_bytes, pack->shard_count, pack->samples.count);
  SeerStatus status = seer_file_replace(in_folder(pack, "pack.json"), text.text, text.size);
  writer_release(&text);
  return status;
}

// The index goes last: where it is, all is.
static SeerStatus pack_finish(Pack *pack) {
  const char **parts = arena_array(pack->arena, const char *, pack->shard_count + 1);
  for (size_t i = 0; i < pack->shard_count; i++) parts[i] = data_shard_part(pack->arena, pack->options->folder, i);
  SeerStatus status = left_out_write(pack, parts);
  if (status == SEER_OK) status = about_write(pack);
  if (status == SEER_OK)
    status = data_index_build(pack->arena, parts, pack->shard_count, in_folder(pack, SEER_INDEX_NAME), &pack->built);
  return status;
}

static SeerStatus pack_run(Pack *pack) {
  SeerStatus status = SEER_OK;
  pack->keys = data_keys_make(pack->arena, &pack->samples);
  if (pack->keys == NULL) return SEER_MACHINE;
  data_progress_begin(&pack->progress, "packing", pack->samples.count);
  status = data_jobs_run(pack->options->jobs, pack->shard_count, shard_job, pack);
  data_progress_end(&pack->progress);
  return status == SEER_OK ? pack_finish(pack) : status;
}

static SeerStatus summary_print(const Pack *pack, bool was_done, Writer *out) {
  SeerIndex *index;
  uint64_t duplicates = 0;
  SeerStatus status = seer_index_open(in_folder(pack, SEER_INDEX_NAME), &index);
  if (status != SEER_OK) return status;
  status = seer_index_check_shards(index);
  if (status == SEER_OK) status = data_duplicates_count(index, &duplicates);
  if (status == SEER_OK) {
    writer_printf(out, "%s: %s%" PRId64 " pictures in %" PRId64 " shards", pack->options->folder,
                  was_done ? "packed before, " : "", seer_index_count(index), seer_index_shard_count(index));
    uint64_t left = pack->samples.count - (uint64_t)seer_index_count(index);
    if (left > 0) writer_printf(out, ", %" PRIu64 " left out (listed in left_out.jsonl)", left);
    writer_printf(out, ", %" PRIu64 " exact duplicates\n", duplicates);
    data_built_print(&pack->built, out);
  }
  seer_index_close(index);
  return status;
}

SeerStatus data_pack(Arena *arena, const DataPackOptions *options, Writer *out) {
  Pack pack = {.arena = arena, .options = options};
  bool done = false;
  SeerStatus status = data_samples_gather(arena, options->sources, options->source_count, true, &pack.samples);
  if (status != SEER_OK) return status;
  shards_plan(&pack);
  status = input_hash(&pack, false, pack.input);
  if (status == SEER_OK) status = input_hash(&pack, true, pack.state);
  if (status == SEER_OK) status = seer_folder_make(options->folder);
  if (status == SEER_OK) status = place_check(&pack);
  if (status == SEER_OK) status = folder_open(&pack, &done);
  if (status == SEER_OK && !done) status = pack_run(&pack);
  if (status == SEER_OK) status = seer_folder_remove(in_folder(&pack, ".pack"));
  return status == SEER_OK ? summary_print(&pack, done, out) : status;
}
