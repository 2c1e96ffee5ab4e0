// Writing weights; see write.h.
#include "runtime/weights/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/parts.h"
#include "runtime/weights/fit.h"

enum { CHUNK_FLOATS = 1 << 18 };

// [width][3][area], the first and the last channel exchanged.
static void channels_turn(float *values, uint64_t count, uint64_t area) {
  for (uint64_t filter = 0; filter + 3 * area <= count; filter += 3 * area) {
    for (uint64_t i = 0; i < area; i++) {
      float first = values[filter + i];
      values[filter + i] = values[filter + 2 * area + i];
      values[filter + 2 * area + i] = first;
    }
  }
}

static SeerStatus entry_write(const SeerWeightFile *from, const SeerWritten *entry, float *chunk, SeerNotFinite *bad,
                              SeerFile *file) {
  uint64_t count = seer_tensor_count(entry->tensor);
  if (!entry->weight) {
    int64_t step = strtoll(from->step, NULL, 10);
    return seer_file_write(file, &step, sizeof step);
  }
  if (entry->turned && count > CHUNK_FLOATS)
    return seer_fail(SEER_INPUT, "the first layer '%s' of '%s' is too wide to turn its channels", entry->name,
                     from->path.text);
  SeerStatus status = SEER_OK;
  for (uint64_t at = 0; at < count && !status; at += CHUNK_FLOATS) {
    uint64_t floats = count - at < CHUNK_FLOATS ? count - at : CHUNK_FLOATS;
    status = seer_weight_read(from, entry->weight, at, floats, chunk);
    if (status) return status;
    seer_not_finite_look(bad, entry->weight, chunk, floats);
    if (entry->turned) channels_turn(chunk, floats, (uint64_t)(entry->tensor->size[2] * entry->tensor->size[3]));
    status = seer_file_write(file, chunk, floats * sizeof *chunk);
  }
  return status;
}

static SeerToStore *headers_make(const SeerWritten *entries, int count) {
  SeerToStore *stored = calloc((size_t)count + 1, sizeof *stored);
  for (int i = 0; stored && i < count; i++) {
    const SeerWritten *entry = &entries[i];
    bool number = !entry->weight;
    stored[i].tensor = (SeerStored){.name = entry->name,
                                    .dtype = number ? SEER_DTYPE_I64 : SEER_DTYPE_F32,
                                    .rank = number ? 0 : entry->tensor->rank};
    if (!number) memcpy(stored[i].tensor.size, entry->tensor->size, sizeof entry->tensor->size);
  }
  return stored;
}

static SeerStatus file_write(const SeerWeightFile *from, const SeerWritten *entries, int count,
                             const SeerMetadata *metadata, int metadata_count, const char *path, uint64_t *bytes) {
  SeerFile file = {.fd = -1};
  SeerNotFinite bad = {0};
  SeerToStore *stored = headers_make(entries, count);
  float *chunk = malloc(CHUNK_FLOATS * sizeof *chunk);
  SeerStatus status = stored && chunk ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to write '%s'", path);
  if (!status) status = seer_safetensors_create(&file, path, stored, count, metadata, metadata_count);
  for (int i = 0; i < count && !status; i++) status = entry_write(from, &entries[i], chunk, &bad, &file);
  if (!status) status = seer_not_finite_tell(&bad, from->path.text);
  *bytes = file.bytes;
  status = seer_file_finish(&file, status, NULL);
  free(chunk);
  free(stored);
  return status;
}

SeerStatus seer_weights_write(const SeerWeightFile *from, const SeerWritten *entries, int count,
                              const SeerMetadata *metadata, int metadata_count, const char *path, uint64_t *bytes) {
  SeerPath temporary;
  SeerStatus status = seer_path_print(&temporary, "%s.tmp", path);
  if (status) return status;
  unlink(temporary.text);
  status = file_write(from, entries, count, metadata, metadata_count, temporary.text, bytes);
  if (!status && rename(temporary.text, path) != 0)
    status = seer_fail(SEER_MACHINE, "cannot rename '%s' to '%s'", temporary.text, path);
  if (status) unlink(temporary.text);
  return status;
}
