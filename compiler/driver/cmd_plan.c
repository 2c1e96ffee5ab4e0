// seerc plan: memory to the byte, time and blocks of a spec's training step, before anything runs.
#include <inttypes.h>

#include "compiler/base/bug.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/plan_chain.h"
#include "compiler/driver/streams.h"
#include "compiler/driver/vary.h"
#include "runtime/plan_page.h"

// With the trainer's own printer: both write the same page.
static void print_page(const Compiled *compiled, Writer *out) {
  Writer json = {0};
  plan_print_json(&compiled->report, &compiled->cluster, &json);
  const char *const pieces[] = {json.text, NULL};
  WriterStream stream;
  stream_begin(&stream, out);
  if (!seer_plan_page_print(stream.file, embedded_page, pieces)) BUG("the page's template has no place for the plan");
  stream_end(&stream);
  writer_release(&json);
}

static void print_curve(const PlanReport *report, Writer *out) {
  double x[REPORT_CURVE_POINTS], y[REPORT_CURVE_POINTS];
  const char *titles[REPORT_CURVE_POINTS];
  Arena *arena = report->problem->arena;
  for (int i = 0; i < report->curve_count; i++) {
    Writer time = {0};
    x[i] = (double)report->curve[i].budget_bytes;
    y[i] = (double)report->curve[i].time_ns * 1e-9;
    report_write_time(&time, (double)report->curve[i].time_ns);
    titles[i] = arena_printf(arena, "%" PRIu64 " bytes, %s", report->curve[i].budget_bytes, time.text);
    writer_release(&time);
  }
  const SeerSeries series = {
      .x = x, .y = y, .titles = titles, .count = report->curve_count, .join = SEER_JOIN_STEPS, .mark = SEER_MARK_DOT};
  const SeerPlot plot = {.title = "step time by memory budget",
                         .x = {.label = "memory budget of a rank", .unit = SEER_BYTES},
                         .y = {.label = "step", .unit = SEER_SECONDS},
                         .series = &series,
                         .series_count = 1};
  plot_write(out, &plot);
}

// What `plan` can print instead of its summary: one of them at a time.
static const char *const outputs[] = {"json", "html", "why", "sweep", "svg", "compare", "trace", "chain"};

static int expect_one_output(const Invocation *invocation) {
  const char *first = NULL;
  for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
    if (!option_is_set(invocation, outputs[i])) continue;
    if (first) return usage_error(invocation, "'--%s' and '--%s' exclude each other", first, outputs[i]);
    first = outputs[i];
  }
  return EXIT_DONE;
}

static int print_plan(Invocation *invocation, Compiled *compiled, Writer *out) {
  PlanReport *report = &compiled->report;
  const char *block = option_text(invocation, "why");
  if (block) {
    if (report_print_why(report, block, out)) return EXIT_DONE;
    return usage_error(invocation, "no block '%s': the blocks are %s", block, out->text);
  }
  if (option_is_set(invocation, "json")) {
    plan_print_json(report, &compiled->cluster, out);
  } else if (option_is_set(invocation, "html")) {
    print_page(compiled, out);
  } else if (option_is_set(invocation, "sweep")) {
    report_print_sweep(report, out);
  } else if (option_is_set(invocation, "svg")) {
    print_curve(report, out);
  } else if (option_is_set(invocation, "compare")) {
    report_print_compare(report, out);
  } else if (option_is_set(invocation, "trace")) {
    report_print_trace(report, out);
  } else {
    report_print(report, out);
    Simulation simulation = simulate_run(report, &compiled->cluster);
    simulation_print(report, &compiled->cluster, &simulation, out);
    report_print_proof(report, out);
  }
  return EXIT_DONE;
}

int command_plan(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  int code = expect_one_output(invocation);
  if (code != EXIT_DONE) return code;
  if (option_is_set(invocation, "vary")) return plan_vary(invocation);
  if (option_is_set(invocation, "chain")) return plan_chain(invocation);
  Compiled compiled;
  DiagList *diags;
  code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code != EXIT_DONE) return code;
  Writer out = {0};
  code = print_plan(invocation, &compiled, &out);
  if (code == EXIT_DONE) code = driver_write(invocation, &out);
  writer_release(&out);
  return code;
}
