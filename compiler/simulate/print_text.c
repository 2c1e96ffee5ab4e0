// The run for people: where a step goes, then what the whole run takes.
#include <inttypes.h>
#include <string.h>

#include "compiler/simulate/simulate.h"

enum { BAR_WIDTH = 30 };

void simulation_write_duration(Writer *out, double seconds) {
  if (seconds < 100)
    report_write_time(out, seconds * 1e9);
  else if (seconds < 2 * 3600)
    writer_printf(out, "%.1f min", seconds / 60);
  else if (seconds < 2 * 86400)
    writer_printf(out, "%.1f h", seconds / 3600);
  else
    writer_printf(out, "%.4g days", seconds / 86400);
}

// One line of the step: label, time, share and its bar, and what there is to say of it.
static void print_part(Writer *out, const char *label, int64_t time_ns, int64_t whole_ns, const char *more) {
  if (!time_ns && !*more) return;
  Writer number = {0};
  report_write_time(&number, (double)time_ns);
  double share = whole_ns > 0 ? (double)time_ns / (double)whole_ns : 0;
  int bar = (int)(share * BAR_WIDTH + 0.5);
  writer_printf(out, "  %-26s %11s %5.1f %%  %.*s%s%s\n", label, number.text, 100 * share, bar < BAR_WIDTH ? bar : 30,
                "##############################", bar && *more ? " " : "", more);
  writer_release(&number);
}

static void print_traffic(const Simulation *simulation, TrafficKind kind, Writer *out) {
  static const char *const labels[TRAFFIC_KIND_COUNT] = {
      "waits for parameters", "for gradients",          "for BatchNorm's sums", "for Sinkhorn's sums",
      "for update numbers",   "for copies to the host", "for copies back"};
  const Traffic *traffic = &simulation->traffic[kind];
  if (!traffic->count) return;
  Writer more = {0};
  if (traffic->busy_ns > traffic->exposed_ns) {
    report_write_time(&more, (double)(traffic->busy_ns - traffic->exposed_ns));
    writer_text(&more, " more are hidden; ");
  }
  writer_printf(&more, "%" PRId64 " x", traffic->count);
  report_write_bytes(&more, traffic->bytes / (double)traffic->count);
  print_part(out, labels[kind], traffic->exposed_ns, simulation->step_ns, more.text);
  writer_release(&more);
}

static void print_step(const PlanReport *report, const Simulation *simulation, Writer *out) {
  StepTimes times = report_times(report);
  int64_t whole = simulation->step_ns;
  double once = (double)(times.macs - times.macs_again);
  writer_text(out, "\nstep ");
  report_write_time(out, (double)whole);
  writer_printf(out, ", %.4g pictures/s, %.4g TFLOP, %.1f %% of them again, %.1f %% of the peak",
                simulation->images_per_second, 2e-12 * (double)times.macs * report->machine.ranks,
                once > 0 ? 100 * (double)times.macs_again / once : 0, 100 * simulation->peak_share);
  if (report->machine.ranks > 1) writer_printf(out, "; collectives of %s", exchange_names[report->machine.exchange]);
  writer_text(out, "\n");
  print_part(out, "forward", simulation->forward_ns, whole, "");
  print_part(out, "backward", simulation->backward_ns, whole, "");
  print_part(out, "computed again", simulation->again_ns, whole, "");
  print_part(out, "update", simulation->update_ns, whole, "");
  for (int i = 0; i < TRAFFIC_KIND_COUNT; i++) print_traffic(simulation, (TrafficKind)i, out);
  print_part(out, "slowest ranks", simulation->straggler_ns, whole, "");
  print_part(out, "pictures come late", simulation->data_ns, whole, "");
}

static void print_row(Writer *out, const char *label) { writer_printf(out, "  %-26s ", label); }

static void print_loading(const Simulation *simulation, Writer *out) {
  if (simulation->decode_share <= 0 && simulation->read_share <= 0) return;
  print_row(out, "loading");
  if (simulation->decode_share > 0)
    writer_printf(out, "decoding takes %.1f %% of the step", 100 * simulation->decode_share);
  if (simulation->read_share > 0)
    writer_printf(out, "%sreading %.1f %%", simulation->decode_share > 0 ? ", " : "", 100 * simulation->read_share);
  writer_text(out, "\n");
}

static void print_snapshots(const Cluster *cluster, const Simulation *simulation, Writer *out) {
  print_row(out, "snapshots");
  writer_printf(out, "every %" PRId64 " steps,", cluster->save_every);
  report_write_bytes(out, (double)cluster->snapshot_bytes);
  writer_text(out, " a rank; the step waits ");
  report_write_time(out, simulation->snapshot_pause_seconds * 1e9);
  if (simulation->snapshot_write_seconds > 0) {
    writer_text(out, ", written in ");
    simulation_write_duration(out, simulation->snapshot_write_seconds);
  }
  writer_text(out, "\n");
}

static void print_failures(const Simulation *simulation, Writer *out) {
  if (simulation->failure_seconds <= 0) return;
  print_row(out, "failures");
  writer_text(out, "one in ");
  simulation_write_duration(out, simulation->failure_seconds);
  writer_printf(out, ": %.2f %% of the time is progress; best every %.0f steps", 100 * simulation->effective_share,
                simulation->best_save_steps);
  if (simulation->daly_save_steps >= 1) writer_printf(out, " (Daly: %.0f)", simulation->daly_save_steps);
  writer_text(out, "\n");
}

static void print_energy(const Simulation *simulation, Writer *out) {
  if (simulation->watts > 0) {
    print_row(out, "energy");
    writer_printf(out, "%.4g kW", simulation->watts * 1e-3);
    if (simulation->joules > 0) writer_printf(out, ", %.4g MWh", simulation->joules / 3.6e9);
    writer_text(out, "\n");
  }
  if (simulation->cost > 0) {
    print_row(out, "cost");
    writer_printf(out, "%.4g\n", simulation->cost);
  }
}

static void print_length(const PlanReport *report, const Simulation *simulation, Writer *out) {
  print_row(out, "whole run");
  if (simulation->steps > 0) {
    writer_printf(out, "%" PRId64 " steps: ", simulation->steps);
    simulation_write_duration(out, simulation->run_seconds);
    if (simulation->failures > 0) {
      writer_text(out, "; ");
      simulation_write_duration(out, simulation->ideal_seconds);
      writer_printf(out, " without its %.3g failures", simulation->failures);
    }
  } else {
    double million =
        1e6 / (double)report->images_per_step * simulation->mean_step_seconds / simulation->effective_share;
    writer_text(out, "a million pictures take ");
    simulation_write_duration(out, million);
    writer_text(out, "; with 'data.count' the length of an epoch is known");
  }
  writer_text(out, "\n");
}

// How many numbers of the machine come from where.
static void print_sources(const PlanMachine *machine, Writer *out) {
  static const char *const kinds[] = {"datasheet", "published", "measured", "assumed", "guessed", "spec", "none"};
  static const char *const texts[] = {"from data sheets", "published",   "measured",        "assumed",
                                      "guessed",          "of the spec", "without a source"};
  print_row(out, "the machine's numbers");
  const char *comma = "";
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    int count = 0;
    for (int i = 0; i < machine->source_count; i++) count += strcmp(machine->sources[i].kind, kinds[k]) == 0;
    if (!count) continue;
    writer_printf(out, "%s%d %s", comma, count, texts[k]);
    comma = ", ";
  }
  writer_text(out, "\n");
}

void simulation_print(const PlanReport *report, const Cluster *cluster, const Simulation *simulation, Writer *out) {
  print_step(report, simulation, out);
  print_loading(simulation, out);
  print_snapshots(cluster, simulation, out);
  print_failures(simulation, out);
  print_length(report, simulation, out);
  print_energy(simulation, out);
  print_sources(&report->machine, out);
}
