// From times of launches to ops, kinds and blocks; see bench.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/bench.h"

const char *const seer_bench_pass_names[SEER_BENCH_PASSES] = {"forward", "backward", "recompute", "update"};

SeerBenchPass seer_bench_pass(const SeerLaunch *launch) {
  if (launch->again) return SEER_BENCH_RECOMPUTE;
  if (strcmp(launch->pass, "update") == 0) return SEER_BENCH_UPDATE;
  return strcmp(launch->pass, "backward") == 0 ? SEER_BENCH_BACKWARD : SEER_BENCH_FORWARD;
}

static void group_add(SeerBenchGroups *groups, const char *name, const SeerBenchOp *op) {
  int at = 0;
  while (at < groups->count && strcmp(groups->items[at].name, name) != 0) at++;
  SeerBenchGroup *group = &groups->items[at];
  if (at == groups->count) {
    *group = (SeerBenchGroup){.name = name};
    groups->count++;
  }
  group->ops++;
  group->seconds += op->seconds;
  group->flops += op->flops;
  group->bytes += op->bytes;
  group->pass_seconds[seer_bench_pass(op->launch)] += op->seconds;
}

static int seconds_compare(const void *a, const void *b) {
  const SeerBenchGroup *x = a, *y = b;
  if (x->seconds > y->seconds || x->seconds < y->seconds) return x->seconds > y->seconds ? -1 : 1;
  return strcmp(x->name, y->name);
}

static void ops_gather(SeerBench *bench, const SeerProfile *profile) {
  const SeerLaunch *last = NULL;
  for (int i = 0; i < profile->launch_count; i++) {
    const SeerLaunch *launch = &bench->program->launches[i];
    if (!profile->calls[i]) continue;
    if (!last || launch->run != last->run) bench->ops[bench->op_count++] = (SeerBenchOp){.launch = launch};
    last = launch;
    SeerBenchOp *op = &bench->ops[bench->op_count - 1];
    if (profile->calls[i] > op->calls) op->calls = profile->calls[i];
    op->seconds += seer_profile_median(profile, i);
    op->least += seer_profile_least(profile, i);
    op->flops += (double)launch->flops * profile->calls[i];
    op->bytes += (double)launch->bytes * profile->calls[i];
  }
}

SeerStatus seer_bench_gather(SeerBench *bench, const SeerProfile *profile) {
  size_t most = (size_t)profile->launch_count + 1;
  bench->op_count = bench->kinds.count = bench->blocks.count = 0;
  bench->ops = calloc(most, sizeof *bench->ops);
  bench->kinds.items = calloc(most, sizeof *bench->kinds.items);
  bench->blocks.items = calloc(most, sizeof *bench->blocks.items);
  if (!bench->ops || !bench->kinds.items || !bench->blocks.items)
    return seer_fail(SEER_MACHINE, "no memory for a profile of %d launches", profile->launch_count);
  ops_gather(bench, profile);
  bench->ops_seconds = bench->flops = bench->recompute_flops = 0;
  for (int i = 0; i < bench->op_count; i++) {
    const SeerBenchOp *op = &bench->ops[i];
    group_add(&bench->kinds, op->launch->kind, op);
    group_add(&bench->blocks, op->launch->block, op);
    bench->ops_seconds += op->seconds;
    bench->flops += op->flops;
    if (op->launch->again) bench->recompute_flops += op->flops;
  }
  bench->profiled_step = bench->ops_seconds + bench->rest_seconds;
  qsort(bench->kinds.items, (size_t)bench->kinds.count, sizeof *bench->kinds.items, seconds_compare);
  return SEER_OK;
}

void seer_bench_release(SeerBench *bench) {
  free(bench->ops);
  free(bench->kinds.items);
  free(bench->blocks.items);
  *bench = (SeerBench){.program = bench->program};
}

double seer_bench_flops_per_second(const SeerBench *bench) {
  return bench->step.median > 0 ? (bench->flops - bench->recompute_flops) / bench->step.median : 0;
}

double seer_bench_share_of_peak(const SeerBench *bench) {
  return bench->peak.flops_per_second > 0 ? seer_bench_flops_per_second(bench) / bench->peak.flops_per_second : 0;
}
