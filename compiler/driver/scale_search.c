// Enumerates networks around a base; see scale.h.
//
// Of width, slope and initial width have a common factor that is solved for the wanted number of parameters, then tried
// finely around it, since widths go by whole groups; the rest is a grid.
#include <math.h>
#include <string.h>

#include "compiler/driver/scale.h"

typedef struct Search {
  const ScaleBase *base;
  const ScaleOptions *options;
  ScaleNets nets;
} Search;

static bool same_net(const ScaleNet *a, const ScaleNet *b) {
  if (a->shape.stage_count != b->shape.stage_count || memcmp(a->sizes, b->sizes, sizeof a->sizes) != 0) return false;
  for (int s = 0; s < a->shape.stage_count; s++) {
    const RegNetStage *x = &a->shape.stages[s], *y = &b->shape.stages[s];
    if (x->depth != y->depth || x->width != y->width || x->group_width != y->group_width) return false;
  }
  return true;
}

// Other numbers of the generator often give the same stages.
static bool is_known(const Search *search, const ScaleNet *net) {
  for (size_t i = search->nets.count; i-- > 0;) {
    const ScaleNet *other = &search->nets.items[i];
    if (other->parameters == net->parameters && same_net(other, net)) return true;
  }
  return false;
}

static void offer(Search *search, ScaleNet *net) {
  const ScaleOptions *options = search->options;
  ScaleNets *nets = &search->nets;
  if (!scale_net_count(search->base, net)) return;
  if (net->shape.stage_count != search->base->net.shape.stage_count) return;
  nets->tried++;
  double miss = fabs((double)net->parameters - options->parameters);
  if (nets->tried == 1 || miss < fabs((double)nets->nearest.parameters - options->parameters)) nets->nearest = *net;
  if (miss > options->tolerance * options->parameters) return;
  if (!nets->of_size++ || net->macs < nets->fewest_macs.macs) nets->fewest_macs = *net;
  if (options->macs > 0 && (double)net->macs > options->macs) return;
  if (!is_known(search, net)) arena_push(search->base->arena, nets, ScaleNet, *net);
}

// ---- widths ----

typedef struct WidthRule {
  int depth;
  double slope, wm;     // slope: wa over that of the base at the same factor and depth
  double group_factor;  // group width over that of the base at the same factor; 0: the base's own
  const int *sizes;
  ScaleOrigin origin;
} WidthRule;

static int64_t multiple_of(double number, int64_t multiple) {
  int64_t rounded = (int64_t)rint(number / (double)multiple) * multiple;
  return rounded < multiple ? multiple : rounded;
}

static ScaleNet widened(const Search *search, const WidthRule *rule, double factor) {
  const RegNetGenerator *base = &search->base->net.generator;
  ScaleNet net = search->base->net;
  double per_block = base->depth > 1 && rule->depth > 1 ? (double)(base->depth - 1) / (rule->depth - 1) : 1;
  net.origin = rule->origin;
  net.generator.depth = rule->depth;
  net.generator.w0 = multiple_of((double)base->w0 * factor, 8);
  // Two digits behind the point, as they are published.
  net.generator.wa = rint(100 * base->wa * factor * rule->slope * per_block) / 100;
  net.generator.wm = rule->wm;
  double groups = rule->group_factor > 0 ? rule->group_factor * factor : 1;
  net.generator.group_width = multiple_of((double)base->group_width * groups, search->options->group_multiple);
  memcpy(net.sizes, rule->sizes, sizeof net.sizes);
  return net;
}

static double parameters_of(const Search *search, const WidthRule *rule, double factor) {
  ScaleNet net = widened(search, rule, factor);
  return regnet_generate(&net.generator, &net.shape) ? (double)regnet_parameters(&net.shape) : INFINITY;
}

// Parameters grow about with the factor's square; widths that go by groups make them jump a little.
static double solve_factor(const Search *search, const WidthRule *rule) {
  double low = 1e-3, high = 1e3;
  for (int i = 0; i < 40; i++) {
    double middle = sqrt(low * high);
    if (parameters_of(search, rule, middle) < search->options->parameters)
      low = middle;
    else
      high = middle;
  }
  return sqrt(low * high);
}

static void offer_widths(Search *search, const WidthRule *rule) {
  enum { AROUND = 8 };
  double factor = solve_factor(search, rule);
  for (int i = -AROUND; i <= AROUND; i++) {
    ScaleNet net = widened(search, rule, factor * (1 + 0.004 * i));
    offer(search, &net);
  }
}

static const double slopes[] = {0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4};
static const double multipliers[] = {2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 3};
static const double groups[] = {0.25, 0.35, 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2};
enum { SLOPES = sizeof slopes / sizeof *slopes, GROUPS = sizeof groups / sizeof *groups };
enum { MULTIPLIERS = sizeof multipliers / sizeof *multipliers };

// `every`: of the grids' values one in so many.
static void search_widths(Search *search, int depth, const int *sizes, int every) {
  for (int a = 0; a < SLOPES; a += every) {
    for (int m = -1; m < MULTIPLIERS; m += m < 0 ? 1 : every) {
      for (int g = 0; g < GROUPS; g += every) {
        double wm = m < 0 ? search->base->net.generator.wm : multipliers[m];
        WidthRule rule = {depth, slopes[a], wm, groups[g], sizes, SCALE_FOUND};
        offer_widths(search, &rule);
      }
    }
  }
}

// The same factor for everything, as near to the wanted number as it comes.
static void search_plain(Search *search) {
  const RegNetGenerator *base = &search->base->net.generator;
  WidthRule rule = {base->depth, 1, base->wm, 1, search->base->net.sizes, SCALE_PLAIN};
  double factor = solve_factor(search, &rule), best = factor, least = INFINITY;
  for (int i = -40; i <= 40; i++) {
    double at = factor * (1 + 0.001 * i);
    double miss = fabs(parameters_of(search, &rule, at) - search->options->parameters);
    if (miss >= least) continue;
    least = miss;
    best = at;
  }
  ScaleNet net = widened(search, &rule, best);
  offer(search, &net);
}

// ---- depth, resolution ----

// Widths of first and last block as they are; a little of slope to meet the number.
static void search_depths(Search *search) {
  enum { DEPTH_MOST = 400, SLOPE_STEPS = 10 };
  const RegNetGenerator *base = &search->base->net.generator;
  for (int depth = 2; depth <= DEPTH_MOST; depth++) {
    for (int i = -SLOPE_STEPS; i <= SLOPE_STEPS; i++) {
      WidthRule rule = {depth, 1 + 0.02 * i, base->wm, 0, search->base->net.sizes, SCALE_FOUND};
      ScaleNet net = widened(search, &rule, 1);
      offer(search, &net);
    }
  }
}

// All sizes with the largest one, which goes by 16 pixels; the others by 8.
static bool resized(const ScaleBase *base, int largest, int sizes[MODEL_MAX_SIZE_GROUPS]) {
  double factor = (double)largest / base->net.sizes[0];
  memset(sizes, 0, MODEL_MAX_SIZE_GROUPS * sizeof *sizes);
  for (int i = 0; i < base->size_count; i++) {
    sizes[i] = i ? 8 * (int)rint(base->net.sizes[i] * factor / 8) : largest;
    if (sizes[i] < 32 || sizes[i] > 4096) return false;
  }
  return true;
}

static void search_resolutions(Search *search) {
  const ScaleBase *base = search->base;
  for (int largest = 32; largest <= 3 * base->net.sizes[0]; largest += 16) {
    ScaleNet net = base->net;
    net.origin = SCALE_FOUND;
    if (resized(base, largest, net.sizes)) offer(search, &net);
  }
}

static void search_free(Search *search) {
  static const double factors[] = {0.8, 1, 1.2};
  const ScaleBase *base = search->base;
  for (int f = 0; f < 3; f++) {
    int sizes[MODEL_MAX_SIZE_GROUPS], largest = 16 * (int)rint(base->net.sizes[0] * factors[f] / 16);
    if (f == 1)
      memcpy(sizes, base->net.sizes, sizeof sizes);
    else if (!resized(base, largest, sizes))
      continue;
    for (int depth = 12; depth <= 28; depth += 2) search_widths(search, depth, sizes, 2);
    if (base->net.generator.depth % 2 || base->net.generator.depth > 28 || base->net.generator.depth < 12)
      search_widths(search, base->net.generator.depth, sizes, 2);
  }
}

ScaleNets scale_search(const ScaleBase *base, const ScaleOptions *options) {
  Search search = {.base = base, .options = options};
  switch (options->vary) {
    case SCALE_WIDTH:
      search_plain(&search);
      search_widths(&search, base->net.generator.depth, base->net.sizes, 1);
      break;
    case SCALE_DEPTH: search_depths(&search); break;
    case SCALE_RESOLUTION: search_resolutions(&search); break;
    case SCALE_FREE:
      search_plain(&search);
      search_free(&search);
      break;
  }
  return search.nets;
}

// ---- which to plan ----

// The fastest by estimate among those of at least, and below, such a quality that are not taken yet.
static int fastest(const ScaleNets *nets, const bool *taken, double least, double below) {
  int best = -1;
  for (size_t i = 0; i < nets->count; i++) {
    const ScaleNet *net = &nets->items[i];
    if (taken[i] || net->quality < least || net->quality > below) continue;
    if (best < 0 || net->seconds < nets->items[best].seconds) best = (int)i;
  }
  return best;
}

ScaleNets scale_select(const ScaleBase *base, const ScaleNets *nets, int count) {
  Arena *arena = base->arena;
  ScaleNets selected = {0};
  bool *taken = arena_array(arena, bool, nets->count + 1);
  double low = INFINITY, high = -INFINITY, floor = -INFINITY;
  for (size_t i = 0; i < nets->count; i++) {
    low = fmin(low, nets->items[i].quality);
    high = fmax(high, nets->items[i].quality);
    if (nets->items[i].origin != SCALE_PLAIN) continue;
    floor = nets->items[i].quality;
    taken[i] = true;
    arena_push(arena, &selected, ScaleNet, nets->items[i]);
  }
  // In turns: the fastest that is no worse than the plain one, and the fastest of the next part of the range.
  int parts = count > 1 ? count / 2 : 1;
  for (int turn = 0; (int)selected.count < count && (size_t)turn < 2 * (nets->count + (size_t)count); turn++) {
    double from = low + (high - low) * (turn / 2 % parts) / parts,
           to = low + (high - low) * (turn / 2 % parts + 1) / parts;
    int at = turn % 2 ? fastest(nets, taken, from, to) : fastest(nets, taken, fmax(floor, low), high);
    if (at < 0) continue;
    taken[at] = true;
    arena_push(arena, &selected, ScaleNet, nets->items[at]);
  }
  return selected;
}
