// seerc plan: memory to the byte, time and blocks of a spec's training step, before anything runs.
#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/plan_chain.h"

int command_plan(Invocation *invocation) {
  if (!invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  if (option_is_set(invocation, "chain")) return plan_chain(invocation);
  Compiled compiled;
  DiagList *diags;
  int code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code != EXIT_DONE) return code;
  Writer out = {0};
  (option_is_set(invocation, "json") ? report_print_json : report_print)(&compiled.report, &out);
  code = driver_write(invocation, &out);
  writer_release(&out);
  return code;
}
