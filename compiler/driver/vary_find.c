// What the plans of variants say, in sentences; see vary.h.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/driver/vary.h"

typedef struct Finder {
  const Varied *varied;
  VaryLines lines;
  VaryFindings findings;
} Finder;

static void add(Finder *finder, Writer *sentence) {
  const char *text = arena_string(finder->varied->arena, sentence->text, sentence->size);
  writer_release(sentence);
  arena_push(finder->varied->arena, &finder->findings, const char *, text);
}

static const VaryPlan *plan_of(const Varied *varied, int variant) { return &varied->plans[variant]; }

static double number_at(const Finder *finder, const VaryLine *line, int i) {
  return finder->varied->numbers[finder->lines.axis * finder->varied->variants->count + line->variants[i]];
}

static const char *axis_label(const Finder *finder) { return finder->varied->variants->axes[finder->lines.axis].label; }

static void begin_line(const VaryLine *line, Writer *out) {
  if (line->name) writer_printf(out, "%s: ", line->name);
}

// ---- scaling ----

typedef enum Scaling { SCALING_NONE, SCALING_WEAK, SCALING_STRONG, SCALING_OTHER } Scaling;

// Weak: as many pictures on each rank; strong: as many in all.
static Scaling scaling_of(const Varied *varied, const VaryLine *line) {
  const VaryPlan *first = plan_of(varied, line->variants[0]);
  bool weak = true, strong = true, same = true;
  for (int i = 1; i < line->count; i++) {
    const VaryPlan *plan = plan_of(varied, line->variants[i]);
    same &= plan->ranks == first->ranks;
    strong &= plan->images_per_step == first->images_per_step;
    weak &= plan->images_per_step * first->ranks == first->images_per_step * plan->ranks;
  }
  return line->count < 2 || same ? SCALING_NONE : weak ? SCALING_WEAK : strong ? SCALING_STRONG : SCALING_OTHER;
}

static void find_scaling(Finder *finder, const VaryLine *line) {
  const Varied *varied = finder->varied;
  const VaryPlan *first = plan_of(varied, line->variants[0]);
  const VaryPlan *last = plan_of(varied, line->variants[line->count - 1]);
  Scaling scaling = scaling_of(varied, line);
  Writer out = {0};
  if (scaling == SCALING_NONE) return;
  begin_line(line, &out);
  if (scaling == SCALING_WEAK)
    writer_printf(&out, "weak scaling, %.6g pictures on each rank", (double)first->images_per_step / first->ranks);
  else if (scaling == SCALING_STRONG)
    writer_printf(&out, "strong scaling, %" PRId64 " pictures a step", first->images_per_step);
  else
    writer_text(&out, "scaling, with another batch at each size");
  double times = last->simulation.images_per_second / first->simulation.images_per_second;
  double ranks = (double)last->ranks / first->ranks;
  writer_printf(&out, ": %d ranks are %.4g times as fast as %d, %.0f %% of perfect scaling", last->ranks, times,
                first->ranks, 100 * times / ranks);
  add(finder, &out);
}

// ---- traffic ----

static double traffic_of(const VaryPlan *plan) { return (double)plan->exposed_ns / (double)plan->compute_ns; }

// Between points on either side of 1, on logarithmic axes.
static double crossing(double x0, double x1, double ratio0, double ratio1) {
  double share = log(ratio0) / (log(ratio0) - log(ratio1));
  return x0 > 0 ? x0 * pow(x1 / x0, share) : x0 + (x1 - x0) * share;
}

static bool has_crossing(Finder *finder, const VaryLine *line, Writer *out) {
  bool any = false;
  for (int i = 0; i + 1 < line->count; i++) {
    double from = traffic_of(plan_of(finder->varied, line->variants[i]));
    double to = traffic_of(plan_of(finder->varied, line->variants[i + 1]));
    if ((from > 1) == (to > 1) || from <= 0 || to <= 0) continue;
    double at = crossing(number_at(finder, line, i), number_at(finder, line, i + 1), from, to);
    writer_printf(out, "%s%s at about %s=%.3g", any ? ", and " : "",
                  to > 1 ? "communication takes over, ranks wait for each other longer than they compute,"
                         : "communication no longer takes longer than computing",
                  axis_label(finder), at);
    any = true;
  }
  return any;
}

static int most_traffic(const Varied *varied, const VaryLine *line) {
  int most = line->variants[0];
  for (int i = 1; i < line->count; i++) {
    if (traffic_of(plan_of(varied, line->variants[i])) > traffic_of(plan_of(varied, most))) most = line->variants[i];
  }
  return most;
}

static void find_traffic(Finder *finder, const VaryLine *line) {
  const Varied *varied = finder->varied;
  Writer out = {0};
  int most = most_traffic(varied, line);
  double ratio = traffic_of(plan_of(varied, most));
  if (ratio <= 0) return;
  begin_line(line, &out);
  bool always = true;
  for (int i = 0; i < line->count; i++) always &= traffic_of(plan_of(varied, line->variants[i])) > 1;
  if (always && line->count > 1)
    writer_printf(&out, "communication takes longer than computing at every %s here", axis_label(finder));
  else if (!has_crossing(finder, line, &out))
    writer_printf(&out,
                  "communication nowhere takes over: the longest that ranks wait for each other is %.0f %% of "
                  "the time that they compute, with '%s'",
                  100 * ratio, varied->variants->items[most].name);
  add(finder, &out);
}

// Without an axis of numbers: of all.
static void find_traffic_of_all(Finder *finder) {
  const Varied *varied = finder->varied;
  int *planned = arena_array(varied->arena, int, varied->variants->count);
  VaryLine all = {.variants = planned};
  for (int v = 0; v < varied->variants->count; v++) {
    if (plan_of(varied, v)->outcome == VARY_PLANNED) planned[all.count++] = v;
  }
  int most = most_traffic(varied, &all);
  double ratio = traffic_of(plan_of(varied, most));
  Writer out = {0};
  if (ratio <= 0) return;
  writer_printf(&out, "ranks wait for each other %.0f %% of the time that they compute, at most, with '%s'",
                100 * ratio, varied->variants->items[most].name);
  add(finder, &out);
}

// ---- pictures ----

// More ranks do not help where the loader sets the pace.
static void find_loading(Finder *finder) {
  const Varied *varied = finder->varied;
  int planned = 0, late = 0, worst = -1;
  double most = 0;
  for (int v = 0; v < varied->variants->count; v++) {
    const VaryPlan *plan = plan_of(varied, v);
    if (plan->outcome != VARY_PLANNED) continue;
    double share = (double)plan->simulation.data_ns / (double)plan->simulation.step_ns;
    planned++;
    late += share > 0;
    if (share <= most) continue;
    most = share;
    worst = v;
  }
  if (!late) return;
  Writer out = {0};
  writer_printf(&out,
                "in %d of %d the step waits for its pictures, with '%s' %.0f %% of it: there loading sets the speed",
                late, planned, varied->variants->items[worst].name, 100 * most);
  add(finder, &out);
}

// ---- choices ----

static void write_cost(const Varied *varied, int variant, Writer *out) {
  static const char *const units[] = {"", " kWh", " rank-hours"};
  double cost = vary_cost(varied, variant);
  writer_printf(out, cost >= 1000 ? "%.0f%s" : "%.4g%s", cost, units[varied->measure.kind]);
}

static void write_choice(const Varied *varied, int variant, Writer *out) {
  writer_printf(out, "'%s', ", varied->variants->items[variant].name);
  simulation_write_duration(out, vary_seconds(varied, variant));
  writer_text(out, varied->measure.kind == VARY_MONEY ? " and a cost of " : " and ");
  write_cost(varied, variant, out);
  writer_text(out, varied->measure.whole_run ? " for the run" : " for a million pictures");
}

static void find_choices(Finder *finder) {
  const Varied *varied = finder->varied;
  Writer out = {0};
  writer_text(&out, "fastest: ");
  write_choice(varied, varied->fastest, &out);
  add(finder, &out);
  out = (Writer){0};
  writer_text(&out, "cheapest that fits: ");
  write_choice(varied, varied->cheapest, &out);
  add(finder, &out);
  out = (Writer){0};
  writer_text(&out, "no other is both faster and cheaper than ");
  int count = 0;
  for (int v = 0; v < varied->variants->count; v++) {
    if (!varied->is_best[v]) continue;
    writer_printf(&out, "%s'%s'", count++ ? ", " : "", varied->variants->items[v].name);
  }
  add(finder, &out);
}

static void find_misfits(Finder *finder) {
  const Varied *varied = finder->varied;
  int count = 0, nearest = -1;
  for (int v = 0; v < varied->variants->count; v++) {
    const VaryPlan *plan = plan_of(varied, v);
    if (plan->outcome != VARY_TOO_LARGE) continue;
    count++;
    if (nearest < 0 || plan->minimum_bytes < plan_of(varied, nearest)->minimum_bytes) nearest = v;
  }
  if (!count) return;
  Writer out = {0};
  writer_printf(&out, "%d of %d %s not fit; the nearest is '%s', for which a rank takes at least ", count,
                varied->variants->count, count == 1 ? "does" : "do", varied->variants->items[nearest].name);
  vary_write_bytes(&out, plan_of(varied, nearest)->minimum_bytes);
  writer_text(&out, " of its ");
  vary_write_bytes(&out, plan_of(varied, nearest)->budget_bytes);
  add(finder, &out);
}

VaryFindings vary_find(const Varied *varied) {
  Finder finder = {.varied = varied, .lines = vary_lines(varied)};
  if (varied->first >= 0) {
    for (int i = 0; i < finder.lines.count; i++) find_scaling(&finder, &finder.lines.items[i]);
    for (int i = 0; i < finder.lines.count; i++) find_traffic(&finder, &finder.lines.items[i]);
    if (finder.lines.axis < 0) find_traffic_of_all(&finder);
    find_loading(&finder);
    find_choices(&finder);
  }
  find_misfits(&finder);
  return finder.findings;
}
