// Plans variants, each in a process of its own; see vary.h.
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compiler/driver/fork_jobs.h"
#include "compiler/driver/vary.h"

typedef struct Planner {
  Invocation *invocation;
  const CompileOptions *options;
  const Variant *variants;
  const int *wanted;  // of the variants: those whose specs are right
  int wanted_count;
  VaryPlan *plans;
  struct timespec told;  // when progress was last told
} Planner;

static const char *text_of(Arena *arena, Writer *out) {
  const char *text = arena_string(arena, out->text ? out->text : "", out->size);
  writer_release(out);
  return text;
}

static const char *messages_of(const Invocation *invocation, DiagList *diags) {
  Writer out = {0};
  diag_print(diags, &out, invocation->colour);
  return text_of(invocation->arena, &out);
}

static const char *first_error(DiagList *diags) {
  for (size_t i = 0; i < diags->count; i++) {
    if (diags->items[i].severity == DIAG_ERROR) return diags->items[i].text;
  }
  return "";
}

static bool holds_check(const DiagList *diags, const char *check) {
  for (size_t i = 0; i < diags->count; i++) {
    if (strcmp(diags->items[i].check, check) == 0) return true;
  }
  return false;
}

// ---- one variant ----

static int64_t macs_of_picture(const Spec *spec, const PlanModel *model) {
  const SpecValue *crops = spec_value(spec, KEY_views_crops);
  int64_t macs = 0;
  for (int c = 0; c < crops->item_count; c++) {
    const SpecValue *arguments = crops->items[c].items;
    for (int i = 0; i < model->size_count; i++) {
      if (model->sizes[i] == (int)arguments[ARGUMENT_crop_size].number)
        macs += (int64_t)arguments[ARGUMENT_crop_count].number * model->macs[i];
    }
  }
  return macs;
}

static void take_plan(const Compiled *compiled, VaryPlan *plan) {
  const PlanReport *report = &compiled->report;
  const Simulation *simulation = &plan->simulation;
  plan->outcome = VARY_PLANNED;
  plan->peak_bytes = report_peak_bytes(report);
  plan->price = compiled->cluster.price;
  plan->simulation = simulate_run(report, &compiled->cluster);
  plan->compute_ns = simulation->forward_ns + simulation->again_ns + simulation->backward_ns + simulation->update_ns;
  for (int i = TRAFFIC_GATHER; i <= TRAFFIC_UPDATE; i++) plan->exposed_ns += simulation->traffic[i].exposed_ns;
  Writer json = {0};
  simulation_print_json(&compiled->cluster, simulation, &json);
  plan->json = text_of(report->problem->arena, &json);
}

static void take_minimum(Arena *arena, const PlanReport *report, VaryPlan *plan) {
  Writer reason = {0};
  plan->outcome = VARY_TOO_LARGE;
  writer_text(&reason, "does not fit: it takes at least ");
  vary_write_bytes(&reason, plan->minimum_bytes);
  writer_text(&reason, ", set by ");
  report_write_minimum_cause(report, &reason);
  plan->reason = text_of(arena, &reason);
}

static void plan_one(void *context, int index, Writer *out) {
  const Planner *planner = context;
  Invocation *invocation = planner->invocation;
  const Variant *variant = &planner->variants[planner->wanted[index]];
  VaryPlan plan = {.outcome = VARY_WRONG, .reason = "", .json = ""};
  Compiled compiled = {0};
  LoadedSpec loaded = driver_load_with(invocation, invocation->files[0], variant->defines, variant->define_count);
  bool good = loaded.spec && compile_spec(invocation->arena, loaded.sources, loaded.diags, loaded.spec,
                                          invocation->library, planner->options, &compiled);
  const PlanReport *report = &compiled.report;
  if (report->alternatives) {
    plan.nodes = report->machine.nodes;
    plan.ranks = report->machine.ranks;
    plan.images_per_step = report->images_per_step;
    plan.micro_steps = report->micro_steps;
    plan.parameters_trunk = report->model.parameters_trunk;
    plan.parameters_total = report->model.parameters_total;
    plan.macs = macs_of_picture(loaded.spec, &report->model);
    plan.budget_bytes = report->budget_bytes;
    plan.minimum_bytes = report_minimum_bytes(report);
  }
  if (good)
    take_plan(&compiled, &plan);
  else if (holds_check(loaded.diags, "budget"))
    take_minimum(invocation->arena, report, &plan);
  else
    plan.reason = first_error(loaded.diags);
  plan.messages = plan.outcome == VARY_TOO_LARGE ? "" : messages_of(invocation, loaded.diags);
  writer_bytes(out, (const char *)&plan, sizeof plan);
  const char *const texts[] = {plan.reason, plan.messages, plan.json};
  for (int i = 0; i < 3; i++) writer_bytes(out, texts[i], strlen(texts[i]) + 1);
}

static void read_plan(Arena *arena, const ForkResult *result, VaryPlan *plan) {
  if (!result->good || result->bytes.size <= sizeof *plan) {
    *plan = (VaryPlan){.outcome = VARY_FAILED, .messages = "", .json = ""};
    plan->reason = result->code < 0     ? "no process can be started for it"
                   : result->code > 128 ? "the process that planned it was killed"
                                        : "seerc failed";
    return;
  }
  memcpy(plan, result->bytes.text, sizeof *plan);
  const char *at = result->bytes.text + sizeof *plan;
  const char **const texts[] = {&plan->reason, &plan->messages, &plan->json};
  for (int i = 0; i < 3; i++) {
    *texts[i] = arena_string(arena, at, strlen(at));
    at += strlen(at) + 1;
  }
}

// ---- all of them ----

// On a terminal always; elsewhere a line now and then, where it takes long.
static void show_progress(void *context, int index, int done) {
  enum { EVERY_SECONDS = 10 };
  Planner *planner = context;
  const char *name = planner->variants[planner->wanted[index]].name;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (isatty(STDERR_FILENO)) {
    if (done == planner->wanted_count)
      fprintf(stderr, "\r\033[K");
    else
      fprintf(stderr, "\r\033[Kplanned %d of %d: %.60s ", done, planner->wanted_count, name);
  } else if (now.tv_sec - planner->told.tv_sec >= EVERY_SECONDS) {
    fprintf(stderr, "seerc: planned %d of %d\n", done, planner->wanted_count);
    planner->told = now;
  }
}

// Each text once, with the names of the variants that it is of; of all: without.
static void print_messages(const Variant *variants, int count, const VaryPlan *plans) {
  enum { NAMES_MOST = 3 };
  for (int v = 0; v < count; v++) {
    const char *messages = plans[v].messages;
    bool told = !*messages;
    int alike = 0, named = 0;
    for (int i = 0; i < count; i++) {
      if (strcmp(plans[i].messages, messages) != 0) continue;
      told |= i < v;
      alike++;
    }
    if (told) continue;
    fputs(messages, stderr);
    if (alike == count) continue;
    fputs("seerc: note: of the variant", stderr);
    if (alike > 1) fputs("s", stderr);
    for (int i = v; i < count && named < NAMES_MOST; i++) {
      if (strcmp(plans[i].messages, messages) == 0) fprintf(stderr, "%s '%s'", named++ ? "," : "", variants[i].name);
    }
    if (alike > named) fprintf(stderr, " and %d more", alike - named);
    fputs("\n", stderr);
  }
}

// What can be told without planning.
static bool check_one(Invocation *invocation, const Variant *variant, VaryPlan *plan) {
  LoadedSpec loaded = driver_load_with(invocation, invocation->files[0], variant->defines, variant->define_count);
  *plan = (VaryPlan){.outcome = VARY_PLANNED, .reason = "", .messages = "", .json = ""};
  if (loaded.spec && spec_require_model(loaded.spec, loaded.diags)) return true;
  plan->outcome = VARY_WRONG;
  plan->reason = first_error(loaded.diags);
  plan->messages = messages_of(invocation, loaded.diags);
  return false;
}

void vary_plan(Invocation *invocation, const CompileOptions *options, const Variant *variants, int count, int jobs,
               VaryPlan *plans) {
  Arena *arena = invocation->arena;
  int *wanted = arena_array(arena, int, count + 1), wanted_count = 0;
  for (int v = 0; v < count; v++) {
    if (check_one(invocation, &variants[v], &plans[v])) wanted[wanted_count++] = v;
  }
  print_messages(variants, count, plans);  // before the time is spent on the others
  Planner planner = {.invocation = invocation,
                     .options = options,
                     .variants = variants,
                     .wanted = wanted,
                     .wanted_count = wanted_count,
                     .plans = plans};
  clock_gettime(CLOCK_MONOTONIC, &planner.told);
  ForkResult *results = arena_array(arena, ForkResult, wanted_count + 1);
  fork_jobs_run(
      &(ForkJobs){
          .count = wanted_count, .at_once = jobs, .work = plan_one, .watch = show_progress, .context = &planner},
      results);
  Variant *planned = arena_array(arena, Variant, count + 1);
  VaryPlan *news = arena_array(arena, VaryPlan, count + 1);
  for (int i = 0; i < wanted_count; i++) {
    read_plan(arena, &results[i], &plans[wanted[i]]);
    writer_release(&results[i].bytes);
    planned[i] = variants[wanted[i]];
    news[i] = plans[wanted[i]];
  }
  print_messages(planned, wanted_count, news);
}

int vary_exit_code(const VaryPlan *plans, int count) {
  bool wrong = false, fits = false;
  for (int v = 0; v < count; v++) {
    if (plans[v].outcome == VARY_FAILED) return EXIT_BUG;
    wrong |= plans[v].outcome == VARY_WRONG;
    fits |= plans[v].outcome == VARY_PLANNED;
  }
  return wrong || !fits ? EXIT_INPUT : EXIT_DONE;
}
