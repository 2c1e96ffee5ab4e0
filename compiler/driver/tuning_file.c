// Reads and prints tunings, line by line; see tuning_file.h.
#include "compiler/driver/tuning_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "lang/files.h"
#include "lang/schema.h"

enum { MOST_BYTES = 1 << 20 };

typedef struct Reader {
  Arena *arena;
  DiagList *diags;
  TuningFile *file;
  uint32_t source;
  SourceSpan line;
  bool *given;  // by row
  int lanes;    // as the file says; 0: not yet
} Reader;

int lanes_of_cpu(const char *cpu) { return strncmp(cpu, "x86-64-v4", strlen("x86-64-v4")) == 0 ? 16 : 8; }

int tuning_changes(const KernelTuning *tuning) {
  KernelTuning values = *tuning, usual = tuning_default((int)tuning->lanes);
  int changes = 0;
  for (int i = 0; i < TUNING_ROW_COUNT; i++) changes += *tuning_value(&values, i) != *tuning_value(&usual, i);
  return changes;
}

static bool fail(Reader *reader, const char *message) {
  diag_error(reader->diags, reader->line, "tuning", "%s", message);
  return false;
}

static int find_row(const char *name) {
  for (int i = 0; i < TUNING_ROW_COUNT; i++) {
    if (strcmp(tuning_rows[i].name, name) == 0) return i;
  }
  return -1;
}

// The whole text as a number.
static bool read_integer(const char *text, int64_t *value) {
  char *end;
  errno = 0;
  *value = strtoll(text, &end, 10);
  return errno == 0 && end != text && *end == '\0';
}

static bool unknown_name(Reader *reader, const char *name) {
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < TUNING_ROW_COUNT; i++) suggestion_offer(&suggestion, tuning_rows[i].name);
  const char *best = suggestion_best(&suggestion);
  fail(reader, arena_printf(reader->arena, "no parameter of the kernels is named '%s'", name));
  if (best) diag_note(reader->diags, (SourceSpan){0}, "did you mean '%s'?", best);
  return false;
}

static bool check_value(Reader *reader, int row, int64_t value) {
  const TuningRow *r = &tuning_rows[row];
  if (value >= r->least && value <= r->most && value % r->unit == 0) return true;
  const char *what = r->unit == 1 ? "a whole number" : arena_printf(reader->arena, "a multiple of %" PRId64, r->unit);
  return fail(reader, arena_printf(reader->arena, "'%s' is %s from %" PRId64 " to %" PRId64 ", not %" PRId64, r->name,
                                   what, r->least, r->most, value));
}

static bool read_parameter(Reader *reader, const char *name, const char *text) {
  int row = find_row(name);
  int64_t value;
  if (row < 0) return unknown_name(reader, name);
  if (reader->given[row]) return fail(reader, arena_printf(reader->arena, "'%s' is set twice", name));
  if (!read_integer(text, &value))
    return fail(reader, arena_printf(reader->arena, "'%s' is a whole number, not '%s'", name, text));
  if (!check_value(reader, row, value)) return false;
  reader->given[row] = true;
  *tuning_value(&reader->file->values, row) = value;
  return true;
}

static bool read_cpu(Reader *reader, const char *text) {
  if (!cpu_is_known(text)) return fail(reader, arena_printf(reader->arena, "unknown processor '%s'", text));
  reader->file->cpu = text;
  reader->file->cpu_span = reader->line;
  return true;
}

static bool read_count(Reader *reader, const char *name, const char *text, int *count) {
  int64_t value;
  if (!read_integer(text, &value) || value < 1 || value > 1 << 20)
    return fail(reader, arena_printf(reader->arena, "'%s' is a whole number of at least 1, not '%s'", name, text));
  *count = (int)value;
  return true;
}

static bool ratio_is_sound(TuningRatio r) {
  return r.low > 0 && r.low <= r.median && r.median <= r.high && r.high < 1e6;
}

static bool read_total(Reader *reader, const char *text) {
  TuningRatio *total = &reader->file->total;
  int end = 0;
  if (sscanf(text, "%lf (%lf to %lf)%n", &total->median, &total->low, &total->high, &end) == 3 && end &&
      text[end] == '\0' && ratio_is_sound(*total))
    return true;
  return fail(reader, "a total is written 'total = RATIO (LOW to HIGH)'");
}

static bool read_measure(Reader *reader, const char *text) {
  TuningMeasure measure = {0};
  char name[64], word[16];
  int end = 0;
  int got =
      sscanf(text, "%63[a-z_0-9] = %" SCNd64 " -> %" SCNd64 ", %lf (%lf to %lf), %15[a-z ]%n", name, &measure.from,
             &measure.to, &measure.ratio.median, &measure.ratio.low, &measure.ratio.high, word, &end);
  measure.kept = got == 7 && strcmp(word, "kept") == 0;
  if (got != 7 || text[end] || (!measure.kept && strcmp(word, "not kept") != 0) || !ratio_is_sound(measure.ratio))
    return fail(reader,
                "a measurement is written 'measured NAME = OLD -> NEW, RATIO (LOW to HIGH), kept', or 'not kept'");
  measure.row = find_row(name);
  if (measure.row < 0) return unknown_name(reader, name);
  arena_push(reader->arena, reader->file, TuningMeasure, measure);
  return true;
}

static bool read_setting(Reader *reader, const char *name, const char *text) {
  TuningFile *file = reader->file;
  const struct {
    const char *name;
    const char **place;
  } texts[] = {{"spec", &file->spec}, {"machine", &file->machine}, {"step", &file->step}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (strcmp(name, texts[i].name) != 0) continue;
    *texts[i].place = text;
    return true;
  }
  if (strcmp(name, "cpu") == 0) return read_cpu(reader, text);
  if (strcmp(name, "threads") == 0) return read_count(reader, name, text, &file->threads);
  if (strcmp(name, "lanes") == 0) return read_count(reader, name, text, &reader->lanes);
  if (strcmp(name, "total") == 0) return read_total(reader, text);
  return read_parameter(reader, name, text);
}

// One line without its end.
static bool read_line(Reader *reader, char *text) {
  text += strspn(text, " \t\r");
  for (size_t size = strlen(text); size && strchr(" \t\r", text[size - 1]); size--) text[size - 1] = '\0';
  if (!*text || *text == '#') return true;
  if (strncmp(text, "measured ", 9) == 0) return read_measure(reader, text + 9);
  char *equals = strchr(text, '=');
  if (!equals) return fail(reader, "a line is 'NAME = VALUE', or tells what was measured");
  char *value = equals + 1 + strspn(equals + 1, " \t");
  while (equals > text && strchr(" \t", equals[-1])) equals--;
  *equals = '\0';
  return read_setting(reader, text, value);
}

static bool read_lines(Reader *reader, const char *text, size_t size) {
  bool good = true;
  for (size_t begin = 0; begin < size;) {
    const char *newline = memchr(text + begin, '\n', size - begin);
    size_t end = newline ? (size_t)(newline - text) : size;
    reader->line = (SourceSpan){reader->source, (uint32_t)begin, (uint32_t)end};
    if (memchr(text + begin, '\0', end - begin)) return fail(reader, "this is no text");
    good = read_line(reader, arena_string(reader->arena, text + begin, end - begin)) && good;
    begin = end + 1;
  }
  return good;
}

// What only the whole file tells.
static bool finish(Reader *reader) {
  TuningFile *file = reader->file;
  reader->line = (SourceSpan){reader->source, 0, 0};
  if (!file->cpu || !reader->lanes)
    return fail(reader, arena_printf(reader->arena, "'%s' is missing: this is no tuning, or part of one",
                                     file->cpu ? "lanes" : "cpu"));
  if (reader->lanes != lanes_of_cpu(file->cpu))
    return fail(reader, arena_printf(reader->arena, "'%s' has %d lanes, not %d", file->cpu, lanes_of_cpu(file->cpu),
                                     reader->lanes));
  KernelTuning usual = tuning_default(reader->lanes);
  file->values.lanes = reader->lanes;
  for (int i = 0; i < TUNING_ROW_COUNT; i++) {
    if (!reader->given[i]) *tuning_value(&file->values, i) = *tuning_value(&usual, i);
  }
  return true;
}

bool tuning_file_read(Arena *arena, SourceMap *sources, DiagList *diags, const char *path, TuningFile *file) {
  char *text = NULL;
  size_t size = 0;
  int error = spec_files_on_disk.read(NULL, arena, path, &text, &size);
  if (!error && size > MOST_BYTES) error = EFBIG;
  if (error) {
    diag_error(diags, (SourceSpan){0}, "tuning", "cannot read '%s': %s", path, strerror(error));
    return false;
  }
  *file = (TuningFile){0};
  Reader reader = {.arena = arena,
                   .diags = diags,
                   .file = file,
                   .source = source_map_add(sources, path, text ? text : "", size),
                   .given = arena_array(arena, bool, TUNING_ROW_COUNT)};
  if (read_lines(&reader, text ? text : "", size) && finish(&reader)) return true;
  diag_note(diags, (SourceSpan){0}, "'seerc tune' writes such files; '--tuning=none' does without");
  return false;
}

static void print_ratio(TuningRatio ratio, Writer *out) {
  writer_printf(out, "%.4f (%.4f to %.4f)", ratio.median, ratio.low, ratio.high);
}

static void print_setting(const char *name, const char *value, Writer *out) {
  if (value) writer_printf(out, "%s = %s\n", name, value);
}

void tuning_file_print(const TuningFile *file, Writer *out) {
  KernelTuning values = file->values;
  writer_text(out,
              "# The kernels' parameters, found by 'seerc tune', which goes on from here; read by show, plan, build "
              "and bench.\n");
  print_setting("spec", file->spec, out);
  print_setting("cpu", file->cpu, out);
  writer_printf(out, "lanes = %" PRId64 "\n", values.lanes);
  if (file->threads) writer_printf(out, "threads = %d\n", file->threads);
  print_setting("machine", file->machine, out);
  print_setting("step", file->step, out);
  writer_text(out, "\n");
  for (int i = 0; i < TUNING_ROW_COUNT; i++)
    writer_printf(out, "%s = %" PRId64 "\n", tuning_rows[i].name, *tuning_value(&values, i));
  writer_text(out, "\n# Times of a step, the new one's by the old one's.\n");
  for (size_t i = 0; i < file->count; i++) {
    const TuningMeasure *m = &file->items[i];
    writer_printf(out, "measured %s = %" PRId64 " -> %" PRId64 ", ", tuning_rows[m->row].name, m->from, m->to);
    print_ratio(m->ratio, out);
    writer_text(out, m->kept ? ", kept\n" : ", not kept\n");
  }
  if (file->total.median <= 0) return;
  writer_text(out, "total = ");
  print_ratio(file->total, out);
  writer_text(out, "\n");
}
