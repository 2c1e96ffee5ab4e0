// The results of a sweep as a table and as JSON; see sweep_results.h.
#include <math.h>
#include <string.h>

#include "compiler/driver/sweep_results.h"
#include "compiler/plan/report.h"

enum { FIXED_COLUMNS = 8 };

typedef struct Table {
  Arena *arena;
  int columns;
  const char **cells;  // row by row
  int rows;
} Table;

static const char *cell(Arena *arena, SweepFigure figure, double factor, int digits) {
  if (isnan(figure.mean)) return "-";
  if (isnan(figure.deviation)) return arena_printf(arena, "%.*f", digits, factor * figure.mean);
  return arena_printf(arena, "%.*f ± %.*f", digits, factor * figure.mean, digits, factor * figure.deviation);
}

static const char *bytes_text(Arena *arena, double bytes) {
  Writer out = {0};
  report_write_bytes(&out, bytes);
  const char *text = arena_string(arena, out.text + strspn(out.text, " "), strlen(out.text + strspn(out.text, " ")));
  writer_release(&out);
  return text;
}

static const char *front_text(const SweepRow *row) {
  return row->small_front && row->fast_front ? "size, speed"
         : row->small_front                  ? "size"
         : row->fast_front                   ? "speed"
                                             : "";
}

// Of a row that is not done as a whole: which of its variants is not.
static const char *state_text(Arena *arena, const SweepRow *row) {
  if (row->done == row->count) return row->count > 1 ? arena_printf(arena, "%d seeds", row->count) : "";
  if (row->count == 1) return sweep_state_name(row->first);
  return arena_printf(arena, "%d of %d seeds", row->done, row->count);
}

static double bytes_of(const SweepVariant *variant) {
  return (double)(variant->peak_bytes ? variant->peak_bytes : variant->plan.peak_bytes);
}

static void row_add(Table *table, const SweepResults *results, const SweepRow *row) {
  Arena *arena = table->arena;
  const Sweep *sweep = results->sweep;
  const SweepVariant *first = row->first;
  const char **cells = table->cells + table->rows++ * table->columns;
  int at = 0;
  cells[at++] = row->best ? "*" : row->as_good ? "=" : "";
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) cells[at++] = first->values[i];
  }
  cells[at++] = cell(arena, row->loss, 1, 4);
  cells[at++] = cell(arena, row->knn, 100, 2);
  cells[at++] = cell(arena, row->speed, 1, 1);
  cells[at++] = first->built ? bytes_text(arena, bytes_of(first)) : "-";
  cells[at++] = first->built ? arena_printf(arena, "%.3f M", (double)first->plan.parameters_trunk / 1e6) : "-";
  cells[at++] = first->built ? arena_printf(arena, "%.4g M", first->plan.macs / 1e6) : "-";
  cells[at++] = front_text(row);
  cells[at++] = state_text(arena, row);
}

// Signs that a terminal shows.
static int width_of(const char *text) {
  int width = 0;
  for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
  return width;
}

static void table_write(const Table *table, Writer *out) {
  int *widths = arena_array(table->arena, int, table->columns);
  for (int i = 0; i < table->rows * table->columns; i++) {
    int width = width_of(table->cells[i]);
    if (width > widths[i % table->columns]) widths[i % table->columns] = width;
  }
  for (int row = 0; row < table->rows; row++) {
    Writer line = {0};
    for (int column = 0; column < table->columns; column++) {
      const char *text = table->cells[row * table->columns + column];
      bool words = column == 0 || column >= table->columns - 2;  // to the left
      int pad = widths[column] - width_of(text);
      if (column) writer_text(&line, column == 1 ? " " : "  ");
      writer_printf(&line, "%*s%s%*s", words ? 0 : pad, "", text, words ? pad : 0, "");
    }
    while (line.size && line.text[line.size - 1] == ' ') line.size--;
    writer_bytes(out, line.text, line.size);
    writer_text(out, "\n");
    writer_release(&line);
  }
}

static void head_add(Table *table, const Sweep *sweep) {
  const char *const names[] = {"loss", "kNN %", "images/s", "memory", "trunk", "multiply-adds", "front", ""};
  int at = 0;
  table->cells[at++] = "";
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) table->cells[at++] = sweep->columns[i];
  }
  for (int i = 0; i < FIXED_COLUMNS; i++) table->cells[at++] = names[i];
  table->rows = 1;
}

static void print_best(Arena *arena, const SweepResults *results, Writer *out) {
  const SweepRow *best = results->best;
  if (!best || results->row_count < 2) return;
  writer_printf(out, "* best by %s: %s", results->by_knn ? "kNN accuracy" : "loss",
                sweep_row_name(arena, results, best));
  int near = 0;
  for (int i = 0; i < results->row_count; i++) {
    if (!results->rows[i].as_good) continue;
    writer_printf(out, "%s%s", near++ ? "; " : "\n= within the deviation of the seeds: ",
                  sweep_row_name(arena, results, &results->rows[i]));
  }
  writer_text(out, "\nfront: no other is as good and smaller (size), or as good and faster (speed)\n");
}

static void print_failures(const Sweep *sweep, Writer *out) {
  for (int i = 0; i < sweep->variant_count; i++) {
    const SweepVariant *variant = &sweep->variants[i];
    if (variant->state != SWEEP_FAILED && variant->state != SWEEP_REFUSED) continue;
    writer_printf(out, "%s: %s: %s\n", variant->name, sweep_state_name(variant),
                  variant->reason ? variant->reason : "see its folder");
    if (variant->state == SWEEP_FAILED && !variant->again)
      writer_printf(out, "  it would fail again: remove '%s' to try it anew\n", sweep_path(sweep, variant, "run"));
  }
}

void sweep_print_table(const SweepResults *results, Writer *out) {
  const Sweep *sweep = results->sweep;
  Arena *arena = arena_make("table");
  Table table = {.arena = arena, .columns = 1 + sweep->axis_count - (sweep->seed_axis >= 0) + FIXED_COLUMNS};
  table.cells = arena_array(arena, const char *, (results->row_count + 1) * table.columns);
  head_add(&table, sweep);
  for (int i = 0; i < results->row_count; i++) row_add(&table, results, &results->rows[i]);
  table_write(&table, out);
  print_best(arena, results, out);
  print_failures(sweep, out);
  arena_release(arena);
}

// ---- JSON ----

static void print_number(const char *name, double value, Writer *out) {
  writer_printf(out, ", \"%s\": ", name);
  writer_json_number(out, value);
}

static void print_values(const Sweep *sweep, const SweepVariant *variant, bool seed, Writer *out) {
  int count = 0;
  writer_text(out, "{");
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i == sweep->seed_axis && !seed) continue;
    if (count++) writer_text(out, ", ");
    writer_json_string(out, sweep->keys[i]);
    writer_text(out, ": ");
    writer_json_string(out, variant->values[i]);
  }
  writer_text(out, "}");
}

static void print_variant(const Sweep *sweep, const SweepVariant *variant, Writer *out) {
  writer_text(out, "{\"name\": ");
  writer_json_string(out, variant->name);
  writer_text(out, ", \"folder\": ");
  writer_json_string(out, variant->folder);
  writer_text(out, ", \"values\": ");
  print_values(sweep, variant, true, out);
  writer_printf(out, ", \"state\": \"%s\"", sweep_state_name(variant));
  if (variant->reason) {
    writer_text(out, ", \"reason\": ");
    writer_json_string(out, variant->reason);
  }
  writer_printf(out, ", \"step\": %lld, \"steps\": %lld", (long long)variant->step, (long long)variant->steps);
  print_number("loss", variant->loss, out);
  print_number("knn_accuracy", variant->knn, out);
  print_number("images_per_second", variant->images_per_second, out);
  print_number("seconds", variant->seconds, out);
  if (variant->peak_bytes) print_number("peak_bytes", (double)variant->peak_bytes, out);
  if (variant->peak_bytes) print_number("resident_bytes", (double)variant->resident_bytes, out);
  if (variant->built) {
    print_number("planned_bytes", (double)variant->plan.peak_bytes, out);
    print_number("parameters_trunk", (double)variant->plan.parameters_trunk, out);
    print_number("parameters_total", (double)variant->plan.parameters, out);
    print_number("macs", variant->plan.macs, out);
    print_number("ranks", variant->plan.ranks, out);
  }
  writer_text(out, "}");
}

void sweep_print_jsonl(const SweepResults *results, Writer *out) {
  for (int i = 0; i < results->sweep->variant_count; i++) {
    print_variant(results->sweep, &results->sweep->variants[i], out);
    writer_text(out, "\n");
  }
}

static void print_figure(const char *name, SweepFigure figure, Writer *out) {
  print_number(name, figure.mean, out);
  writer_printf(out, ", \"%s_deviation\": ", name);
  writer_json_number(out, figure.deviation);
}

static void print_row(const SweepResults *results, const SweepRow *row, Writer *out) {
  writer_text(out, "{\"values\": ");
  print_values(results->sweep, row->first, false, out);
  writer_printf(out, ", \"variants\": %d, \"done\": %d", row->count, row->done);
  print_figure("loss", row->loss, out);
  print_figure("knn_accuracy", row->knn, out);
  print_figure("images_per_second", row->speed, out);
  writer_printf(out, ", \"best\": %s, \"as_good\": %s, \"size_front\": %s, \"speed_front\": %s}",
                row->best ? "true" : "false", row->as_good ? "true" : "false", row->small_front ? "true" : "false",
                row->fast_front ? "true" : "false");
}

void sweep_print_json(const SweepResults *results, Writer *out) {
  const Sweep *sweep = results->sweep;
  writer_text(out, "{\"program\": ");
  writer_json_string(out, sweep->program);
  writer_printf(out, ", \"quality\": \"%s\", \"done\": %d, \"failed\": %d, \"left\": %d,\n \"rows\": [",
                results->by_knn ? "knn_accuracy" : "loss", results->done, results->failed, results->left);
  for (int i = 0; i < results->row_count; i++) {
    writer_text(out, i ? ",\n  " : "\n  ");
    print_row(results, &results->rows[i], out);
  }
  writer_text(out, "],\n \"variants\": [");
  for (int i = 0; i < sweep->variant_count; i++) {
    writer_text(out, i ? ",\n  " : "\n  ");
    print_variant(sweep, &sweep->variants[i], out);
  }
  writer_text(out, "]}\n");
}
