// Which variant is fast, cheap or worth a look, and how they lie along an axis; see vary.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/vary.h"
#include "lang/schema.h"

static bool is_planned(const Varied *varied, int variant) { return varied->plans[variant].outcome == VARY_PLANNED; }

void vary_write_bytes(Writer *out, uint64_t bytes) {
  Writer padded = {0};
  report_write_bytes(&padded, (double)bytes);
  size_t begin = strspn(padded.text, " ");
  while (padded.size && padded.text[padded.size - 1] == ' ') padded.size--;
  writer_bytes(out, padded.text + begin, padded.size - begin);
  writer_release(&padded);
}

int vary_planned(const Varied *varied) {
  int count = 0;
  for (int v = 0; v < varied->variants->count; v++) count += is_planned(varied, v);
  return count;
}

double vary_seconds(const Varied *varied, int variant) {
  const VaryPlan *plan = &varied->plans[variant];
  const Simulation *simulation = &plan->simulation;
  if (varied->measure.whole_run) return simulation->run_seconds;
  return 1e6 / (double)plan->images_per_step * simulation->mean_step_seconds / simulation->effective_share;
}

double vary_cost(const Varied *varied, int variant) {
  const VaryPlan *plan = &varied->plans[variant];
  double seconds = vary_seconds(varied, variant), rank_hours = seconds / 3600 * plan->ranks;
  switch (varied->measure.kind) {
    case VARY_MONEY: return plan->price * rank_hours;
    case VARY_ENERGY: return plan->simulation.watts * seconds / 3.6e6;
    case VARY_RANK_HOURS: break;
  }
  return rank_hours;
}

double vary_efficiency(const Varied *varied, int variant) {
  const VaryPlan *plan = &varied->plans[variant], *first = &varied->plans[varied->first];
  return plan->simulation.images_per_second / plan->ranks / (first->simulation.images_per_second / first->ranks);
}

// Runs that see the same pictures within so much can be compared as wholes: steps are whole numbers.
static VaryMeasure choose_measure(const Varied *varied) {
  const double tolerance = 0.01;
  double least = INFINITY, most = 0;
  bool money = true, energy = true;
  for (int v = 0; v < varied->variants->count; v++) {
    const VaryPlan *plan = &varied->plans[v];
    if (!is_planned(varied, v)) continue;
    double pictures = (double)plan->simulation.steps * (double)plan->images_per_step;
    least = fmin(least, pictures);
    most = fmax(most, pictures);
    money &= plan->price >= 0;
    energy &= plan->simulation.watts > 0;
  }
  return (VaryMeasure){.kind = money    ? VARY_MONEY
                               : energy ? VARY_ENERGY
                                        : VARY_RANK_HOURS,
                       .whole_run = least > 0 && most <= least * (1 + tolerance)};
}

// Whether another is better in one of both and no worse in the other; of equals the first stays.
static bool is_beaten(const Varied *varied, int variant) {
  double seconds = vary_seconds(varied, variant), cost = vary_cost(varied, variant);
  for (int v = 0; v < varied->variants->count; v++) {
    if (v == variant || !is_planned(varied, v)) continue;
    double s = vary_seconds(varied, v), c = vary_cost(varied, v);
    if (s <= seconds && c <= cost && (s < seconds || c < cost || v < variant)) return true;
  }
  return false;
}

static void rank_variants(Varied *varied) {
  int count = varied->variants->count;
  varied->is_best = arena_array(varied->arena, bool, count);
  for (int v = 0; v < count; v++) {
    if (!is_planned(varied, v)) continue;
    varied->is_best[v] = !is_beaten(varied, v);
    if (varied->fastest < 0 || vary_seconds(varied, v) < vary_seconds(varied, varied->fastest)) varied->fastest = v;
    if (varied->cheapest < 0 || vary_cost(varied, v) < vary_cost(varied, varied->cheapest)) varied->cheapest = v;
  }
}

// ---- numbers of axes ----

static int key_of(Arena *arena, const char *target) {
  const char *dot = strchr(target, '.');
  return dot ? schema_find_key(arena_string(arena, target, (size_t)(dot - target)), dot + 1) : -1;
}

// As the spec has it resolved; of a constant, what is typed.
static double number_of(const Variants *variants, const Variant *variant, int axis, const Spec *spec, int key) {
  const char *text = variant_value(variants, variant, axis);
  char *end;
  if (key >= 0) {
    const SpecValue *value = spec ? spec_value(spec, (SpecKey)key) : NULL;
    return value && value->kind == SPEC_NUMBER ? value->number : NAN;
  }
  double number = strtod(text, &end);
  return *end ? NAN : number;
}

static void read_numbers(Invocation *invocation, Varied *varied) {
  const Variants *variants = varied->variants;
  varied->numbers = arena_array(varied->arena, double, variants->axis_count * variants->count);
  for (int v = 0; v < variants->count; v++) {
    const Variant *variant = &variants->items[v];
    LoadedSpec loaded = driver_load_with(invocation, invocation->files[0], variant->defines, variant->define_count);
    for (int axis = 0; axis < variants->axis_count; axis++) {
      int key = key_of(varied->arena, variants->axes[axis].target);
      varied->numbers[axis * variants->count + v] = number_of(variants, variant, axis, loaded.spec, key);
    }
  }
}

Varied vary_judge(Invocation *invocation, const Variants *variants, const VaryPlan *plans) {
  Varied varied = {.arena = invocation->arena,
                   .name = invocation->files[0],
                   .variants = variants,
                   .plans = plans,
                   .first = -1,
                   .fastest = -1,
                   .cheapest = -1};
  for (int v = variants->count; v-- > 0;) {
    if (is_planned(&varied, v)) varied.first = v;
  }
  varied.measure = choose_measure(&varied);
  rank_variants(&varied);
  read_numbers(invocation, &varied);
  return varied;
}

// ---- lines ----

// The first axis with several values that are numbers, wherever the spec is right.
static int line_axis(const Varied *varied) {
  const Variants *variants = varied->variants;
  for (int axis = 0; axis < variants->axis_count; axis++) {
    bool numbers = variants->axes[axis].value_count > 1;
    for (int v = 0; v < variants->count && numbers; v++)
      numbers = varied->plans[v].outcome == VARY_WRONG || isfinite(varied->numbers[axis * variants->count + v]);
    if (numbers) return axis;
  }
  return -1;
}

static const char *name_of_line(const Varied *varied, int axis, const Variant *variant) {
  const Variants *variants = varied->variants;
  const char *name = NULL;
  for (int i = 0; i < variants->axis_count; i++) {
    if (i == axis || variants->axes[i].value_count < 2) continue;
    name = arena_printf(varied->arena, "%s%s%s=%s", name ? name : "", name ? " " : "", variants->axes[i].label,
                        variant_value(variants, variant, i));
  }
  return name;
}

static bool same_line(const Variants *variants, int axis, const Variant *a, const Variant *b) {
  for (int i = 0; i < variants->axis_count; i++) {
    if (i != axis && a->choices[i] != b->choices[i]) return false;
  }
  return true;
}

static void sort_line(const double *numbers, VaryLine *line) {
  for (int i = 1; i < line->count; i++) {
    for (int j = i; j > 0 && numbers[line->variants[j]] < numbers[line->variants[j - 1]]; j--) {
      int other = line->variants[j];
      line->variants[j] = line->variants[j - 1];
      line->variants[j - 1] = other;
    }
  }
}

VaryLines vary_lines(const Varied *varied) {
  const Variants *variants = varied->variants;
  VaryLines lines = {.axis = line_axis(varied), .items = arena_array(varied->arena, VaryLine, variants->count)};
  for (int v = 0; v < variants->count && lines.axis >= 0; v++) {
    if (!is_planned(varied, v)) continue;
    const Variant *variant = &variants->items[v];
    int at = 0;
    while (at < lines.count && !same_line(variants, lines.axis, variant, &variants->items[lines.items[at].variants[0]]))
      at++;
    VaryLine *line = &lines.items[at];
    if (at == lines.count) {
      line->name = name_of_line(varied, lines.axis, variant);
      line->variants = arena_array(varied->arena, int, variants->axes[lines.axis].value_count);
      lines.count++;
    }
    line->variants[line->count++] = v;
  }
  for (int i = 0; i < lines.count; i++) sort_line(&varied->numbers[lines.axis * variants->count], &lines.items[i]);
  return lines;
}
