// A bench as a person reads it: the step, then where its time goes; see bench.h.
#include "runtime/bench.h"

static double over(double a, double b) { return b > 0 ? a / b : 0; }

void seer_bench_step_print(const SeerBench *bench, FILE *out) {
  const SeerProgram *program = bench->program;
  const SeerSample *step = &bench->step;
  char ranks[32] = "";
  if (program->ranks > 1) snprintf(ranks, sizeof ranks, "%d ranks, here ", program->ranks);
  fprintf(out,
          "%s: %.2f images/s, step %.4f s (median of %d; best %.4f s), batch %d, %s%d threads, %.1f MiB, %.1f MiB "
          "resident\n",
          program->name, over(program->batch, step->median), step->median, step->count, step->least, program->batch,
          ranks, bench->threads, (double)(program->state_bytes + program->arena_bytes) / 1048576,
          (double)bench->resident_bytes / 1048576);
  fprintf(out, "the median lies in %.4f to %.4f s with %.1f %% confidence; %d steps of warm-up\n", step->low,
          step->high, 100 * step->coverage, bench->warmup_steps);
}

static void peak_print(const SeerBench *bench, FILE *out) {
  if (!(bench->peak.flops_per_second > 0)) {  // of a GPU it is not measured
    fprintf(out, "%.1f GFLOP/s on %s\n", seer_bench_flops_per_second(bench) / 1e9, bench->machine);
    return;
  }
  fprintf(out,
          "%.1f GFLOP/s, %.1f %% of the measured fp32 peak of %.1f GFLOP/s (%d threads, vectors of %d); memory gives "
          "%.1f GB/s\n",
          seer_bench_flops_per_second(bench) / 1e9, 100 * seer_bench_share_of_peak(bench),
          bench->peak.flops_per_second / 1e9, bench->threads, bench->peak.vector_floats,
          bench->peak.bytes_per_second / 1e9);
}

static void row_print(const SeerBench *bench, const SeerBenchGroup *group, FILE *out) {
  fprintf(out, "  %-30s %6d %10.3f %6.1f %%", group->name, group->ops, 1e3 * group->seconds,
          100 * over(group->seconds, bench->profiled_step));
  if (group->flops > 0)
    fprintf(out, " %10.1f %6.1f %%", over(group->flops, group->seconds) / 1e9,
            100 * over(over(group->flops, group->seconds), bench->peak.flops_per_second));
  else
    fprintf(out, " %10s %8s", "", "");
  fprintf(out, " %8.1f %6.1f %%\n", over(group->bytes, group->seconds) / 1e9,
          100 * over(over(group->bytes, group->seconds), bench->peak.bytes_per_second));
}

static void kinds_print(const SeerBench *bench, FILE *out) {
  fprintf(out, "\n%-32s %6s %10s %8s %10s %8s %8s %8s\n", "by kind of op", "ops", "ms", "share", "GFLOP/s", "of peak",
          "GB/s", "of peak");
  for (int i = 0; i < bench->kinds.count; i++) row_print(bench, &bench->kinds.items[i], out);
  fprintf(out, "  %-30s %6s %10.3f %6.1f %%\n", "outside of launches", "", 1e3 * bench->rest_seconds,
          100 * over(bench->rest_seconds, bench->profiled_step));
}

static void blocks_print(const SeerBench *bench, FILE *out) {
  fprintf(out, "\n%-32s", "by block, ms");
  for (int pass = 0; pass < SEER_BENCH_PASSES; pass++) fprintf(out, " %10s", seer_bench_pass_names[pass]);
  fprintf(out, " %10s %8s\n", "all", "share");
  for (int i = 0; i < bench->blocks.count; i++) {
    const SeerBenchGroup *block = &bench->blocks.items[i];
    fprintf(out, "  %-30s", block->name);
    for (int pass = 0; pass < SEER_BENCH_PASSES; pass++) fprintf(out, " %10.3f", 1e3 * block->pass_seconds[pass]);
    fprintf(out, " %10.3f %6.1f %%\n", 1e3 * block->seconds, 100 * over(block->seconds, bench->profiled_step));
  }
}

static void exchanges_print(const SeerBench *bench, FILE *out) {
  if (!bench->exchange_count) return;
  fprintf(out, "\n%-32s %12s %10s %10s\n", "between ranks, alone", "bytes", "us", "GB/s");
  for (int i = 0; i < bench->exchange_count; i++) {
    const SeerExchange *exchange = &bench->exchanges[i];
    fprintf(out, "  %-30s %12lld %10.1f %10.2f\n", seer_exchange_names[exchange->kind], (long long)exchange->bytes,
            1e6 * exchange->median, over((double)exchange->bytes, exchange->median) / 1e9);
  }
}

void seer_bench_print(const SeerBench *bench, FILE *out) {
  seer_bench_step_print(bench, out);
  peak_print(bench, out);
  kinds_print(bench, out);
  blocks_print(bench, out);
  exchanges_print(bench, out);
  fprintf(out,
          "\nTimes of ops are medians of %d further steps, together %.4f s; those steps took %.4f s. An op's bytes are "
          "its\noperands and results, each once; more than memory gives: they came from a cache.\n",
          bench->profiled_steps, bench->profiled_step, bench->profiled_median);
}
