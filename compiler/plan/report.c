// The plan as text and as JSON. Every figure is read from the plan that the trainer is emitted from.
#include "compiler/plan/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t report_arena_bytes(const PlanReport *report) {
  uint64_t train = report->train->arena_bytes, features = report->features->arena_bytes;
  return train > features ? train : features;
}

uint64_t report_peak_bytes(const PlanReport *report) {
  return report->train->state_bytes + report_arena_bytes(report) + report->ring_bytes;
}

bool report_fits(const PlanReport *report) { return report_peak_bytes(report) <= report->budget_bytes; }

static const char *const item_kind_names[ITEM_KIND_COUNT] = {"activations", "gradients", "update", "workspace"};

typedef struct StateBytes {
  uint64_t parameters, velocities, statistics;
} StateBytes;

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), suffix_length = strlen(suffix);
  return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

// The state by kind, padding counted with the tensor before it.
static StateBytes state_bytes(const Plan *plan) {
  StateBytes bytes = {0};
  uint64_t *last = NULL, last_offset = 0;
  for (ValueId v = 0; v < plan->graph->values.count; v++) {
    const Value *value = graph_value(plan->graph, v);
    if (value->kind != VALUE_PARAMETER && value->kind != VALUE_STATE) continue;
    if (last) *last += plan->value_offsets[v] - last_offset;
    last_offset = plan->value_offsets[v];
    last = value->kind == VALUE_PARAMETER         ? &bytes.parameters
           : has_suffix(value->name, ".velocity") ? &bytes.velocities
                                                  : &bytes.statistics;
  }
  if (last) *last += plan->state_bytes - last_offset;
  return bytes;
}

static int64_t step_time_ns(const PlanReport *report) {
  int64_t micro = 0, update = 0;
  for (uint32_t i = 0; i < report->train->step_count; i++) {
    *(i < report->train->update_begin ? &micro : &update) += report->train->steps[i].time_ns;
  }
  return micro * report->micro_steps + update;
}

// Per block: what its forward keeps for the backward, and how long the block takes.
typedef struct BlockAccount {
  uint64_t saved_bytes;
  int64_t time_ns;
} BlockAccount;

static bool crosses_to_backward(const Plan *plan, const PlanItem *item) {
  if (item->kind != ITEM_ACTIVATION) return false;
  for (uint32_t step = item->begin + 1; step <= item->end; step++) {
    const Op *op = graph_op(plan->graph, plan->steps[step].op);
    if (op->phase != PHASE_FORWARD) return true;
  }
  return false;
}

static BlockAccount account_of_block(const Plan *plan, int block) {
  BlockAccount account = {0};
  for (uint32_t i = 0; i < plan->item_count; i++) {
    const PlanItem *item = &plan->items[i];
    if (graph_op(plan->graph, item->op)->block == block && crosses_to_backward(plan, item))
      account.saved_bytes += item->bytes;
  }
  for (uint32_t i = 0; i < plan->step_count; i++) {
    if (graph_op(plan->graph, plan->steps[i].op)->block == block) account.time_ns += plan->steps[i].time_ns;
  }
  return account;
}

static void print_list_json(Writer *out, const char *name, const int64_t *numbers, int count) {
  writer_printf(out, "\"%s\":[", name);
  for (int i = 0; i < count; i++) writer_printf(out, "%s%" PRId64, i ? "," : "", numbers[i]);
  writer_text(out, "]");
}

static void print_model_json(const PlanModel *model, Writer *out) {
  writer_text(out, "\"model\":{\"name\":");
  writer_json_string(out, model->name);
  writer_text(out, ",\"family\":");
  writer_json_string(out, model->family);
  writer_printf(out, ",\"parameters_trunk\":%" PRId64 ",\"parameters_total\":%" PRId64 ",", model->parameters_trunk,
                model->parameters_total);
  print_list_json(out, "depths", model->depths, model->stage_count);
  writer_text(out, ",");
  print_list_json(out, "widths", model->widths, model->stage_count);
  writer_text(out, ",");
  print_list_json(out, "group_widths", model->group_widths, model->stage_count);
  writer_text(out, ",\"macs_by_size\":{");
  for (int i = 0; i < model->size_count; i++)
    writer_printf(out, "%s\"%d\":%" PRId64, i ? "," : "", model->sizes[i], model->macs[i]);
  writer_text(out, "}}");
}

static void print_memory_json(const PlanReport *report, Writer *out) {
  const Plan *plan = report->train;
  StateBytes state = state_bytes(plan);
  writer_printf(out,
                "\"memory\":{\"budget_bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64 ",\"state_bytes\":%" PRIu64
                ",\"arena_bytes\":%" PRIu64 ",\"live_peak_bytes\":%" PRIu64 ",\"minimum_budget_bytes\":%" PRIu64
                ",\"by_kind\":{\"parameters\":%" PRIu64 ",\"velocities\":%" PRIu64 ",\"statistics\":%" PRIu64,
                report->budget_bytes, report_peak_bytes(report), plan->state_bytes, report_arena_bytes(report),
                plan->live_peak_bytes, report_peak_bytes(report), state.parameters, state.velocities, state.statistics);
  for (int i = 0; i < ITEM_KIND_COUNT; i++)
    writer_printf(out, ",\"%s\":%" PRIu64, item_kind_names[i], plan->peak_by_kind[i]);
  writer_printf(out, ",\"loader\":%" PRIu64 "}}", report->ring_bytes);
}

// Without checkpoints nothing is computed twice, so the cost is also the lower bound.
static void print_checkpoint_json(const PlanReport *report, Writer *out) {
  const Graph *graph = report->train->graph;
  double seconds = (double)step_time_ns(report) * 1e-9;
  writer_text(out, "\"checkpoint\":{\"blocks\":[");
  for (int block = 0; block < graph->block_count; block++) {
    writer_text(out, block ? ",{\"name\":" : "{\"name\":");
    writer_json_string(out, graph->block_names[block]);
    writer_printf(out, ",\"mode\":\"keep\",\"saved_bytes\":%" PRIu64 ",\"recomputed\":0,\"residency\":\"keep\"}",
                  account_of_block(report->train, block).saved_bytes);
  }
  writer_text(out, "],\"cost_seconds\":");
  writer_json_number(out, seconds);
  writer_text(out, ",\"lower_bound_seconds\":");
  writer_json_number(out, seconds);
  writer_text(out, ",\"gap\":0,\"proof\":\"nothing is recomputed: the cost is the sum of all steps\"}");
}

static void print_schedule_json(const Plan *plan, Writer *out) {
  writer_text(out, "\"schedule\":[");
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const Op *op = graph_op(plan->graph, plan->steps[i].op);
    writer_text(out, i ? ",\n{\"step\":" : "\n{\"step\":");
    writer_printf(out, "%u,\"op\":\"%s\",\"name\":", i, op_kind_name(op->kind));
    writer_json_string(out, op->name);
    writer_printf(out, ",\"phase\":\"%s\",\"time_ns\":%" PRId64 ",\"live_bytes\":%" PRIu64 "}",
                  op->phase == PHASE_FORWARD    ? "forward"
                  : op->phase == PHASE_BACKWARD ? "backward"
                                                : "update",
                  plan->steps[i].time_ns, plan->steps[i].live_bytes);
  }
  writer_text(out, "]");
}

// A parameter belongs to the block that reads it first.
static int64_t parameters_of_block(const Plan *plan, int block) {
  int64_t parameters = 0;
  for (ValueId v = 0; v < plan->graph->values.count; v++) {
    const Value *value = graph_value(plan->graph, v);
    if (value->kind != VALUE_PARAMETER || plan->first_use[v] == OP_NONE) continue;
    if (graph_op(plan->graph, plan->first_use[v])->block == block) parameters += shape_elements(value->shape);
  }
  return parameters;
}

static void print_units_json(const PlanReport *report, Writer *out) {
  const Graph *graph = report->train->graph;
  writer_printf(out, "\"shard\":{\"world\":%d,\"units\":[", report->machine.ranks);
  for (int block = 0; block < graph->block_count; block++) {
    int64_t parameters = parameters_of_block(report->train, block);
    writer_text(out, block ? ",{\"name\":" : "{\"name\":");
    writer_json_string(out, graph->block_names[block]);
    writer_printf(out, ",\"parameters\":%" PRId64 ",\"bytes\":%" PRId64 "}", parameters, parameters * 4);
  }
  writer_text(out, "],\"gather_bytes\":0,\"reduce_bytes\":0}");
}

void report_print_json(const PlanReport *report, Writer *out) {
  double seconds = (double)step_time_ns(report) * 1e-9;
  writer_text(out, "{");
  print_model_json(&report->model, out);
  writer_printf(out, ",\n\"machine\":{\"name\":");
  writer_json_string(out, report->machine.name);
  writer_printf(out, ",\"ranks\":%d,\"memory_bytes\":%" PRIu64 "},\n\"step\":{\"images\":%" PRId64 ",\"time_seconds\":",
                report->machine.ranks, report->machine.memory_bytes, report->images_per_step);
  writer_json_number(out, seconds);
  writer_text(out, ",\"images_per_second\":");
  writer_json_number(out, seconds > 0 ? (double)report->images_per_step / seconds : 0);
  writer_printf(out, ",\"flops\":%" PRId64 ",\"recompute_flops\":0,\"exposed_communication_seconds\":0},\n",
                report->flops_per_step);
  print_memory_json(report, out);
  writer_text(out, ",\n");
  print_checkpoint_json(report, out);
  writer_text(out, ",\n");
  print_units_json(report, out);
  writer_text(out, ",\n");
  print_schedule_json(report->train, out);
  writer_text(out, "}\n");
}

// "12.3 MiB": three significant digits are enough to read; the JSON has the bytes.
static void print_bytes(Writer *out, uint64_t bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double number = (double)bytes;
  int unit = 0;
  for (; number >= 1024 && unit < 5; unit++) number /= 1024;
  writer_printf(out, unit ? "%8.1f %s" : "%8.0f %s", number, units[unit]);
}

static void print_bytes_row(Writer *out, const char *label, uint64_t bytes) {
  writer_printf(out, "  %-22s", label);
  print_bytes(out, bytes);
  writer_printf(out, "  %16" PRIu64 " bytes\n", bytes);
}

static void print_model(const PlanModel *model, Writer *out) {
  writer_printf(out, "%s: %s, %.4g M parameters in the trunk, %.4g M in all\n", model->name, model->family,
                (double)model->parameters_trunk * 1e-6, (double)model->parameters_total * 1e-6);
  writer_text(out, "  stage   blocks    width  group width\n");
  for (int i = 0; i < model->stage_count; i++) {
    writer_printf(out, "  %5d %8" PRId64 " %8" PRId64 " %12" PRId64 "\n", i + 1, model->depths[i], model->widths[i],
                  model->group_widths[i]);
  }
  for (int i = 0; i < model->size_count; i++) {
    writer_printf(out, "  %d px: %.4g G multiply-adds a picture, forward\n", model->sizes[i],
                  (double)model->macs[i] * 1e-9);
  }
}

static void print_memory(const PlanReport *report, Writer *out) {
  StateBytes state = state_bytes(report->train);
  writer_text(out, "\nmemory of one rank\n");
  print_bytes_row(out, "parameters", state.parameters);
  print_bytes_row(out, "velocities", state.velocities);
  print_bytes_row(out, "statistics", state.statistics);
  print_bytes_row(out, "arena", report_arena_bytes(report));
  for (int i = 0; i < ITEM_KIND_COUNT; i++) {
    char label[32];
    snprintf(label, sizeof label, "  %s", item_kind_names[i]);
    print_bytes_row(out, label, report->train->peak_by_kind[i]);
  }
  print_bytes_row(out, "loader", report->ring_bytes);
  print_bytes_row(out, "peak", report_peak_bytes(report));
  print_bytes_row(out, "budget", report->budget_bytes);
  const Plan *plan = report->train;
  const Op *peak = graph_op(plan->graph, plan->steps[plan->peak_step].op);
  writer_printf(out, "  the arena is %s the largest sum of live bytes, reached in '%s' (%s)\n",
                plan->arena_bytes == plan->live_peak_bytes ? "exactly" : "above", peak->name, op_kind_name(peak->kind));
}

static void print_blocks(const PlanReport *report, Writer *out) {
  const Graph *graph = report->train->graph;
  writer_text(out, "\n  block                 keeps        share of the step\n");
  int64_t total = 0;
  for (uint32_t i = 0; i < report->train->step_count; i++) total += report->train->steps[i].time_ns;
  for (int block = 0; block < graph->block_count; block++) {
    BlockAccount account = account_of_block(report->train, block);
    double share = total ? (double)account.time_ns / (double)total : 0;
    writer_printf(out, "  %-16s", graph->block_names[block]);
    print_bytes(out, account.saved_bytes);
    writer_printf(out, "  %5.1f %% ", 100 * share);
    for (int i = 0; i < (int)(share * 100 + 0.5); i++) writer_text(out, "#");
    writer_text(out, "\n");
  }
}

void report_print(const PlanReport *report, Writer *out) {
  double seconds = (double)step_time_ns(report) * 1e-9;
  print_model(&report->model, out);
  print_memory(report, out);
  writer_printf(out, "\nstep: %" PRId64 " pictures, %.4g GFLOP, %.3g s estimated on '%s' (%.3g pictures/s)\n",
                report->images_per_step, (double)report->flops_per_step * 1e-9, seconds, report->machine.name,
                seconds > 0 ? (double)report->images_per_step / seconds : 0);
  print_blocks(report, out);
}
