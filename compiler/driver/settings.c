// Settings: one function per group of keys. Derived defaults (auto) are worked out here, in one place.
#include "compiler/driver/keep.h"
#include "compiler/driver/settings.h"

#include <string.h>
#include <unistd.h>

#include "compiler/base/bug.h"
#include "compiler/data/by.h"
#include "compiler/passes/build_model.h"
#include "runtime/data/loader.h"
#include "runtime/snapshot.h"

enum { RING_DEPTH = 3 };

static double number_or(const Spec *spec, SpecKey key, double when_auto) {
  return spec_value(spec, key)->kind == SPEC_NUMBER ? spec_number(spec, key) : when_auto;
}

static int int_of(const Spec *spec, SpecKey key) { return (int)spec_integer(spec, key); }

static SeerViews views_from_spec(const Spec *spec) {
  const SpecValue *crops = spec_value(spec, KEY_views_crops);
  SeerViews views = {.size_group_count = crops->item_count};
  if (crops->item_count > SEER_MAX_SIZE_GROUPS) BUG("%d size groups passed the checks", crops->item_count);
  for (int i = 0; i < crops->item_count; i++) {
    const SpecValue *arguments = crops->items[i].items;
    views.size_groups[i] = (SeerSizeGroup){.crops = (int)arguments[ARGUMENT_crop_count].number,
                                           .size = (int)arguments[ARGUMENT_crop_size].number,
                                           .scale_low = arguments[ARGUMENT_crop_scale].low,
                                           .scale_high = arguments[ARGUMENT_crop_scale].high};
  }
  double strength = spec_number(spec, KEY_views_jitter_strength);
  views.flip = spec_number(spec, KEY_views_flip);
  views.jitter = spec_number(spec, KEY_views_jitter);
  views.brightness = views.contrast = views.saturation = 0.8 * strength;
  views.hue = 0.2 * strength;
  views.grey = spec_number(spec, KEY_views_grey);
  views.blur = spec_number(spec, KEY_views_blur);
  views.blur_sigma_low = spec_value(spec, KEY_views_blur_sigma)->low;
  views.blur_sigma_high = spec_value(spec, KEY_views_blur_sigma)->high;
  views.aspect_low = spec_value(spec, KEY_views_aspect)->low;
  views.aspect_high = spec_value(spec, KEY_views_aspect)->high;
  return views;
}

static SeerSchedule schedule_from_spec(Arena *arena, const Spec *spec) {
  double peak = number_or(spec, KEY_schedule_peak,
                          spec_number(spec, KEY_schedule_base) * spec_number(spec, KEY_train_batch) / 256);
  const SpecValue *milestones = spec_value(spec, KEY_schedule_milestones);
  double *shares = arena_array(arena, double, milestones->item_count + 1);
  for (int i = 0; i < milestones->item_count; i++) shares[i] = milestones->items[i].number;
  bool by_fraction = spec_is_set(spec, KEY_schedule_warmup_fraction);
  return (SeerSchedule){.peak = peak,
                        .start = number_or(spec, KEY_schedule_start, peak / 16),
                        .end = number_or(spec, KEY_schedule_end, peak / 1000),
                        .warmup_steps = by_fraction ? -1 : spec_integer(spec, KEY_schedule_warmup),
                        .warmup_fraction = by_fraction ? spec_number(spec, KEY_schedule_warmup_fraction) : 0,
                        .shape = spec_is(spec, KEY_schedule_shape, "cosine") ? SEER_COSINE
                                 : spec_is(spec, KEY_schedule_shape, "step") ? SEER_STEP
                                                                             : SEER_CONSTANT,
                        .cosine_from_run = spec_is(spec, KEY_schedule_cosine_from, "run"),
                        .milestone_count = milestones->item_count,
                        .milestones = shares,
                        .gamma = spec_number(spec, KEY_schedule_gamma)};
}

static SeerSpikeRule spike_rule_from_spec(const Spec *spec) {
  if (!spec_is_set(spec, KEY_on_spike_rewind)) return (SeerSpikeRule){0};
  return (SeerSpikeRule){.rewind = spec_integer(spec, KEY_on_spike_rewind),
                         .skip = spec_integer(spec, KEY_on_spike_skip),
                         .factor = spec_number(spec, KEY_on_spike_factor),
                         .window = spec_integer(spec, KEY_on_spike_window),
                         .limit = spec_integer(spec, KEY_on_spike_limit)};
}

// A string or a list of them, NULL behind the last.
static const char *const *texts_from_spec(Arena *arena, const Spec *spec, SpecKey key, int *count) {
  const SpecValue *value = spec_value(spec, key);
  *count = value->kind == SPEC_LIST ? value->item_count : value->kind == SPEC_STRING ? 1 : 0;
  const char **texts = arena_array(arena, const char *, *count + 1);
  for (int i = 0; i < *count; i++) texts[i] = value->kind == SPEC_LIST ? value->items[i].text : value->text;
  return texts;
}

// References come with references_from_spec, which may fail.
static SeerMonitorRule monitor_from_spec(Arena *arena, const Spec *spec) {
  SeerMonitorRule rule = {.sample = spec_integer(spec, KEY_monitor_sample)};
  rule.columns = texts_from_spec(arena, spec, KEY_monitor_columns, &rule.column_count);
  return rule;
}

bool references_from_spec(Arena *arena, DiagList *diags, const Spec *spec, SeerMonitorRule *rule) {
  const SpecValue *value = spec_value(spec, KEY_monitor_reference);
  int count;
  const char *const *paths = texts_from_spec(arena, spec, KEY_monitor_reference, &count);
  if (rule->column_count == 0) return true;
  const char *slash = strrchr(spec->path, '/');
  SeerReference *references = arena_array(arena, SeerReference, count + 1);
  for (int i = 0; i < count; i++) {
    SourceSpan span = value->kind == SPEC_LIST ? value->items[i].span : value->span;
    const char *path = paths[i];
    if (*path != '/' && slash) path = arena_printf(arena, "%.*s/%s", (int)(slash - spec->path), spec->path, path);
    if (by_reference_load(arena, path, rule->columns, rule->column_count, &references[i]) != SEER_OK) {
      const char *reason = seer_error(), *note = strstr(reason, "\nnote: ");
      diag_error(diags, span, "reference", "%.*s", (int)strcspn(reason, "\n"), reason);
      diag_note(diags, (SourceSpan){0}, "%s",
                note ? note + strlen("\nnote: ") : "a relative path begins beside the spec");
      seer_error_clear();
      return false;
    }
    for (int j = 0; j < i; j++) {
      if (references[j].column != references[i].column) continue;
      diag_error(diags, span, "reference", "'%s' is the second table for column '%s'", paths[i],
                 rule->columns[references[i].column]);
      diag_note(diags, (SourceSpan){0}, "keep one of them");
      return false;
    }
    references[i].path = paths[i];
  }
  rule->references = references;
  rule->reference_count = count;
  return true;
}

static void triple_from_spec(const Spec *spec, SpecKey key, double triple[3]) {
  const SpecValue *list = spec_value(spec, key);
  if (list->item_count != 3) BUG("'%s' with %d numbers passed the checks", spec_key_name(key), list->item_count);
  for (int i = 0; i < 3; i++) triple[i] = list->items[i].number;
}

static const char *program_name(Arena *arena, const char *path) {
  if (strcmp(path, "-") == 0) return "spec";
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  const char *dot = strrchr(base, '.');
  return arena_string(arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static void set_task(const Spec *spec, SeerProgram *program) {
  if (spec_is_set(spec, KEY_supervised_classes)) {
    program->task = SEER_SUPERVISED;
    program->classes = (int)number_or(spec, KEY_supervised_classes, 0);
    return;
  }
  program->task = SEER_SWAV;
  program->prototypes = int_of(spec, KEY_swav_prototypes);
  program->freeze_prototypes_steps = spec_integer(spec, KEY_swav_freeze_prototypes);
  program->queue_start_steps = spec_integer(spec, KEY_swav_queue_start);
  program->queue_rows = spec_integer(spec, KEY_swav_queue);
}

// A spec that names no length trains for 100 epochs, as the released SwAV script does.
static double epochs_of(const Spec *spec) {
  if (spec_is_set(spec, KEY_train_epochs)) return spec_number(spec, KEY_train_epochs);
  return spec_is_set(spec, KEY_train_steps) ? 0 : 100;
}

SeerFormat reduce_format_from_spec(const Spec *spec) {
  return spec_is(spec, KEY_shard_reduce, "fp16")   ? SEER_FP16
         : spec_is(spec, KEY_shard_reduce, "bf16") ? SEER_BF16
                                                   : SEER_FP32;
}

SeerProgram settings_from_spec(Arena *arena, const Spec *spec) {
  int picture_count;
  SeerProgram program = {.name = program_name(arena, spec->path),
                         .views = views_from_spec(spec),
                         .schedule = schedule_from_spec(arena, spec),
                         .batch = int_of(spec, KEY_train_batch),
                         .accumulate = int_of(spec, KEY_train_accumulate),
                         .ranks = (int)rank_count_from_spec(spec),
                         .norm_ranks = (int)norm_ranks_from_spec(spec),
                         .reduce = reduce_format_from_spec(spec),
                         .slices = spec_flag(spec, KEY_train_reproducible) ? int_of(spec, KEY_train_slices) : 0,
                         .steps = spec_is_set(spec, KEY_train_steps) ? spec_integer(spec, KEY_train_steps) : 0,
                         .epochs = epochs_of(spec),
                         .seed = (uint64_t)spec_integer(spec, KEY_train_seed),
                         .spike_rule = spike_rule_from_spec(spec),
                         .monitor = monitor_from_spec(arena, spec),
                         .patience_seconds = spec_number(spec, KEY_cluster_patience),
                         .save_every = spec_integer(spec, KEY_save_every),
                         .save_keep = spec_integer(spec, KEY_save_keep),
                         .log_every = spec_integer(spec, KEY_log_every),
                         .tensorboard = spec_flag(spec, KEY_log_tensorboard),
                         .pictures = texts_from_spec(arena, spec, KEY_data_pictures, &picture_count),
                         .labels = spec_is_set(spec, KEY_data_labels) ? spec_text(spec, KEY_data_labels) : NULL,
                         .keep = keep_from_condition(arena, spec_value(spec, KEY_data_keep)),
                         .decode_threads = (int)number_or(spec, KEY_data_decode_threads, 0),
                         .max_undecodable = spec_number(spec, KEY_data_max_undecodable),
                         .max_pixels = spec_integer(spec, KEY_data_max_pixels),
                         .sandbox = spec_flag(spec, KEY_data_sandbox),
                         .scaled_decoding = spec_flag(spec, KEY_data_scaled_decoding),
                         .ring_depth = RING_DEPTH,
                         .evaluate_batch = int_of(spec, KEY_evaluate_batch),
                         .evaluate_size = int_of(spec, KEY_evaluate_size),
                         .evaluate_resize = int_of(spec, KEY_evaluate_resize),
                         .neighbours = int_of(spec, KEY_evaluate_neighbours),
                         .knn_temperature = spec_number(spec, KEY_evaluate_knn_temperature),
                         .knn_every = spec_integer(spec, KEY_evaluate_knn_every),
                         .knn_pictures = spec_integer(spec, KEY_evaluate_knn_pictures),
                         .evaluate_pictures = texts_from_spec(arena, spec, KEY_evaluate_pictures, &picture_count)};
  if (spec_is_set(spec, KEY_evaluate_labels)) program.evaluate_labels = spec_text(spec, KEY_evaluate_labels);
  if (spec_is_set(spec, KEY_evaluate_tasks)) program.evaluate_tasks = spec_text(spec, KEY_evaluate_tasks);
  triple_from_spec(spec, KEY_views_mean, program.mean);
  triple_from_spec(spec, KEY_views_std, program.std);
  set_task(spec, &program);
  program.ring_bytes = seer_loader_ring_bytes(&program.views, seer_rank_batch(&program), RING_DEPTH);
  return program;
}

static bool is_accumulator(const Value *value) {
  static const char suffix[] = ".accumulator";
  size_t length = strlen(value->name), end = strlen(suffix);
  return length >= end && strcmp(value->name + length - end, suffix) == 0;
}

// As the trainer's table of tensors will have it.
static SeerTensor tensor_of(const Graph *train, ValueId v, const PlanShards *shards) {
  const Value *value = graph_value(train, v);
  SeerTensor tensor = {.kind = is_accumulator(value) ? SEER_ACCUMULATOR : SEER_PARAMETER, .rank = value->shape.rank};
  for (int i = 0; i < value->shape.rank; i++) tensor.size[i] = value->shape.size[i];
  if (strstr(value->name, "queue")) {
    tensor.part = tensor.chunk = (uint64_t)shape_elements(value->shape);
    tensor.size[0] *= shards->count;
    tensor.shards = shards->count;
  } else {
    PlanCut cut = plan_shards_cut(shards, train, v);
    tensor.shards = cut.shards;
    tensor.part = cut.part;
    tensor.chunk = cut.chunk;
  }
  return tensor;
}

uint64_t snapshot_bytes_from_spec(Arena *arena, const Spec *spec, const Graph *train, const PlanShards *shards) {
  SeerTensor *tensors = arena_array(arena, SeerTensor, train->values.count + 1);
  int count = 0;
  for (ValueId v = 0; v < train->values.count; v++) {
    const Value *value = graph_value(train, v);
    if (value->kind == VALUE_PARAMETER || value->kind == VALUE_STATE) tensors[count++] = tensor_of(train, v, shards);
  }
  return seer_snapshot_share_bytes(tensors, count, (int)rank_count_from_spec(spec));
}
