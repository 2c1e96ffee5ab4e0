// What a network is scaled from, and what counts of one; see scale.h.
#include <math.h>
#include <string.h>

#include "compiler/driver/machine_spec.h"
#include "compiler/driver/scale.h"
#include "compiler/passes/build_model.h"
#include "lang/files.h"

// ---- quality ----

typedef struct ReleasedProbe {
  double gmac_224, top1;
} ReleasedProbe;

// RegNetY-32GF, 64GF, 128GF, 256GF and 10B of SEER, trained without labels on the same billion pictures: multiply-adds
// at 224 px, and the best linear probe on ImageNet-1k. Source: VISSL, MODEL_ZOO.md.
static const ReleasedProbe probes[] = {
    {32.280, 74.03}, {64.070, 75.25}, {127.518, 75.96}, {254.385, 77.51}, {1863.313, 79.8}};
enum { PROBE_COUNT = sizeof probes / sizeof *probes };

// Their views, 2 x 160 and 4 x 96 px, take so many times the multiply-adds of one picture of 224 px.
static const double views_over_224 = (2 * 160. * 160 + 4 * 96. * 96) / (224. * 224);

double scale_quality(double macs_of_views) {
  double x_mean = 0, y_mean = 0, xy = 0, xx = 0;
  for (int i = 0; i < PROBE_COUNT; i++) {
    x_mean += log2(probes[i].gmac_224 * views_over_224) / PROBE_COUNT;
    y_mean += probes[i].top1 / PROBE_COUNT;
  }
  for (int i = 0; i < PROBE_COUNT; i++) {
    double x = log2(probes[i].gmac_224 * views_over_224) - x_mean;
    xy += x * (probes[i].top1 - y_mean);
    xx += x * x;
  }
  return y_mean + xy / xx * (log2(macs_of_views * 1e-9) - x_mean);
}

void scale_quality_range(double *least_macs, double *most_macs) {
  *least_macs = probes[0].gmac_224 * views_over_224 * 1e9;
  *most_macs = probes[PROBE_COUNT - 1].gmac_224 * views_over_224 * 1e9;
}

// ---- counts ----

typedef struct Estimate {
  const PlanMachine *machine;
  double seconds;
} Estimate;

// As the planner prices: whichever takes longer, multiplying or moving. Three times, forward and for both gradients;
// then what is written is read and written again by BatchNorm, ReLU and their gradients. Of two bytes an element.
static void add_seconds(void *context, const RegNetLayer *layer, int64_t times) {
  enum { PASSES = 6, BYTES = 2 };
  Estimate *estimate = context;
  const PlanMachine *machine = estimate->machine;
  double read = (double)(layer->inputs * layer->input_pixels),
         written = (double)(layer->outputs * layer->output_pixels);
  double multiply = 2 * (double)regnet_layer_macs(layer) / (machine->flops_per_second * machine->efficiency);
  double move = BYTES * (read + written) / machine->bytes_per_second;
  double again = layer->normalized ? PASSES * BYTES * written / machine->bytes_per_second : 0;
  estimate->seconds += (double)times * (3 * fmax(multiply, move) + again);
}

// RegNet's own limits of depth and width multiplier (I. Radosavovic et al., Designing network design spaces, CVPR 2020).
static bool is_in_space(const ScaleNet *net, int stage_count) {
  const RegNetGenerator *generator = &net->generator;
  return generator->depth >= 12 && generator->depth <= 28 && generator->wm >= 2 && generator->bottleneck == 1 &&
         net->shape.stage_count == stage_count;
}

bool scale_net_count(const ScaleBase *base, ScaleNet *net) {
  const RegNetShape *like = &base->net.shape;
  net->shape = *like;
  if (!regnet_generate(&net->generator, &net->shape)) return false;
  for (int s = 0; s < net->shape.stage_count; s++) {
    const RegNetStage *stage = &net->shape.stages[s];
    int64_t inner = regnet_inner_width(&net->shape, stage->width);
    if (stage->width < 1 || inner < 1 || inner % stage->group_width) return false;
    net->shape.stages[s].stride = s < like->stage_count ? like->stages[s].stride : 2;
  }
  net->parameters = regnet_parameters(&net->shape);
  net->macs = 0;
  Estimate estimate = {&base->machine, 0};
  for (int i = 0; i < base->size_count; i++) {
    Estimate of_size = {&base->machine, 0};
    net->macs += base->crop_counts[i] * regnet_macs(&net->shape, net->sizes[i]);
    regnet_visit(&net->shape, net->sizes[i], add_seconds, &of_size);
    estimate.seconds += base->crop_counts[i] * of_size.seconds;
  }
  net->seconds = estimate.seconds;
  net->quality = scale_quality((double)net->macs);
  enum { STAGES_OF_REGNETS = 4 };
  net->in_space = is_in_space(net, STAGES_OF_REGNETS);
  return true;
}

// ---- base ----

static bool has_generator(const Spec *spec) {
  return !spec_is_set(spec, KEY_model_depths) && spec_is_set(spec, KEY_model_depth);
}

static RegNetGenerator generator_of(const Spec *spec) {
  return (RegNetGenerator){
      .depth = (int)spec_integer(spec, KEY_model_depth),
      .w0 = spec_integer(spec, KEY_model_w0),
      .wa = spec_number(spec, KEY_model_wa),
      .wm = spec_number(spec, KEY_model_wm),
      .group_width = spec_integer(spec, KEY_model_group_width),
      .bottleneck = spec_number(spec, KEY_model_bottleneck),
      .rule = spec_is(spec, KEY_model_group_rule, "torchvision") ? GROUP_TORCHVISION : GROUP_NEAREST};
}

bool scale_base_read(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                     ScaleBase *base) {
  *base = (ScaleBase){.arena = arena, .spec = spec};
  if (!has_generator(spec)) {
    diag_error(diags, spec_span(spec, KEY_model_depths), "scale",
               "'seerc scale' searches the generator's numbers, and this network has explicit stages");
    diag_note(diags, (SourceSpan){0}, "give the base as 'depth', 'w0', 'wa', 'wm' and 'group_width'");
    return false;
  }
  ModelOptions options;
  if (!model_options_from_spec(arena, spec, 2, MODEL_TRAIN, diags, &options)) return false;
  if (!machine_from_spec(arena, sources, diags, spec, library, &base->machine, &base->cluster)) return false;
  base->size_count = options.size_group_count;
  for (int i = 0; i < base->size_count; i++) {
    base->crop_counts[i] = options.size_groups[i].crops;
    base->net.sizes[i] = options.size_groups[i].size;
  }
  base->net.origin = SCALE_BASE;
  base->net.generator = generator_of(spec);
  base->net.shape = options.shape;
  return scale_net_count(base, &base->net);
}

static bool same_generator(const RegNetGenerator *a, const RegNetGenerator *b) {
  return a->depth == b->depth && a->w0 == b->w0 && a->wa == b->wa && a->wm == b->wm &&
         a->group_width == b->group_width && a->bottleneck == b->bottleneck && a->rule == b->rule;
}

ScaleNets scale_released(Invocation *invocation, const ScaleBase *base, const ScaleOptions *options) {
  const double near = 0.1;
  Arena *arena = invocation->arena;
  ScaleNets nets = {0};
  const char **names = NULL;
  const char *folder = invocation->library ? path_join(arena, invocation->library, "models") : NULL;
  int count = folder ? spec_files_on_disk.list(NULL, arena, folder, &names) : 0;
  for (int i = 0; i < count; i++) {
    const char *name = path_without_suffix(arena, names[i]);
    if (name == names[i]) continue;
    LoadedSpec loaded = driver_load_with(invocation, path_join(arena, folder, names[i]), NULL, 0);
    if (!loaded.spec || !has_generator(loaded.spec)) continue;
    if (!spec_is(loaded.spec, KEY_model_family, spec_text(base->spec, KEY_model_family))) continue;
    ScaleNet net = base->net;
    net.origin = SCALE_RELEASED;
    net.name = name;
    net.generator = generator_of(loaded.spec);
    if (!scale_net_count(base, &net)) continue;
    if (fabs((double)net.parameters - options->parameters) > near * options->parameters) continue;
    if (same_generator(&net.generator, &base->net.generator)) continue;  // the base itself
    arena_push(arena, &nets, ScaleNet, net);
  }
  return nets;
}
