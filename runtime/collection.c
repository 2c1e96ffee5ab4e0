// Collections of tensors; see collection.h. Nothing is read but headers until elements are asked for.
#include "runtime/collection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct SeerCollection {
  int file_count, count;
  SeerSafetensors **files;
  SeerHeld *held;
};

static uint64_t elements_of(const int64_t *size, int rank) {
  uint64_t count = 1;
  for (int i = 0; i < rank; i++) {
    if (__builtin_mul_overflow(count, (uint64_t)size[i], &count)) return UINT64_MAX;
  }
  return count;
}

// "[64, 3, 3, 3]"; false: no shape.
static bool shape_parse(const char *text, SeerHeld *held) {
  if (*text++ != '[') return false;
  for (held->rank = 0; *text != ']'; held->rank++) {
    char *end = NULL;
    if (held->rank > 0 && (*text++ != ',' || *text++ != ' ')) return false;
    if (held->rank == SEER_STORED_RANK_MAX || *text < '0' || *text > '9') return false;
    held->size[held->rank] = strtoll(text, &end, 10);
    text = end;
  }
  return text[1] == '\0';
}

// Fills `held` when the stored tensor is a piece: its name ends in a range, and the file tells the shape of the whole.
static SeerStatus piece_parse(const SeerSafetensors *file, const SeerStored *stored, SeerHeld *held, bool *is_piece) {
  const char *bracket = strrchr(stored->name, '[');
  uint64_t begin = 0, end = 0;
  int length = 0;
  *is_piece = false;
  if (!bracket || sscanf(bracket, "[%" SCNu64 ":%" SCNu64 "]%n", &begin, &end, &length) != 2 || length == 0 ||
      bracket[length])
    return SEER_OK;
  held->name = strndup(stored->name, (size_t)(bracket - stored->name));
  if (!held->name) return seer_fail(SEER_MACHINE, "no memory for tensor '%s'", stored->name);
  const char *shape = seer_safetensors_metadata(file, held->name);
  if (!shape) return SEER_OK;
  *is_piece = true;
  held->begin = begin;
  held->count = seer_stored_count(stored);
  if (shape_parse(shape, held) && begin < end && end - begin == held->count &&
      end <= elements_of(held->size, held->rank))
    return SEER_OK;
  return seer_fail(SEER_INPUT, "tensor '%.200s' is no sound piece of a tensor of shape '%.100s'", stored->name, shape);
}

static SeerStatus held_make(const SeerSafetensors *file, const SeerStored *stored, SeerHeld *held) {
  bool is_piece = false;
  SeerStatus status = piece_parse(file, stored, held, &is_piece);
  held->file = file;
  held->stored = stored;
  if (status || is_piece) return status;
  free(held->name);
  held->name = strdup(stored->name);
  held->rank = stored->rank;
  memcpy(held->size, stored->size, sizeof held->size);
  held->begin = 0;
  held->count = seer_stored_count(stored);
  return held->name ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for tensor '%s'", stored->name);
}

static int held_compare(const void *a, const void *b) {
  const SeerHeld *x = a, *y = b;
  int names = strcmp(x->name, y->name);
  return names ? names : (x->begin > y->begin) - (x->begin < y->begin);
}

SeerStatus seer_collection_open(const SeerPath *paths, int count, SeerCollection **result) {
  *result = NULL;
  SeerCollection *made = calloc(1, sizeof *made);
  if (made) made->files = calloc((size_t)count, sizeof(SeerSafetensors *));
  SeerStatus status = made && made->files ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", paths->text);
  int held = 0;
  while (!status && made->file_count < count) {
    status = seer_safetensors_open(paths[made->file_count].text, &made->files[made->file_count]);
    if (!status) held += seer_safetensors_count(made->files[made->file_count++]);
  }
  if (!status && !(made->held = calloc((size_t)held + 1, sizeof *made->held)))
    status = seer_fail(SEER_MACHINE, "no memory to read '%s'", paths->text);
  for (int f = 0; f < count && !status; f++) {
    const SeerSafetensors *file = made->files[f];
    for (int i = 0; i < seer_safetensors_count(file) && !status; i++)
      status = held_make(file, seer_safetensors_tensor(file, i), &made->held[made->count++]);
    if (status) status = seer_context(status, "'%s'", paths[f].text);
  }
  if (status) {
    seer_collection_close(made);
    return status;
  }
  qsort(made->held, (size_t)made->count, sizeof *made->held, held_compare);
  *result = made;
  return SEER_OK;
}

void seer_collection_close(SeerCollection *collection) {
  if (!collection) return;
  for (int i = 0; i < collection->count; i++) free(collection->held[i].name);
  for (int i = 0; i < collection->file_count; i++) seer_safetensors_close(collection->files[i]);
  free(collection->held);
  free(collection->files);
  free(collection);
}

const SeerSafetensors *seer_collection_file(const SeerCollection *collection, int index) {
  return collection->files[index];
}

int seer_collection_count(const SeerCollection *collection) { return collection->count; }

const SeerHeld *seer_collection_held(const SeerCollection *collection, int index) { return &collection->held[index]; }

const SeerHeld *seer_collection_find(const SeerCollection *collection, const char *name) {
  int low = 0, high = collection->count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (strcmp(collection->held[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low < collection->count && !strcmp(collection->held[low].name, name) ? &collection->held[low] : NULL;
}

static const SeerHeld *end_of(const SeerCollection *collection) { return collection->held + collection->count; }

SeerStatus seer_collection_check(const SeerCollection *collection, const SeerHeld *first, const char *where) {
  uint64_t reached = 0, whole = elements_of(first->size, first->rank);
  const SeerHeld *held = first;
  for (; held < end_of(collection) && !strcmp(held->name, first->name); held++) {
    if (held->rank != first->rank || memcmp(held->size, first->size, sizeof held->size) != 0)
      return seer_fail(SEER_INPUT, "'%s' is damaged: its files give '%s' different shapes", where, first->name);
    if (held->begin < reached)
      return seer_fail(SEER_INPUT, "'%s' is damaged: it holds '%s' from %" PRIu64 " on twice", where, first->name,
                       held->begin);
    if (held->begin > reached) break;
    reached += held->count;
  }
  if (reached == whole) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' is damaged: of '%s', none of its files holds number %" PRIu64 " of %" PRIu64,
                   where, first->name, reached, whole);
}

SeerStatus seer_collection_read(const SeerCollection *collection, const SeerHeld *first, uint64_t begin, uint64_t count,
                                float *values) {
  SeerStatus status = SEER_OK;
  uint64_t end = begin + count;
  for (const SeerHeld *held = first;
       held < end_of(collection) && held->begin < end && !strcmp(held->name, first->name) && !status; held++) {
    uint64_t from = begin > held->begin ? begin : held->begin;
    uint64_t to = end < held->begin + held->count ? end : held->begin + held->count;
    if (from >= to) continue;
    status =
        seer_safetensors_read_floats(held->file, held->stored, from - held->begin, to - from, values + (from - begin));
  }
  return status;
}
