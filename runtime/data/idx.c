// IDX files (the format of MNIST): two zero bytes, type, number of dimensions, big-endian sizes, then the values.
// Read whole into memory, plain or gzip; u8 values only: pictures [N][H][W] or [N][H][W][1 or 3], labels [N].
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "runtime/data/catalogue.h"

enum { IDX_U8 = 8, IDX_MAX_DIMENSIONS = 4, IDX_MAX_SIDE = 16384 };

bool seer_idx_is(const uint8_t *bytes, size_t count) {
  return count >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 8 && bytes[2] <= 14 && bytes[3] >= 1 &&
         bytes[3] <= 4;
}

static SeerStatus idx_cut_off(const char *path) {
  return seer_fail(SEER_INPUT, "'%s' is cut off\nnote: copy or download the file again", path);
}

// gzread hands out plain files as they are.
static SeerStatus read_exactly(gzFile file, const char *path, uint8_t *bytes, uint64_t count) {
  while (count > 0) {
    unsigned chunk = count > 1u << 20 ? 1u << 20 : (unsigned)count;
    int got = gzread(file, bytes, chunk);
    if (got < 0) {
      int code = 0;
      return seer_fail(SEER_INPUT, "cannot read '%s': %s\nnote: copy or download the file again", path,
                       gzerror(file, &code));
    }
    if (got == 0) { return idx_cut_off(path); }
    bytes += got;
    count -= (uint64_t)got;
  }
  return SEER_OK;
}

static SeerStatus read_header(gzFile file, const char *path, int *dimensions, uint32_t sizes[IDX_MAX_DIMENSIONS]) {
  uint8_t header[4], size[4];
  SeerStatus status = read_exactly(file, path, header, sizeof header);
  if (status != SEER_OK) { return status; }
  if (!seer_idx_is(header, sizeof header)) {
    return seer_fail(SEER_INPUT, "'%s' is no IDX file\nnote: an IDX file starts with two zero bytes and a type", path);
  }
  if (header[2] != IDX_U8) {
    return seer_fail(SEER_INPUT,
                     "'%s' holds values of type 0x%02x\nnote: seer reads IDX files of unsigned bytes (type 0x08)", path,
                     header[2]);
  }
  *dimensions = header[3];
  for (int i = 0; i < *dimensions; i++) {
    status = read_exactly(file, path, size, sizeof size);
    if (status != SEER_OK) { return status; }
    sizes[i] = (uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 | size[3];
  }
  return SEER_OK;
}

// A header may promise anything; deflate packs at most 1032 to 1, so the file's own size bounds what can follow.
static SeerStatus read_values(gzFile file, const char *path, uint64_t count, uint8_t **values) {
  struct stat info;
  if (stat(path, &info) != 0) { return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno)); }
  if (count > (uint64_t)info.st_size * 1032) { return idx_cut_off(path); }
  *values = malloc(count + SEER_BUFFER_PADDING);
  if (*values == NULL) { return seer_no_memory(path); }
  memset(*values + count, 0, SEER_BUFFER_PADDING);
  SeerStatus status = read_exactly(file, path, *values, count);
  uint8_t more;
  if (status == SEER_OK && gzread(file, &more, 1) != 0) {
    status = seer_fail(SEER_INPUT,
                       "'%s' is longer than its header says, or damaged\nnote: copy or download the file again", path);
  }
  if (status != SEER_OK) {
    free(*values);
    *values = NULL;
  }
  return status;
}

static SeerStatus idx_read(const char *path, int *dimensions, uint32_t sizes[IDX_MAX_DIMENSIONS], uint8_t **values) {
  gzFile file = gzopen(path, "rb");
  if (file == NULL) { return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno)); }
  SeerStatus status = read_header(file, path, dimensions, sizes);
  uint64_t count = 1;
  for (int i = 0; status == SEER_OK && i < *dimensions; i++) {
    if (__builtin_mul_overflow(count, (uint64_t)sizes[i], &count) || count > UINT64_MAX / 2) {
      status = idx_cut_off(path);
    }
  }
  if (status == SEER_OK) { status = read_values(file, path, count, values); }
  gzclose(file);
  return status;
}

static bool shape_is_pictures(int dimensions, const uint32_t *sizes) {
  return dimensions >= 3 && sizes[1] >= 1 && sizes[1] <= IDX_MAX_SIDE && sizes[2] >= 1 && sizes[2] <= IDX_MAX_SIDE &&
         (dimensions == 3 || sizes[3] == 1 || sizes[3] == 3);
}

static SeerStatus idx_add_items(SeerSource *source, int32_t index, uint32_t count) {
  const char *path = source->containers[index].path;
  size_t room = strlen(path) + 16;
  char *name = malloc(room);
  SeerStatus status = name != NULL ? SEER_OK : seer_no_memory("the names of pictures");
  for (uint32_t i = 0; status == SEER_OK && i < count; i++) {
    int length = snprintf(name, room, "%s#%u", path, i);
    SeerItem item = {
        .name = seer_catalogue_string(source, name, (size_t)length), .offset = i, .container = index, .label = -1};
    status = item.name != NULL ? seer_catalogue_item(source, item) : SEER_MACHINE;
  }
  free(name);
  return status;
}

SeerStatus seer_idx_images(SeerSource *source, const char *path) {
  int dimensions = 0;
  uint32_t sizes[IDX_MAX_DIMENSIONS] = {0};
  SeerContainer container = {.kind = SEER_IDX};
  SeerStatus status = idx_read(path, &dimensions, sizes, &container.pixels);
  if (status != SEER_OK) { return status; }
  container.path = seer_catalogue_string(source, path, strlen(path));
  if (!shape_is_pictures(dimensions, sizes)) {
    status = seer_fail(SEER_INPUT,
                       "'%s' holds no pictures: it has %d dimension%s%s\nnote: pictures are [N][H][W] or "
                       "[N][H][W][1 or 3]; a file of labels belongs in data.labels",
                       path, dimensions, dimensions == 1 ? "" : "s", dimensions >= 3 ? " of other sizes" : "");
  }
  int32_t index = 0;
  if (status == SEER_OK) {
    container.height = (int)sizes[1];
    container.width = (int)sizes[2];
    container.channels = dimensions == 4 ? (int)sizes[3] : 1;
    status = container.path != NULL ? seer_catalogue_container(source, container, &index) : SEER_MACHINE;
  }
  if (status != SEER_OK) {
    free(container.pixels);
    return status;
  }
  return idx_add_items(source, index, sizes[0]);
}

SeerStatus seer_idx_labels(SeerSource *source, const char *path) {
  int dimensions = 0;
  uint32_t sizes[IDX_MAX_DIMENSIONS] = {0};
  uint8_t *values = NULL;
  SeerStatus status = idx_read(path, &dimensions, sizes, &values);
  if (status != SEER_OK) { return status; }
  if (dimensions != 1) {
    status = seer_fail(SEER_INPUT, "'%s' holds no labels: it has %d dimensions, labels have 1", path, dimensions);
  } else if ((int64_t)sizes[0] != source->count) {
    status = seer_fail(SEER_INPUT,
                       "'%s' holds %u labels, the data set has %lld pictures\nnote: data.labels must belong to "
                       "data.pictures",
                       path, sizes[0], (long long)source->count);
  }
  uint8_t largest = 0;
  for (int64_t i = 0; status == SEER_OK && i < source->count; i++) {
    largest = values[i] > largest ? values[i] : largest;
    source->items[i].label = values[i];
  }
  source->label_count = 0;
  free(source->label_slots);
  source->label_slots = NULL;
  source->slot_count = 0;
  for (int label = 0; status == SEER_OK && source->count > 0 && label <= largest; label++) {
    char name[8];
    int length = snprintf(name, sizeof name, "%d", label);
    int32_t index = 0;
    status = seer_catalogue_label(source, name, (size_t)length, &index);
  }
  free(values);
  return status;
}
