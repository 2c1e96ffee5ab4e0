// The plans of variants as a table and as JSON; see vary.h.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/driver/vary.h"

static bool is_planned(const Varied *varied, int v) { return varied->plans[v].outcome == VARY_PLANNED; }

// ---- table ----

static const char *cost_head(const VaryMeasure *measure) {
  switch (measure->kind) {
    case VARY_MONEY: return "cost";
    case VARY_ENERGY: break;
    case VARY_RANK_HOURS: return "rank-hours";
  }
  return NULL;  // its column is there anyway
}

static bool knows_energy(const Varied *varied) {
  for (int v = 0; v < varied->variants->count; v++) {
    if (is_planned(varied, v) && varied->plans[v].simulation.watts <= 0) return false;
  }
  return true;
}

static void add_columns(const Varied *varied, TextTable *table) {
  const Variants *variants = varied->variants;
  for (int axis = 0; axis < variants->axis_count; axis++) {
    if (variants->axes[axis].value_count > 1) text_table_column(table, variants->axes[axis].label, false);
  }
  text_table_column(table, "ranks", false);
  text_table_column(table, "pictures", false);
  text_table_column(table, "step", false);
  text_table_column(table, "images/s", false);
  text_table_column(table, "efficiency", false);
  text_table_column(table, "waits", false);
  text_table_column(table, "memory", false);
  text_table_column(table, varied->measure.whole_run ? "run" : "a million", false);
  if (knows_energy(varied)) text_table_column(table, "kWh", false);
  if (cost_head(&varied->measure)) text_table_column(table, cost_head(&varied->measure), false);
  text_table_column(table, "", true);
}

static void add_bytes(TextTable *table, uint64_t bytes) {
  Writer cell = {0};
  report_write_bytes(&cell, (double)bytes);
  text_table_take(table, &cell);
}

static void add_numbers(const Varied *varied, int v, TextTable *table) {
  const VaryPlan *plan = &varied->plans[v];
  const Simulation *simulation = &plan->simulation;
  Writer step = {0}, seconds = {0};
  report_write_time(&step, (double)simulation->step_ns);
  text_table_take(table, &step);
  double speed = simulation->images_per_second;
  text_table_cell(table, speed >= 1000 ? "%.0f" : "%.4g", speed);
  text_table_cell(table, "%.1f %%", 100 * vary_efficiency(varied, v));
  text_table_cell(table, "%.1f %%", 100 * (double)plan->exposed_ns / (double)simulation->step_ns);
  add_bytes(table, plan->peak_bytes);
  simulation_write_duration(&seconds, vary_seconds(varied, v));
  text_table_take(table, &seconds);
  double kwh = simulation->watts * vary_seconds(varied, v) / 3.6e6;
  if (knows_energy(varied)) text_table_cell(table, kwh >= 1000 ? "%.0f" : "%.4g", kwh);
  double cost = vary_cost(varied, v);
  if (cost_head(&varied->measure)) text_table_cell(table, cost >= 1000 ? "%.0f" : "%.4g", cost);
  text_table_cell(table, "%s%s%s", v == varied->fastest ? "fastest" : "",
                  v == varied->fastest && v == varied->cheapest ? ", cheapest"
                  : v == varied->cheapest                       ? "cheapest"
                                                                : "",
                  varied->is_best[v] && v != varied->fastest && v != varied->cheapest ? "*" : "");
}

TextTable vary_table(const Varied *varied) {
  const Variants *variants = varied->variants;
  TextTable table = {.arena = varied->arena};
  add_columns(varied, &table);
  for (int v = 0; v < variants->count; v++) {
    const VaryPlan *plan = &varied->plans[v];
    size_t begin = table.cells.count, end = begin + table.columns.count;
    for (int axis = 0; axis < variants->axis_count; axis++) {
      if (variants->axes[axis].value_count > 1)
        text_table_cell(&table, "%s", variant_value(variants, &variants->items[v], axis));
    }
    text_table_cell(&table, plan->ranks ? "%d" : "-", plan->ranks);
    text_table_cell(&table, plan->images_per_step ? "%" PRId64 : "-", plan->images_per_step);
    if (is_planned(varied, v)) {
      add_numbers(varied, v, &table);
      continue;
    }
    while (table.cells.count + 1 < end) text_table_cell(&table, "-");
    text_table_cell(&table, "%s", plan->reason);
  }
  return table;
}

void vary_print(const Varied *varied, Writer *out) {
  TextTable table = vary_table(varied);
  VaryFindings findings = vary_find(varied);
  text_table_print(&table, out);
  writer_text(out, "\n");
  for (size_t i = 0; i < findings.count; i++) writer_printf(out, "- %s\n", findings.items[i]);
  writer_text(out, vary_legend);
}

const char vary_legend[] =
    "\nEvery step is planned and simulated, not measured. Efficiency: pictures a second of a rank, against the first "
    "that\nfits. Waits: the share of a step in which ranks wait for each other. *: no other is both faster and "
    "cheaper.\n";

// ---- JSON ----

static void print_member(Writer *out, const char *name, double number) {
  writer_printf(out, ",\n\"%s\":", name);
  writer_json_number(out, number);
}

static void print_axes(const Variants *variants, Writer *out) {
  writer_text(out, "\"axes\":[");
  for (int axis = 0; axis < variants->axis_count; axis++) {
    writer_text(out, axis ? ",\n{\"key\":" : "\n{\"key\":");
    writer_json_string(out, variants->axes[axis].target);
    writer_text(out, ",\"values\":[");
    for (int i = 0; i < variants->axes[axis].value_count; i++) {
      if (i) writer_text(out, ",");
      writer_json_string(out, variants->axes[axis].values[i]);
    }
    writer_text(out, "]}");
  }
  writer_text(out, "]");
}

static void print_planned(const Varied *varied, int v, Writer *out) {
  const VaryPlan *plan = &varied->plans[v];
  print_member(out, "peak_bytes", (double)plan->peak_bytes);
  print_member(out, "step_seconds", (double)plan->simulation.step_ns * 1e-9);
  print_member(out, "images_per_second", plan->simulation.images_per_second);
  print_member(out, "efficiency", vary_efficiency(varied, v));
  print_member(out, "compute_seconds", (double)plan->compute_ns * 1e-9);
  print_member(out, "exposed_communication_seconds", (double)plan->exposed_ns * 1e-9);
  print_member(out, varied->measure.whole_run ? "run_seconds" : "million_seconds", vary_seconds(varied, v));
  print_member(out, "cost", vary_cost(varied, v));
  writer_printf(out, ",\n\"pareto\":%s", varied->is_best[v] ? "true" : "false");
  writer_text(out, plan->json);
}

static void print_variant(const Varied *varied, int v, Writer *out) {
  static const char *const outcomes[] = {
      [VARY_PLANNED] = "planned", [VARY_TOO_LARGE] = "too_large", [VARY_WRONG] = "wrong", [VARY_FAILED] = "failed"};
  const Variants *variants = varied->variants;
  const VaryPlan *plan = &varied->plans[v];
  writer_text(out, v ? ",\n{\"name\":" : "\n{\"name\":");
  writer_json_string(out, variants->items[v].name);
  writer_text(out, ",\"values\":{");
  for (int axis = 0; axis < variants->axis_count; axis++) {
    if (axis) writer_text(out, ",");
    writer_json_string(out, variants->axes[axis].target);
    writer_text(out, ":");
    writer_json_string(out, variant_value(variants, &variants->items[v], axis));
  }
  writer_printf(out, "},\n\"outcome\":\"%s\"", outcomes[plan->outcome]);
  if (*plan->reason) {
    writer_text(out, ",\n\"reason\":");
    writer_json_string(out, plan->reason);
  }
  if (plan->ranks) {
    print_member(out, "nodes", plan->nodes);
    print_member(out, "ranks", plan->ranks);
    print_member(out, "images_per_step", (double)plan->images_per_step);
    print_member(out, "parameters", (double)plan->parameters_total);
    print_member(out, "budget_bytes", (double)plan->budget_bytes);
    print_member(out, "minimum_budget_bytes", (double)plan->minimum_bytes);
  }
  if (is_planned(varied, v)) print_planned(varied, v, out);
  writer_text(out, "}");
}

static void print_name(const Varied *varied, const char *member, int v, Writer *out) {
  writer_printf(out, ",\n\"%s\":", member);
  if (v < 0)
    writer_text(out, "null");
  else
    writer_json_string(out, varied->variants->items[v].name);
}

void vary_print_json(const Varied *varied, Writer *out) {
  static const char *const kinds[] = {
      [VARY_MONEY] = "money", [VARY_ENERGY] = "kilowatt_hours", [VARY_RANK_HOURS] = "rank_hours"};
  VaryFindings findings = vary_find(varied);
  writer_text(out, "{\"spec\":");
  writer_json_string(out, varied->name);
  writer_text(out, ",\n");
  print_axes(varied->variants, out);
  writer_printf(out, ",\n\"cost\":{\"kind\":\"%s\",\"of\":\"%s\"}", kinds[varied->measure.kind],
                varied->measure.whole_run ? "run" : "million_pictures");
  print_name(varied, "fastest", varied->fastest, out);
  print_name(varied, "cheapest", varied->cheapest, out);
  writer_text(out, ",\n\"findings\":[");
  for (size_t i = 0; i < findings.count; i++) {
    if (i) writer_text(out, ",\n");
    writer_json_string(out, findings.items[i]);
  }
  writer_text(out, "],\n\"variants\":[");
  for (int v = 0; v < varied->variants->count; v++) print_variant(varied, v, out);
  writer_text(out, "]}\n");
}
