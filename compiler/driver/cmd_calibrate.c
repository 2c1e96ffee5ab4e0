// seerc calibrate: measures what kernels and exchanges reach on this machine, and writes it as a machine's description,
// which `cluster.machine` names. Small networks are built and benched in turn, round after round, while there is time.
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compiler/driver/calibrate_file.h"
#include "compiler/driver/calibrate_lab.h"
#include "compiler/driver/run_make.h"
#include "compiler/driver/trainer_build.h"
#include "runtime/clock.h"
#include "runtime/engine.h"

static const double usual_minutes = 4;

enum { MOST_TRAINERS = CALIBRATE_NETS * CALIBRATE_MOST_PRECISIONS, LEAST_ROUNDS = 2, MOST_ROUNDS = 12 };
enum { SMALL_GATHER_BYTES = 1 << 16 };

typedef struct Calibration {
  Arena *arena;
  CalibrateLab lab;
  const char *path;
  double began, minutes;
  const char *precisions[CALIBRATE_MOST_PRECISIONS];
  int precision_count, rounds;
  CalibrateTrainer trainers[MOST_TRAINERS], pair;  // pair: of two ranks; no path: there is none
  int trainer_count;
  CalibrateExchange exchanges[CALIBRATE_MOST_EXCHANGES];
  int exchange_count;
  CalibratedMachine machine;
} Calibration;

static void show(const Calibration *calibration, const char *what, int done, int of) {
  if (calibration->lab.live) fprintf(stderr, "\r%s, %d of %d            ", what, done, of);
}

static void show_nothing(const Calibration *calibration) {
  if (calibration->lab.live) fprintf(stderr, "\r%*s\r", 60, "");
}

static int stop_code(int code) { return bench_signal ? EXIT_MACHINE : code; }

// ---- building and measuring ----

static int build_all(Calibration *calibration) {
  CalibrateLab *lab = &calibration->lab;
  bool pair = lab->threads > 0 && calibrate_has_mpirun();
  int count = CALIBRATE_NETS * calibration->precision_count, code = EXIT_DONE;
  for (int i = 0; i < count && code == EXIT_DONE; i++) {
    show(calibration, "building networks", i + 1, count + pair);
    code = stop_code(calibrate_build(lab, i % CALIBRATE_NETS, calibration->precisions[i / CALIBRATE_NETS], 1,
                                     &calibration->trainers[calibration->trainer_count++]));
  }
  if (pair && code == EXIT_DONE) {
    show(calibration, "building networks", count + 1, count + 1);
    code = stop_code(calibrate_build(lab, 0, calibration->precisions[0], 2, &calibration->pair));
  }
  show_nothing(calibration);
  return code;
}

static bool time_is_over(const Calibration *calibration, int round) {
  double now = seer_seconds_now(), each = round ? (now - calibration->began) / 60 / (round + 1) : 0;
  return round >= LEAST_ROUNDS && (now - calibration->began) / 60 + each / 2 > calibration->minutes;
}

// Ranks that find no room, or an MPI that does not start them, leave the description without what they exchange.
static int measure_pair(Calibration *calibration) {
  if (!calibration->pair.path) return EXIT_DONE;
  int code =
      calibrate_exchange(&calibration->lab, &calibration->pair, calibration->exchanges, &calibration->exchange_count);
  if (code == EXIT_DONE || bench_signal) return code;
  fprintf(stderr, "seerc: warning: two ranks could not be measured; what ranks exchange is left out [calibrate]\n");
  calibration->pair.path = NULL;
  calibration->exchange_count = 0;
  return EXIT_DONE;
}

static int measure(Calibration *calibration) {
  int code = EXIT_DONE, round = 0;
  for (; round < MOST_ROUNDS && code == EXIT_DONE && !time_is_over(calibration, round); round++) {
    for (int i = 0; i < calibration->trainer_count && code == EXIT_DONE; i++) {
      show(calibration, arena_printf(calibration->arena, "round %d: network", round + 1), i + 1,
           calibration->trainer_count);
      code = stop_code(calibrate_bench(&calibration->lab, &calibration->trainers[i]));
    }
    if (code == EXIT_DONE) code = stop_code(measure_pair(calibration));
  }
  calibration->rounds = round;
  show_nothing(calibration);
  return code;
}

// ---- from times to the description ----

static bool is_convolution(RateKind kind) { return kind < RATE_linear; }

static int gather_samples(const Calibration *calibration, const char *precision, RateSample *samples) {
  int count = 0;
  for (int t = 0; t < calibration->trainer_count; t++) {
    const CalibrateTrainer *trainer = &calibration->trainers[t];
    if (strcmp(trainer->precision, precision) != 0) continue;
    memcpy(samples + count, trainer->samples, (size_t)trainer->sample_count * sizeof *samples);
    count += trainer->sample_count;
    RateWork look = {.kind = RATE_gradients, .bytes = trainer->gradient_bytes};
    samples[count++] = (RateSample){look, trainer->rest_seconds};
  }
  return count;
}

static int sample_bound(const Calibration *calibration) {
  int bound = calibration->trainer_count;
  for (int t = 0; t < calibration->trainer_count; t++) bound += calibration->trainers[t].sample_count;
  return bound;
}

// Of what convolutions compute, over the peak; for kernels that have no rate.
static double efficiency_of(const RateSample *samples, int count, double flops) {
  double done = 0, seconds = 0;
  for (int i = 0; i < count; i++) {
    if (!is_convolution(samples[i].work.kind)) continue;
    done += samples[i].work.flops;
    seconds += samples[i].seconds;
  }
  double share = seconds > 0 && flops > 0 ? done / seconds / flops : 1;
  return share < 0.001 ? 0.001 : share > 1 ? 1 : share;
}

static void fit_rates(Calibration *calibration) {
  CalibratedMachine *machine = &calibration->machine;
  RateSample *samples = arena_array(calibration->arena, RateSample, sample_bound(calibration) + 1);
  for (int t = 0; t < calibration->trainer_count; t++) {
    const CalibrateTrainer *trainer = &calibration->trainers[t];
    if (trainer->flops > machine->flops) machine->flops = trainer->flops;
    if (trainer->bandwidth > machine->bandwidth) machine->bandwidth = trainer->bandwidth;
  }
  machine->cache_bytes = INFINITY;
  for (int p = 0; p < calibration->precision_count; p++) {
    int count = gather_samples(calibration, calibration->precisions[p], samples);
    machine->precisions[p] = calibration->precisions[p];
    rates_fit(calibration->arena, samples, count, p ? &machine->rates[0] : NULL, &machine->rates[p], machine->fits[p]);
    if (p) continue;
    machine->efficiency = efficiency_of(samples, count, machine->flops);
    machine->cache_bytes = machine->rates[0].cache_bytes;
    if (machine->rates[0].memory_byte_seconds > 0) machine->bandwidth = 1 / machine->rates[0].memory_byte_seconds;
  }
  machine->precision_count = calibration->precision_count;
}

// Latency from what is small; bandwidth from averages, which make up what ranks exchange: each is an exchange and a
// gather of halves.
static void fit_exchange(Calibration *calibration) {
  ExchangeSample samples[CALIBRATE_MOST_EXCHANGES];
  int count = 0;
  for (int i = 0; i < calibration->exchange_count; i++) {
    const CalibrateExchange *exchange = &calibration->exchanges[i];
    bool gather = strcmp(exchange->kind, "gather") == 0;
    if (gather && exchange->bytes > SMALL_GATHER_BYTES) continue;
    double half = gather ? 1 : 0.5;
    samples[count++] = (ExchangeSample){half * exchange->bytes, half * exchange->seconds};
  }
  if (!count) return;
  double start, byte;
  line_fit(calibration->arena, samples, count, &start, &byte);
  if (!(byte > 0)) return;
  calibration->machine.has_exchange = true;
  calibration->machine.node_latency_seconds = start;
  calibration->machine.node_bandwidth = 1 / byte;
}

static const char *today(Arena *arena) {
  char text[32];
  time_t now = time(NULL);
  struct tm day;
  return gmtime_r(&now, &day) && strftime(text, sizeof text, "%Y-%m-%d", &day) ? arena_printf(arena, "%s", text) : "";
}

static void describe(Calibration *calibration) {
  CalibratedMachine *machine = &calibration->machine;
  Arena *arena = calibration->arena;
  char processor[128];
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  seer_cpu_name(processor, sizeof processor);
  machine->processor = arena_printf(arena, "%s", processor);
  machine->date = today(arena);
  machine->threads = calibration->lab.threads;
  machine->cores = machine->threads ? seer_cpu_count() : 0;
  if (machine->threads > machine->cores) machine->cores = machine->threads;
  machine->memory_bytes = (uint64_t)pages * (uint64_t)page;
  machine->how =
      arena_printf(arena, "seerc calibrate on %s, %s, %d threads, kernels of %s, %d rounds of %d networks",
                   machine->date, machine->processor, machine->threads, cpu_of_options(&calibration->lab.options),
                   calibration->rounds, calibration->trainer_count);
  machine->exchange_how = arena_printf(arena, "seerc calibrate on %s, two ranks of this machine by MPI", machine->date);
}

static int write_file(Calibration *calibration) {
  Writer out = {0};
  calibrated_machine_print(&calibration->machine, &out);
  int error = writer_save(&out, calibration->path);
  writer_release(&out);
  if (error) {
    fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", calibration->path, strerror(error));
    return EXIT_MACHINE;
  }
  printf("%s: rates of %d kinds of kernels in %d rounds%s; use it with -D 'cluster.machine=\"%s\"'\n",
         calibration->path, RATE_KIND_COUNT, calibration->rounds,
         calibration->machine.has_exchange ? "" : ", nothing of what ranks exchange: mpirun is missing",
         calibration->path);
  return EXIT_DONE;
}

// ---- the command line ----

static int read_values(Invocation *invocation, Calibration *calibration) {
  const char *minutes = option_text(invocation, "minutes"), *threads = option_text(invocation, "threads");
  char *end;
  calibration->minutes = minutes ? strtod(minutes, &end) : usual_minutes;
  if (minutes && (end == minutes || *end || !(calibration->minutes > 0) || !isfinite(calibration->minutes)))
    return usage_error(invocation, "'--minutes' takes a number above 0, not '%s'", minutes);
  calibration->lab.threads = seer_cpu_count();
  if (threads) {
    long count = strtol(threads, &end, 10);
    if (end == threads || *end || count < 1 || count > 1 << 16)
      return usage_error(invocation, "'--threads' takes a whole number of at least 1, not '%s'", threads);
    calibration->lab.threads = (int)count;
  }
  const char *cpu = option_text(invocation, "cpu");
  calibration->lab.options = (CompileOptions){.cpu = cpu ? cpu : "native"};
  calibration->path = option_text(invocation, "out");
  if (!calibration->path) calibration->path = "machine.seer";
  return EXIT_DONE;
}

static void choose_precisions(Calibration *calibration) {
  calibration->precisions[calibration->precision_count++] = "fp32";
  if (strcmp(cpu_of_options(&calibration->lab.options), "x86-64-v4+bf16") == 0)
    calibration->precisions[calibration->precision_count++] = "bf16";
}

static int run(void *data, const char *folder) {
  Calibration *calibration = data;
  calibration->lab.folder = folder;
  int code = build_all(calibration);
  if (code == EXIT_DONE) code = measure(calibration);
  if (code != EXIT_DONE) return code;
  describe(calibration);
  fit_rates(calibration);
  fit_exchange(calibration);
  return write_file(calibration);
}

int command_calibrate(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 0)) return EXIT_USAGE;
  Calibration *calibration = arena_new(invocation->arena, Calibration);
  *calibration = (Calibration){.arena = invocation->arena, .began = seer_seconds_now()};
  calibration->lab.invocation = invocation;
  calibration->lab.live = isatty(STDERR_FILENO);
  int code = read_values(invocation, calibration);
  if (code == EXIT_DONE) code = cpu_check(invocation);
  if (code != EXIT_DONE) return code;
  choose_precisions(calibration);
  return bench_in_folder(invocation, run, calibration);
}
