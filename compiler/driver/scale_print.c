// The networks that were planned, by speed and quality: who is chosen, table, JSON, picture; see scale.h.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/driver/scale.h"
#include "compiler/driver/streams.h"

// ---- names and variants ----

static bool other_sizes(const ScaleBase *base, const ScaleNet *net) {
  return memcmp(base->net.sizes, net->sizes, sizeof net->sizes) != 0;
}

const char *scale_net_name(const ScaleBase *base, const ScaleNet *net) {
  const RegNetGenerator *generator = &net->generator;
  const char *name =
      arena_printf(base->arena, "depth=%d w0=%lld wa=%.10g wm=%.10g group_width=%lld", generator->depth,
                   (long long)generator->w0, generator->wa, generator->wm, (long long)generator->group_width);
  for (int i = 0; i < base->size_count && other_sizes(base, net); i++)
    name = arena_printf(base->arena, "%s%s%dpx", name, i ? "," : " sizes=", net->sizes[i]);
  return name;
}

static const char *crops_define(const ScaleBase *base, const ScaleNet *net) {
  const SpecValue *crops = spec_value(base->spec, KEY_views_crops);
  const char *text = "views.crops=[";
  for (int i = 0; i < base->size_count; i++) {
    const SpecValue *scale = &crops->items[i].items[ARGUMENT_crop_scale];
    text = arena_printf(base->arena, "%s%scrop(count = %d, size = %dpx, scale = %.17g..%.17g)", text, i ? ", " : "",
                        base->crop_counts[i], net->sizes[i], scale->low, scale->high);
  }
  return arena_printf(base->arena, "%s]", text);
}

Variant scale_variant(const Invocation *invocation, const ScaleBase *base, const ScaleNet *net) {
  Arena *arena = base->arena;
  const RegNetGenerator *generator = &net->generator;
  const char *const texts[] = {
      arena_printf(arena, "model.depth=%d", generator->depth),
      arena_printf(arena, "model.w0=%lld", (long long)generator->w0),
      arena_printf(arena, "model.wa=%.17g", generator->wa),
      arena_printf(arena, "model.wm=%.17g", generator->wm),
      arena_printf(arena, "model.group_width=%lld", (long long)generator->group_width),
      generator->rule == GROUP_TORCHVISION ? "model.group_rule=torchvision" : "model.group_rule=nearest",
      arena_printf(arena, "model.bottleneck=%.17g", generator->bottleneck),
      other_sizes(base, net) ? crops_define(base, net) : NULL};
  enum { TEXTS = sizeof texts / sizeof *texts };
  SpecDefine *defines = arena_array(arena, SpecDefine, invocation->define_count + TEXTS);
  int count = 0;
  for (; count < invocation->define_count; count++) defines[count] = invocation->defines[count];
  for (int i = 0; i < TEXTS; i++) {
    if (texts[i]) defines[count++] = (SpecDefine){.text = texts[i], .option = "scale"};
  }
  return (Variant){.name = scale_net_name(base, net), .defines = defines, .define_count = count};
}

// ---- judging ----

static double speed_of(const VaryPlan *plan) {
  return plan->outcome == VARY_PLANNED ? plan->simulation.images_per_second : -1;
}

// Of equals, as where all wait for their pictures, the better first.
static bool comes_before(const ScaleNet *a, const VaryPlan *a_plan, const ScaleNet *b, const VaryPlan *b_plan) {
  double x = speed_of(a_plan), y = speed_of(b_plan);
  return x > y || (x >= y && a->quality > b->quality);
}

static void sort_by_speed(ScaleNet *nets, VaryPlan *plans, int count) {
  for (int i = 1; i < count; i++) {
    for (int j = i; j > 0 && comes_before(&nets[j], &plans[j], &nets[j - 1], &plans[j - 1]); j--) {
      ScaleNet net = nets[j];
      VaryPlan plan = plans[j];
      nets[j] = nets[j - 1];
      plans[j] = plans[j - 1];
      nets[j - 1] = net;
      plans[j - 1] = plan;
    }
  }
}

static bool is_offered(const Scaled *scaled, int i) {
  ScaleOrigin origin = scaled->nets[i].origin;
  return (origin == SCALE_FOUND || origin == SCALE_PLAIN) && scaled->plans[i].outcome == VARY_PLANNED;
}

static void mark_best(Scaled *scaled) {
  double best = -INFINITY;
  for (int i = 0; i < scaled->count; i++) {  // from the fastest on
    if (!is_offered(scaled, i)) continue;
    scaled->is_best[i] = scaled->nets[i].quality > best;
    best = fmax(best, scaled->nets[i].quality);
  }
}

// Not below the plainly widened network, or the base where only sizes change; without these, within a tenth of a point
// of the best.
static double floor_of(const Scaled *scaled) {
  double best = -INFINITY;
  for (int i = 0; i < scaled->count; i++) {
    if (!is_offered(scaled, i)) continue;
    if (scaled->nets[i].origin == SCALE_PLAIN) return scaled->nets[i].quality;
    best = fmax(best, scaled->nets[i].quality - 0.1);
  }
  bool resized = scaled->options->vary == SCALE_RESOLUTION;
  return resized && scaled->base->net.quality < best ? scaled->base->net.quality : best;
}

Scaled scale_judge(const ScaleBase *base, const ScaleOptions *options, const ScaleNets *searched, ScaleNet *nets,
                   VaryPlan *plans, int count) {
  Scaled scaled = {.base = base,
                   .options = options,
                   .searched = searched,
                   .spec_path = base->spec->path,
                   .nets = nets,
                   .plans = plans,
                   .count = count,
                   .chosen = -1,
                   .is_best = arena_array(base->arena, bool, count + 1)};
  sort_by_speed(nets, plans, count);
  mark_best(&scaled);
  scaled.floor = floor_of(&scaled);
  for (int i = count; i-- > 0;) {
    if (is_offered(&scaled, i) && nets[i].quality >= scaled.floor) scaled.chosen = i;
  }
  return scaled;
}

// ---- table ----

static const char *origin_text(const Scaled *scaled, int i) {
  const ScaleNet *net = &scaled->nets[i];
  switch (net->origin) {
    case SCALE_BASE: return "the base";
    case SCALE_PLAIN: return "widened plainly";
    case SCALE_RELEASED: return arena_printf(scaled->base->arena, "released: %s", net->name);
    case SCALE_FOUND: break;
  }
  return "";
}

static void add_row(const Scaled *scaled, int i, TextTable *table) {
  const ScaleNet *net = &scaled->nets[i];
  const VaryPlan *plan = &scaled->plans[i];
  const RegNetGenerator *generator = &net->generator;
  text_table_cell(table, "%d", generator->depth);
  text_table_cell(table, "%lld", (long long)generator->w0);
  text_table_cell(table, "%.10g", generator->wa);
  text_table_cell(table, "%.10g", generator->wm);
  text_table_cell(table, "%lld", (long long)generator->group_width);
  text_table_cell(table, "%d px", net->sizes[0]);
  text_table_cell(table, "%.5g M", (double)net->parameters * 1e-6);
  text_table_cell(table, "%.5g", (double)net->macs * 1e-9);
  text_table_cell(table, "%.2f%s", net->quality, net->in_space ? "" : " ?");
  if (plan->outcome != VARY_PLANNED) {
    for (int k = 0; k < 3; k++) text_table_cell(table, "-");
    text_table_cell(table, "%s%s%s", origin_text(scaled, i), *origin_text(scaled, i) ? "; " : "", plan->reason);
    return;
  }
  Writer step = {0}, memory = {0};
  report_write_time(&step, (double)plan->simulation.step_ns);
  report_write_bytes(&memory, (double)plan->peak_bytes);
  text_table_take(table, &step);
  text_table_cell(table, "%.5g", plan->simulation.images_per_second);
  text_table_take(table, &memory);
  const char *origin = origin_text(scaled, i);
  text_table_cell(table, "%s%s%s",
                  i == scaled->chosen  ? "chosen"
                  : scaled->is_best[i] ? "*"
                                       : "",
                  (i == scaled->chosen || scaled->is_best[i]) && *origin ? ", " : "", origin);
}

static void print_table(const Scaled *scaled, Writer *out) {
  static const char *const heads[] = {"depth", "w0",   "wa",    "wm",   "group",    "size",
                                      "trunk", "GMAC", "proxy", "step", "images/s", "memory"};
  TextTable table = {.arena = scaled->base->arena};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_column(&table, heads[i], false);
  text_table_column(&table, "", true);
  for (int i = 0; i < scaled->count; i++) add_row(scaled, i, &table);
  text_table_print(&table, out);
}

static void print_against_others(const Scaled *scaled, Writer *out) {
  const ScaleNet *net = &scaled->nets[scaled->chosen];
  double speed = speed_of(&scaled->plans[scaled->chosen]);
  for (int i = 0; i < scaled->count; i++) {
    const ScaleNet *other = &scaled->nets[i];
    double others = speed_of(&scaled->plans[i]);
    if (i == scaled->chosen || others <= 0 || other->origin == SCALE_FOUND) continue;
    const char *what = other->origin == SCALE_RELEASED ? other->name
                       : other->origin == SCALE_BASE   ? "the base"
                                                       : "the plainly widened one";
    writer_printf(out, "- %.3f times the images/s of %s, %.3f times its parameters, %+.2f of proxy\n", speed / others,
                  what, (double)net->parameters / (double)other->parameters, net->quality - other->quality);
  }
}

static void print_doubts(const Scaled *scaled, Writer *out) {
  const ScaleNet *net = &scaled->nets[scaled->chosen];
  const Simulation *simulation = &scaled->plans[scaled->chosen].simulation;
  double least, most;
  scale_quality_range(&least, &most);
  if ((double)net->macs < least || (double)net->macs > most)
    writer_printf(out,
                  "- the proxy's line goes through networks of %.3g to %.4g GMAC, and this one is not among them\n",
                  least * 1e-9, most * 1e-9);
  if (simulation->data_ns > 0)
    writer_printf(out, "- %.0f %% of its step waits for pictures: no network is faster than these are loaded\n",
                  100 * (double)simulation->data_ns / (double)simulation->step_ns);
}

void scale_print(const Scaled *scaled, Writer *out) {
  writer_printf(out,
                "%" PRId64 " networks counted, %" PRId64
                " of %.4g M parameters within %.3g %%, %zu of these "
                "different and within the limits, %d planned\n\n",
                scaled->searched->tried, scaled->searched->of_size, scaled->options->parameters * 1e-6,
                100 * scaled->options->tolerance, scaled->searched->count, scaled->count);
  print_table(scaled, out);
  writer_text(out, "\n");
  if (scaled->chosen >= 0) {
    writer_printf(out, "chosen: %s, the fastest whose proxy is at least %.2f\n",
                  scale_net_name(scaled->base, &scaled->nets[scaled->chosen]), scaled->floor);
    print_against_others(scaled, out);
    print_doubts(scaled, out);
  }
  writer_text(
      out,
      "\ntrunk: its parameters. GMAC: multiply-adds of one picture's views, forward. Proxy: the linear probe on "
      "ImageNet-1k\nthat SEER networks of as many multiply-adds reach, in per cent; nothing was trained, and "
      "it knows nothing of shape:\ndocs/scaling.md. ?: depth or width multiplier outside of what was found "
      "good for RegNets (12 to 28, 2 or more).\n*: none of these is both faster and better by the proxy.\n");
}

// ---- JSON ----

static void print_net(const Scaled *scaled, int i, Writer *out) {
  static const char *const origins[] = {
      [SCALE_BASE] = "base", [SCALE_PLAIN] = "plain", [SCALE_FOUND] = "found", [SCALE_RELEASED] = "released"};
  const ScaleNet *net = &scaled->nets[i];
  const VaryPlan *plan = &scaled->plans[i];
  const RegNetGenerator *generator = &net->generator;
  writer_printf(out, "%s\n{\"origin\":\"%s\",\"name\":", i ? "," : "", origins[net->origin]);
  writer_json_string(out, net->name ? net->name : scale_net_name(scaled->base, net));
  writer_printf(out, ",\"depth\":%d,\"w0\":%lld,\"wa\":%.17g,\"wm\":%.17g,\"group_width\":%lld,\"sizes\":[",
                generator->depth, (long long)generator->w0, generator->wa, generator->wm,
                (long long)generator->group_width);
  for (int k = 0; k < scaled->base->size_count; k++) writer_printf(out, "%s%d", k ? "," : "", net->sizes[k]);
  writer_printf(out, "],\n\"parameters\":%" PRId64 ",\"macs\":%" PRId64 ",\"proxy\":%.6f,\"in_space\":%s",
                net->parameters, net->macs, net->quality, net->in_space ? "true" : "false");
  writer_printf(out, ",\n\"chosen\":%s,\"pareto\":%s", i == scaled->chosen ? "true" : "false",
                scaled->is_best[i] ? "true" : "false");
  if (plan->outcome == VARY_PLANNED) {
    writer_printf(out, ",\"step_seconds\":%.9f,\"images_per_second\":%.6f,\"peak_bytes\":%" PRIu64,
                  (double)plan->simulation.step_ns * 1e-9, plan->simulation.images_per_second, plan->peak_bytes);
  } else {
    writer_text(out, ",\"reason\":");
    writer_json_string(out, plan->reason);
  }
  writer_printf(out, ",\"budget_bytes\":%" PRIu64 ",\"minimum_budget_bytes\":%" PRIu64 "}", plan->budget_bytes,
                plan->minimum_bytes);
}

void scale_print_json(const Scaled *scaled, Writer *out) {
  writer_text(out, "{\"spec\":");
  writer_json_string(out, scaled->spec_path);
  writer_printf(
      out,
      ",\n\"wanted\":{\"parameters\":%.17g,\"tolerance\":%.17g,\"macs\":%.17g,\"group_multiple\":%" PRId64
      "},\n\"tried\":%" PRId64 ",\"of_size\":%" PRId64 ",\"within_limits\":%zu,\"floor\":%.6f,\n\"networks\":[",
      scaled->options->parameters, scaled->options->tolerance, scaled->options->macs, scaled->options->group_multiple,
      scaled->searched->tried, scaled->searched->of_size, scaled->searched->count, scaled->floor);
  for (int i = 0; i < scaled->count; i++) print_net(scaled, i, out);
  writer_text(out, "]}\n");
}

// ---- picture ----

typedef struct Kind {
  const char *name;
  SeerMark mark;
  int color;
} Kind;

// 0: found, 1: none better, 2: chosen, 3: base, plain and released.
static int kind_of(const Scaled *scaled, int i) {
  if (i == scaled->chosen) return 2;
  if (scaled->nets[i].origin != SCALE_FOUND) return 3;
  return scaled->is_best[i] ? 1 : 0;
}

static const char *label_of(const Scaled *scaled, int i) {
  if (i == scaled->chosen) return "chosen";
  return *origin_text(scaled, i) ? origin_text(scaled, i) : NULL;
}

void scale_print_svg(const Scaled *scaled, Writer *out) {
  static const Kind kinds[] = {{"found", SEER_MARK_RING, 0},
                               {"none faster and better", SEER_MARK_DOT, 1},
                               {"chosen", SEER_MARK_STAR, 1},
                               {"for comparison", SEER_MARK_DOT, 2}};
  enum { KINDS = sizeof kinds / sizeof *kinds };
  Arena *arena = scaled->base->arena;
  SeerSeries series[KINDS];
  int used = 0;
  for (int k = 0; k < KINDS; k++) {
    double *x = arena_array(arena, double, scaled->count + 1), *y = arena_array(arena, double, scaled->count + 1);
    const char **labels = arena_array(arena, const char *, scaled->count + 1);
    const char **titles = arena_array(arena, const char *, scaled->count + 1);
    int count = 0;
    for (int i = 0; i < scaled->count; i++) {
      if (speed_of(&scaled->plans[i]) <= 0 || kind_of(scaled, i) != k) continue;
      x[count] = speed_of(&scaled->plans[i]);
      y[count] = scaled->nets[i].quality;
      labels[count] = label_of(scaled, i);
      titles[count] = arena_printf(arena, "%s: %.5g images/s, proxy %.2f, %.5g M parameters",
                                   scale_net_name(scaled->base, &scaled->nets[i]), x[count], y[count],
                                   (double)scaled->nets[i].parameters * 1e-6);
      count++;
    }
    if (!count) continue;
    series[used++] = (SeerSeries){.name = kinds[k].name,
                                  .x = x,
                                  .y = y,
                                  .labels = labels,
                                  .titles = titles,
                                  .count = count,
                                  .mark = kinds[k].mark,
                                  .color = seer_plot_color(kinds[k].color)};
  }
  SeerPlot plot = {.title = arena_printf(arena, "%s scaled to %.4g million parameters", scaled->spec_path,
                                         scaled->options->parameters * 1e-6),
                   .note = "simulated speed; the proxy is what SEER networks of as many multiply-adds reach",
                   .x = {.label = "images a second"},
                   .y = {.label = "proxy: linear probe, per cent"},
                   .series = series,
                   .series_count = used};
  plot_write(out, &plot);
}
