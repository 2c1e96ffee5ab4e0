// The manifest of a snapshot; see manifest.h.
#include "runtime/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/monitor.h"

// Format 1 was of one rank and did not say so.
enum { MANIFEST_FORMAT = 2, MANIFEST_BYTES_MAX = 16 << 20, RANKS_MAX = 99999 };

const char seer_manifest_name[] = "manifest.json";

static const char *file_name(char name[64], int rank, int ranks) {
  if (ranks == 1) return "model.safetensors";
  snprintf(name, 64, "model-%05d-of-%05d.safetensors", rank + 1, ranks);
  return name;
}

SeerStatus seer_manifest_file(const char *folder, int rank, int ranks, SeerPath *path) {
  char name[64];
  return seer_path_print(path, "%s/%s", folder, file_name(name, rank, ranks));
}

// For messages: whose file it is, where there are several.
static const char *rank_text(char text[32], int rank, int ranks) {
  text[0] = '\0';
  if (ranks > 1) snprintf(text, 32, " of rank %d", rank);
  return text;
}

static json_t *file_pack(const SeerSnapshotFile *file) {
  return json_pack("{s:I, s:s}", "bytes", (json_int_t)file->bytes, "xxh3_128", file->hash.hex);
}

static json_t *files_pack(const SeerSnapshotFile *files, int ranks) {
  json_t *object = json_object();
  for (int rank = 0; rank < ranks; rank++) {
    char name[64];
    json_object_set_new(object, file_name(name, rank, ranks), file_pack(&files[rank]));
  }
  return object;
}

static SeerStatus text_write(const char *folder, const char *name, const char *text, SeerSnapshotFile *written) {
  SeerPath path;
  SeerFile file = {.fd = -1};
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, name);
  if (!status) status = seer_file_create(&file, path.text);
  if (!status) status = seer_file_write(&file, text, strlen(text));
  written->bytes = file.bytes;
  return seer_file_finish(&file, status, &written->hash);
}

SeerStatus seer_manifest_write(const SeerProgram *program, const SeerSnapshot *snapshot, const SeerSnapshotFile *files,
                               const char *folder) {
  char model[17], seed[24];
  SeerSnapshotFile monitor = {.bytes = 0}, written;
  SeerStatus status =
      snapshot->monitor ? text_write(folder, SEER_MONITOR_NAME, snapshot->monitor, &monitor) : SEER_OK;
  if (status) return status;
  snprintf(model, sizeof model, "%016" PRIx64, program->model_hash);
  snprintf(seed, sizeof seed, "%" PRIu64, snapshot->seed);
  json_t *manifest =
      json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:i, s:o}", "format", MANIFEST_FORMAT, "program",
                program->name, "seer", program->seer_version, "model_hash", model, "step", (json_int_t)snapshot->step,
                "steps", (json_int_t)snapshot->steps, "position", (json_int_t)snapshot->position, "seed", seed, "ranks",
                snapshot->ranks, "files", files_pack(files, snapshot->ranks));
  if (manifest && snapshot->loss_scale.scale > 0)
    json_object_set_new(manifest, "loss_scale",
                        json_pack("{s:f, s:I}", "scale", snapshot->loss_scale.scale, "steps",
                                  (json_int_t)snapshot->loss_scale.steps));
  if (manifest && monitor.bytes) json_object_set_new(manifest, "monitor", file_pack(&monitor));
  char *text = manifest ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
  json_decref(manifest);
  if (!text) return seer_fail(SEER_MACHINE, "no memory to write a manifest");
  status = text_write(folder, seer_manifest_name, text, &written);
  free(text);
  return status;
}

static bool file_unpack(json_t *entry, SeerSnapshotFile *file) {
  json_int_t bytes = -1;
  const char *hash = "";
  if (!entry || json_unpack(entry, "{s:I, s:s}", "bytes", &bytes, "xxh3_128", &hash) != 0 || bytes < 0 ||
      strlen(hash) != 32)
    return false;
  file->bytes = (uint64_t)bytes;
  snprintf(file->hash.hex, sizeof file->hash.hex, "%s", hash);
  return true;
}

static SeerStatus files_unpack(const json_t *files, const char *path, SeerManifest *manifest) {
  int ranks = manifest->snapshot.ranks;
  if (!json_is_object(files) || json_object_size(files) != (size_t)ranks)
    return seer_fail(SEER_INPUT, "'%s' is damaged: it does not name one file for each of %d ranks", path, ranks);
  manifest->files = calloc((size_t)ranks, sizeof *manifest->files);
  if (!manifest->files) return seer_fail(SEER_MACHINE, "no memory to read '%s'", path);
  for (int rank = 0; rank < ranks; rank++) {
    char name[64];
    if (!file_unpack(json_object_get(files, file_name(name, rank, ranks)), &manifest->files[rank]))
      return seer_fail(SEER_INPUT, "'%s' is damaged: it lacks bytes and hash of '%s'", path,
                       file_name(name, rank, ranks));
  }
  return SEER_OK;
}

static SeerStatus manifest_unpack(json_t *root, const char *path, SeerManifest *manifest) {
  int format = 0, ranks = 1;
  json_int_t step = 0, steps = 0, position = 0, scale_steps = 0;
  double scale = 0;
  const char *program = NULL, *model = NULL, *seed = NULL;
  json_t *files = NULL;
  if (json_unpack(root, "{s:i, s:s, s:s, s:I, s:I, s:I, s:s, s?:i, s:o, s?:{s:f, s:I}}", "format", &format, "program",
                  &program,
                  "model_hash", &model, "step", &step, "steps", &steps, "position", &position, "seed", &seed, "ranks",
                  &ranks, "files", &files, "loss_scale", "scale", &scale, "steps", &scale_steps) != 0) {
    return seer_fail(SEER_INPUT, "'%s' is damaged: it lacks entries of a manifest", path);
  }
  if (format < 1 || format > MANIFEST_FORMAT) {
    return seer_fail(SEER_INPUT, "'%s' has format %d, this trainer reads format %d", path, format, MANIFEST_FORMAT);
  }
  bool scale_is_sound = scale == 0 || (scale >= 1 && scale <= SEER_LOSS_SCALE_MOST && scale_steps >= 0);
  if (step < 0 || position < 0 || ranks < 1 || ranks > RANKS_MAX || !scale_is_sound) {
    return seer_fail(SEER_INPUT, "'%s' is damaged: its entries make no sense", path);
  }
  manifest->snapshot = (SeerSnapshot){
      .step = step, .steps = steps, .position = position, .seed = strtoull(seed, NULL, 10), .ranks = ranks,
      .loss_scale = {scale, scale_steps}};
  snprintf(manifest->program, sizeof manifest->program, "%s", program);
  manifest->model_hash = strtoull(model, NULL, 16);
  json_t *monitor = json_object_get(root, "monitor");
  if (monitor && !file_unpack(monitor, &manifest->monitor))
    return seer_fail(SEER_INPUT, "'%s' is damaged: it lacks bytes and hash of '%s'", path, SEER_MONITOR_NAME);
  return files_unpack(files, path, manifest);
}

// `whose`: " of rank 3", or nothing.
static SeerStatus size_check(const SeerSnapshotFile *file, const char *path, const char *whose) {
  struct stat info;
  if (stat(path, &info) != 0) return seer_fail(SEER_INPUT, "cannot read '%s'%s: %s", path, whose, strerror(errno));
  if ((uint64_t)info.st_size == file->bytes) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s'%s is damaged: it has %lld bytes, %llu were written", path, whose,
                   (long long)info.st_size, (unsigned long long)file->bytes);
}

static SeerStatus hash_check(const SeerSnapshotFile *file, const char *path, const char *whose) {
  SeerHash hash;
  SeerStatus status = seer_file_hash(path, &hash);
  if (status || strcmp(hash.hex, file->hash.hex) == 0) return status;
  return seer_fail(SEER_INPUT, "'%s'%s is damaged: its content does not match its checksum", path, whose);
}

typedef SeerStatus Check(const SeerSnapshotFile *file, const char *path, const char *whose);

static SeerStatus monitor_check(const SeerManifest *manifest, const char *folder, Check *check) {
  SeerPath path;
  if (manifest->monitor.bytes == 0) return SEER_OK;
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, SEER_MONITOR_NAME);
  return status ? status : check(&manifest->monitor, path.text, "");
}

// Of the file of `rank`; with that of rank 0, of what was counted, too.
static SeerStatus files_check(const SeerManifest *manifest, const char *folder, int rank, Check *check) {
  SeerPath path;
  char whose[32];
  SeerStatus status = seer_manifest_file(folder, rank, manifest->snapshot.ranks, &path);
  if (!status)
    status = check(&manifest->files[rank], path.text, rank_text(whose, rank, manifest->snapshot.ranks));
  return status || rank > 0 ? status : monitor_check(manifest, folder, check);
}

SeerStatus seer_manifest_read(const char *folder, SeerManifest *manifest) {
  SeerPath path;
  char *text = NULL;
  uint64_t bytes = 0;
  *manifest = (SeerManifest){.files = NULL};
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, seer_manifest_name);
  if (!status) status = seer_file_read(path.text, MANIFEST_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_error_t error;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  status = root ? manifest_unpack(root, path.text, manifest)
                : seer_fail(SEER_INPUT, "'%s' is damaged: %s", path.text, error.text);
  json_decref(root);
  free(text);
  for (int rank = 0; rank < manifest->snapshot.ranks && !status; rank++)
    status = files_check(manifest, folder, rank, size_check);
  if (status) seer_manifest_release(manifest);
  return status;
}

SeerStatus seer_manifest_verify(const SeerManifest *manifest, const char *folder, int rank) {
  return files_check(manifest, folder, rank, hash_check);
}

SeerStatus seer_manifest_verify_monitor(const SeerManifest *manifest, const char *folder) {
  return monitor_check(manifest, folder, hash_check);
}

void seer_manifest_release(SeerManifest *manifest) {
  free(manifest->files);
  *manifest = (SeerManifest){.files = NULL};
}
