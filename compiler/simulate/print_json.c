// The simulation as a member of the plan's object.
#include <inttypes.h>

#include "compiler/simulate/simulate.h"

static void print_number(Writer *out, const char *key, double number) {
  writer_printf(out, ",\"%s\":", key);
  writer_json_number(out, number);
}

static void print_known(Writer *out, const char *key, double number, bool known) {
  if (known)
    print_number(out, key, number);
  else
    writer_printf(out, ",\"%s\":null", key);
}

static void print_step(const Simulation *simulation, Writer *out) {
  const struct {
    const char *key;
    int64_t time_ns;
  } parts[] = {{"plan_seconds", simulation->plan_ns},         {"forward_seconds", simulation->forward_ns},
               {"backward_seconds", simulation->backward_ns}, {"again_seconds", simulation->again_ns},
               {"update_seconds", simulation->update_ns},     {"straggler_seconds", simulation->straggler_ns},
               {"data_seconds", simulation->data_ns}};
  writer_text(out, "\"step\":{\"time_seconds\":");
  writer_json_number(out, (double)simulation->step_ns * 1e-9);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    print_number(out, parts[i].key, (double)parts[i].time_ns * 1e-9);
  writer_text(out, ",\"traffic\":[");
  for (int i = 0; i < TRAFFIC_KIND_COUNT; i++) {
    const Traffic *traffic = &simulation->traffic[i];
    writer_printf(out, "%s{\"kind\":\"%s\",\"count\":%" PRId64, i ? "," : "", traffic_kind_names[i], traffic->count);
    print_number(out, "busy_seconds", (double)traffic->busy_ns * 1e-9);
    print_number(out, "exposed_seconds", (double)traffic->exposed_ns * 1e-9);
    print_number(out, "sent_bytes", traffic->bytes);
    writer_text(out, "}");
  }
  writer_text(out, "]}");
}

static void print_loading(const Simulation *simulation, Writer *out) {
  print_number(out, "images_per_second", simulation->images_per_second);
  print_number(out, "peak_share", simulation->peak_share);
  print_known(out, "decode_share", simulation->decode_share, simulation->decode_share > 0);
  print_known(out, "read_share", simulation->read_share, simulation->read_share > 0);
}

static void print_failures(const Simulation *simulation, Writer *out) {
  bool fails = simulation->failure_seconds > 0;
  print_known(out, "failure_seconds", simulation->failure_seconds, fails);
  print_number(out, "effective_share", simulation->effective_share);
  print_known(out, "best_save_steps", simulation->best_save_steps, fails);
  print_known(out, "daly_save_steps", simulation->daly_save_steps, fails);
}

static void print_run(const Simulation *simulation, Writer *out) {
  bool known = simulation->steps > 0, powered = simulation->watts > 0;
  print_known(out, "steps", (double)simulation->steps, known);
  print_known(out, "days", simulation->run_seconds / 86400, known);
  print_known(out, "days_without_failures", simulation->ideal_seconds / 86400, known);
  print_known(out, "failures", simulation->failures, known);
  print_known(out, "watts", simulation->watts, powered);
  print_known(out, "joules", simulation->joules, powered && known);
  print_known(out, "cost", simulation->cost, simulation->cost >= 0 && known);
}

void simulation_print_json(const Cluster *cluster, const Simulation *simulation, Writer *out) {
  writer_text(out, ",\n\"simulation\":{");
  print_step(simulation, out);
  print_loading(simulation, out);
  print_number(out, "save_every", (double)cluster->save_every);
  print_number(out, "snapshot_bytes", (double)cluster->snapshot_bytes);
  print_number(out, "snapshot_pause_seconds", simulation->snapshot_pause_seconds);
  print_number(out, "snapshot_write_seconds", simulation->snapshot_write_seconds);
  print_number(out, "mean_step_seconds", simulation->mean_step_seconds);
  print_failures(simulation, out);
  print_run(simulation, out);
  writer_text(out, "}");
}
