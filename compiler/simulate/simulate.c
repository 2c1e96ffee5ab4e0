// From a replayed step to the whole run; see simulate.h.
#include "compiler/simulate/simulate.h"

#include <math.h>

#include "compiler/base/bug.h"
#include "compiler/simulate/failures.h"
#include "compiler/simulate/replay.h"

const char *const traffic_kind_names[TRAFFIC_KIND_COUNT] = {"gather",         "reduce",  "batch_norm", "sinkhorn",
                                                            "update_numbers", "to_host", "from_host"};

static int64_t ns_of(double seconds) { return (int64_t)(seconds * 1e9 + 0.5); }

static void simulate_step(const PlanReport *report, const Cluster *cluster, Simulation *simulation) {
  replay_step(report, simulation);
  simulation->plan_ns = simulation->forward_ns + simulation->again_ns + simulation->backward_ns + simulation->update_ns;
  for (int i = 0; i < TRAFFIC_KIND_COUNT; i++) simulation->plan_ns += simulation->traffic[i].exposed_ns;
  int64_t told = report_times(report).step_ns;
  if (simulation->plan_ns != told)
    BUG("the step's parts take %lld ns, the step %lld ns", (long long)simulation->plan_ns, (long long)told);
  simulation->straggler_ns = replay_stragglers(report, &cluster->spread);
}

// Pictures are loaded while the step before is computed.
static void simulate_loading(const PlanReport *report, const Cluster *cluster, Simulation *simulation) {
  double step = (double)(simulation->plan_ns + simulation->straggler_ns) * 1e-9;
  double pictures = (double)report->images_per_step / report->machine.ranks, decode = 0, read = 0;
  if (cluster->decode_pictures_per_second > 0) decode = pictures / cluster->decode_pictures_per_second;
  if (cluster->read_bytes_per_second > 0)
    read = pictures * report->machine.ranks_per_node * cluster->picture_bytes / cluster->read_bytes_per_second;
  simulation->decode_share = decode / step;
  simulation->read_share = read / step;
  double longest = fmax(decode, read);
  if (longest > step) simulation->data_ns = ns_of(longest - step);
  simulation->step_ns = simulation->plan_ns + simulation->straggler_ns + simulation->data_ns;
}

static double executed_share_of_peak(const PlanReport *report, double step_seconds) {
  StepTimes times = report_times(report);
  double done = 2 * (double)(times.macs - times.macs_again);
  return done / (step_seconds * report->machine.flops_per_second * plan_core_share(&report->machine));
}

// A copy of the rank's share, over its path to the host where it has one, else through its memory: read and written.
// Then the ranks of a node write together. A snapshot waits for the one before.
static void simulate_snapshots(const PlanReport *report, const Cluster *cluster, Simulation *simulation) {
  const PlanMachine *machine = &report->machine;
  double bytes = (double)cluster->snapshot_bytes, step = (double)simulation->step_ns * 1e-9;
  double copy = machine->host_bytes_per_second > 0 ? bytes / machine->host_bytes_per_second
                                                   : 2 * bytes / machine->bytes_per_second;
  double write = 0;
  if (cluster->write_bytes_per_second > 0) write = bytes * machine->ranks_per_node / cluster->write_bytes_per_second;
  simulation->snapshot_write_seconds = write;
  simulation->snapshot_pause_seconds =
      cluster->snapshot_waits ? copy + write : copy + fmax(0, write - (double)cluster->save_every * step);
  simulation->mean_step_seconds = step + simulation->snapshot_pause_seconds / (double)cluster->save_every;
}

static void simulate_failures(const PlanReport *report, const Cluster *cluster, Simulation *simulation) {
  double step = (double)simulation->step_ns * 1e-9;
  FailureCase at = {.restart_seconds = cluster->restart_seconds,
                    .work_seconds = step * (double)cluster->save_every,
                    .pause_seconds = simulation->snapshot_pause_seconds,
                    .write_seconds = cluster->snapshot_waits ? 0 : simulation->snapshot_write_seconds};
  if (cluster->node_failure_seconds > 0)
    simulation->failure_seconds = at.mean_seconds = cluster->node_failure_seconds / report->machine.nodes;
  simulation->effective_share = failures_effective_share(&at);
  // A snapshot begins when the one before is written.
  double best = fmax(failures_best_work_seconds(&at), at.write_seconds);
  if (at.mean_seconds > 0) simulation->best_save_steps = fmax(1, floor(best / step));
  simulation->daly_save_steps = failures_daly_seconds(&at) / step;
}

static void simulate_whole(const PlanReport *report, const Cluster *cluster, Simulation *simulation) {
  const PlanMachine *machine = &report->machine;
  double step = (double)simulation->step_ns * 1e-9, steps = (double)cluster->steps;
  simulation->steps = cluster->steps;
  simulation->ideal_seconds = simulation->mean_step_seconds * steps;
  simulation->run_seconds = step * steps / simulation->effective_share;
  if (simulation->failure_seconds > 0) simulation->failures = simulation->run_seconds / simulation->failure_seconds;
  if (cluster->rank_watts > 0)
    simulation->watts =
        cluster->power_overhead * (cluster->rank_watts * machine->ranks + cluster->node_watts * machine->nodes);
  simulation->joules = simulation->watts * simulation->run_seconds;
  simulation->cost = -1;
  if (cluster->price >= 0) simulation->cost = cluster->price * machine->ranks * simulation->run_seconds / 3600;
}

Simulation simulate_run(const PlanReport *report, const Cluster *cluster) {
  Simulation simulation = {0};
  simulate_step(report, cluster, &simulation);
  simulate_loading(report, cluster, &simulation);
  double step = (double)simulation.step_ns * 1e-9;
  simulation.images_per_second = (double)report->images_per_step / step;
  simulation.peak_share = executed_share_of_peak(report, step);
  simulate_snapshots(report, cluster, &simulation);
  simulate_failures(report, cluster, &simulation);
  simulate_whole(report, cluster, &simulation);
  return simulation;
}
