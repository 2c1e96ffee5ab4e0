// Parts of features and the file that they become; see feature_parts.h. A part is a safetensors file of the same
// tensors.
#include "runtime/feature_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/json_text.h"
#include "runtime/safetensors.h"

enum { TENSORS = 4, CHUNK_BYTES = 1 << 20, PART_BYTES_MAX = 64 << 20 };

static const char *const tensor_names[TENSORS] = {"features", "labels", "names", "ids"};

SeerStatus seer_feature_parts_plan(const SeerProgram *program, const char *file, SeerHash key, int width, int64_t total,
                                   int64_t part, SeerFeatureParts *parts) {
  int64_t batch = program->evaluate_batch, row = (int64_t)width * (int64_t)sizeof(float);
  if (part > PART_BYTES_MAX / row) part = PART_BYTES_MAX / row;
  part = part < batch ? batch : part / batch * batch;
  *parts = (SeerFeatureParts){.key = key, .total = total, .part = part, .width = width};
  parts->count = (total + part - 1) / part;
  SeerStatus status = seer_path_print(&parts->file, "%s", file);
  return status ? status : seer_path_print(&parts->folder, "%s.parts", file);
}

static SeerStatus part_path(const SeerFeatureParts *parts, int64_t index, SeerPath *path) {
  return seer_path_print(path, "%s/%08" PRId64, parts->folder.text, index);
}

// Twice: as parts and as the file.
SeerStatus seer_feature_parts_begin(const SeerFeatureParts *parts) {
  SeerStatus status = seer_folder_make(parts->folder.text);
  if (status) return status;
  uint64_t needed = 2 * (uint64_t)parts->total * (uint64_t)parts->width * sizeof(float), held = 0;
  SeerPath path;
  for (int64_t i = 0; i < parts->count && !status; i++) {
    status = part_path(parts, i, &path);
    if (!status && seer_path_exists(path.text)) held += (uint64_t)parts->part * (uint64_t)parts->width * sizeof(float);
  }
  uint64_t room = seer_folder_free_bytes(parts->folder.text);
  needed = needed > held ? needed - held : 0;
  if (status || needed <= room) return status;
  return seer_fail(SEER_MACHINE,
                   "features of %" PRId64
                   " pictures need %.1f MiB on the disk of '%s', as parts and as one file, and "
                   "%.1f MiB are free\nnote: make room, or take fewer pictures with --limit",
                   parts->total, (double)needed / 1048576, parts->file.text, (double)room / 1048576);
}

SeerStatus seer_feature_part_find(const SeerFeatureParts *parts, int64_t index, bool *found) {
  SeerPath path;
  SeerSafetensors *file = NULL;
  *found = false;
  SeerStatus status = part_path(parts, index, &path);
  if (status || !seer_path_exists(path.text)) return status;
  char before[32];
  snprintf(before, sizeof before, "%" PRId64, parts->part);
  if (seer_safetensors_open(path.text, &file) == SEER_OK) {
    const char *key = seer_safetensors_metadata(file, "key"), *part = seer_safetensors_metadata(file, "part");
    *found = key && part && strcmp(key, parts->key.hex) == 0 && strcmp(part, before) == 0 &&
             seer_safetensors_count(file) == TENSORS;
    seer_safetensors_close(file);
  } else {
    seer_error_clear();
  }
  if (*found || unlink(path.text) == 0) return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot remove '%s', which is of other features: %s", path.text, strerror(errno));
}

// One a line, malloc'ed.
static char *names_make(const SeerSource *source, const SeerFeatureSet *set, size_t *bytes) {
  char *text = NULL;
  FILE *stream = open_memstream(&text, bytes);
  for (int64_t i = 0; stream && i < set->count; i++)
    fprintf(stream, "%s\n", seer_source_name(source, set->pictures[i]));
  if (stream && fclose(stream) == 0) return text;
  free(text);
  return NULL;
}

SeerStatus seer_feature_part_write(const SeerFeatureParts *parts, int64_t index, const SeerSource *source,
                                   const SeerFeatureSet *set) {
  SeerPath path, temporary;
  size_t name_bytes = 0;
  char skipped[32], part[32], *names = names_make(source, set, &name_bytes);
  snprintf(skipped, sizeof skipped, "%" PRId64, set->skipped);
  snprintf(part, sizeof part, "%" PRId64, parts->part);
  SeerToStore tensors[TENSORS] = {
      {{.name = tensor_names[0], .dtype = SEER_DTYPE_F32, .rank = 2, .size = {set->count, set->width}},
       set->features[0]},
      {{.name = tensor_names[1], .dtype = SEER_DTYPE_I32, .rank = 1, .size = {set->count}}, set->labels},
      {{.name = tensor_names[2], .dtype = SEER_DTYPE_U8, .rank = 1, .size = {(int64_t)name_bytes}}, names},
      {{.name = tensor_names[3], .dtype = SEER_DTYPE_I64, .rank = 1, .size = {set->count}}, set->pictures},
  };
  SeerMetadata metadata[] = {{"key", parts->key.hex}, {"part", part}, {"skipped", skipped}};
  uint64_t bytes = 0;
  SeerStatus status = names ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for picture names");
  if (!status) status = part_path(parts, index, &path);
  if (!status) status = seer_path_print(&temporary, "%s.tmp", path.text);
  if (!status) {
    unlink(temporary.text);
    status = seer_safetensors_write(temporary.text, tensors, TENSORS, metadata, 3, &bytes, NULL);
    if (!status && rename(temporary.text, path.text) != 0)
      status = seer_fail(SEER_MACHINE, "cannot rename '%s': %s", temporary.text, strerror(errno));
    if (status) unlink(temporary.text);
  }
  free(names);
  return status;
}

typedef struct Joining {
  const SeerFeatureParts *parts;
  unsigned char *chunk;
  SeerFile file;
} Joining;

static SeerStatus part_open(const SeerFeatureParts *parts, int64_t index, SeerSafetensors **file) {
  SeerPath path;
  *file = NULL;
  SeerStatus status = part_path(parts, index, &path);
  if (!status && !seer_path_exists(path.text))
    status = seer_fail(SEER_INPUT,
                       "part %" PRId64
                       " of the features is not there: '%s'\nnote: all ranks must see one "
                       "folder",
                       index, path.text);
  if (!status) status = seer_safetensors_open(path.text, file);
  const SeerStored *rows = status ? NULL : seer_safetensors_find(*file, tensor_names[0]);
  bool sound = rows && rows->rank == 2 && rows->dtype == SEER_DTYPE_F32 && rows->size[1] == parts->width;
  for (int i = 0; i < TENSORS && sound; i++) sound = seer_safetensors_find(*file, tensor_names[i]) != NULL;
  if (!status && !sound)
    status = seer_fail(SEER_INPUT, "'%s' is no part of these features\nnote: remove it, and start again", path.text);
  return status;
}

static SeerStatus totals_add(const SeerSafetensors *file, SeerFeatureTotals *totals) {
  const char *skipped = seer_safetensors_metadata(file, "skipped");
  totals->pictures += seer_safetensors_find(file, tensor_names[0])->size[0];
  totals->name_bytes += seer_safetensors_find(file, tensor_names[2])->size[0];
  if (skipped) totals->skipped += strtoll(skipped, NULL, 10);
  return SEER_OK;
}

static SeerStatus tensor_append(Joining *joining, const SeerSafetensors *file, const SeerStored *tensor) {
  uint64_t size = tensor->end - tensor->begin;
  SeerStatus status = SEER_OK;
  for (uint64_t at = 0; at < size && !status; at += CHUNK_BYTES) {
    uint64_t bytes = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
    status = seer_safetensors_read_range(file, tensor, at, bytes, joining->chunk);
    if (!status) status = seer_file_write(&joining->file, joining->chunk, bytes);
  }
  return status;
}

// One tensor after the other, each from all parts.
static SeerStatus tensors_write(Joining *joining) {
  SeerStatus status = SEER_OK;
  for (int tensor = 0; tensor < TENSORS; tensor++) {
    for (int64_t i = 0; i < joining->parts->count && !status; i++) {
      SeerSafetensors *file = NULL;
      status = part_open(joining->parts, i, &file);
      if (!status) status = tensor_append(joining, file, seer_safetensors_find(file, tensor_names[tensor]));
      seer_safetensors_close(file);
    }
  }
  return status;
}

static SeerStatus file_write(Joining *joining, const SeerProgram *program, const SeerSource *source,
                             const SeerFeatureTotals *totals, const char *path) {
  json_t *labels = json_array();
  for (int i = 0; i < seer_source_label_count(source); i++)
    json_array_append_new(labels, seer_text_pack(seer_source_label_name(source, i)));
  char *label_names = json_dumps(labels, JSON_COMPACT);
  int64_t count = totals->pictures;
  SeerToStore tensors[TENSORS] = {
      {{.name = tensor_names[0], .dtype = SEER_DTYPE_F32, .rank = 2, .size = {count, joining->parts->width}}, NULL},
      {{.name = tensor_names[1], .dtype = SEER_DTYPE_I32, .rank = 1, .size = {count}}, NULL},
      {{.name = tensor_names[2], .dtype = SEER_DTYPE_U8, .rank = 1, .size = {totals->name_bytes}}, NULL},
      {{.name = tensor_names[3], .dtype = SEER_DTYPE_I64, .rank = 1, .size = {count}}, NULL},
  };
  char network[32];
  snprintf(network, sizeof network, "%016llx", (unsigned long long)program->model_hash);
  SeerMetadata metadata[] = {{"format", "pt"},
                             {"program", program->name},
                             {"network", network},
                             {"label_names", label_names ? label_names : "[]"}};
  SeerStatus status = seer_safetensors_create(&joining->file, path, tensors, TENSORS, metadata, 4);
  if (!status) status = tensors_write(joining);
  free(label_names);
  json_decref(labels);
  return seer_file_finish(&joining->file, status, NULL);
}

SeerStatus seer_feature_parts_join(const SeerFeatureParts *parts, const SeerProgram *program, const SeerSource *source,
                                   SeerFeatureTotals *totals) {
  SeerPath temporary;
  Joining joining = {.parts = parts, .chunk = malloc(CHUNK_BYTES), .file = {.fd = -1}};
  *totals = (SeerFeatureTotals){0};
  SeerStatus status = joining.chunk ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to write '%s'", parts->file.text);
  for (int64_t i = 0; i < parts->count && !status; i++) {
    SeerSafetensors *file = NULL;
    status = part_open(parts, i, &file);
    if (!status) status = totals_add(file, totals);
    seer_safetensors_close(file);
  }
  if (!status && totals->pictures == 0)
    status = seer_fail(SEER_INPUT, "none of %" PRId64 " pictures could be decoded", totals->skipped);
  if (!status) status = seer_path_print(&temporary, "%s.tmp", parts->file.text);
  if (!status) {
    unlink(temporary.text);
    status = file_write(&joining, program, source, totals, temporary.text);
    if (!status && rename(temporary.text, parts->file.text) != 0)
      status = seer_fail(SEER_MACHINE, "cannot rename '%s' to '%s'", temporary.text, parts->file.text);
    if (status) unlink(temporary.text);
  }
  free(joining.chunk);
  return status ? status : seer_folder_remove(parts->folder.text);
}
