// Prints program.c: the tables by which the runtime knows this trainer (runtime/program.h).
#include <inttypes.h>
#include <string.h>

#include "codegen/emit.h"
#include "compiler/base/bug.h"
#include "compiler/base/hash.h"

static void print_c_bytes(Writer *out, const char *text, size_t size) {
  writer_text(out, "\"");
  for (size_t i = 0; i < size; i++) {
    const unsigned char *c = (const unsigned char *)text + i;
    if (*c == '\n') {
      writer_text(out, i + 1 < size ? "\\n\"\n  \"" : "\\n");
    } else if (*c == '"' || *c == '\\') {
      writer_printf(out, "\\%c", *c);
    } else if (*c < 0x20 || *c >= 0x7F || *c == '?') {
      writer_printf(out, "\\%03o", *c);
    } else {
      writer_bytes(out, (const char *)c, 1);
    }
  }
  writer_text(out, "\"");
}

void print_c_string(Writer *out, const char *text) {
  if (text)
    print_c_bytes(out, text, strlen(text));
  else
    writer_text(out, "NULL");
}

// The largest literal that C99 obliges compilers to take is 4095 bytes, its end included.
enum { PIECE_BYTES = 4000 };

void print_pieces(Writer *out, const char *prefix, const char *name, SeerPieces pieces) {
  writer_printf(out, "%s %s[] = {\n", prefix, name);
  for (; *pieces; pieces++) {
    for (const char *text = *pieces; *text;) {
      size_t size = strnlen(text, PIECE_BYTES), cut = size;
      while (text[size] && cut > 0 && text[cut - 1] != '\n') cut--;
      if (cut > 0) size = cut;
      writer_text(out, "  ");
      print_c_bytes(out, text, size);
      writer_text(out, ",\n");
      text += size;
    }
  }
  writer_text(out, "  NULL};\n\n");
}

void print_plan_page(const Trainer *trainer, Writer *out) {
  writer_text(out,
              "// The page that a trainer shows its plan on. Written by seerc; edits are lost.\n"
              "#include \"runtime/plan_page.h\"\n\n");
  print_pieces(out, "const char *const", "seer_plan_page", trainer->settings.plan_page);
}

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), suffix_length = strlen(suffix);
  return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

static const char *tensor_kind(const Value *value) {
  if (value->kind == VALUE_PARAMETER) return "SEER_PARAMETER";
  if (has_suffix(value->name, ".velocity")) return "SEER_VELOCITY";
  if (has_suffix(value->name, ".accumulator")) return "SEER_ACCUMULATOR";
  if (strstr(value->name, "queue")) return "SEER_QUEUE";
  return "SEER_STATISTIC";
}

static bool is_tensor(const Value *value) { return value->kind == VALUE_PARAMETER || value->kind == VALUE_STATE; }

int tensor_count(const Graph *graph) {
  int count = 0;
  for (ValueId v = 0; v < graph->values.count; v++) count += is_tensor(graph_value(graph, v));
  return count;
}

// A queue is the work of all ranks; a graph has one rank's rows of it.
static Shape whole_shape(const Value *value, int ranks) {
  Shape shape = value->shape;
  if (strcmp(tensor_kind(value), "SEER_QUEUE") == 0) shape.size[0] *= ranks;
  return shape;
}

// FNV-1a over one line per tensor of a snapshot: accumulators, which come and go with train.accumulate, are not in it.
uint64_t model_hash(const Graph *train, int ranks) {
  uint64_t hash = HASH_START;
  Arena *scratch = arena_make("hashing the model");
  for (ValueId v = 0; v < train->values.count; v++) {
    const Value *value = graph_value(train, v);
    if (!is_tensor(value) || has_suffix(value->name, ".accumulator")) continue;
    hash = hash_text(hash, arena_printf(scratch, "%s %s", value->name, tensor_kind(value)));
    Shape shape = whole_shape(value, ranks);
    for (int i = 0; i < shape.rank; i++) hash = hash_text(hash, arena_printf(scratch, " %" PRId64, shape.size[i]));
    hash = hash_text(hash, "\n");
  }
  arena_release(scratch);
  return hash;
}

static uint64_t gradient_offset(const Program *train, const Value *parameter, Arena *arena) {
  if (!train) return 0;
  ValueId gradient = graph_find_value(train->graph, arena_printf(arena, "%s.gradient", parameter->name));
  if (gradient == VALUE_NONE || train->plan->value_in_state[gradient]) return 0;
  return train->plan->value_offsets[gradient];
}

// How many rows a step adds to a queue.
static uint64_t rows_pushed(const Graph *graph, const Value *queue) {
  const Op *push = graph_op(graph, graph_value(graph, queue->bound)->producer);
  return (uint64_t)graph_value(graph, push->operands[1])->shape.size[0];
}

static const PlanShards *shards_of(const TrainerWorld *world) {
  return world->train && world->train->plan->units ? world->train->plan->units->shards : NULL;
}

static void print_parts(const TrainerWorld *world, ValueId v, Writer *out) {
  const Graph *graph = world->state->graph;
  const Value *value = graph_value(graph, v);
  const PlanShards *shards = shards_of(world);
  PlanCut cut = {0};
  if (strcmp(tensor_kind(value), "SEER_QUEUE") == 0) {
    uint64_t part = (uint64_t)shape_elements(value->shape);
    cut = (PlanCut){world->ranks, part, part / (uint64_t)value->shape.size[0] * rows_pushed(graph, value)};
  } else if (shards) {
    cut = plan_shards_cut(shards, graph, v);
  }
  if (cut.shards > 1)
    writer_printf(out, ", .shards = %d, .part = %" PRIu64 ", .chunk = %" PRIu64, cut.shards, cut.part, cut.chunk);
}

static void print_tensor(const TrainerWorld *world, ValueId v, Arena *arena, Writer *out) {
  static const char *const inits[] = {"SEER_INIT_ZERO", "SEER_INIT_ONE", "SEER_INIT_NORMAL", "SEER_INIT_UNIFORM"};
  const Value *value = graph_value(world->state->graph, v);
  writer_text(out, "  {.name = ");
  print_c_string(out, value->name);
  writer_printf(out, ", .kind = %s, .rank = %d, .size = {", tensor_kind(value), value->shape.rank);
  Shape shape = whole_shape(value, world->ranks);
  for (int i = 0; i < shape.rank; i++) writer_printf(out, "%s%" PRId64, i ? ", " : "", shape.size[i]);
  writer_printf(out, "},\n   .offset = %" PRIu64, world->state->value_offsets[v]);
  if (value->kind == VALUE_PARAMETER)
    writer_printf(out, ", .gradient_offset = %" PRIu64, gradient_offset(world->train, value, arena));
  if (value->kind == VALUE_PARAMETER && shards_of(world))
    writer_printf(out, ", .gradient_part = %" PRIu64, shards_of(world)->part[v]);
  writer_printf(out, ", .init = %s", inits[value->init]);
  if (value->init_a != 0) {
    writer_text(out, ", .init_a = ");
    writer_json_number(out, value->init_a);
  }
  if (value->normalize_rows_at_start) writer_text(out, ", .normalize_rows_at_start = true");
  print_parts(world, v, out);
  writer_text(out, "},\n");
}

static int print_tensors(const TrainerWorld *world, Arena *arena, Writer *out) {
  const Graph *graph = world->state->graph;
  int count = 0;
  writer_text(out, "static const SeerTensor tensors[] = {\n");
  for (ValueId v = 0; v < graph->values.count; v++) {
    if (!is_tensor(graph_value(graph, v))) continue;
    print_tensor(world, v, arena, out);
    count++;
  }
  writer_text(out, "};\n\n");
  return count;
}

// How the parameters of each block travel between ranks.
static int print_units(const Program *train, Writer *out) {
  const PlanUnits *units = train ? train->plan->units : NULL;
  if (!units) return 0;
  for (int u = 0; u < units->count; u++) {
    writer_printf(out, "static const SeerUnitTensor unit_%d[] = {\n", u);
    const PlanUnit *unit = &units->items[u];
    for (size_t i = 0; i < unit->tensors.count; i++) {
      ValueId parameter = unit->tensors.items[i].parameter, gradient = unit->tensors.items[i].gradient;
      writer_printf(out, "  {%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "},\n",
                    train->plan->value_offsets[parameter], units->offsets[parameter],
                    gradient == VALUE_NONE ? UINT64_MAX : units->offsets[gradient], units->shards->part[parameter],
                    (uint64_t)shape_elements(graph_value(train->graph, parameter)->shape));
    }
    writer_text(out, "};\n");
  }
  writer_text(out, "static const SeerUnit units[] = {\n");
  for (int u = 0; u < units->count; u++) {
    writer_text(out, "  {");
    print_c_string(out, train->unit_names[u]);
    writer_printf(out, ", %zu, unit_%d},\n", units->items[u].tensors.count, u);
  }
  writer_text(out, "};\n\n");
  return units->count;
}

// Where to look for a bad number after a launch, in elements of its memory.
static void print_checked(const Program *program, const ProgramLaunch *launch, Writer *out) {
  if (launch->checked == VALUE_NONE) return;
  const Value *value = graph_value(program->graph, launch->checked);
  bool narrow = value->type == DATA_BF16 || value->type == DATA_F16;
  uint64_t count = value->type == DATA_F32 || narrow ? (uint64_t)shape_elements(value->shape) : 0;
  ProgramSpace space;
  uint64_t offset = program_offset(program, launch, launch->checked, &space);
  if (program->plan->units && program->plan->units->shards->kept[launch->checked] && space == SPACE_STATE)
    count = program->plan->units->shards->part[launch->checked];
  writer_printf(out, "   .in_state = %s, .offset = %" PRIu64 ", .count = %" PRIu64 "%s,\n",
                space == SPACE_STATE ? "true" : "false", offset, count,
                value->type == DATA_BF16  ? ", .is_bf16 = true"
                : value->type == DATA_F16 ? ", .is_f16 = true"
                                          : "");
}

static void print_launch_field(Writer *out, const char *name, const char *text) {
  writer_printf(out, ".%s = ", name);
  print_c_string(out, text);
  writer_text(out, ", ");
}

// What a profile groups by. Updates belong to no block of the network.
static void print_group(const Program *program, const ProgramLaunch *launch, const Op *op, Writer *out) {
  const PlanStep *step = &program->plan->steps[launch->step];
  const char *block = op->block >= 0 ? program->graph->block_names[op->block] : "update";
  writer_text(out, "   ");
  print_launch_field(out, "block", block);
  print_launch_field(out, "kind", launch->alone ? kernel_info(launch->kernel)->name : op_kind_name(op->kind));
  writer_printf(out, ".run = %d, .size_group = %d", launch->run, op->size_group);
  if (!launch->alone && step->variant == RUN_AGAIN) writer_text(out, ", .again = true");
  if (launch->flops > 0) writer_printf(out, ", .flops = %.0f", launch->flops);
  if (launch->bytes > 0) writer_printf(out, ", .bytes = %.0f", launch->bytes);
  writer_text(out, "},\n");
}

static void print_launches_of(const Trainer *trainer, const Program *program, Arena *arena, Writer *out) {
  for (size_t i = 0; program && i < program->launches.count; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    const char *kernel = kernel_info(launch->kernel)->name;
    if (launch->op == OP_NONE) {
      StepKind step = program->plan->steps[launch->step].kind;
      writer_printf(out,
                    "  {.op = \"\", .kernel = \"%s\", .pass = \"\", .location = \"\", .block = \"%s\", .kind = \"%s\", "
                    ".run = %d, .size_group = -1},\n",
                    kernel, step == STEP_OFFLOAD || step == STEP_FETCH ? "host" : "ranks", kernel, launch->run);
      continue;
    }
    const Op *op = graph_op(program->graph, launch->op);
    writer_text(out, "  {");
    print_launch_field(out, "op", op->name);
    print_launch_field(out, "kernel", kernel);
    print_launch_field(out, "pass", step_pass_name(program->plan->steps[launch->step].pass));
    print_launch_field(out, "location", span_label(arena, trainer->sources, op->span));
    writer_text(out, "\n");
    print_checked(program, launch, out);
    print_group(program, launch, op, out);
  }
}

static void print_number_field(Writer *out, const char *name, double number) {
  writer_printf(out, "    .%s = ", name);
  writer_json_number(out, number);
  writer_text(out, ",\n");
}

static void print_views(const SeerViews *views, Writer *out) {
  writer_printf(out, "  .views = {\n    .size_group_count = %d,\n    .size_groups = {", views->size_group_count);
  for (int i = 0; i < views->size_group_count; i++) {
    const SeerSizeGroup *group = &views->size_groups[i];
    writer_printf(out, "%s{.crops = %d, .size = %d, .scale_low = ", i ? ", " : "", group->crops, group->size);
    writer_json_number(out, group->scale_low);
    writer_text(out, ", .scale_high = ");
    writer_json_number(out, group->scale_high);
    writer_text(out, "}");
  }
  writer_text(out, "},\n");
  print_number_field(out, "flip", views->flip);
  print_number_field(out, "jitter", views->jitter);
  print_number_field(out, "brightness", views->brightness);
  print_number_field(out, "contrast", views->contrast);
  print_number_field(out, "saturation", views->saturation);
  print_number_field(out, "hue", views->hue);
  print_number_field(out, "grey", views->grey);
  print_number_field(out, "blur", views->blur);
  print_number_field(out, "blur_sigma_low", views->blur_sigma_low);
  print_number_field(out, "blur_sigma_high", views->blur_sigma_high);
  print_number_field(out, "aspect_low", views->aspect_low);
  print_number_field(out, "aspect_high", views->aspect_high);
  writer_text(out, "  },\n");
}

static void print_schedule(const SeerSchedule *schedule, Writer *out) {
  static const char *const shapes[] = {"SEER_COSINE", "SEER_CONSTANT", "SEER_STEP"};
  writer_printf(out, "  .schedule = {\n    .warmup_steps = %" PRId64 ", .shape = %s, .cosine_from_run = %s,\n",
                schedule->warmup_steps, shapes[schedule->shape], schedule->cosine_from_run ? "true" : "false");
  print_number_field(out, "start", schedule->start);
  print_number_field(out, "peak", schedule->peak);
  print_number_field(out, "end", schedule->end);
  print_number_field(out, "warmup_fraction", schedule->warmup_fraction);
  print_number_field(out, "gamma", schedule->gamma);
  writer_printf(out, "    .milestone_count = %d, .milestones = milestones,\n  },\n", schedule->milestone_count);
}

static void print_triple(Writer *out, const char *name, const double triple[3]) {
  writer_printf(out, "  .%s = {", name);
  for (int i = 0; i < 3; i++) {
    if (i) writer_text(out, ", ");
    writer_json_number(out, triple[i]);
  }
  writer_text(out, "},\n");
}

static void print_string_field(Writer *out, const char *name, const char *text) {
  writer_printf(out, "  .%s = ", name);
  print_c_string(out, text);
  writer_text(out, ",\n");
}

static void print_monitor_lists(const SeerMonitorRule *rule, Writer *out) {
  writer_text(out, "const char *const monitor_columns[] = {");
  for (int i = 0; i < rule->column_count; i++) {
    print_c_string(out, rule->columns[i]);
    writer_text(out, ", ");
  }
  writer_text(out, "NULL};\n");
  for (int i = 0; i < rule->reference_count; i++) {
    const SeerReference *reference = &rule->references[i];
    writer_printf(out, "static const char *const reference%d_texts[] = {\n", i + 1);
    for (size_t j = 0; j < reference->count; j++) {
      writer_text(out, "  ");
      print_c_string(out, reference->texts[j]);
      writer_text(out, ",\n");
    }
    writer_printf(out, "};\nstatic const double reference%d_weights[] = {\n", i + 1);
    for (size_t j = 0; j < reference->count; j++) {
      writer_text(out, "  ");
      print_real(out, reference->weights[j]);
      writer_text(out, ",\n");
    }
    writer_text(out, "};\n");
  }
  writer_text(out, "const SeerReference monitor_references[] = {\n");
  for (int i = 0; i < rule->reference_count; i++) {
    writer_text(out, "  {");
    print_c_string(out, rule->references[i].path);
    writer_printf(out, ", %d, %zu, reference%d_texts, reference%d_weights},\n", rule->references[i].column,
                  rule->references[i].count, i + 1, i + 1);
  }
  writer_text(out, "  {NULL, 0, 0, NULL, NULL}};\n\n");
}

static void print_paths(Writer *out, const char *name, const char *const *paths) {
  writer_printf(out, "const char *const %s[] = {", name);
  for (int i = 0; paths && paths[i]; i++) {
    print_c_string(out, paths[i]);
    writer_text(out, ", ");
  }
  writer_text(out, "NULL};\n");
}

static void print_lists(const SeerProgram *settings, Writer *out) {
  print_paths(out, "pictures", settings->pictures);
  print_paths(out, "evaluate_pictures", settings->evaluate_pictures);
  writer_text(out, "\nconst double milestones[] = {");
  for (int i = 0; i < settings->schedule.milestone_count; i++) {
    writer_json_number(out, settings->schedule.milestones[i]);
    writer_text(out, ", ");
  }
  writer_text(out, "0};\n\n");
  print_monitor_lists(&settings->monitor, out);
}

static uint64_t output_offset(const Program *program, const char *name) {
  ValueId value = graph_find_output(program->graph, name);
  return value == VALUE_NONE ? 0 : program->plan->value_offsets[value];
}

static void print_spike_rule(const SeerSpikeRule *rule, Writer *out) {
  writer_printf(out,
                "  .spike_rule = {\n    .rewind = %" PRId64 ", .skip = %" PRId64 ", .window = %" PRId64
                ", .limit = %" PRId64 ",\n",
                rule->rewind, rule->skip, rule->window, rule->limit);
  print_number_field(out, "factor", rule->factor);
  writer_text(out, "  },\n");
}

static void print_settings(const SeerProgram *s, Writer *out) {
  static const char *const formats[] = {"SEER_FP32", "SEER_FP16", "SEER_BF16"};
  print_string_field(out, "name", s->name);
  print_string_field(out, "seer_version", s->seer_version);
  print_string_field(out, "cpu", s->cpu);
  print_string_field(out, "tuning", s->tuning);
  writer_printf(out, "  .spec_text = spec_text, .plan_json = %s, .plan_page = seer_plan_page,\n",
                s->plan_json ? "plan_json" : "NULL");
  print_string_field(out, "labels", s->labels);
  writer_printf(out, "  .task = %s,\n", s->task == SEER_SWAV ? "SEER_SWAV" : "SEER_SUPERVISED");
  print_views(&s->views, out);
  print_schedule(&s->schedule, out);
  writer_printf(out,
                "  .batch = %d, .accumulate = %d, .ranks = %d, .norm_ranks = %d, .slices = %d, .reduce = %s,\n"
                "  .steps = %" PRId64 ", .seed = %" PRIu64 "u,\n",
                s->batch, s->accumulate, s->ranks, s->norm_ranks, s->slices, formats[s->reduce], s->steps, s->seed);
  print_number_field(out, "epochs", s->epochs);
  writer_printf(
      out, "  .freeze_prototypes_steps = %" PRId64 ", .queue_start_steps = %" PRId64 ", .queue_rows = %" PRId64 ",\n",
      s->freeze_prototypes_steps, s->queue_start_steps, s->queue_rows);
  writer_printf(out,
                "  .prototypes = %d, .classes = %d,\n  .save_every = %" PRId64 ", .save_keep = %" PRId64
                ", .log_every = %" PRId64 ", .tensorboard = %s,\n",
                s->prototypes, s->classes, s->save_every, s->save_keep, s->log_every,
                s->tensorboard ? "true" : "false");
  print_spike_rule(&s->spike_rule, out);
  if (s->monitor.column_count > 0)
    writer_printf(out,
                  "  .monitor = {\n    .column_count = %d, .columns = monitor_columns, .sample = %" PRId64
                  ",\n    .reference_count = %d, .references = monitor_references},\n",
                  s->monitor.column_count, s->monitor.sample, s->monitor.reference_count);
  print_number_field(out, "patience_seconds", s->patience_seconds);
  if (s->scales_loss) writer_text(out, "  .scales_loss = true,\n");
  writer_printf(out, "  .pictures = pictures, .decode_threads = %d, .max_pixels = %" PRId64 ",\n", s->decode_threads,
                s->max_pixels);
  if (s->sandbox) writer_text(out, "  .sandbox = true,\n");
  if (s->scaled_decoding) writer_text(out, "  .scaled_decoding = true,\n");
  if (s->keep) writer_text(out, "  .keep = &keep,\n");
  print_number_field(out, "max_undecodable", s->max_undecodable);
  print_triple(out, "mean", s->mean);
  print_triple(out, "std", s->std);
  writer_printf(out, "  .ring_bytes = %" PRIu64 "u, .ring_depth = %d, .snapshot_bytes = %" PRIu64 "u,\n", s->ring_bytes,
                s->ring_depth, s->snapshot_bytes);
  writer_printf(
      out,
      "  .evaluate_batch = %d, .evaluate_size = %d, .evaluate_resize = %d, .feature_width = %d, .neighbours = %d,\n",
      s->evaluate_batch, s->evaluate_size, s->evaluate_resize, s->feature_width, s->neighbours);
  print_number_field(out, "knn_temperature", s->knn_temperature);
  writer_printf(out,
                "  .knn_every = %" PRId64 ", .knn_pictures = %" PRId64 ", .evaluate_pictures = evaluate_pictures,\n",
                s->knn_every, s->knn_pictures);
  print_string_field(out, "evaluate_labels", s->evaluate_labels);
  print_string_field(out, "evaluate_tasks", s->evaluate_tasks);
}

// The first launch of features comes behind those of training.
static int print_launches(const Trainer *trainer, const TrainerWorld *world, Arena *arena, Writer *out) {
  const Program *train = world->train, *features = world->features;
  writer_text(out, "static const SeerLaunch launches[] = {\n");
  print_launches_of(trainer, train, arena, out);
  print_launches_of(trainer, features, arena, out);
  writer_text(out, "};\n\n");
  return (int)((train ? train->launches.count : 0) + (features ? features->launches.count : 0));
}

// The layers that features can be of, the last two under two names.
static void print_features(const Program *features, Writer *out) {
  const Graph *graph = features->graph;
  int count = 2, stages = 0;
  uint64_t offset = output_offset(features, "features");
  writer_printf(out, "  .features = step_features, .features_offset = %" PRIu64 "u,\n", offset);
  writer_text(out, "  .layers = (const SeerProgramLayer[]){");
  for (size_t i = 0; i < graph->outputs.count; i++) {
    const GraphOutput *output = &graph->outputs.items[i];
    if (strncmp(output->name, "features.", 9) != 0) continue;
    writer_printf(out, "{\"%s\", %" PRIi64 ", %" PRIu64 "u}, ", output->name + 9,
                  graph_value(graph, output->value)->shape.size[1], features->plan->value_offsets[output->value]);
    stages += output->name[9] == 's' && output->name[10] != 't';
    count++;
  }
  int64_t width = graph_value(graph, graph_find_output(graph, "features"))->shape.size[1];
  writer_printf(out, "{\"s%d\", %" PRIi64 ", %" PRIu64 "u}, {\"avgpool\", %" PRIi64 ", %" PRIu64 "u}},\n", stages + 1,
                width, offset, width, offset);
  writer_printf(out, "  .layer_count = %d,\n", count);
}

static void print_training(const TrainerWorld *world, Writer *out) {
  if (world->train)
    writer_printf(
        out, "  .train = step_%s, .update = step_%s,\n  .loss_offset = %" PRIu64 "u, .usage_offset = %" PRIu64 "u,\n",
        world->train->entries[0].name, world->train->entries[1].name, output_offset(world->train, "loss"),
        output_offset(world->train, "usage"));
  else
    writer_printf(out, "  .minimum_bytes = %" PRIu64 "u, .budget_bytes = %" PRIu64 "u,\n", world->minimum_bytes,
                  world->budget_bytes);
  if (world->features)
    print_features(world->features, out);
}

// The declared world's file holds what all share, and their list.
static void print_list_of_worlds(const Trainer *trainer, Writer *out) {
  writer_text(out, "\nconst SeerProgram *const seer_programs[] = {");
  for (int i = 0; i < trainer->world_count; i++)
    writer_printf(out, "%s&%sprogram", i ? ", " : "", trainer->worlds[i].prefix);
  writer_printf(out, "};\nconst int seer_program_count = %d;\n", trainer->world_count);
}

void print_program(const Trainer *trainer, const TrainerWorld *world, Arena *arena, Writer *out) {
  SeerProgram settings = trainer->settings;
  settings.ranks = world->ranks;
  settings.ring_bytes = world->ring_bytes;
  settings.snapshot_bytes = world->snapshot_bytes;
  settings.plan_json = world->plan_json;
  bool declared = world == trainer->worlds;
  writer_printf(
      out,
      "// What '%s' is: its tensors, settings and plan, as the runtime reads them. Written by seerc; edits are lost.\n",
      settings.name);
  writer_printf(out, "#include \"runtime/program.h\"\n\n#include \"model.h\"\n#include \"runtime/plan_page.h\"\n%s\n",
                trainer->modules ? "#include \"runtime/device/gpu.h\"\n" : "");
  if (trainer->carried) writer_text(out, "extern const unsigned char seer_carried[], seer_carried_end[];\n\n");
  int tensor_count = print_tensors(world, arena, out), unit_count = print_units(world->train, out);
  int launch_count = print_launches(trainer, world, arena, out);
  if (declared) print_lists(&settings, out);
  if (declared && settings.keep) print_keep(settings.keep, out);
  if (declared) print_pieces(out, "const char *const", "spec_text", settings.spec_text);
  if (world->plan_json) print_pieces(out, "static const char *const", "plan_json", world->plan_json);
  writer_printf(out, "const SeerProgram %sprogram = {\n", world->prefix);
  print_settings(&settings, out);
  writer_printf(out, "  .model_hash = 0x%016" PRIx64 "u,\n  .tensor_count = %d, .tensors = tensors,\n",
                model_hash(world->state->graph, world->ranks), tensor_count);
  if (unit_count)
    writer_printf(out, "  .group = %d, .unit_count = %d, .units = units,\n", shards_of(world)->group, unit_count);
  writer_printf(out, "  .state_bytes = %" PRIu64 "u, .arena_bytes = %" PRIu64 "u, .slice_bytes = %" PRIu64 "u,\n",
                world->state_bytes, world->arena_bytes, world->slice_bytes);
  print_training(world, out);
  writer_printf(out, "  .launch_count = %d, .launches = launches,\n", launch_count);
  if (trainer->modules)
    writer_printf(out, "  .accelerator = &seer_gpu, .input_bytes = %" PRIu64 "u, .host_bytes = %" PRIu64 "u,\n",
                  world->input_bytes, world->host_bytes);
  if (trainer->carried) writer_text(out, "  .carried = seer_carried, .carried_end = seer_carried_end,\n");
  writer_text(out, "};\n");
  if (declared) print_list_of_worlds(trainer, out);
}
