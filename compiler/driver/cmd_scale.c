// seerc scale: the network to train, from a base, a number of parameters and a described cluster.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/scale.h"

// ---- options ----

// 0 where it is not given.
static int number_option(const Invocation *invocation, const char *name, double least, double most, double *number) {
  const char *text = option_text(invocation, name);
  char *end;
  if (!text) return EXIT_DONE;
  errno = 0;
  *number = strtod(text, &end);
  if (end != text && !*end && !errno && *number >= least && *number <= most) return EXIT_DONE;
  return usage_error(invocation, "'--%s' takes a number from %g to %g, not '%s'", name, least, most, text);
}

static int read_options(const Invocation *invocation, ScaleOptions *options, int *jobs) {
  static const char *const varied[] = {"width", "depth", "resolution", "free"};
  double tolerance = 0.02, multiple = 8, candidates = 12;
  *options = (ScaleOptions){.vary = SCALE_WIDTH};
  const char *vary = option_text(invocation, "vary");
  for (int i = 0; vary && i < 4; i++) {
    if (strcmp(vary, varied[i]) == 0) options->vary = (ScaleVary)i;
  }
  int code = number_option(invocation, "parameters", 1, 1e15, &options->parameters);
  if (code == EXIT_DONE) code = number_option(invocation, "tolerance", 0, 0.5, &tolerance);
  if (code == EXIT_DONE) code = number_option(invocation, "macs", 1, 1e18, &options->macs);
  if (code == EXIT_DONE) code = number_option(invocation, "group-multiple", 1, 4096, &multiple);
  if (code == EXIT_DONE) code = number_option(invocation, "candidates", 1, 500, &candidates);
  if (code == EXIT_DONE) code = jobs_choose(invocation, jobs);
  options->tolerance = tolerance;
  options->group_multiple = (int64_t)multiple;
  options->candidates = (int)candidates;
  if (code == EXIT_DONE && (multiple != floor(multiple) || candidates != floor(candidates)))
    return usage_error(invocation, "'--group-multiple' and '--candidates' take whole numbers");
  return code;
}

// ---- nothing found ----

static const char *describe(const ScaleBase *base, const ScaleNet *net) {
  return arena_printf(base->arena, "%s has %.5g M parameters and takes %.5g G multiply-adds a picture",
                      scale_net_name(base, net), (double)net->parameters * 1e-6, (double)net->macs * 1e-9);
}

static int fail_to_find(const ScaleBase *base, const ScaleOptions *options, const ScaleNets *nets) {
  Arena *arena = base->arena;
  if (!nets->tried)
    return driver_fail(EXIT_INPUT, "scale", "no network could be built around this base",
                       "a smaller '--group-multiple', or another '--vary', gives more to choose from");
  if (!nets->of_size) {
    bool fixed = options->vary == SCALE_RESOLUTION;
    driver_fail(EXIT_INPUT, "scale",
                arena_printf(arena, "the parameters bind: no network of %.5g M within %.3g %% among %lld",
                             options->parameters * 1e-6, 100 * options->tolerance, (long long)nets->tried),
                arena_printf(arena, "the nearest, %s", describe(base, &nets->nearest)));
    fprintf(stderr, "seerc: note: %s\n",
            fixed ? "the resolution changes no parameters; '--vary free' changes both"
                  : "try a larger '--tolerance', a smaller '--group-multiple', or another '--vary'");
    return EXIT_INPUT;
  }
  return driver_fail(
      EXIT_INPUT, "scale",
      arena_printf(arena, "the multiply-adds bind: no network of so many parameters takes %.5g G or fewer a picture",
                   options->macs * 1e-9),
      arena_printf(arena, "the nearest, %s", describe(base, &nets->fewest_macs)));
}

static int fail_to_fit(const Scaled *scaled) {
  const ScaleBase *base = scaled->base;
  int nearest = -1;
  for (int i = 0; i < scaled->count; i++) {
    const VaryPlan *plan = &scaled->plans[i];
    bool offered = scaled->nets[i].origin == SCALE_FOUND || scaled->nets[i].origin == SCALE_PLAIN;
    if (!offered || plan->outcome != VARY_TOO_LARGE) continue;
    if (nearest < 0 || plan->minimum_bytes < scaled->plans[nearest].minimum_bytes) nearest = i;
  }
  if (nearest < 0) return EXIT_INPUT;  // their specs are wrong, which was told
  const VaryPlan *plan = &scaled->plans[nearest];
  return driver_fail(
      EXIT_INPUT, "scale",
      arena_printf(base->arena, "the memory binds: none of the %d networks planned fits into %llu bytes", scaled->count,
                   (unsigned long long)plan->budget_bytes),
      arena_printf(base->arena,
                   "the nearest, %s, takes %llu or more; a smaller batch on each rank takes "
                   "less, and so do more ranks with 'shard.parameters = full'",
                   scale_net_name(base, &scaled->nets[nearest]), (unsigned long long)plan->minimum_bytes));
}

// ---- results ----

static int save(const Writer *out, const char *path) {
  int error = writer_save(out, path);
  if (!error) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", path, strerror(error));
  return EXIT_MACHINE;
}

// The chosen network's whole spec, which needs no other file.
static int write_chosen(Invocation *invocation, const Scaled *scaled) {
  const char *path = option_text(invocation, "out");
  if (!path || scaled->chosen < 0) return EXIT_DONE;
  const ScaleNet *net = &scaled->nets[scaled->chosen];
  Variant variant = scale_variant(invocation, scaled->base, net);
  LoadedSpec loaded = driver_load_with(invocation, invocation->files[0], variant.defines, variant.define_count);
  if (!loaded.spec) return driver_report(invocation, loaded.diags);
  Writer out = {0};
  writer_printf(&out,
                "# '%s' scaled to %lld parameters in the trunk by 'seerc scale': %s.\n"
                "# Simulated on its cluster: %.5g images/s. Every key is written out, as the base resolves it.\n",
                invocation->files[0], (long long)net->parameters, variant.name,
                scaled->plans[scaled->chosen].simulation.images_per_second);
  spec_print(loaded.spec, &out);
  int code = strcmp(path, "-") == 0 ? driver_write_stream(&out) : save(&out, path);
  writer_release(&out);
  return code;
}

static int write_results(Invocation *invocation, const Scaled *scaled) {
  Writer out = {0}, picture = {0};
  const char *svg = option_text(invocation, "svg");
  if (option_is_set(invocation, "json"))
    scale_print_json(scaled, &out);
  else
    scale_print(scaled, &out);
  const char *path = option_text(invocation, "out");
  int code = path && strcmp(path, "-") == 0 ? EXIT_DONE : driver_write_stream(&out);
  if (svg) scale_print_svg(scaled, &picture);
  if (svg && code == EXIT_DONE) code = save(&picture, svg);
  if (code == EXIT_DONE) code = write_chosen(invocation, scaled);
  writer_release(&out);
  writer_release(&picture);
  return code;
}

// Base, released ones and those selected, all planned in full.
static int plan_and_print(Invocation *invocation, const ScaleBase *base, const ScaleOptions *options,
                          const ScaleNets *searched, int jobs) {
  Arena *arena = invocation->arena;
  ScaleNets selected = scale_select(base, searched, options->candidates);
  ScaleNets released = {0};
  if (options->vary != SCALE_RESOLUTION) released = scale_released(invocation, base, options);
  int count = (int)(selected.count + released.count) + 1;
  ScaleNet *nets = arena_array(arena, ScaleNet, count);
  Variant *variants = arena_array(arena, Variant, count);
  VaryPlan *plans = arena_array(arena, VaryPlan, count);
  for (int i = 0; i < count; i++) {
    size_t k = (size_t)i;
    nets[i] = k < selected.count      ? selected.items[k]
              : k + 1 < (size_t)count ? released.items[k - selected.count]
                                      : base->net;
    variants[i] = scale_variant(invocation, base, &nets[i]);
  }
  CompileOptions compile = {.cpu = "native", .plan_only = true};
  vary_plan(invocation, &compile, variants, count, jobs, plans);
  Scaled scaled = scale_judge(base, options, searched, nets, plans, count);
  int code = write_results(invocation, &scaled);
  if (code != EXIT_DONE) return code;
  for (int i = 0; i < count; i++) {
    if (plans[i].outcome == VARY_FAILED) return EXIT_BUG;
  }
  return scaled.chosen < 0 ? fail_to_fit(&scaled) : EXIT_DONE;
}

int command_scale(Invocation *invocation) {
  ScaleOptions options;
  ScaleBase base;
  int jobs;
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  int code = read_options(invocation, &options, &jobs);
  if (code != EXIT_DONE) return code;
  LoadedSpec loaded = driver_load(invocation, invocation->files[0]);
  bool good = loaded.spec && spec_require_model(loaded.spec, loaded.diags) &&
              scale_base_read(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &base);
  code = driver_report(invocation, loaded.diags);
  if (!good || code != EXIT_DONE) return code == EXIT_DONE ? EXIT_INPUT : code;
  if (options.parameters <= 0) options.parameters = (double)base.net.parameters;
  ScaleNets nets = scale_search(&base, &options);
  if (!nets.count) return fail_to_find(&base, &options, &nets);
  return plan_and_print(invocation, &base, &options, &nets, jobs);
}
