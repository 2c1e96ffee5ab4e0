// Reading sets of pictures with texts, and finding their features; see memes.h.
#include "runtime/evaluate/memes.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/lines.h"

static SeerStatus item_read(const SeerLines *lines, const json_t *object, bool labels, SeerMeme *item) {
  const json_t *picture = json_object_get(object, "img"), *text = json_object_get(object, "text");
  const json_t *label = json_object_get(object, "label");
  *item = (SeerMeme){.label = -1};
  if (!json_is_string(picture) || !*json_string_value(picture))
    return seer_lines_fail(lines, "has no 'img', the picture's path");
  if (!json_is_string(text)) return seer_lines_fail(lines, "has no 'text'");
  if (label && !json_is_null(label)) {
    if (!json_is_integer(label) || json_integer_value(label) < 0 || json_integer_value(label) > 1)
      return seer_lines_fail(lines, "has a 'label' that is neither 0 nor 1");
    item->label = (int32_t)json_integer_value(label);
  } else if (labels) {
    return seer_lines_fail(lines, "has no 'label', and heads are trained and judged by it");
  }
  item->id = seer_key_of(json_object_get(object, "id"));
  if (!item->id) return seer_lines_fail(lines, "has no 'id', a number or text");
  item->picture = strdup(json_string_value(picture));
  item->text = strdup(json_string_value(text));
  return item->picture && item->text ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", lines->reader.path);
}

static SeerStatus items_read(SeerLines *lines, bool labels, SeerMemes *memes) {
  json_t *object = NULL;
  int64_t room = 0;
  SeerStatus status = SEER_OK;
  while (!status && (status = seer_lines_next(lines, &object)) == SEER_OK && object) {
    if (memes->count == room) {
      room = room ? 2 * room : 256;
      SeerMeme *items = realloc(memes->items, (size_t)room * sizeof *items);
      if (!items) status = seer_fail(SEER_MACHINE, "no memory to read '%s'", lines->reader.path);
      memes->items = items ? items : memes->items;
    }
    if (!status) {
      status = item_read(lines, object, labels, &memes->items[memes->count]);
      memes->labelled += memes->items[memes->count++].label >= 0;
    }
    json_decref(object);
  }
  return status;
}

static int text_compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static SeerStatus ids_check(const SeerMemes *memes) {
  const char **ids = calloc((size_t)memes->count + 1, sizeof *ids);
  if (!ids) return seer_fail(SEER_MACHINE, "no memory to read '%s'", memes->path);
  for (int64_t i = 0; i < memes->count; i++) ids[i] = memes->items[i].id;
  qsort(ids, (size_t)memes->count, sizeof *ids, text_compare);
  int64_t twice = 0;
  const char *first = NULL;
  for (int64_t i = 1; i < memes->count; i++) {
    if (!strcmp(ids[i - 1], ids[i]) && !twice++) first = ids[i];
  }
  SeerStatus status = SEER_OK;
  if (twice)
    status = seer_fail(SEER_INPUT, "'%s' has %lld lines with an id that stood before, '%s' the first of them",
                       memes->path, (long long)twice, first);
  free(ids);
  return status;
}

SeerStatus seer_memes_load(const char *path, bool labels, SeerMemes *memes) {
  *memes = (SeerMemes){.path = path};
  SeerLines lines;
  SeerStatus status = seer_lines_open(path, &lines);
  if (!status) status = items_read(&lines, labels, memes);
  seer_lines_close(&lines);
  if (!status && !memes->count) status = seer_fail(SEER_INPUT, "'%s' has no lines", path);
  if (!status) status = ids_check(memes);
  if (status) seer_memes_release(memes);
  return status;
}

void seer_memes_release(SeerMemes *memes) {
  for (int64_t i = 0; i < memes->count; i++) {
    free(memes->items[i].id);
    free(memes->items[i].picture);
    free(memes->items[i].text);
  }
  free(memes->items);
  *memes = (SeerMemes){.items = NULL};
}

// ---- rows of vectors ----

typedef struct Entry {
  const char *key, *whole;  // what is looked up, and the name it ends
  int64_t row;
} Entry;

static int entry_compare(const void *a, const void *b) {
  const Entry *x = a, *y = b;
  int order = strcmp(x->key, y->key);
  return order ? order : (x->row > y->row) - (x->row < y->row);
}

// "a.png" of "img/a.png" and "memes.tar:img/a.png".
static const char *file_name(const char *path) {
  const char *name = path;
  for (const char *at = path; *at; at++) {
    if (*at == '/' || *at == ':') name = at + 1;
  }
  return name;
}

static bool path_ends_in(const char *path, const char *end) {
  size_t length = strlen(path), of_end = strlen(end);
  if (length < of_end || strcmp(path + length - of_end, end) != 0) return false;
  return length == of_end || path[length - of_end - 1] == '/' || path[length - of_end - 1] == ':';
}

// The one row of that key; of several, the one whose whole name ends in `path`. -1: none, -2: cannot be told.
static int64_t row_find(const Entry *entries, int64_t count, const char *key, const char *path) {
  int64_t low = 0, high = count, found = -1, ending = 0, same = 0, last = -1;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (strcmp(entries[middle].key, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  for (; low < count && !strcmp(entries[low].key, key); low++) {
    same++;
    last = entries[low].row;
    if (!path || !path_ends_in(entries[low].whole, path)) continue;
    ending++;
    found = entries[low].row;
  }
  if (ending == 1) return found;
  return same == 1 ? last : same ? -2 : -1;
}

static SeerStatus rows_missing(const SeerMemes *memes, const SeerKeyedVectors *vectors, bool by_picture,
                               const int64_t *rows) {
  int64_t missing = 0, unclear = 0, first = -1;
  for (int64_t i = 0; i < memes->count; i++) {
    if (rows[i] >= 0) continue;
    if (first < 0) first = i;
    missing += rows[i] == -1;
    unclear += rows[i] == -2;
  }
  if (first < 0) return SEER_OK;
  const SeerMeme *item = &memes->items[first];
  return seer_fail(SEER_INPUT, "of %lld items of '%s', %lld have no features in '%s'%s, %s '%s' the first of them",
                   (long long)memes->count, memes->path, (long long)(missing + unclear), vectors->origin,
                   unclear ? " or several" : "", by_picture ? "picture" : "id", by_picture ? item->picture : item->id);
}

static SeerStatus rows_in_order(const SeerMemes *memes, const SeerKeyedVectors *vectors, int64_t *next_row,
                                int64_t *rows) {
  for (int64_t i = 0; i < memes->count; i++) rows[i] = *next_row + i < vectors->count ? *next_row + i : -1;
  *next_row += memes->count;
  return rows_missing(memes, vectors, false, rows);
}

SeerStatus seer_memes_rows(const SeerMemes *memes, const SeerKeyedVectors *vectors, bool by_picture, int64_t *next_row,
                           int64_t **result) {
  int64_t *rows = calloc((size_t)memes->count + 1, sizeof *rows);
  Entry *entries = calloc((size_t)vectors->count + 1, sizeof *entries);
  SeerStatus status =
      rows && entries ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to look up the features of '%s'", memes->path);
  if (!status && !vectors->keys) {
    status = rows_in_order(memes, vectors, next_row, rows);
  } else if (!status) {
    for (int64_t i = 0; i < vectors->count; i++)
      entries[i] = (Entry){by_picture ? file_name(vectors->keys[i]) : vectors->keys[i], vectors->keys[i], i};
    qsort(entries, (size_t)vectors->count, sizeof *entries, entry_compare);
    for (int64_t i = 0; i < memes->count; i++) {
      const SeerMeme *item = &memes->items[i];
      rows[i] = by_picture ? row_find(entries, vectors->count, file_name(item->picture), item->picture)
                           : row_find(entries, vectors->count, item->id, NULL);
    }
    status = rows_missing(memes, vectors, by_picture, rows);
  }
  free(entries);
  if (status) {
    free(rows);
    rows = NULL;
  }
  *result = rows;
  return status;
}
