// The plan as one JSON object, keys as in design section 8. Every figure is read from the plan that the trainer is
// emitted from.
#include <inttypes.h>

#include "compiler/plan/report.h"

static void print_string(Writer *out, const char *key, const char *text) {
  writer_printf(out, "\"%s\":", key);
  writer_json_string(out, text);
}

static void print_number(Writer *out, const char *key, double number) {
  writer_printf(out, "\"%s\":", key);
  writer_json_number(out, number);
}

static void print_seconds(Writer *out, const char *key, int64_t time_ns) {
  print_number(out, key, (double)time_ns * 1e-9);
}

static void print_list(Writer *out, const char *name, const int64_t *numbers, int count) {
  writer_printf(out, "\"%s\":[", name);
  for (int i = 0; i < count; i++) writer_printf(out, "%s%" PRId64, i ? "," : "", numbers[i]);
  writer_text(out, "]");
}

static void print_model(const PlanModel *model, Writer *out) {
  writer_text(out, "\"model\":{");
  print_string(out, "name", model->name);
  writer_text(out, ",");
  print_string(out, "family", model->family);
  writer_printf(out, ",\"parameters_trunk\":%" PRId64 ",\"parameters_total\":%" PRId64 ",", model->parameters_trunk,
                model->parameters_total);
  print_list(out, "depths", model->depths, model->stage_count);
  writer_text(out, ",");
  print_list(out, "widths", model->widths, model->stage_count);
  writer_text(out, ",");
  print_list(out, "group_widths", model->group_widths, model->stage_count);
  writer_text(out, ",\"macs_by_size\":{");
  for (int i = 0; i < model->size_count; i++)
    writer_printf(out, "%s\"%d\":%" PRId64, i ? "," : "", model->sizes[i], model->macs[i]);
  writer_text(out, "}}");
}

static void print_machine(const PlanMachine *machine, Writer *out) {
  writer_text(out, ",\n\"machine\":{");
  print_string(out, "name", machine->name);
  writer_printf(out, ",\"nodes\":%d,\"ranks\":%d,\"memory_bytes\":%" PRIu64 ",", machine->nodes, machine->ranks,
                machine->memory_bytes);
  const struct {
    const char *key;
    double number;
  } numbers[] = {{"flops_per_second", machine->flops_per_second},
                 {"efficiency", machine->efficiency},
                 {"bytes_per_second", machine->bytes_per_second},
                 {"link_bytes_per_second", machine->link_bytes_per_second},
                 {"node_bytes_per_second", machine->node_bytes_per_second},
                 {"host_bytes_per_second", machine->host_bytes_per_second},
                 {"latency_seconds", machine->latency_seconds},
                 {"node_latency_seconds", machine->node_latency_seconds},
                 {"link_latency_seconds", machine->link_latency_seconds}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    print_number(out, numbers[i].key, numbers[i].number);
    writer_text(out, ",");
  }
  print_string(out, "exchange", exchange_names[machine->exchange]);
  writer_text(out, ",\"sources\":{");
  for (int i = 0; i < machine->source_count; i++) {
    writer_printf(out, "%s\"%s\":{", i ? "," : "", machine->sources[i].key);
    print_string(out, "kind", machine->sources[i].kind);
    writer_text(out, ",");
    print_string(out, "text", machine->sources[i].text);
    writer_text(out, "}");
  }
  writer_text(out, "}}");
}

static void print_rehearsal(const PlanReport *full, Writer *out) {
  writer_text(out, ",\n\"rehearsal\":");
  if (full)
    writer_printf(out,
                  "{\"ranks\":%d,\"images\":%" PRId64 ",\"parameters_total\":%" PRId64
                  ",\"steps\":%u"
                  ",\"peak_bytes\":%" PRIu64 "}",
                  full->machine.ranks, full->images_per_step, full->model.parameters_total, full->train->step_count,
                  report_peak_bytes(full));
  else
    writer_text(out, "null");
}

static void print_step_times(const PlanReport *report, Writer *out) {
  StepTimes times = report_times(report);
  double seconds = (double)times.step_ns * 1e-9;
  writer_printf(out, ",\n\"step\":{\"images\":%" PRId64 ",\"micro_steps\":%" PRId64 ",\"slices\":%d,",
                report->images_per_step, report->micro_steps, report->slices);
  if (report->tuning) {
    print_string(out, "tuning", report->tuning);
    writer_printf(out, ",\"tuning_changes\":%d,", report->tuning_changes);
  }
  if (report->vector_pictures) {
    writer_printf(out, "\"vector_pictures\":%d,", report->vector_pictures);
    print_number(out, "vector_fill", report->vector_fill);
    writer_text(out, ",");
  }
  print_number(out, "time_seconds", seconds);
  writer_text(out, ",");
  print_number(out, "images_per_second", seconds > 0 ? (double)report->images_per_step / seconds : 0);
  writer_printf(out, ",\"flops\":%" PRId64 ",\"recompute_flops\":%" PRId64 ",", 2 * times.macs, 2 * times.macs_again);
  const struct {
    const char *key;
    int64_t time_ns;
  } parts[] = {{"compute_seconds", times.forward_ns + times.backward_ns},
               {"recompute_seconds", times.reforward_ns + times.remade_ns},
               {"update_seconds", times.update_ns},
               {"network_seconds", times.network_ns},
               {"host_copy_seconds", times.host_copy_ns},
               {"exposed_communication_seconds", times.exposed_ns}};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (i) writer_text(out, ",");
    print_seconds(out, parts[i].key, parts[i].time_ns);
  }
  writer_text(out, "}");
}

static void print_memory(const PlanReport *report, Writer *out) {
  const Plan *plan = report->train;
  StateBytes state = report_state_bytes(plan);
  const PlanProblem *smallest = plan_alternatives_smallest(report->alternatives);
  writer_printf(out,
                ",\n\"memory\":{\"budget_bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64 ",\"state_bytes\":%" PRIu64
                ",\"arena_bytes\":%" PRIu64 ",\"live_peak_bytes\":%" PRIu64 ",\"minimum_budget_bytes\":%" PRIu64
                ",\"host_bytes\":%" PRIu64 ",",
                report->budget_bytes, report_peak_bytes(report), plan->state_bytes, report_arena_bytes(report),
                plan->live_peak_bytes, report_minimum_bytes(report), plan->host_bytes);
  static const char *const causes[] = {[MINIMUM_BY_UPDATE] = "update", [MINIMUM_BY_EVALUATION] = "evaluation"};
  MinimumCause cause = report_minimum_cause(report);
  print_string(
      out, "minimum_set_by",
      cause == MINIMUM_BY_OPERATION ? smallest->blocks->items[smallest->minimum_set_by.block].name : causes[cause]);
  writer_printf(out, ",\"by_kind\":{\"parameters\":%" PRIu64 ",\"velocities\":%" PRIu64 ",\"statistics\":%" PRIu64,
                state.parameters, state.velocities, state.statistics);
  for (int i = 0; i < ITEM_KIND_COUNT; i++)
    writer_printf(out, ",\"%s\":%" PRIu64, plan_item_kind_names[i], plan->peak_by_kind[i] * (uint64_t)report->slices);
  if (report_gap_bytes(report)) writer_printf(out, ",\"gaps\":%" PRIu64, report_gap_bytes(report));
  if (report_evaluation_bytes(report)) writer_printf(out, ",\"evaluation\":%" PRIu64, report_evaluation_bytes(report));
  if (report->snapshot_bytes) writer_printf(out, ",\"snapshot\":%" PRIu64, report->snapshot_bytes);
  writer_printf(out, ",\"loader\":%" PRIu64 "},\"outside\":[", report->ring_bytes);
  for (int i = 0; i < report->outside_count; i++) {
    writer_text(out, i ? ",{" : "{");
    print_string(out, "name", report->outside[i].name);
    writer_printf(out, ",\"bytes\":%" PRIu64 ",", report->outside[i].bytes);
    print_string(out, "why", report->outside[i].why);
    writer_text(out, "}");
  }
  writer_text(out, "]}");
}

static void print_mode(const SaveMode *mode, Writer *out) {
  writer_text(out, "{");
  print_string(out, "name", mode->name);
  writer_printf(out,
                ",\"saved_bytes\":%" PRId64 ",\"forward_transient_bytes\":%" PRId64
                ",\"backward_transient_bytes\":%" PRId64 ",\"dominated\":%s,",
                mode->costs.saved_bytes, mode->costs.forward_transient_bytes, mode->costs.backward_transient_bytes,
                mode->dominated ? "true" : "false");
  print_seconds(out, "forward_seconds", mode->costs.forward_ns);
  writer_text(out, ",");
  print_seconds(out, "backward_seconds", mode->costs.backward_ns);
  writer_text(out, "}");
}

static void print_block(const PlanReport *report, int index, Writer *out) {
  const PlanBlock *block = &report->problem->blocks->items[index];
  BlockChoice choice = report_choice(report, index);
  writer_text(out, index ? ",\n{" : "\n{");
  print_string(out, "name", block->name);
  writer_printf(out, ",\"stage\":%d,", block->stage);
  print_string(out, "mode", choice.mode->name);
  writer_printf(out, ",\"saved_bytes\":%" PRId64 ",\"recomputed\":%d,", choice.mode->costs.saved_bytes,
                choice.forwards - 1);
  print_string(out, "residency", report_residency_name(report, &choice));
  writer_printf(out, ",\"offload\":%s,", choice.offload ? "true" : "false");
  print_seconds(out, "forward_seconds", choice.mode->costs.forward_ns);
  writer_text(out, ",");
  print_seconds(out, "backward_seconds", choice.mode->costs.backward_ns);
  writer_text(out, ",");
  print_seconds(out, "recompute_seconds",
                choice.mode->recompute_ns + (choice.forwards - 1) * choice.mode->costs.forward_ns);
  writer_text(out, ",\"modes\":[");
  for (int k = 0; k < block->mode_count; k++) {
    if (k) writer_text(out, ",");
    print_mode(&block->modes[k], out);
  }
  writer_text(out, "]}");
}

static const char *proof_of(const PlanReport *report) {
  if (report->rehearsed) return "the steps are those of the whole cluster's plan at full width, compared one by one";
  if (report->policy.placement != PLACEMENT_OPTIMAL) return "the placement was asked for, not searched";
  return report->answer.solution.optimal_in_class
             ? "searched to the end on exact bytes: every option left out has a bound no better than this plan"
             : "not proven: the search gave up, or buffers of the best schedule found leave gaps that do not fit; "
               "class_bound_seconds tells how far the best of the class can be";
}

static void print_checkpoint(const PlanReport *report, Writer *out) {
  const ChainSolution *solution = &report->answer.solution;
  bool searched = report->policy.placement == PLACEMENT_OPTIMAL;
  writer_text(out, ",\n\"checkpoint\":{");
  print_string(out, "placement", plan_placement_names[report->policy.placement]);
  writer_text(out, ",\"blocks\":[");
  for (int b = 0; b < report->problem->blocks->count; b++) print_block(report, b, out);
  writer_text(out, "],\n");
  print_seconds(out, "cost_seconds", solution->cost_ns);
  writer_text(out, ",");
  int64_t bound =
      searched ? solution->lower_bound_ns
               : chain_lower_bound(&report->problem->chain, (int64_t)report_arena_budget(report, report->budget_bytes));
  if (bound == CHAIN_INFEASIBLE || bound > solution->cost_ns) bound = solution->cost_ns;
  print_seconds(out, "lower_bound_seconds", bound);
  writer_text(out, ",");
  print_seconds(out, "class_bound_seconds", searched ? solution->class_bound_ns : bound);
  writer_text(out, ",");
  print_number(out, "gap", bound ? (double)solution->cost_ns / (double)bound - 1 : 0);
  writer_printf(out, ",\"optimal_in_class\":%s,\"predicted_peak_bytes\":%" PRId64 ",",
                solution->optimal_in_class ? "true" : "false", solution->peak_bytes);
  print_string(out, "proof", proof_of(report));
  writer_text(out, ",\"curve\":[");
  for (int i = 0; i < report->curve_count; i++) {
    const CurvePoint *point = &report->curve[i];
    writer_printf(out, "%s{\"budget_bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64 ",", i ? "," : "", point->budget_bytes,
                  point->peak_bytes);
    print_seconds(out, "time_seconds", point->time_ns);
    writer_text(out, "}");
  }
  writer_text(out, "]}");
}

// What one rank sends in a step: every micro-step does all of the schedule but the update.
static void count_sent(const PlanReport *report, uint64_t *gathered, uint64_t *reduced) {
  for (uint32_t i = 0; i < report->train->step_count; i++) {
    const PlanStep *step = &report->train->steps[i];
    if (step->kind != STEP_GATHER && step->kind != STEP_REDUCE) continue;
    const PlanUnit *unit = &report->problem->units->items[step->block];
    uint64_t times = (uint64_t)report->micro_steps;
    if (step->kind == STEP_REDUCE)
      *reduced += times * unit->reduce_sent_bytes;
    else
      *gathered += step->pass == PASS_UPDATE ? unit->refresh_sent_bytes : times * unit->gather_sent_bytes;
  }
}

static void print_shard(const PlanReport *report, Writer *out) {
  const PlanBlocks *blocks = report->problem->blocks;
  const PlanUnits *units = report->problem->units;
  const PlanShards *shards = units->shards;
  uint64_t gathered = 0, reduced = 0;
  writer_printf(out, ",\n\"shard\":{\"world\":%d,\"parameters\":\"%s\",\"group\":%d,\"units\":[", report->machine.ranks,
                shard_kind_names[shards->kind], shards->group);
  for (int b = 0; b < blocks->count; b++) {
    const PlanUnit *unit = &units->items[b];
    writer_text(out, b ? ",{" : "{");
    print_string(out, "name", blocks->items[b].name);
    writer_printf(out, ",\"parameters\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"rank_bytes\":%" PRIu64 "}",
                  unit->parameters, unit->parameter_bytes ? unit->parameter_bytes : unit->parameters * 4,
                  4 * (plan_shards_gather(shards) ? unit->part_elements * (uint64_t)plan_shards_groups(shards)
                                                  : unit->parameters));
  }
  count_sent(report, &gathered, &reduced);
  writer_printf(out, "],\"gather_bytes\":%" PRIu64 ",\"reduce_bytes\":%" PRIu64 "}", gathered, reduced);
}

// What libraries could make, and who makes it.
static void print_layers(const PlanReport *report, Writer *out) {
  if (!report->layers.count) return;
  writer_printf(out, ",\n\"library_bytes\":%" PRIu64 ",\"layers\":[", report->library_bytes);
  for (size_t i = 0; i < report->layers.count; i++) {
    const LayerUse *use = &report->layers.items[i];
    writer_printf(out, "%s\n{\"shape\":\"", i ? "," : "");
    layer_shape_print(&use->shape, out);
    writer_printf(out, "\",\"count\":%d,\"libraries\":[", use->count);
    bool comma = false;
    for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
      if (!layer_maker_takes((LayerMaker)maker, &use->shape)) continue;
      writer_printf(out, "%s\"%s\"", comma ? "," : "", layer_maker_names[maker]);
      comma = true;
    }
    writer_text(out, "],");
    print_string(out, "first", use->first);
    writer_printf(out, ",\"by\":\"%s\"}", layer_maker_names[layer_choices_find(&report->layer_choices, &use->shape)]);
  }
  writer_text(out, "]");
}

static void print_worlds(const PlanReport *report, Writer *out) {
  writer_text(out, ",\n\"worlds\":[");
  for (int i = 0; i < report->world_count; i++) {
    const PlanWorld *world = &report->worlds[i];
    writer_printf(out, "%s{\"ranks\":%d,\"trains\":%s,\"peak_bytes\":%" PRIu64 ",\"minimum_budget_bytes\":%" PRIu64 ",",
                  i ? "," : "", world->ranks, world->trains ? "true" : "false", world->peak_bytes,
                  world->minimum_bytes);
    print_seconds(out, "time_seconds", world->step_ns);
    writer_text(out, "}");
  }
  writer_text(out, "]");
}

static void print_operations(const PlanReport *report, Writer *out) {
  static const char *const kinds[] = {"forward", "save", "backward"};
  const ChainOps *ops = &report->answer.solution.schedule;
  int64_t start_ns = 0;
  writer_text(out, ",\n\"operations\":[");
  for (size_t i = 0; i < ops->count; i++) {
    const ChainOp *op = &ops->items[i];
    const PlanBlock *block = &report->problem->blocks->items[op->block];
    writer_printf(out, "%s\n{\"kind\":\"%s\",\"block\":%d,", i ? "," : "", kinds[op->kind], op->block);
    print_string(out, "mode", op->kind == CHAIN_FORWARD ? "" : block->modes[block->offered[op->mode]].name);
    writer_printf(out, ",\"start_ns\":%" PRId64 ",\"time_ns\":%" PRId64 ",\"memory_bytes\":%" PRId64 "}", start_ns,
                  report->answer.replay.op_cost_ns[i], report->answer.replay.op_bytes[i]);
    start_ns += report->answer.replay.op_cost_ns[i];
  }
  writer_text(out, "]");
}

static void print_step(const Plan *plan, uint32_t index, Writer *out) {
  const PlanStep *step = &plan->steps[index];
  bool run = step->kind == STEP_RUN;
  writer_printf(out, "%s\n{\"step\":%u,\"kind\":\"%s\",", index ? "," : "", index, step_kind_name(step->kind));
  if (run) {
    const Op *op = graph_op(plan->graph, step->op);
    writer_printf(out, "\"op\":\"%s\",", op_kind_name(op->kind));
    print_string(out, "name", op->name);
    if (step->variant != RUN_FIRST) writer_printf(out, ",\"variant\":\"%s\"", run_variant_name(step->variant));
    writer_text(out, ",");
  }
  writer_printf(
      out, "\"block\":%d,\"phase\":\"%s\",\"start_ns\":%" PRId64 ",\"time_ns\":%" PRId64 ",\"live_bytes\":%" PRIu64 "}",
      step->block, step_pass_name(step->pass), step->start_ns, step->time_ns, step->live_bytes);
}

typedef struct StreamItem {
  const char *stream, *what;
  int64_t start_ns, time_ns;
  int ranks, times;
  double bytes;
} StreamItem;

static void print_stream_item(const PlanReport *report, const PlanStep *step, const StreamItem *item, Writer *out) {
  writer_printf(out,
                "\n{\"stream\":\"%s\",\"label\":\"%s of %s\",\"block\":%d,\"start_ns\":%" PRId64 ",\"time_ns\":%" PRId64
                ",\"ranks\":%d,\"times\":%d,",
                item->stream, item->what, report_block_name(report, step), step->block, item->start_ns, item->time_ns,
                item->ranks, item->times);
  print_number(out, "bytes", item->bytes);
  writer_text(out, "}");
}

static const char *traffic_name(const PlanStep *step, OpKind op) {
  switch (step->kind) {
    case STEP_GATHER: return step->pass == PASS_UPDATE ? "updated parameters" : "parameters";
    case STEP_REDUCE: return "gradients";
    case STEP_OFFLOAD:
    case STEP_FETCH: return "activations";
    case STEP_NORMS: return "norms";
    case STEP_RUN: break;
  }
  if (op == OP_sinkhorn) return "Sinkhorn's sums";
  if (op == OP_running_update) return "running statistics";
  return op == OP_sgd_update || op == OP_larc_update ? "gradients" : "BatchNorm's sums";
}

static StreamItem stream_item(const PlanReport *report, const PlanStep *step) {
  static const char *const names[STREAM_COUNT] = {"compute", "network", "to_host", "from_host", "statistics"};
  const Graph *graph = report->train->graph;
  if (step->kind != STEP_RUN)
    return (StreamItem){names[report_stream(step->kind)],
                        traffic_name(step, OP_add),
                        step->start_ns,
                        step->time_ns,
                        report_step_ranks(report, step),
                        1,
                        report_step_bytes(report, step)};
  OpTraffic traffic[MAX_OP_TRAFFIC];
  int count = report_step_traffic(report, step, traffic);
  StreamItem item = {.stream = names[STREAM_STATISTICS],
                     .what = traffic_name(step, graph_op(graph, step->op)->kind),
                     .start_ns = step->start_ns + step->time_ns,
                     .time_ns = step->sync_ns};
  for (int i = 0; i < count; i++) {
    item.ranks = traffic[i].circle.ranks;
    item.times += traffic[i].times;
    item.bytes += plan_op_sent_bytes(&traffic[i]);
  }
  return item;
}

// What goes on beside the runs; the small collectives behind some of them are a stream of their own.
static void print_streams(const PlanReport *report, Writer *out) {
  const char *comma = "";
  writer_text(out, ",\n\"streams\":[");
  for (uint32_t i = 0; i < report->train->step_count; i++) {
    const PlanStep *step = &report->train->steps[i];
    if (step->kind == STEP_RUN && !step->sync_ns) continue;
    writer_text(out, comma);
    comma = ",";
    StreamItem item = stream_item(report, step);
    print_stream_item(report, step, &item, out);
  }
  writer_text(out, "]");
}

static void print_buffer(const Plan *plan, const PlanItem *item, Writer *out) {
  static const char *const kinds[ITEM_KIND_COUNT] = {"activation", "gradient", "gathered", "update", "workspace"};
  const char *name = item->kind == ITEM_WORKSPACE ? "scratch" : "parameters";
  if (item->value != VALUE_NONE) {
    const Value *value = graph_value(plan->graph, item->value);
    name = graph_op(plan->graph, value->producer)->name;
    if (item->form == FORM_MASK)
      writer_text(out, "{\"form\":\"mask\",");
    else
      writer_text(out, "{");
  } else {
    writer_text(out, "{");
  }
  print_string(out, "name", name);
  writer_printf(out,
                ",\"kind\":\"%s\",\"block\":%d,\"bytes\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"begin\":%u,\"end\":%u}",
                kinds[item->kind], item->block, item->bytes, item->offset, item->begin, item->end);
}

void report_print_json(const PlanReport *report, Writer *out) {
  const Plan *plan = report->train;
  report_simulate(report);
  writer_text(out, "{");
  print_model(&report->model, out);
  print_machine(&report->machine, out);
  print_rehearsal(report->rehearsed, out);
  print_step_times(report, out);
  print_memory(report, out);
  print_checkpoint(report, out);
  print_shard(report, out);
  print_layers(report, out);
  print_worlds(report, out);
  print_operations(report, out);
  writer_text(out, ",\n\"schedule\":[");
  for (uint32_t i = 0; i < plan->step_count; i++) print_step(plan, i, out);
  writer_text(out, "]");
  print_streams(report, out);
  writer_text(out, ",\n\"buffers\":[");
  bool comma = false;
  for (uint32_t i = 0; i < plan->item_count; i++) {
    if (!plan->items[i].bytes) continue;
    writer_text(out, comma ? ",\n" : "\n");
    print_buffer(plan, &plan->items[i], out);
    comma = true;
  }
  writer_text(out, "]");
}

static void print_slice(const char *name, const char *category, PlanStream stream, int64_t start_ns, int64_t time_ns,
                        Writer *out) {
  writer_printf(out, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,", (int)stream + 1);
  print_string(out, "name", name);
  writer_printf(out, ",\"cat\":\"%s\",\"ts\":%.3f,\"dur\":%.3f}", category, (double)start_ns * 1e-3,
                (double)time_ns * 1e-3);
}

void report_print_trace(const PlanReport *report, Writer *out) {
  static const char *const threads[STREAM_COUNT] = {"compute", "network", "to host", "from host", "statistics"};
  const Plan *plan = report->train;
  report_simulate(report);
  writer_text(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  for (int i = 0; i < STREAM_COUNT; i++)
    writer_printf(out, "%s\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}",
                  i ? "," : "", i + 1, threads[i]);
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const PlanStep *step = &plan->steps[i];
    bool run = step->kind == STEP_RUN;
    const char *name = report_step_name(report, step);
    print_slice(name, run ? step_pass_name(step->pass) : step_kind_name(step->kind), report_stream(step->kind),
                step->start_ns, step->time_ns, out);
    if (!run) continue;
    if (step->sync_ns)
      print_slice(name, "all-reduce", STREAM_STATISTICS, step->start_ns + step->time_ns, step->sync_ns, out);
    writer_printf(out,
                  ",\n{\"ph\":\"C\",\"pid\":1,\"name\":\"live bytes\",\"ts\":%.3f,\"args\":{\"bytes\":%" PRIu64 "}}",
                  (double)step->start_ns * 1e-3, step->live_bytes);
  }
  writer_text(out, "\n]}\n");
}
