// Requires  a checked spec.
// Gives     ModelOptions and OptimizerOptions with the spans of the keys they came from, and the model's graph.
#include "compiler/passes/build_model.h"

#include <limits.h>
#include <string.h>

#include "lang/spec.h"

static int clamp_int(int64_t number) { return number > INT_MAX ? INT_MAX : (int)number; }

// The front end has checked that the lists describe the same stages.
static bool read_explicit_stages(const Spec *spec, DiagList *diags, RegNetShape *shape) {
  const SpecValue *depths = spec_value(spec, KEY_model_depths), *widths = spec_value(spec, KEY_model_widths);
  const SpecValue *groups = spec_value(spec, KEY_model_group_widths);
  shape->stage_count = depths->item_count;
  if (shape->stage_count > REGNET_MAX_STAGES) {
    diag_error(diags, depths->span, "limitation", "seerc cannot yet build a model of more than %d stages",
               REGNET_MAX_STAGES);
    return false;
  }
  for (int i = 0; i < shape->stage_count; i++) {
    RegNetStage *stage = &shape->stages[i];
    *stage = (RegNetStage){.depth = clamp_int((int64_t)depths->items[i].number), .stride = 2,
                           .width = (int64_t)widths->items[i].number,
                           .group_width = (int64_t)groups->items[groups->item_count == 1 ? 0 : i].number};
    int64_t inner = regnet_inner_width(shape, stage->width);
    if (stage->group_width > inner) stage->group_width = inner;
  }
  return true;
}

static bool read_generator(const Spec *spec, DiagList *diags, RegNetShape *shape) {
  RegNetGenerator generator = {
      .depth = clamp_int(spec_integer(spec, KEY_model_depth)), .w0 = spec_integer(spec, KEY_model_w0),
      .wa = spec_number(spec, KEY_model_wa), .wm = spec_number(spec, KEY_model_wm),
      .group_width = spec_integer(spec, KEY_model_group_width),
      .bottleneck = spec_number(spec, KEY_model_bottleneck),
      .rule = spec_is(spec, KEY_model_group_rule, "torchvision") ? GROUP_TORCHVISION : GROUP_NEAREST};
  if (regnet_generate(&generator, shape)) return true;
  diag_error(diags, spec_span(spec, KEY_model_wm), "limitation",
             "seerc cannot yet build a model of more than %d stages, and the generator gives more", REGNET_MAX_STAGES);
  diag_note(diags, (SourceSpan){0}, "a larger 'model.wm' gives fewer stages");
  return false;
}

static bool check_groups(const Spec *spec, DiagList *diags, const RegNetShape *shape) {
  bool generated = !spec_is_set(spec, KEY_model_depths);
  SourceSpan span = spec_span(spec, generated ? KEY_model_group_width : KEY_model_group_widths);
  for (int i = 0; i < shape->stage_count; i++) {
    int64_t inner = regnet_inner_width(shape, shape->stages[i].width), group = shape->stages[i].group_width;
    if (inner >= 1 && inner % group == 0) continue;
    diag_error(diags, span, "group-width", "group width %lld does not divide the inner width %lld of stage %d",
               (long long)group, (long long)inner, i + 1);
    diag_note(diags, (SourceSpan){0}, "the inner width is 'model.bottleneck' times the stage's width");
    return false;
  }
  return true;
}

static bool read_shape(const Spec *spec, DiagList *diags, RegNetShape *shape) {
  bool generated = !spec_is_set(spec, KEY_model_depths);
  shape->bottleneck = spec_number(spec, KEY_model_bottleneck);
  if (!(generated ? read_generator : read_explicit_stages)(spec, diags, shape)) return false;
  shape->se_ratio = spec_is(spec, KEY_model_family, "regnety") ? spec_number(spec, KEY_model_se_ratio) : 0;
  shape->stem_width = spec_integer(spec, KEY_model_stem_width);
  shape->stem_stride = clamp_int(spec_integer(spec, KEY_model_stem_stride));
  const SpecValue *strides = spec_value(spec, KEY_model_strides);
  for (int i = 0; i < shape->stage_count && i < strides->item_count; i++)
    shape->stages[i].stride = clamp_int((int64_t)strides->items[i].number);
  return check_groups(spec, diags, shape);
}

static ModelInit read_init(const Spec *spec) {
  bool timm = spec_is(spec, KEY_model_init, "timm");
  const SpecValue *zero = spec_value(spec, KEY_model_zero_init_final_gamma);
  // timm starts final gains at zero unless told otherwise.
  return (ModelInit){.fan_out_by_group = timm, .zero_conv_bias = timm,
                     .uniform_classifier = spec_is(spec, KEY_model_init, "hf"),
                     .zero_init_final_gamma =
                         spec_flag(spec, KEY_model_zero_init_final_gamma) || (timm && !zero->by_user)};
}

static void read_triple(const Spec *spec, SpecKey key, double *triple) {
  const SpecValue *value = spec_value(spec, key);
  for (int i = 0; i < 3 && i < value->item_count; i++) triple[i] = value->items[i].number;
}

static bool read_crops(const Spec *spec, DiagList *diags, ModelOptions *options) {
  const SpecValue *crops = spec_value(spec, KEY_views_crops);
  if (crops->item_count > MODEL_MAX_SIZE_GROUPS) {
    diag_error(diags, spec_span(spec, KEY_views_crops), "limitation",
               "seerc cannot yet train on more than %d crop sizes", MODEL_MAX_SIZE_GROUPS);
    return false;
  }
  // Arguments come in the order of schema.def, and crop is the only call.
  options->size_group_count = crops->item_count;
  for (int i = 0; i < crops->item_count; i++) {
    const SpecValue *arguments = crops->items[i].items;
    options->size_groups[i] = (ModelSizeGroup){.crops = clamp_int((int64_t)arguments[ARGUMENT_crop_count].number),
                                               .size = clamp_int((int64_t)arguments[ARGUMENT_crop_size].number)};
  }
  return true;
}

int64_t rank_count_from_spec(const Spec *spec) {
  return spec_integer(spec, KEY_cluster_nodes) * spec_integer(spec, KEY_cluster_ranks_per_node);
}

int64_t norm_ranks_from_spec(const Spec *spec) {
  int64_t ranks = rank_count_from_spec(spec);
  if (spec_value(spec, KEY_train_batch_norm_ranks)->kind != SPEC_NUMBER) return ranks;
  int64_t asked = spec_integer(spec, KEY_train_batch_norm_ranks);
  return asked < ranks ? asked : ranks;
}

// A graph is one rank's work: its share of the batch, and of the queue. The front end has checked that they divide.
static bool read_batch(const Spec *spec, DiagList *diags, ModelUse use, ModelOptions *options) {
  int64_t ranks = rank_count_from_spec(spec);
  options->norm_ranks = norm_ranks_from_spec(spec);
  if (use == MODEL_FEATURES) {
    options->batch = spec_integer(spec, KEY_evaluate_batch);
    options->size_group_count = 1;
    options->size_groups[0] = (ModelSizeGroup){1, clamp_int(spec_integer(spec, KEY_evaluate_size))};
    return true;
  }
  options->batch = spec_integer(spec, KEY_train_batch) / (spec_integer(spec, KEY_train_accumulate) * ranks);
  return read_crops(spec, diags, options);
}

static bool read_supervised(const Spec *spec, int64_t classes, DiagList *diags, ModelOptions *options) {
  options->task = TASK_SUPERVISED;
  options->classes = spec_value(spec, KEY_supervised_classes)->kind == SPEC_NUMBER
                         ? spec_integer(spec, KEY_supervised_classes) : classes;
  options->label_smoothing = spec_number(spec, KEY_supervised_label_smoothing);
  if (options->classes >= 2) return true;
  diag_error(diags, spec_span(spec, KEY_supervised_classes), "classes",
             "'supervised.classes' is auto, but the data shows %lld classes", (long long)options->classes);
  diag_note(diags, (SourceSpan){0},
            "write the number of classes, or name a folder of labelled pictures in 'data.pictures'");
  return false;
}

static bool read_swav(const Spec *spec, DiagList *diags, ModelOptions *options) {
  const SpecValue *head = spec_value(spec, KEY_swav_head);
  options->task = TASK_SWAV;
  if (head->item_count > MODEL_MAX_HEAD_LAYERS) {
    diag_error(diags, spec_span(spec, KEY_swav_head), "limitation",
               "seerc cannot yet build a head of more than %d layers", MODEL_MAX_HEAD_LAYERS);
    return false;
  }
  options->head_layer_count = head->item_count;
  for (int i = 0; i < head->item_count; i++) options->head_widths[i] = (int64_t)head->items[i].number;
  options->head_batch_norm = spec_flag(spec, KEY_swav_head_batch_norm);
  options->prototypes = spec_integer(spec, KEY_swav_prototypes);
  options->queue = spec_integer(spec, KEY_swav_queue) / rank_count_from_spec(spec);
  options->temperature = spec_number(spec, KEY_swav_temperature);
  options->sinkhorn_epsilon = spec_number(spec, KEY_swav_epsilon);
  options->sinkhorn_iterations = clamp_int(spec_integer(spec, KEY_swav_iterations));
  options->assign_crops = clamp_int(spec_integer(spec, KEY_swav_assign_crops));
  options->hard_codes = spec_flag(spec, KEY_swav_hard);
  return true;
}

// Tensors stay far below 2^59 elements and rows below 2^31, so that no size overflows later.
static bool check_size(const Spec *spec, DiagList *diags, ModelUse use, const ModelOptions *options) {
  double widest = (double)options->shape.stem_width, rows = 0;
  for (int i = 0; i < options->shape.stage_count; i++) {
    double inner = (double)regnet_inner_width(&options->shape, options->shape.stages[i].width);
    if ((double)options->shape.stages[i].width > widest) widest = (double)options->shape.stages[i].width;
    if (inner > widest) widest = inner;
  }
  double largest = 9 * widest * widest;
  for (int i = 0; i < options->size_group_count; i++) {
    double group_rows = (double)options->size_groups[i].crops * (double)options->batch;
    double image = group_rows * options->size_groups[i].size * options->size_groups[i].size * widest;
    rows += group_rows;
    if (image > largest) largest = image;
  }
  double columns = (double)(options->task == TASK_SWAV ? options->prototypes : options->classes);
  if (rows * columns > largest) largest = rows * columns;
  if (rows < INT_MAX && largest < 0x1p58) return true;
  diag_error(diags, spec_span(spec, use == MODEL_FEATURES ? KEY_evaluate_batch : KEY_train_batch), "model-size",
             "a tensor of this model and batch has more elements than can be addressed");
  diag_note(diags, (SourceSpan){0}, "use a smaller batch, smaller crops, or a narrower model");
  return false;
}

static ModelSpans read_spans(const Spec *spec) {
  bool swav = !spec_is_set(spec, KEY_supervised_classes), generated = !spec_is_set(spec, KEY_model_depths);
  return (ModelSpans){.views = spec_span(spec, KEY_views_crops), .stem = spec_span(spec, KEY_model_stem_width),
                      .blocks = spec_span(spec, generated ? KEY_model_w0 : KEY_model_widths),
                      .head = spec_span(spec, swav ? KEY_swav_head : KEY_supervised_classes),
                      .prototypes = spec_span(spec, KEY_swav_prototypes),
                      .sinkhorn = spec_span(spec, KEY_swav_epsilon),
                      .loss = spec_span(spec, swav ? KEY_swav_temperature : KEY_supervised_classes),
                      .features = spec_span(spec, KEY_evaluate_size)};
}

bool model_options_from_spec(Arena *arena, const Spec *spec, int64_t classes, ModelUse use, DiagList *diags,
                             ModelOptions *options) {
  (void)arena;
  *options = (ModelOptions){.name = use == MODEL_TRAIN ? "train" : "features", .init = read_init(spec),
                            .bn_epsilon = spec_number(spec, KEY_model_bn_epsilon),
                            .bn_momentum = spec_number(spec, KEY_model_bn_momentum), .spans = read_spans(spec)};
  read_triple(spec, KEY_views_mean, options->mean);
  read_triple(spec, KEY_views_std, options->std);
  if (!read_shape(spec, diags, &options->shape) || !read_batch(spec, diags, use, options)) return false;
  bool supervised = spec_is_set(spec, KEY_supervised_classes);
  bool counted = !supervised || classes > 0 || spec_value(spec, KEY_supervised_classes)->kind == SPEC_NUMBER;
  options->task = supervised ? TASK_SUPERVISED : TASK_SWAV;
  if (use == MODEL_TRAIN || counted) {  // features need no head
    if (!(supervised ? read_supervised(spec, classes, diags, options) : read_swav(spec, diags, options))) return false;
  }
  return check_size(spec, diags, use, options);
}

OptimizerOptions optimizer_options_from_spec(const Spec *spec) {
  return (OptimizerOptions){.kind = spec_is(spec, KEY_optimizer_name, "larc") ? OPTIMIZER_LARC : OPTIMIZER_SGD,
                            .momentum = spec_number(spec, KEY_optimizer_momentum),
                            .weight_decay = spec_number(spec, KEY_optimizer_weight_decay),
                            .trust = spec_number(spec, KEY_optimizer_trust),
                            .epsilon = spec_number(spec, KEY_optimizer_larc_epsilon),
                            .nesterov = spec_flag(spec, KEY_optimizer_nesterov),
                            .clip = spec_flag(spec, KEY_optimizer_clip),
                            .decay_norm_and_bias = spec_flag(spec, KEY_optimizer_decay_norm_and_bias),
                            .accumulate = clamp_int(spec_integer(spec, KEY_train_accumulate)),
                            .span = spec_span(spec, KEY_optimizer_name)};
}

Graph *build_model(Arena *arena, const Spec *spec, int64_t classes, ModelUse use, DiagList *diags) {
  ModelOptions options;
  if (!model_options_from_spec(arena, spec, classes, use, diags, &options)) return NULL;
  return model_build(arena, &options, use);
}
