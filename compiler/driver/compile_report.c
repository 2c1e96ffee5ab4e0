// What a plan's report tells beside the plan: the model, what lies outside, all worlds; and that it fits.
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/compile_stages.h"
#include "runtime/data/decode.h"
#include "runtime/monitor.h"

static bool is_trunk(const char *name) {
  return strncmp(name, "stem.", 5) == 0 || strncmp(name, "trunk_output.", 13) == 0;
}

static void count_parameters(const Graph *graph, PlanModel *model) {
  for (size_t v = 0; v < graph->values.count; v++) {
    const Value *value = &graph->values.items[v];
    if (value->kind != VALUE_PARAMETER) continue;
    int64_t count = shape_elements(value->shape);
    model->parameters_total += count;
    if (is_trunk(value->name)) model->parameters_trunk += count;
  }
}

// Multiply-adds of one picture's forward through the trunk, for one size group of a graph.
static int64_t trunk_macs(const Graph *graph, int size_group, int64_t images) {
  int64_t macs = 0;
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    if (op->phase == PHASE_FORWARD && op->size_group == size_group) macs += op_macs(graph, op);
  }
  return macs / images;
}

static void add_size(PlanModel *model, int size, int64_t macs) {
  for (int i = 0; i < model->size_count; i++) {
    if (model->sizes[i] == size) return;
  }
  model->sizes[model->size_count] = size;
  model->macs[model->size_count++] = macs;
}

static int64_t pictures_of_micro_step(const Spec *spec) {
  return spec_integer(spec, KEY_train_batch) / spec_integer(spec, KEY_train_accumulate) / rank_count_from_spec(spec);
}

PlanModel model_of(const RegNetShape *shape, const Spec *spec, const SeerProgram *settings, const Graph *train,
                   const Graph *features) {
  PlanModel model = {
      .name = settings->name, .family = spec_text(spec, KEY_model_family), .stage_count = shape->stage_count};
  for (int i = 0; i < shape->stage_count; i++) {
    model.depths[i] = shape->stages[i].depth;
    model.widths[i] = shape->stages[i].width;
    model.group_widths[i] = shape->stages[i].group_width;
  }
  int64_t pictures = pictures_of_micro_step(spec);
  for (int i = 0; i < settings->views.size_group_count; i++) {
    const SeerSizeGroup *group = &settings->views.size_groups[i];
    add_size(&model, group->size, trunk_macs(train, i, pictures * group->crops));
  }
  add_size(&model, settings->evaluate_size, trunk_macs(features, 0, settings->evaluate_batch));
  count_parameters(train, &model);
  return model;
}

// Pictures are the vectors of target c, and what they leave free of the last one is computed all the same.
double vector_fill(const Spec *spec, const SeerProgram *settings, const Graph *train, int lanes) {
  double used = 0, taken = 0;
  for (int i = 0; i < settings->views.size_group_count; i++) {
    int64_t pictures = pictures_of_micro_step(spec) * settings->views.size_groups[i].crops;
    double macs = (double)trunk_macs(train, i, pictures);  // of one
    used += macs * (double)pictures;
    taken += macs * (double)((pictures + lanes - 1) / lanes * lanes);
  }
  return taken > 0 ? used / taken : 1;
}

// What lies outside the four blocks of memory, at most, with as many threads as this machine has cores where the spec
// leaves their number open.
void list_outside(PlanReport *report, const SeerProgram *settings) {
  enum { STACK_BYTES = 1 << 20, PROGRAM_BYTES = 48 << 20 };
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  uint64_t threads = cores > 0 ? (uint64_t)cores : 1;
  uint64_t decoders = settings->decode_threads > 0 ? (uint64_t)settings->decode_threads : threads;
  PlanOutside *outside = report->outside;
  outside[report->outside_count++] = (PlanOutside){
      "program", "code, libraries, the lists of tensors and launches, files while they are written", PROGRAM_BYTES};
  outside[report->outside_count++] =
      (PlanOutside){"stacks", "1 MiB touched by each thread that computes, decodes or writes a snapshot",
                    (threads + decoders + (uint64_t)report->slices) * STACK_BYTES};
  uint64_t picture = (uint64_t)settings->max_pixels * SEER_DECODE_BYTES_A_PIXEL;
  outside[report->outside_count++] =
      (PlanOutside){"decoding",
                    "for each decoding thread a picture of data.max_pixels: its file, decoded, turned upright, and "
                    "what the image libraries hold",
                    decoders * picture};
  if (settings->monitor.column_count > 0)
    outside[report->outside_count++] =
        (PlanOutside){"monitor", "what is counted of the data, on rank 0, where nearly every picture is another",
                      seer_monitor_bytes(settings->monitor.column_count)};
}

void list_worlds(Arena *arena, const Planning *plannings, int count) {
  PlanWorld *worlds = arena_array(arena, PlanWorld, count);
  for (int i = 0; i < count; i++) {
    const PlanReport *report = plannings[i].report;
    bool trains = world_trains(&plannings[i]);
    worlds[i] = (PlanWorld){.ranks = report->machine.ranks,
                            .trains = trains,
                            .peak_bytes = report_peak_bytes(report),
                            .minimum_bytes = report_minimum_bytes(report),
                            .step_ns = trains ? report_times(report).step_ns : 0};
  }
  for (int i = 0; i < count; i++) {
    plannings[i].report->worlds = worlds;
    plannings[i].report->world_count = count;
  }
}

void plan_print_json(const PlanReport *report, const Cluster *cluster, Writer *out) {
  report_print_json(report, out);
  Simulation simulation = simulate_run(report, cluster);
  simulation_print_json(cluster, &simulation, out);
  writer_text(out, "}\n");
}

bool check_fits(DiagList *diags, const Spec *spec, const PlanReport *report) {
  if (report_fits(report)) return true;
  SpecKey key =
      spec_value(spec, KEY_checkpoint_budget)->kind == SPEC_NUMBER ? KEY_checkpoint_budget : KEY_cluster_machine;
  bool asked = report->policy.placement != PLACEMENT_OPTIMAL;
  uint64_t needed = asked && report->train ? report_peak_bytes(report) : report_minimum_bytes(report);
  diag_error(diags, spec_span(spec, key), "budget",
             "the plan needs %" PRIu64 " bytes and the budget is %" PRIu64 " bytes", needed, report->budget_bytes);
  if (asked)
    diag_note(diags, spec_span(spec, KEY_checkpoint_placement),
              "the placement '%s' takes what it takes; 'placement = optimal' fits into less",
              plan_placement_names[report->policy.placement]);
  Writer cause = {0};
  report_write_minimum_cause(report, &cause);
  diag_note(diags, (SourceSpan){0},
            "the smallest budget that would do is %" PRIu64 " bytes: %" PRIu64 " of state, %" PRIu64
            " of pictures loaded ahead, %" PRIu64 " of a snapshot being written, and at least %" PRIu64
            " of arena, set by %s",
            report_minimum_bytes(report), report->state_bytes, report->ring_bytes, report->snapshot_bytes,
            report_minimum_bytes(report) - report_fixed_bytes(report), cause.text);
  writer_release(&cause);
  diag_note(diags, (SourceSpan){0},
            report_minimum_cause(report) == MINIMUM_BY_EVALUATION
                ? "a smaller 'evaluate.batch' or 'evaluate.size' lowers the arena"
                : "a smaller 'train.batch', or a larger 'train.accumulate', lowers the arena");
  return false;
}
