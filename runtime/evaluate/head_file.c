// Heads as files; see probe.h. The names are those of a PyTorch module with `norm` and `linear`.
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/evaluate/probe.h"
#include "runtime/json_text.h"
#include "runtime/safetensors.h"

enum { TENSORS = 6 };

static const char *const tensor_names[TENSORS] = {"norm.weight",      "norm.bias",     "norm.running_mean",
                                                  "norm.running_var", "linear.weight", "linear.bias"};

static float *tensor_of(const SeerHead *head, int i) {
  float *const tensors[TENSORS] = {head->gamma, head->beta, head->mean, head->variance, head->weight, head->bias};
  return tensors[i];
}

SeerStatus seer_head_save(const SeerHead *head, const SeerLayer *layer, const SeerFeatureTable *table,
                          const char *path) {
  char *label_names = seer_table_label_names(table);
  SeerToStore tensors[TENSORS];
  for (int i = 0; i < TENSORS; i++) {
    int64_t rows = i < 4 ? head->channels : head->classes;
    tensors[i] = (SeerToStore){{.name = tensor_names[i],
                                .dtype = SEER_DTYPE_F32,
                                .rank = i == 4 ? 2 : 1,
                                .size = {rows, i == 4 ? seer_head_width(head) : 0}},
                               tensor_of(head, i)};
  }
  SeerMetadata metadata[] = {{"format", "pt"},
                             {"kind", "seer linear head"},
                             {"layer", layer->name},
                             {"program", table->program},
                             {"network", table->network},
                             {"label_names", label_names ? label_names : "[]"}};
  uint64_t bytes = 0;
  SeerPath temporary;
  SeerStatus status = label_names ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to write '%s'", path);
  if (!status) status = seer_path_print(&temporary, "%s.tmp", path);
  if (!status) {
    unlink(temporary.text);
    status = seer_safetensors_write(temporary.text, tensors, TENSORS, metadata, 6, &bytes, NULL);
    if (!status && rename(temporary.text, path) != 0) status = seer_fail(SEER_MACHINE, "cannot rename to '%s'", path);
    if (status) unlink(temporary.text);
  }
  free(label_names);
  return status;
}

static SeerStatus no_head(const char *path, const char *why) {
  return seer_fail(SEER_INPUT, "'%s' is no head: %s\nnote: `probe --out` writes one", path, why);
}

static SeerStatus label_names_read(const char *path, const SeerSafetensors *stored, SeerHeadFile *file) {
  const char *text = seer_safetensors_metadata(stored, "label_names");
  int count = 0;
  SeerStatus status = text ? seer_text_list_read(text, "label_names", path, &file->label_names, &count) : SEER_OK;
  if (status || count == file->head.classes) return status;
  for (int i = 0; i < count; i++) free(file->label_names[i]);
  free(file->label_names);
  file->label_names = NULL;
  return no_head(path, "'label_names' does not name its classes");
}

static void metadata_copy(const SeerSafetensors *file, const char *key, char *text, size_t bytes) {
  const char *value = seer_safetensors_metadata(file, key);
  snprintf(text, bytes, "%s", value ? value : "");
}

static SeerStatus tensors_read(const char *path, const SeerSafetensors *stored, SeerHead *head) {
  for (int i = 0; i < TENSORS; i++) {
    const SeerStored *tensor = seer_safetensors_find(stored, tensor_names[i]);
    int64_t rows = i < 4 ? head->channels : head->classes, count = i == 4 ? rows * seer_head_width(head) : rows;
    if (!tensor || seer_stored_count(tensor) != (uint64_t)count)
      return seer_fail(SEER_INPUT, "'%s' is no head: '%s' is missing or of another length than %lld", path,
                       tensor_names[i], (long long)count);
    SeerStatus status = seer_safetensors_read_floats(stored, tensor, 0, (uint64_t)count, tensor_of(head, i));
    if (status) return status;
    for (int64_t j = 0; j < count; j++) {
      float value = tensor_of(head, i)[j];
      if (!isfinite(value) || (i == 3 && value < 0))
        return seer_fail(SEER_INPUT, "'%s' of '%s' has a number that cannot be: %g", tensor_names[i], path,
                         (double)value);
    }
  }
  return SEER_OK;
}

SeerStatus seer_head_load(const char *path, SeerHeadFile *file) {
  *file = (SeerHeadFile){.head = {.classes = 0}};
  SeerSafetensors *stored = NULL;
  SeerStatus status = seer_safetensors_open(path, &stored);
  if (status) return status;
  const SeerStored *weight = seer_safetensors_find(stored, "linear.weight");
  const SeerStored *norm = seer_safetensors_find(stored, "norm.weight");
  int64_t width = weight && weight->rank == 2 ? weight->size[1] : 0;
  int64_t channels = norm && norm->rank == 1 ? norm->size[0] : 0;
  if (width < 1 || weight->size[0] < 1 || weight->size[0] > INT32_MAX || channels < 1 || width % channels ||
      width > INT32_MAX)
    status = no_head(path, "'linear.weight' is not [classes, width], or 'norm.weight' not [channels]");
  if (!status) {
    status = seer_head_make(&file->head, (int)channels, (int)(width / channels), (int)weight->size[0], 0);
    metadata_copy(stored, "layer", file->layer, sizeof file->layer);
    metadata_copy(stored, "program", file->program, sizeof file->program);
    metadata_copy(stored, "network", file->network, sizeof file->network);
  }
  if (!status) status = tensors_read(path, stored, &file->head);
  if (!status) status = label_names_read(path, stored, file);
  seer_safetensors_close(stored);
  if (status) seer_head_file_release(file);
  return status;
}

void seer_head_file_release(SeerHeadFile *file) {
  for (int i = 0; file->label_names && i < file->head.classes; i++) free(file->label_names[i]);
  free(file->label_names);
  seer_head_release(&file->head);
  *file = (SeerHeadFile){.label_names = NULL};
}
