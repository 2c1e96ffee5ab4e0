// Reads and prints tunings, line by line; see tuning_file.h.
#include "compiler/driver/tuning_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/c/tuning.h"
#include "codegen/cuda/tuning.h"
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

static bool is_listed(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    if (strcspn(at, ",") == length && strncmp(at, name, length) == 0) return true;
  }
  return false;
}

bool tuning_is_for(const TuningFile *file, const char *const *architectures, int count) {
  bool fits = file->architectures != NULL;
  for (int i = 0; i < count && fits; i++)
    fits = architecture_is_ptx(architectures[i]) || is_listed(file->architectures, architectures[i]);
  return fits;
}

const char *tuning_made_for(Arena *arena, const TuningFile *file) {
  if (file->architectures) return file->architectures;
  return arena_printf(arena, "%s and its %d lanes", file->cpu, lanes_of_cpu(file->cpu));
}

static bool fail(Reader *reader, const char *message) {
  diag_error(reader->diags, reader->line, "tuning", "%s", message);
  return false;
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
  const TuningTable *table = reader->file->values.table;
  for (int i = 0; i < table->count; i++) suggestion_offer(&suggestion, table->rows[i].name);
  const char *best = suggestion_best(&suggestion);
  fail(reader, arena_printf(reader->arena, "no parameter of the kernels is named '%s'", name));
  if (best) diag_note(reader->diags, (SourceSpan){0}, "did you mean '%s'?", best);
  return false;
}

static bool check_value(Reader *reader, const TuningRow *row, int64_t value) {
  if (value >= row->least && value <= row->most && tuning_allowed(row, value) == value) return true;
  const char *what = row->unit == 0   ? "a power of two"
                     : row->unit == 1 ? "a whole number"
                                      : arena_printf(reader->arena, "a multiple of %" PRId64, row->unit);
  return fail(reader, arena_printf(reader->arena, "'%s' is %s from %" PRId64 " to %" PRId64 ", not %" PRId64, row->name,
                                   what, row->least, row->most, value));
}

// Which parameters there are: what a tuning is for comes first.
static bool has_table(Reader *reader) {
  if (reader->file->values.table) return true;
  return fail(reader, "'cpu' or 'architectures' comes first: this is no tuning, or part of one");
}

static bool read_parameter(Reader *reader, const char *name, const char *text) {
  int64_t value;
  if (!has_table(reader)) return false;
  TuningSet *set = &reader->file->values;
  int row = tuning_find(set->table, name);
  if (row < 0) return unknown_name(reader, name);
  if (reader->given[row]) return fail(reader, arena_printf(reader->arena, "'%s' is set twice", name));
  if (!read_integer(text, &value))
    return fail(reader, arena_printf(reader->arena, "'%s' is a whole number, not '%s'", name, text));
  if (!check_value(reader, &set->table->rows[row], value)) return false;
  reader->given[row] = true;
  set->values[row] = value;
  return true;
}

// The parameters that follow are of this table, with its defaults.
static bool use_table(Reader *reader, const TuningTable *table) {
  if (reader->file->values.table) return fail(reader, "a tuning is for one processor, or for GPUs");
  reader->file->values = tuning_usual(table);
  reader->file->made_for = reader->line;
  return true;
}

static bool read_cpu(Reader *reader, const char *text) {
  if (!cpu_is_known(text)) return fail(reader, arena_printf(reader->arena, "unknown processor '%s'", text));
  reader->file->cpu = text;
  return use_table(reader, c_tuning_table(lanes_of_cpu(text)));
}

static bool read_architectures(Reader *reader, const char *text) {
  for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    const char *name = arena_string(reader->arena, at, strcspn(at, ","));
    if (!architecture_is_known(name))
      return fail(reader, arena_printf(reader->arena, "unknown architecture '%s'", name));
  }
  reader->file->architectures = text;
  return use_table(reader, &cuda_tuning_table);
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

// Of the architectures, which come first.
static bool has_layers(Reader *reader) {
  if (!has_table(reader)) return false;
  if (reader->file->architectures) return true;
  return fail(reader, "libraries make layers on GPUs alone");
}

static bool read_maker(Reader *reader, const char *name, const LayerShape *shape, LayerMaker *maker) {
  *maker = layer_maker_find(name);
  if (*maker == LAYER_MAKER_COUNT)
    return fail(reader,
                arena_printf(reader->arena, "layers are made by 'seer', 'cublaslt' or 'cudnn', not '%s'", name));
  if (layer_maker_takes(*maker, shape)) return true;
  return fail(reader, arena_printf(reader->arena, "'%s' does not make such layers", name));
}

// "SHAPE = " and what follows.
static bool read_shape(Reader *reader, const char *text, LayerShape *shape, const char **rest) {
  const char *end;
  if (!has_layers(reader)) return false;
  if (layer_shape_read(text, shape, &end) && strncmp(end, " = ", 3) == 0) {
    *rest = end + 3;
    return true;
  }
  return fail(reader,
              "a layer is written 'layer conv2d IMAGESxHEIGHTxWIDTHxINPUTS -> OUTPUTS KxK/STRIDE groups GROUPS = "
              "LIBRARY', or 'layer linear ROWSxINPUTS -> OUTPUTS = LIBRARY'");
}

static bool read_layer(Reader *reader, const char *text) {
  LayerChoice choice;
  const char *name;
  if (!read_shape(reader, text, &choice.shape, &name) || !read_maker(reader, name, &choice.shape, &choice.maker))
    return false;
  LayerChoices *layers = &reader->file->values.layers;
  for (size_t i = 0; i < layers->count; i++) {
    if (layer_shape_same(&layers->items[i].shape, &choice.shape)) return fail(reader, "this layer is set twice");
  }
  if (choice.maker != LAYER_BY_SEER) arena_push(reader->arena, layers, LayerChoice, choice);
  return true;
}

static bool read_version(Reader *reader, LayerMaker maker, const char *text) {
  int major, minor, patch, end = 0;
  if (!has_layers(reader)) return false;
  if (sscanf(text, "%d.%d.%d%n", &major, &minor, &patch, &end) != 3 || text[end] || major < 1 || major > 999 ||
      minor < 0 || minor > 99 || patch < 0 || patch > 99)
    return fail(reader, arena_printf(reader->arena, "a version is written '13.1.0', not '%s'", text));
  reader->file->values.layers.versions[maker] = major * 10000 + minor * 100 + patch;
  return true;
}

static bool read_layer_measure(Reader *reader, const char *text) {
  TuningMeasure measure = {.row = -1};
  const char *rest;
  char from[16], to[16], word[16];
  int end = 0;
  if (!read_shape(reader, text, &measure.layer, &rest)) return false;
  int got = sscanf(rest, "%15[a-z] -> %15[a-z], %lf (%lf to %lf), %15[a-z ]%n", from, to, &measure.ratio.median,
                   &measure.ratio.low, &measure.ratio.high, word, &end);
  measure.kept = got == 6 && strcmp(word, "kept") == 0;
  if (got != 6 || rest[end] || (!measure.kept && strcmp(word, "not kept") != 0) || !ratio_is_sound(measure.ratio))
    return fail(reader,
                "a layer's measurement is written 'measured layer SHAPE = OLD -> NEW, RATIO (LOW to HIGH), kept', or "
                "'not kept'");
  LayerMaker makers[2];
  if (!read_maker(reader, from, &measure.layer, &makers[0]) || !read_maker(reader, to, &measure.layer, &makers[1]))
    return false;
  measure.from = makers[0], measure.to = makers[1];
  arena_push(reader->arena, reader->file, TuningMeasure, measure);
  return true;
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
  if (!has_table(reader)) return false;
  measure.row = tuning_find(reader->file->values.table, name);
  if (measure.row < 0) return unknown_name(reader, name);
  arena_push(reader->arena, reader->file, TuningMeasure, measure);
  return true;
}

static bool read_setting(Reader *reader, const char *name, const char *text) {
  TuningFile *file = reader->file;
  const struct {
    const char *name;
    const char **place;
  } texts[] = {{"spec", &file->spec}, {"machine", &file->machine}, {"driver", &file->driver}, {"step", &file->step}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (strcmp(name, texts[i].name) != 0) continue;
    *texts[i].place = text;
    return true;
  }
  if (strcmp(name, "cpu") == 0) return read_cpu(reader, text);
  if (strcmp(name, "architectures") == 0) return read_architectures(reader, text);
  if (strcmp(name, "threads") == 0) return read_count(reader, name, text, &file->threads);
  if (strcmp(name, "lanes") == 0) return read_count(reader, name, text, &reader->lanes);
  if (strcmp(name, "total") == 0) return read_total(reader, text);
  LayerMaker maker = layer_maker_find(name);
  if (maker != LAYER_MAKER_COUNT && maker != LAYER_BY_SEER) return read_version(reader, maker, text);
  return read_parameter(reader, name, text);
}

// One line without its end.
static bool read_line(Reader *reader, char *text) {
  text += strspn(text, " \t\r");
  for (size_t size = strlen(text); size && strchr(" \t\r", text[size - 1]); size--) text[size - 1] = '\0';
  if (!*text || *text == '#') return true;
  if (strncmp(text, "layer ", 6) == 0) return read_layer(reader, text + 6);
  if (strncmp(text, "measured layer ", 15) == 0) return read_layer_measure(reader, text + 15);
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
  const char *missing = !file->values.table ? "cpu" : file->cpu && !reader->lanes ? "lanes" : NULL;
  if (missing)
    return fail(reader, arena_printf(reader->arena, "'%s' is missing: this is no tuning, or part of one", missing));
  int lanes = file->cpu ? lanes_of_cpu(file->cpu) : 0;
  if (reader->lanes != lanes)
    return fail(reader, arena_printf(reader->arena, "'%s' has %d lanes, not %d",
                                     file->cpu ? file->cpu : file->architectures, lanes, reader->lanes));
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
                   .given = arena_array(arena, bool, TUNING_ROWS_MOST)};
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

static void print_layers(const LayerChoices *layers, Writer *out) {
  for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
    int64_t version = layers->versions[maker];
    if (version) {
      writer_printf(out, "%s = ", layer_maker_names[maker]);
      layer_version_print(version, out);
      writer_text(out, "\n");
    }
  }
  for (size_t i = 0; i < layers->count; i++) {
    writer_text(out, "layer ");
    layer_shape_print(&layers->items[i].shape, out);
    writer_printf(out, " = %s\n", layer_maker_names[layers->items[i].maker]);
  }
}

// "conv_pixels = 32 -> 48", "layer conv2d ... = seer -> cublaslt".
static void print_measure(const TuningFile *file, const TuningMeasure *m, Writer *out) {
  if (m->row >= 0) {
    writer_printf(out, "%s = %" PRId64 " -> %" PRId64, file->values.table->rows[m->row].name, m->from, m->to);
    return;
  }
  writer_text(out, "layer ");
  layer_shape_print(&m->layer, out);
  writer_printf(out, " = %s -> %s", layer_maker_names[m->from], layer_maker_names[m->to]);
}

void tuning_file_print(const TuningFile *file, Writer *out) {
  const TuningTable *table = file->values.table;
  writer_text(out,
              "# The kernels' parameters, found by 'seerc tune', which goes on from here; read by show, plan, build "
              "and bench.\n");
  print_setting("spec", file->spec, out);
  print_setting("cpu", file->cpu, out);
  if (file->cpu) writer_printf(out, "lanes = %d\n", lanes_of_cpu(file->cpu));
  print_setting("architectures", file->architectures, out);
  if (file->threads) writer_printf(out, "threads = %d\n", file->threads);
  print_setting("machine", file->machine, out);
  print_setting("driver", file->driver, out);
  print_setting("step", file->step, out);
  writer_text(out, "\n");
  for (int i = 0; i < table->count; i++)
    writer_printf(out, "%s = %" PRId64 "\n", table->rows[i].name, file->values.values[i]);
  print_layers(&file->values.layers, out);
  writer_text(out, "\n# Times of a step, the new one's by the old one's.\n");
  for (size_t i = 0; i < file->count; i++) {
    const TuningMeasure *m = &file->items[i];
    writer_text(out, "measured ");
    print_measure(file, m, out);
    writer_text(out, ", ");
    print_ratio(m->ratio, out);
    writer_text(out, m->kept ? ", kept\n" : ", not kept\n");
  }
  if (file->total.median <= 0) return;
  writer_text(out, "total = ");
  print_ratio(file->total, out);
  writer_text(out, "\n");
}
