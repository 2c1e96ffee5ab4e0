// Prints what was calibrated; see calibrate_file.h.
#include "compiler/driver/calibrate_file.h"

#include <inttypes.h>
#include <math.h>

#include "compiler/driver/rates_spec.h"

static void print_rates(const CalibratedMachine *machine, Writer *out) {
  const char *separator = "";
  writer_text(out, "  rates = [");
  for (int p = 0; p < machine->precision_count; p++) {
    for (int kind = 0; kind < RATE_KIND_COUNT; kind++) {
      const Rate *rate = &machine->rates[p].items[kind];
      if (!rate->known) continue;
      writer_printf(out, "%s\n    ", separator);
      rate_print((RateKind)kind, machine->precisions[p], rate, out);
      separator = ",";
    }
  }
  writer_text(out, "\n  ]\n");
}

static void print_sources(const CalibratedMachine *machine, Writer *out) {
  const char *of_processor =
      machine->threads ? "cores flops bandwidth efficiency cache rates" : "flops bandwidth cache rates";
  writer_printf(out, "  sources = [\n    \"%s: measured, %s\"", of_processor, machine->how);
  writer_text(out, ",\n    \"memory: measured, as the system tells\"");
  if (machine->has_exchange)
    writer_printf(out, ",\n    \"latency node_latency node_bandwidth: measured, %s\"", machine->exchange_how);
  writer_text(out, "\n  ]\n");
}

// How far single runs are from their kinds' rates; a step's time is nearer, since these errors lie on both sides.
static void print_fit(const CalibratedMachine *machine, Writer *out) {
  for (int p = 0; p < machine->precision_count; p++) {
    double seconds = 0, error = 0;
    int samples = 0;
    for (int kind = 0; kind < RATE_KIND_COUNT; kind++) {
      const RateFit *fit = &machine->fits[p][kind];
      seconds += fit->seconds;
      error += fit->seconds * fit->mean_error;
      samples += fit->samples;
    }
    writer_printf(out, "# %s: %d runs, each told by the rate of its kind with a mean error of %.1f %%.\n",
                  machine->precisions[p], samples, seconds > 0 ? 100 * error / seconds : 0);
  }
}

void calibrated_machine_print(const CalibratedMachine *machine, Writer *out) {
  writer_printf(out, "# %s, measured by `seerc calibrate` on %s.\n", machine->processor, machine->date);
  print_fit(machine, out);
  writer_text(out, "cluster {\n");
  if (machine->threads) writer_printf(out, "  machine = \"this\"\n  cores = %d\n", machine->cores);
  if (machine->threads != machine->cores) writer_printf(out, "  rated_cores = %d\n", machine->threads);
  writer_printf(out, "  memory = %" PRIu64 "B\n", machine->memory_bytes);
  writer_printf(out, "  flops = %.4e\n  efficiency = %.3f\n  bandwidth = %.4e\n", machine->flops, machine->efficiency,
                machine->bandwidth);
  if (isfinite(machine->cache_bytes)) writer_printf(out, "  cache = %.0fB\n", machine->cache_bytes);
  if (machine->has_exchange)
    writer_printf(out, "  latency = 0s\n  node_latency = %.3es\n  node_bandwidth = %.4e\n",
                  machine->node_latency_seconds, machine->node_bandwidth);
  print_rates(machine, out);
  print_sources(machine, out);
  writer_text(out, "}\n");
}
