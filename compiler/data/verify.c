// Looks at all of it, side by side; faults are sorted before they are told.
#include "compiler/data/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "compiler/data/jobs.h"
#include "compiler/data/list.h"
#include "compiler/data/samples.h"
#include "compiler/data/facts.h"
#include "runtime/data/decode.h"
#include "runtime/data/picture_set.h"
#include "runtime/data/tar.h"
#include "runtime/files.h"

#define VERIFY_MAX_PIXELS ((int64_t)1 << 26)  // data.max_pixels unless a spec says other
enum { PICTURES_A_JOB = 64 };

typedef struct Fault {
  uint64_t order;  // shards first, then pictures
  char *text;
} Fault;

typedef struct Verify {
  const SeerIndex *index;
  int64_t shards, pictures;
  Fault *faults;
  uint64_t kept, count;
  bool no_memory;
  SeerPictureSet places;  // hashes of (shard, offset, bytes) of the members of all archives
  uint8_t *is_archive;    // by shard
  SeerPicture *scratch;   // by worker
  DataProgress progress;
} Verify;

static void fault_add(Verify *verify, uint64_t order, const char *where, const char *what) {
  Writer text = {0};
  data_plain_text(&text, where, strlen(where));
  writer_text(&text, ": ");
  writer_text(&text, what);
  pthread_mutex_lock(&verify->progress.lock);
  verify->count++;
  if (verify->kept < DATA_FAULTS_SHOWN) {
    verify->faults[verify->kept++] = (Fault){order, text.text};
    text = (Writer){0};
  }
  pthread_mutex_unlock(&verify->progress.lock);
  writer_release(&text);
}

// ---- shards ----

static int64_t place_hash(int64_t shard, uint64_t offset, uint64_t bytes) {
  uint64_t numbers[] = {(uint64_t)shard, offset, bytes};
  return (int64_t)(XXH3_64bits(numbers, sizeof numbers) >> 2);
}

typedef struct ShardVisit {
  Verify *verify;
  int64_t shard;
} ShardVisit;

static SeerStatus member_note(void *context, int file, const SeerTarMember *member) {
  (void)file;
  const ShardVisit *visit = context;
  Verify *verify = visit->verify;
  bool fresh;
  pthread_mutex_lock(&verify->progress.lock);
  verify->no_memory |=
      !seer_picture_set_add(&verify->places, place_hash(visit->shard, member->content, member->size), &fresh);
  pthread_mutex_unlock(&verify->progress.lock);
  return SEER_OK;
}

// What the walk records as an error is a fault here: the record is this thread's own meanwhile.
static void archive_verify(Verify *verify, int64_t shard, const char *path) {
  char error[SEER_ERROR_BYTES];
  ShardVisit visit = {verify, shard};
  seer_error_keep(error);
  SeerStatus status = seer_tar_walk(path, member_note, &visit, NULL);
  error[strcspn(error, "\n")] = '\0';
  if (status != SEER_OK) fault_add(verify, (uint64_t)shard, path, error);
  seer_error_keep(NULL);
}

static bool is_archive(const char *path) {
  char magic[5];
  SeerBuffer start = {0};
  const char *reason;
  bool found = data_place_read(&(DataPlace){path, 257, sizeof magic}, sizeof magic, &start, &reason) &&
               memcmp(start.bytes, "ustar", sizeof magic) == 0;
  seer_buffer_release(&start);
  return found;
}

static void shard_verify(Verify *verify, int64_t shard) {
  char path[2 * SEER_INDEX_NAME_MAX], hex[33], what[128];
  struct stat info;
  SeerHash hash;
  if (!seer_index_shard_path(verify->index, shard, path, sizeof path)) return;
  if (stat(path, &info) != 0) {
    snprintf(what, sizeof what, "cannot be read: %s", strerror(errno));
    fault_add(verify, (uint64_t)shard, path, what);
    return;
  }
  if (!S_ISREG(info.st_mode)) {
    fault_add(verify, (uint64_t)shard, path, "is no file");
    return;
  }
  if ((uint64_t)info.st_size != seer_index_shard_bytes(verify->index, shard)) {
    snprintf(what, sizeof what, "has %lld bytes, the index says %llu", (long long)info.st_size,
             (unsigned long long)seer_index_shard_bytes(verify->index, shard));
    fault_add(verify, (uint64_t)shard, path, what);
  } else if (seer_index_shard_hash(verify->index, shard, hex)) {
    char error[SEER_ERROR_BYTES];
    seer_error_keep(error);
    SeerStatus status = seer_file_hash(path, &hash);
    seer_error_keep(NULL);
    if (status != SEER_OK)
      fault_add(verify, (uint64_t)shard, path, "cannot be read to its end");
    else if (strcmp(hash.hex, hex) != 0)
      fault_add(verify, (uint64_t)shard, path, "its bytes are not those that were indexed");
  }
  verify->is_archive[shard] = is_archive(path);
  if (verify->is_archive[shard]) archive_verify(verify, shard, path);
}

// ---- pictures ----

static const char *picture_fault(Verify *verify, const SeerIndexEntry *entry, const char *path, SeerPicture *scratch) {
  const char *reason = NULL;
  DataPlace place = {path, entry->offset, entry->bytes};
  if (!data_place_read(&place, SEER_MAX_FILE_BYTES, &scratch->file, &reason)) return reason;
  if (entry->hash != 0 && XXH3_64bits(scratch->file.bytes, entry->bytes) != entry->hash)
    return "its bytes are not those that were indexed";
  int64_t hash = place_hash(entry->shard, entry->offset, entry->bytes);
  bool lies = entry->is_whole_file || !verify->is_archive[entry->shard] ||
              (verify->places.slot_count > 0 &&
               *seer_picture_set_slot(verify->places.slots, verify->places.slot_count, hash) != 0);
  if (!lies) return "no member of its shard lies where the index says";
  int width, height;
  if (entry->width != 0 && (!seer_picture_size(scratch->file.bytes, entry->bytes, &width, &height) ||
                            width != entry->width || height != entry->height))
    return "has another width or height than the index says";
  return seer_decode(scratch->file.bytes, entry->bytes, VERIFY_MAX_PIXELS, scratch, &reason) ? NULL : reason;
}

static void picture_verify(Verify *verify, int64_t picture, SeerPicture *scratch) {
  uint64_t order = (uint64_t)verify->shards + (uint64_t)picture;
  char path[2 * SEER_INDEX_NAME_MAX], where[3 * SEER_INDEX_NAME_MAX + 64];
  SeerIndexEntry entry;
  snprintf(where, sizeof where, "%s#%" PRId64, seer_index_path(verify->index), picture);
  const char *name = seer_index_entry(verify->index, picture, &entry) &&
                             seer_index_shard_path(verify->index, entry.shard, path, sizeof path)
                         ? seer_index_name(verify->index, &entry)
                         : NULL;
  if (name == NULL) {
    fault_add(verify, order, where, "its entry in the index is damaged");
    return;
  }
  const char *fault = picture_fault(verify, &entry, path, scratch);
  if (entry.is_whole_file)
    snprintf(where, sizeof where, "%s", path);
  else
    snprintf(where, sizeof where, "%s:%.*s", path, entry.name_length, name);
  if (fault != NULL) fault_add(verify, order, where, fault);
  data_progress_add(&verify->progress, 1, entry.bytes);
}

static SeerStatus shard_job(void *context, size_t job, int worker) {
  (void)worker;
  shard_verify(context, (int64_t)job);
  return SEER_OK;
}

static SeerStatus pictures_job(void *context, size_t job, int worker) {
  Verify *verify = context;
  int64_t first = (int64_t)job * PICTURES_A_JOB, end = first + PICTURES_A_JOB;
  for (int64_t i = first; i < end && i < verify->pictures; i++) picture_verify(verify, i, &verify->scratch[worker]);
  return SEER_OK;
}

static int fault_compare(const void *a, const void *b) {
  const Fault *one = a, *other = b;
  if (one->order != other->order) return one->order < other->order ? -1 : 1;
  return strcmp(one->text, other->text);
}

static void index_verify(Verify *verify, Writer *out) {
  char error[SEER_ERROR_BYTES];
  seer_error_keep(error);
  SeerStatus status = seer_index_verify(verify->index);
  seer_error_keep(NULL);
  if (status == SEER_OK) return;
  error[strcspn(error, "\n")] = '\0';
  writer_printf(out, "%s\n", error);
  verify->count++;
}

static SeerStatus all_verify(Verify *verify, int jobs, Writer *out) {
  index_verify(verify, out);
  uint64_t of_index = verify->count;
  SeerStatus status = data_jobs_run(jobs, (size_t)verify->shards, shard_job, verify);
  size_t count = (size_t)((verify->pictures + PICTURES_A_JOB - 1) / PICTURES_A_JOB);
  if (status == SEER_OK) status = data_jobs_run(jobs, count, pictures_job, verify);
  qsort(verify->faults, verify->kept, sizeof *verify->faults, fault_compare);
  for (uint64_t i = 0; i < verify->kept; i++) writer_printf(out, "%s\n", verify->faults[i].text);
  uint64_t more = verify->count - of_index - verify->kept;
  if (more > 0) writer_printf(out, "and %" PRIu64 " more faults\n", more);
  return status == SEER_OK && verify->no_memory ? seer_fail(SEER_MACHINE, "out of memory for the members of archives")
                                                : status;
}

SeerStatus data_verify(const SeerIndex *index, int jobs, Writer *out, uint64_t *faults) {
  Verify verify = {.index = index,
                   .shards = seer_index_shard_count(index),
                   .pictures = seer_index_count(index),
                   .faults = calloc(DATA_FAULTS_SHOWN, sizeof(Fault)),
                   .is_archive = calloc((size_t)seer_index_shard_count(index) + 1, 1),
                   .scratch = calloc((size_t)jobs, sizeof(SeerPicture))};
  SeerStatus status = SEER_OK;
  data_progress_begin(&verify.progress, "verifying", (uint64_t)verify.pictures);
  if (verify.faults == NULL || verify.is_archive == NULL || verify.scratch == NULL)
    status = seer_fail(SEER_MACHINE, "out of memory to verify pictures");
  if (status == SEER_OK) status = all_verify(&verify, jobs, out);
  data_progress_end(&verify.progress);
  for (uint64_t i = 0; i < verify.kept; i++) free(verify.faults[i].text);
  for (int i = 0; verify.scratch != NULL && i < jobs; i++) seer_picture_release(&verify.scratch[i]);
  free(verify.scratch);
  free(verify.faults);
  free(verify.is_archive);
  free(verify.places.slots);
  *faults = verify.count;
  return status;
}
