// Reads, checks and writes the samples of one shard; see pack_shard.h.
#include "compiler/data/pack_shard.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/data/part.h"
#include "compiler/data/perceptual.h"
#include "compiler/data/tar_write.h"
#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"
#include "runtime/files.h"

typedef struct ShardWork {
  const DataShardPlan *plan;
  SeerFile file;
  DataPart part, rows;  // rows: what stands behind the line of the shard
  SeerPicture picture;
  Writer members, json;
} ShardWork;

uint64_t data_sample_bytes(const DataSample *sample) {
  uint64_t bytes = 2 * TAR_BLOCK_BYTES + (sample->picture.bytes + TAR_BLOCK_BYTES) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
  uint64_t json = TAR_BLOCK_BYTES + (sample->row != NULL ? sample->row->bytes : 0);
  for (DataCompanion kind = COMPANION_JSON; kind < COMPANION_KINDS; kind++) json += sample->companions[kind].bytes;
  return bytes + json / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
}

const char *data_shard_part(Arena *arena, const char *folder, size_t number) {
  return arena_printf(arena, "%s/.pack/%06zu.part", folder, number);
}

// The suffix in lower case, or that of what the bytes are.
static void suffix_of(const char *name, const uint8_t *bytes, char suffix[8]) {
  const char *dot = strrchr(name, '.');
  const char *text = seer_suffix_of(name) == SEER_SUFFIX_PICTURE ? dot + 1
                     : bytes[0] == 0xFF                          ? "jpg"
                     : bytes[0] == 0x89                          ? "png"
                                                                 : "webp";
  size_t i = 0;
  for (; text[i] != '\0' && i < 7; i++) suffix[i] = (char)tolower((unsigned char)text[i]);
  suffix[i] = '\0';
}

static bool json_print(Writer *out, const char *key, const DataSample *sample, const DataFacts *facts) {
  out->size = 0;
  writer_text(out, "{\"key\":");
  writer_json_string(out, key);
  writer_text(out, ",\"source\":");
  writer_json_string(out, sample->shown);
  if (facts->label != NULL) {
    writer_text(out, ",\"label\":");
    writer_json_string(out, facts->label);
  }
  writer_printf(out, ",\"width\":%d,\"height\":%d,\"hash\":\"%016" PRIx64 "\"", facts->width, facts->height,
                facts->hash);
  char *columns = json_dumps(facts->columns, JSON_COMPACT | JSON_SORT_KEYS);
  if (columns != NULL) writer_printf(out, ",\"columns\":%s}\n", columns);
  free(columns);
  return columns != NULL;
}

// Reads and decodes the picture: what does not decode is of no use in a shard.
static bool picture_check(ShardWork *work, const DataSample *sample, DataFacts *facts, const char **reason) {
  SeerPicture *picture = &work->picture;
  *reason = sample->damage;
  if (*reason != NULL || !data_place_read(&sample->picture, SEER_MAX_FILE_BYTES, &picture->file, reason)) return false;
  size_t count = (size_t)sample->picture.bytes;
  if (!seer_decode(picture->file.bytes, count, DATA_MAX_PIXELS, picture, reason)) return false;
  data_facts_measure(picture->file.bytes, count, facts);
  if (work->plan->is_perceptual) facts->perceptual = data_perceptual_hash(picture);
  return true;
}

static SeerStatus sample_write(ShardWork *work, size_t i) {
  const DataSample *sample = &work->plan->samples[i];
  const char *key = work->plan->keys[i], *reason;
  DataFacts facts = {0};
  if (!picture_check(work, sample, &facts, &reason)) {
    if (sample->damage == NULL && data_machine_failed(reason))
      return seer_fail(SEER_MACHINE,
                       "'%s' %s\nnote: when that is repaired, or the file removed, the same command goes on",
                       sample->picture.path, reason);
    data_part_left_out(&work->rows, sample->shown, reason);
    return SEER_OK;
  }
  SeerStatus status = data_companions_read(sample, &facts, &reason);
  if (status == SEER_OK && reason != NULL) {
    char what[400];
    snprintf(what, sizeof what, "packed, but without its metadata: %s", reason);
    data_part_left_out(&work->rows, sample->shown, what);
  }
  if (status == SEER_OK && !json_print(&work->json, key, sample, &facts))
    status = seer_fail(SEER_MACHINE, "out of memory for the metadata of pictures");
  if (status == SEER_OK) {
    char name[SEER_INDEX_NAME_MAX], suffix[8];
    suffix_of(sample->name, work->picture.file.bytes, suffix);
    work->members.size = 0;
    snprintf(name, sizeof name, "%s.%s", key, suffix);
    facts.offset = work->file.bytes + tar_member_print(&work->members, name, work->picture.file.bytes, facts.bytes);
    data_part_picture(&work->rows, name, &facts);
    snprintf(name, sizeof name, "%s.json", key);
    tar_member_print(&work->members, name, work->json.text, work->json.size);
    status = seer_file_write(&work->file, work->members.text, work->members.size);
  }
  data_facts_release(&facts);
  return status;
}

typedef struct Found {
  const char *tar;
  bool fits;
} Found;

static SeerStatus found_check(void *context, DataLine kind, json_t *line) {
  Found *found = context;
  struct stat info;
  if (kind != LINE_SHARD) return SEER_OK;
  found->fits = stat(found->tar, &info) == 0 && info.st_size == json_integer_value(json_object_get(line, "bytes"));
  return SEER_OK;
}

static SeerStatus shard_fill(ShardWork *work, const char *temporary, SeerHash *hash, DataProgress *progress) {
  unlink(temporary);
  SeerStatus status = seer_file_create(&work->file, temporary);
  for (size_t i = 0; status == SEER_OK && i < work->plan->count; i++) {
    status = sample_write(work, i);
    data_progress_add(progress, 1, work->plan->samples[i].picture.bytes);
  }
  work->members.size = 0;
  tar_end_print(&work->members);
  if (status == SEER_OK) status = seer_file_write(&work->file, work->members.text, work->members.size);
  return seer_file_finish(&work->file, status, hash);
}

// The part goes into place first: a shard is there only when its part is.
static SeerStatus shard_commit(ShardWork *work, const char *name, const char *part, const char *temporary,
                               const char *tar, const SeerHash *hash) {
  data_part_shard(&work->part, name, work->file.bytes, hash->hex);
  if (work->rows.lines > 0) writer_bytes(&work->part.text, work->rows.text.text, work->rows.text.size);
  work->part.lines += work->rows.lines;
  work->part.failed |= work->rows.failed;
  SeerStatus status = data_part_save(&work->part, part);
  if (status == SEER_OK && rename(temporary, tar) != 0)
    status = seer_fail(SEER_MACHINE, "cannot write '%s': %s", tar, strerror(errno));
  return status == SEER_OK ? seer_folder_sync(work->plan->folder) : status;
}

SeerStatus data_shard_write(const DataShardPlan *plan, DataProgress *progress) {
  SeerPath part, temporary, tar;
  char name[32];
  bool whole;
  snprintf(name, sizeof name, "%06zu.tar", plan->number);
  SeerStatus status = seer_path_print(&part, "%s/.pack/%06zu.part", plan->folder, plan->number);
  if (status == SEER_OK) status = seer_path_print(&temporary, "%s/.pack/%s", plan->folder, name);
  if (status == SEER_OK) status = seer_path_print(&tar, "%s/%s", plan->folder, name);
  if (status != SEER_OK) return status;
  Found found = {tar.text, false};
  if (data_part_read(part.text, found_check, &found, &whole) == SEER_OK && found.fits) {
    data_progress_add(progress, plan->count, 0);
    return SEER_OK;
  }
  ShardWork work = {.plan = plan, .file = {.fd = -1}};
  SeerHash hash;
  status = shard_fill(&work, temporary.text, &hash, progress);
  if (status == SEER_OK) status = shard_commit(&work, name, part.text, temporary.text, tar.text, &hash);
  if (status != SEER_OK) unlink(temporary.text);
  data_part_release(&work.part);
  data_part_release(&work.rows);
  seer_picture_release(&work.picture);
  writer_release(&work.members);
  writer_release(&work.json);
  return status;
}
