// `plan --vary`: parses, plans, prints.
#include <stdlib.h>

#include "compiler/driver/tuning_use.h"
#include "compiler/driver/vary.h"

// Those that tell of one plan.
static const char *const of_one_plan[] = {"why", "sweep", "compare", "trace", "chain"};

static int check_options(const Invocation *invocation) {
  for (size_t i = 0; i < sizeof of_one_plan / sizeof *of_one_plan; i++) {
    if (option_is_set(invocation, of_one_plan[i]))
      return usage_error(invocation, "'--%s' tells of one plan, '--vary' makes several", of_one_plan[i]);
  }
  return EXIT_DONE;
}

int jobs_choose(const Invocation *invocation, int *jobs) {
  enum { JOBS_MOST = 64 };
  const char *text = option_text(invocation, "jobs");
  char *end;
  *jobs = 0;
  if (!text) return EXIT_DONE;
  long number = strtol(text, &end, 10);
  if (!*text || *end || number < 1 || number > JOBS_MOST)
    return usage_error(invocation, "'--jobs' takes a number from 1 to %d, not '%s'", JOBS_MOST, text);
  *jobs = (int)number;
  return EXIT_DONE;
}

// The tuning beside the spec is that of all variants.
static int choose_tuning(Invocation *invocation, const Variants *variants, CompileOptions *options) {
  for (int v = 0; v < variants->count; v++) {
    const Variant *variant = &variants->items[v];
    LoadedSpec loaded = driver_load_with(invocation, invocation->files[0], variant->defines, variant->define_count);
    if (!loaded.spec) continue;
    return tuning_choose(invocation, &loaded, options) ? EXIT_DONE : driver_report(invocation, loaded.diags);
  }
  return EXIT_DONE;  // of specs that are all wrong, which is told later
}

static void print_varied(const Invocation *invocation, const Varied *varied, Writer *out) {
  if (option_is_set(invocation, "json"))
    vary_print_json(varied, out);
  else if (option_is_set(invocation, "svg"))
    vary_print_svg(varied, out);
  else if (option_is_set(invocation, "html"))
    vary_print_html(varied, out);
  else
    vary_print(varied, out);
}

int plan_vary(Invocation *invocation) {
  Variants variants;
  CompileOptions options;
  int jobs, code = check_options(invocation);
  if (code == EXIT_DONE) code = jobs_choose(invocation, &jobs);
  if (code == EXIT_DONE) code = variants_parse(invocation, "vary", &variants);
  if (code == EXIT_DONE) code = compile_options(invocation, &options);
  if (code == EXIT_DONE) code = choose_tuning(invocation, &variants, &options);
  if (code != EXIT_DONE) return code;
  VaryPlan *plans = arena_array(invocation->arena, VaryPlan, variants.count);
  vary_plan(invocation, &options, variants.items, variants.count, jobs, plans);
  code = vary_exit_code(plans, variants.count);
  bool all_wrong = true;
  for (int v = 0; v < variants.count; v++) all_wrong &= plans[v].outcome == VARY_WRONG;
  if (all_wrong) return code;
  Varied varied = vary_judge(invocation, &variants, plans);
  Writer out = {0};
  print_varied(invocation, &varied, &out);
  int written = driver_write(invocation, &out);
  writer_release(&out);
  return written == EXIT_DONE ? code : written;
}
