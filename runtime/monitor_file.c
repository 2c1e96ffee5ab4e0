// What has been counted, as text: for lines of metrics and for snapshots, and back; see monitor.h.
//
// monitor.json: {"format": 1, "columns": [names], "sample": most pictures, "level": L, "since": place, "seen":
// pictures, "words": [for each column, its values: text, number, or {"bytes": hexadecimal digits} where the text is no
// UTF-8], "cells": [[word of each column, level, count]], "window": [for each column [[word, level, count]]]}. Words
// count from 1; 0 is unknown, -1 all others. Cells are sorted, so the same counts are the same bytes.
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/shares.h"
#include "runtime/files.h"
#include "runtime/monitor_count.h"
#include "runtime/utf8.h"

enum { MONITOR_FORMAT = 1, MONITOR_BYTES_MAX = 1 << 30 };

// ---- writing ----

// Numbers of codes, in the order in which they are asked for, are those of the file's words.
typedef struct Words {
  SeerCells of[SEER_COLUMNS_MAX];
} Words;

static bool word_number(Words *words, int column, uint64_t code, int64_t *number) {
  *number = code == SEER_CODE_OTHERS ? -1 : 0;
  if (code == SEER_CODE_OTHERS || code == SEER_CODE_UNKNOWN) return true;
  if (!seer_cells_add(&words->of[column], &code, 1)) return false;
  *number = (int64_t)seer_cells_find(&words->of[column], &code) + 1;
  return true;
}

static void text_print(FILE *out, const char *text) {
  if (!seer_utf8_is(text)) {
    fputs("{\"bytes\": \"", out);
    for (; *text; text++) fprintf(out, "%02x", (unsigned char)*text);
    fputs("\"}", out);
    return;
  }
  json_t *string = json_string(text);
  json_dumpf(string, out, JSON_ENCODE_ANY);
  json_decref(string);
}

static void words_print(const SeerMonitor *monitor, const Words *words, FILE *out) {
  for (int c = 0; c < monitor->width; c++) {
    fputs(c > 0 ? ", [" : "[", out);
    for (uint32_t i = 0; i < words->of[c].count; i++) {
      uint64_t code = *seer_cells_key(&words->of[c], i);
      char room[SEER_NUMBER_BYTES];
      if (i > 0) fputs(", ", out);
      if (seer_columns_is_number(monitor->columns, c))
        fprintf(out, "%.17g", seer_code_number(code));
      else
        text_print(out, seer_columns_text(monitor->columns, c, code, room));
    }
    fputs("]", out);
  }
}

// Cells of which the first `codes` numbers of a key are codes, of the columns from `column` on, the last a level.
static bool cells_print(const SeerCells *cells, int column, int codes, Words *words, FILE *out) {
  uint32_t *order = seer_cells_sorted(cells);
  bool made = order != NULL;
  for (uint32_t i = 0; i < cells->count && made; i++) {
    const uint64_t *key = seer_cells_key(cells, order[i]);
    fputs(i > 0 ? ",\n[" : "[", out);
    for (int c = 0; c < codes && made; c++) {
      int64_t number;
      made = word_number(words, column + c, key[c], &number);
      fprintf(out, "%" PRId64 ", ", number);
    }
    fprintf(out, "%" PRIu64 ", %" PRIu64 "]", key[codes], cells->counts[order[i]]);
  }
  free(order);
  return made;
}

static bool monitor_print(SeerMonitor *monitor, FILE *out) {
  Words words = {0};
  for (int i = 0; i < monitor->width; i++) words.of[i].width = 1;
  fprintf(out, "{\"format\": %d, \"columns\": [", MONITOR_FORMAT);
  for (int i = 0; i < monitor->width; i++) {
    if (i > 0) fputs(", ", out);
    text_print(out, monitor->rule->columns[i]);
  }
  fprintf(out,
          "], \"sample\": %" PRId64 ", \"level\": %" PRIu64 ", \"since\": %" PRIu64 ", \"seen\": %" PRIu64
          ",\n\"cells\": [",
          monitor->rule->sample, monitor->level, monitor->since, monitor->seen);
  bool made = cells_print(&monitor->cells, 0, monitor->width, &words, out);
  fputs("],\n\"window\": [", out);
  for (int i = 0; i < monitor->width && made; i++) {
    fputs(i > 0 ? ",\n[" : "[", out);
    made = cells_print(&monitor->window[i], i, 1, &words, out);
    fputs("]", out);
  }
  fputs("],\n\"words\": [", out);
  words_print(monitor, &words, out);
  fputs("]}\n", out);
  for (int i = 0; i < monitor->width; i++) seer_cells_release(&words.of[i]);
  return made;
}

SeerStatus seer_monitor_print(SeerMonitor *monitor, char **text) {
  size_t bytes;
  FILE *out = open_memstream(text, &bytes);
  bool made = out != NULL && monitor_print(monitor, out);
  if (out != NULL && fclose(out) == 0 && made) return SEER_OK;
  free(*text);
  *text = NULL;
  return seer_monitor_no_memory();
}

// ---- a line of metrics ----

// Codes of one column with their counts in sample and window.
typedef struct Shares {
  SeerCells sample, window;
  uint64_t in_window;
} Shares;

static bool shares_make(const SeerMonitor *monitor, int column, Shares *shares) {
  *shares = (Shares){.sample = {.width = 1}, .window = {.width = 1}};
  const SeerCells *sums = &monitor->sums[column], *window = &monitor->window[column];
  bool made = true;
  for (uint32_t i = 0; i < sums->count && made; i++)
    made = seer_cells_add(&shares->sample, seer_cells_key(sums, i), sums->counts[i]);
  for (uint32_t i = 0; i < window->count && made; i++) {
    made = seer_cells_add(&shares->window, seer_cells_key(window, i), window->counts[i]);
    shares->in_window += window->counts[i];
  }
  return made;
}

static double share_in(const SeerCells *cells, const uint64_t *code, uint64_t all) {
  uint32_t cell = seer_cells_find(cells, code);
  return cell != UINT32_MAX && all > 0 ? (double)cells->counts[cell] / (double)all : 0;
}

static double window_distance(const SeerMonitor *monitor, const Shares *shares) {
  double sum = 0;
  for (uint32_t i = 0; i < shares->sample.count; i++) {
    const uint64_t *code = seer_cells_key(&shares->sample, i);
    sum += fabs(share_in(&shares->sample, code, monitor->sampled) - share_in(&shares->window, code, shares->in_window));
  }
  return sum / 2;
}

// The most frequent, by count, then by code; at most SEER_MONITOR_TOLD. How many.
static int most_frequent(const SeerCells *cells, uint32_t *most) {
  int count = 0;
  for (uint32_t i = 0; i < cells->count; i++) {
    int at = count;
    for (; at > 0; at--) {
      uint32_t before = most[at - 1];
      bool less = cells->counts[i] != cells->counts[before]
                      ? cells->counts[i] < cells->counts[before]
                      : *seer_cells_key(cells, i) > *seer_cells_key(cells, before);
      if (less) break;
      if (at < SEER_MONITOR_TOLD) most[at] = before;
    }
    if (at < SEER_MONITOR_TOLD) most[at] = i;
    if (count < SEER_MONITOR_TOLD) count++;
  }
  return count;
}

static void value_print(const SeerMonitor *monitor, int column, uint64_t code, FILE *out) {
  char room[SEER_NUMBER_BYTES];
  const char *text = seer_columns_text(monitor->columns, column, code, room);
  char *clean = text != NULL ? seer_utf8_clean(text) : NULL;
  json_t *value = clean != NULL ? json_string(clean) : json_null();
  json_dumpf(value, out, JSON_ENCODE_ANY);
  json_decref(value);
  free(clean);
}

static bool column_line(const SeerMonitor *monitor, int column, FILE *out) {
  Shares shares;
  uint32_t most[SEER_MONITOR_TOLD];
  bool made = shares_make(monitor, column, &shares);
  if (made) {
    int count = most_frequent(&shares.sample, most);
    json_t *name = json_string(monitor->rule->columns[column]);
    json_dumpf(name, out, JSON_ENCODE_ANY);
    json_decref(name);
    fprintf(out, ": {\"values\": %" PRIu32, shares.sample.count);
    if (shares.in_window > 0) fprintf(out, ", \"distance\": %.6g", window_distance(monitor, &shares));
    fputs(", \"shares\": [", out);
    for (int i = 0; i < count; i++) {
      const uint64_t *code = seer_cells_key(&shares.sample, most[i]);
      fputs(i > 0 ? ", [" : "[", out);
      value_print(monitor, column, *code, out);
      fprintf(out, ", %.6g, %.6g]", share_in(&shares.sample, code, monitor->sampled),
              share_in(&shares.window, code, shares.in_window));
    }
    fputs("]}", out);
  }
  seer_cells_release(&shares.sample);
  seer_cells_release(&shares.window);
  return made;
}

char *seer_monitor_line(SeerMonitor *monitor) {
  char *text = NULL;
  size_t bytes;
  FILE *out = monitor != NULL ? open_memstream(&text, &bytes) : NULL;
  if (out == NULL) return NULL;
  uint64_t in_window = 0;
  for (uint32_t i = 0; i < monitor->window[0].count; i++) in_window += monitor->window[0].counts[i];
  fprintf(out, "\"monitor\": {\"level\": %" PRIu64 ", \"sample\": %" PRIu64 ", \"window\": %" PRIu64 ", \"columns\": {",
          monitor->level, monitor->sampled, in_window);
  bool made = true;
  for (int i = 0; i < monitor->width && made; i++) {
    if (i > 0) fputs(", ", out);
    made = column_line(monitor, i, out);
  }
  fputs("}}", out);
  for (int i = 0; i < monitor->width; i++) seer_cells_clear(&monitor->window[i]);
  if (fclose(out) == 0 && made) return text;
  free(text);
  return NULL;
}

// ---- reading ----

static const json_t *word_of(const SeerMonitorFile *file, int column, uint64_t number) {
  const json_t *words = json_array_get(json_object_get(file->root, "words"), (size_t)column);
  return json_array_get(words, (size_t)number - 1);
}

// Text of a word that is one, in memory of its own where it has to be made.
static const char *word_text(const json_t *word, char **made) {
  const char *digits = json_string_value(json_object_get(word, "bytes"));
  if (json_is_string(word)) return json_string_value(word);
  if (digits == NULL) return NULL;
  size_t length = strlen(digits) / 2;
  *made = calloc(length + 1, 1);
  for (size_t i = 0; *made != NULL && i < length; i++) {
    char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
    (*made)[i] = (char)strtoul(pair, NULL, 16);
  }
  return *made;
}

static bool code_unpack(const SeerMonitorFile *file, int column, const json_t *item, uint64_t *code) {
  json_int_t number = json_is_integer(item) ? json_integer_value(item) : -2;
  const json_t *words = json_array_get(json_object_get(file->root, "words"), (size_t)column);
  *code = number == -1 ? SEER_CODE_OTHERS : (uint64_t)number;
  return number >= -1 && number <= (json_int_t)json_array_size(words);
}

// Rows of a cell's codes, of the columns from `column` on, a level and a count.
static bool cells_unpack(const SeerMonitorFile *file, const json_t *rows, int column, int codes, SeerCells *cells) {
  cells->width = codes + 1;
  if (!json_is_array(rows)) return false;
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    uint64_t key[SEER_COLUMNS_MAX + 1];
    if (json_array_size(row) != (size_t)codes + 2) return false;
    for (int c = 0; c < codes; c++) {
      if (!code_unpack(file, column + c, json_array_get(row, (size_t)c), &key[c])) return false;
    }
    json_int_t level = json_integer_value(json_array_get(row, (size_t)codes));
    json_int_t count = json_integer_value(json_array_get(row, (size_t)codes + 1));
    if (level < 0 || level >= SEER_MONITOR_LEVELS || count < 1) return false;
    key[codes] = (uint64_t)level;
    if (!seer_cells_add(cells, key, (uint64_t)count)) return false;
  }
  return true;
}

static bool words_check(const json_t *words) {
  for (size_t i = 0; i < json_array_size(words); i++) {
    const json_t *word = json_array_get(words, i);
    const char *digits = json_string_value(json_object_get(word, "bytes"));
    bool is_bytes = digits != NULL && strlen(digits) % 2 == 0 && strspn(digits, "0123456789abcdef") == strlen(digits);
    if (!json_is_string(word) && !json_is_number(word) && !is_bytes) return false;
  }
  return json_is_array(words);
}

static bool file_unpack(SeerMonitorFile *file) {
  int format = 0;
  json_int_t sample = 0, level = 0, since = 0, seen = 0;
  json_t *columns = NULL, *words = NULL, *cells = NULL, *window = NULL;
  if (json_unpack(file->root, "{s:i, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "format", &format, "columns", &columns,
                  "sample", &sample, "level", &level, "since", &since, "seen", &seen, "words", &words, "cells", &cells,
                  "window", &window) != 0)
    return false;
  size_t count = json_array_size(columns);
  bool sound = format == MONITOR_FORMAT && count >= 1 && count <= SEER_COLUMNS_MAX && json_array_size(words) == count &&
               json_array_size(window) == count && sample >= 1 && level >= 0 && level < SEER_MONITOR_LEVELS &&
               since >= 0 && seen >= 0;
  if (!sound) return false;
  file->columns = (int)count;
  file->sample = (uint64_t)sample;
  file->level = (uint64_t)level;
  file->since = (uint64_t)since;
  file->seen = (uint64_t)seen;
  for (int i = 0; i < file->columns; i++) {
    file->names[i] = json_string_value(json_array_get(columns, (size_t)i));
    if (file->names[i] == NULL || !words_check(json_array_get(words, (size_t)i))) return false;
  }
  bool unpacked = cells_unpack(file, cells, 0, file->columns, &file->cells);
  for (int i = 0; i < file->columns && unpacked; i++)
    unpacked = cells_unpack(file, json_array_get(window, (size_t)i), i, 1, &file->window[i]);
  return unpacked;
}

SeerStatus seer_monitor_file_read(const char *path, SeerMonitorFile *file) {
  char *text = NULL;
  uint64_t bytes = 0;
  json_error_t error;
  *file = (SeerMonitorFile){.columns = 0};
  SeerStatus status = seer_file_read(path, MONITOR_BYTES_MAX, &text, &bytes);
  if (status != SEER_OK) return status;
  file->root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  free(text);
  if (file->root != NULL && file_unpack(file)) return SEER_OK;
  seer_monitor_file_release(file);
  return seer_fail(SEER_INPUT, "'%s' is damaged: it does not say what was counted", path);
}

void seer_monitor_file_release(SeerMonitorFile *file) {
  seer_cells_release(&file->cells);
  for (int i = 0; i < SEER_COLUMNS_MAX; i++) seer_cells_release(&file->window[i]);
  json_decref(file->root);
  *file = (SeerMonitorFile){.columns = 0};
}

const char *seer_monitor_file_text(const void *data, int column, uint64_t code, char room[SEER_NUMBER_BYTES]) {
  const SeerMonitorFile *file = data;
  if (code == SEER_CODE_UNKNOWN) return NULL;
  if (code == SEER_CODE_OTHERS) return "(others)";
  const json_t *word = word_of(file, column, code);
  if (json_is_string(word)) return json_string_value(word);
  if (!json_is_number(word)) return "(no UTF-8)";
  return seer_number_text(json_number_value(word), room);
}

// ---- going on ----

// The codes of the file's words, as this data set has them: codes[column][word].
static SeerStatus codes_make(SeerMonitor *monitor, const SeerMonitorFile *file, uint64_t **codes) {
  for (int c = 0; c < file->columns; c++) {
    size_t count = json_array_size(json_array_get(json_object_get(file->root, "words"), (size_t)c));
    codes[c] = calloc(count + 1, sizeof **codes);
    if (codes[c] == NULL) return seer_monitor_no_memory();
    for (size_t i = 1; i <= count; i++) {
      const json_t *word = word_of(file, c, i);
      char *made = NULL, room[SEER_NUMBER_BYTES];
      SeerStatus status = SEER_OK;
      if (json_is_number(word) && seer_columns_is_number(monitor->columns, c)) {
        codes[c][i] = seer_number_code(json_number_value(word));
      } else if (seer_columns_is_number(monitor->columns, c)) {
        codes[c][i] = SEER_CODE_OTHERS;  // the column held words when the snapshot was written
      } else {
        const char *text =
            json_is_number(word) ? seer_number_text(json_number_value(word), room) : word_text(word, &made);
        status = text != NULL ? seer_columns_code(monitor->columns, c, text, &codes[c][i]) : seer_monitor_no_memory();
      }
      free(made);
      if (status != SEER_OK) return status;
    }
  }
  return SEER_OK;
}

static uint64_t code_now(uint64_t *const *codes, int column, uint64_t code) {
  return code == SEER_CODE_OTHERS ? code : codes[column][code];
}

static SeerStatus cells_take(SeerMonitor *monitor, const SeerMonitorFile *file, uint64_t *const *codes) {
  SeerStatus status = SEER_OK;
  for (uint32_t i = 0; i < file->cells.count && status == SEER_OK; i++) {
    const uint64_t *from = seer_cells_key(&file->cells, i);
    uint64_t key[SEER_COLUMNS_MAX + 1];
    for (int c = 0; c < file->columns; c++) key[c] = code_now(codes, c, from[c]);
    key[file->columns] = from[file->columns];
    status = seer_monitor_add(monitor, key, file->cells.counts[i], false);
  }
  for (int c = 0; c < file->columns; c++) {
    for (uint32_t i = 0; i < file->window[c].count && status == SEER_OK; i++) {
      const uint64_t *from = seer_cells_key(&file->window[c], i);
      const uint64_t key[2] = {code_now(codes, c, from[0]), from[1]};
      if (!seer_cells_add(&monitor->window[c], key, file->window[c].counts[i])) status = seer_monitor_no_memory();
    }
  }
  return status;
}

static bool columns_are_same(const SeerMonitor *monitor, const SeerMonitorFile *file) {
  bool same = file->columns == monitor->width;
  for (int i = 0; same && i < file->columns; i++) same = strcmp(file->names[i], monitor->rule->columns[i]) == 0;
  return same;
}

static SeerStatus file_take(SeerMonitor *monitor, const SeerMonitorFile *file) {
  uint64_t *codes[SEER_COLUMNS_MAX] = {NULL};
  SeerStatus status = codes_make(monitor, file, codes);
  monitor->level = file->level;
  if (status == SEER_OK) status = cells_take(monitor, file, codes);
  if (status == SEER_OK) status = seer_monitor_settle(monitor);
  monitor->since = file->since;
  monitor->seen = file->seen;
  for (int i = 0; i < file->columns; i++) free(codes[i]);
  return status;
}

SeerStatus seer_monitor_load(SeerMonitor *monitor, const char *folder, int64_t position, bool *fresh) {
  SeerPath path;
  SeerMonitorFile file;
  *fresh = false;
  if (monitor == NULL) return SEER_OK;
  seer_monitor_forget(monitor, (uint64_t)position);
  if (seer_comm_rank(monitor->comm) > 0) return SEER_OK;
  *fresh = true;
  if (folder == NULL) return SEER_OK;
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, SEER_MONITOR_NAME);
  if (status != SEER_OK || !seer_path_exists(path.text)) return status;
  status = seer_monitor_file_read(path.text, &file);
  if (status != SEER_OK) return status;
  *fresh = !columns_are_same(monitor, &file);
  if (!*fresh) status = file_take(monitor, &file);
  seer_monitor_file_release(&file);
  return status;
}
