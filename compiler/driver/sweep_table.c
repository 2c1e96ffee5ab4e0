// The results of a sweep as a table and as JSON; see sweep_results.h.
#include <math.h>

#include "compiler/driver/sweep_results.h"
#include "compiler/driver/text_table.h"
#include "compiler/plan/report.h"

static const char *figure_text(Arena *arena, SweepFigure figure, double factor, int digits) {
  if (isnan(figure.mean)) return "-";
  if (isnan(figure.deviation)) return arena_printf(arena, "%.*f", digits, factor * figure.mean);
  return arena_printf(arena, "%.*f ± %.*f", digits, factor * figure.mean, digits, factor * figure.deviation);
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

static void add_columns(TextTable *table, const Sweep *sweep) {
  static const char *const numbers[] = {"loss", "kNN %", "images/s", "memory", "trunk", "multiply-adds"};
  text_table_column(table, "", true);
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) text_table_column(table, sweep->columns[i], false);
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) text_table_column(table, numbers[i], false);
  text_table_column(table, "front", true);
  text_table_column(table, "", true);
}

// What is known of a network once it is planned.
static void add_plan(TextTable *table, const SweepVariant *variant) {
  if (!variant->built) {
    for (int i = 0; i < 3; i++) text_table_cell(table, "-");
    return;
  }
  Writer memory = {0};
  report_write_bytes(&memory, bytes_of(variant));
  text_table_take(table, &memory);
  text_table_cell(table, "%.3f M", (double)variant->plan.parameters_trunk / 1e6);
  text_table_cell(table, "%.4g M", variant->plan.macs / 1e6);
}

static void add_row(TextTable *table, const SweepResults *results, const SweepRow *row) {
  Arena *arena = table->arena;
  const Sweep *sweep = results->sweep;
  text_table_cell(table, "%s", row->best ? "*" : row->as_good ? "=" : "");
  for (int i = 0; i < sweep->axis_count; i++) {
    if (i != sweep->seed_axis) text_table_cell(table, "%s", row->first->values[i]);
  }
  text_table_cell(table, "%s", figure_text(arena, row->loss, 1, 4));
  text_table_cell(table, "%s", figure_text(arena, row->knn, 100, 2));
  text_table_cell(table, "%s", figure_text(arena, row->speed, 1, 1));
  add_plan(table, row->first);
  text_table_cell(table, "%s", front_text(row));
  text_table_cell(table, "%s", state_text(arena, row));
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
  TextTable table = {.arena = arena};
  add_columns(&table, sweep);
  for (int i = 0; i < results->row_count; i++) add_row(&table, results, &results->rows[i]);
  text_table_print(&table, out);
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
