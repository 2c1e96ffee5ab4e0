// A bench as one JSON object, for programs and for --against; see bench.h.
#include <inttypes.h>

#include "runtime/bench.h"

static json_t *ops_json(const SeerBench *bench) {
  json_t *list = json_array();
  for (int i = 0; i < bench->op_count; i++) {
    const SeerBenchOp *op = &bench->ops[i];
    const SeerLaunch *launch = op->launch;
    json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:f, s:f, s:f, s:f}", "name", launch->op, "block",
                             launch->block, "kind", launch->kind, "pass", launch->pass, "again", launch->again,
                             "location", launch->location, "calls", op->calls, "seconds", op->seconds, "seconds_least",
                             op->least, "flops", op->flops, "bytes", op->bytes);
    if (launch->size_group >= 0) json_object_set_new(item, "size_group", json_integer(launch->size_group));
    json_array_append_new(list, item);
  }
  return list;
}

static json_t *groups_json(const SeerBenchGroups *groups) {
  json_t *list = json_array();
  for (int i = 0; i < groups->count; i++) {
    const SeerBenchGroup *group = &groups->items[i];
    json_t *item = json_pack("{s:s, s:i, s:f, s:f, s:f}", "name", group->name, "ops", group->ops, "seconds",
                             group->seconds, "flops", group->flops, "bytes", group->bytes);
    for (int pass = 0; pass < SEER_BENCH_PASSES; pass++)
      json_object_set_new(item, seer_bench_pass_names[pass], json_real(group->pass_seconds[pass]));
    json_array_append_new(list, item);
  }
  return list;
}

json_t *seer_bench_step_json(const SeerBench *bench) {
  const SeerSample *step = &bench->step;
  const SeerProgram *program = bench->program;
  return json_pack("{s:s, s:s, s:f, s:f, s:f, s:{s:f, s:f, s:f}, s:I, s:I, s:i, s:i, s:i, s:i, s:i}", "name",
                   program->name, "tuning", program->tuning, "images_per_second",
                   step->median > 0 ? program->batch / step->median : 0.0, "step_seconds_median", step->median,
                   "step_seconds_min", step->least, "step_seconds_interval", "low", step->low, "high", step->high,
                   "coverage", step->coverage, "peak_bytes", (json_int_t)(program->state_bytes + program->arena_bytes),
                   "resident_bytes", (json_int_t)bench->resident_bytes, "batch", program->batch, "ranks",
                   program->ranks, "steps", step->count, "warmup_steps", bench->warmup_steps, "threads",
                   bench->threads);
}

static json_t *exchanges_json(const SeerBench *bench) {
  json_t *list = json_array();
  for (int i = 0; i < bench->exchange_count; i++) {
    const SeerExchange *exchange = &bench->exchanges[i];
    json_array_append_new(
        list, json_pack("{s:s, s:I, s:f, s:f}", "kind", seer_exchange_names[exchange->kind], "bytes",
                        (json_int_t)exchange->bytes, "seconds", exchange->median, "seconds_least", exchange->least));
  }
  return list;
}

json_t *seer_bench_json(const SeerBench *bench) {
  char hash[32];
  snprintf(hash, sizeof hash, "%016" PRIx64, bench->program->model_hash);
  json_t *all = seer_bench_step_json(bench);
  json_t *rest = json_pack(
      "{s:s, s:{s:s, s:s}, s:f, s:f, s:f, s:f, s:{s:f, s:f, s:i, s:I}, s:{s:i, s:f, s:f, s:f, s:f, s:f}, s:o, s:o, "
      "s:o}",
      "model_hash", hash, "machine", "processor", bench->machine, "level", bench->program->cpu, "flops", bench->flops,
      "recompute_flops", bench->recompute_flops, "flops_per_second", seer_bench_flops_per_second(bench),
      "share_of_peak", seer_bench_share_of_peak(bench), "peak", "flops_per_second", bench->peak.flops_per_second,
      "bytes_per_second", bench->peak.bytes_per_second, "vector_floats", bench->peak.vector_floats, "triad_bytes",
      (json_int_t)bench->peak.triad_bytes, "profile", "steps", bench->profiled_steps, "step_seconds",
      bench->profiled_step, "ops_seconds", bench->ops_seconds, "rest_seconds", bench->rest_seconds,
      "rest_seconds_least", bench->rest_least, "step_seconds_median", bench->profiled_median, "kinds",
      groups_json(&bench->kinds), "blocks", groups_json(&bench->blocks), "ops", ops_json(bench));
  if (rest && bench->exchange_count) json_object_set_new(rest, "exchanges", exchanges_json(bench));
  if (all && rest && json_object_update(all, rest) == 0) {
    json_decref(rest);
    return all;
  }
  json_decref(all);
  json_decref(rest);
  return NULL;
}
