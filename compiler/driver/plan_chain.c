// seerc plan --chain: the checkpoint problem alone, without a network around it.
#include "compiler/driver/plan_chain.h"

#include <string.h>

#include "compiler/driver/chain_json.h"
#include "lang/files.h"
#include "lang/parse.h"

int plan_chain(Invocation *invocation) {
  const char *path = invocation->files[0], *error;
  DiagList *diags = diag_list_make(invocation->arena, source_map_make(invocation->arena));
  char *text = NULL;
  size_t size = 0;
  int unreadable = spec_files_on_disk.read(NULL, invocation->arena, path, &text, &size);
  if (unreadable) {
    diag_error(diags, (SourceSpan){0}, "file", "cannot read '%s': %s", path, strerror(unreadable));
    diag_note(diags, (SourceSpan){0}, "name a file that exists and may be read");
    return driver_report(invocation, diags);
  }
  if (size > PARSE_LARGEST_BYTES) {
    diag_error(diags, (SourceSpan){0}, "file", "'%s' is larger than 4MiB", path);
    diag_note(diags, (SourceSpan){0}, "a chain of %d blocks in %d modes each takes less", CHAIN_MAX_BLOCKS,
              CHAIN_MAX_MODES);
    return driver_report(invocation, diags);
  }
  Chain chain;
  if ((error = chain_read_json(invocation->arena, text, size, &chain))) {
    diag_error(diags, (SourceSpan){0}, "chain", "'%s': %s", path, error);
    diag_note(diags, (SourceSpan){0}, "the format is in docs/planner.md, \"A chain as JSON\"");
    return driver_report(invocation, diags);
  }
  ChainSolver *solver = chain_solver_make(&chain, &chain_full_class);
  ChainOp set_by;
  int64_t minimum = chain_minimum_budget(solver, &set_by);
  ChainSolution solution = {0};
  if (chain.budget_bytes >= minimum) solution = chain_solve(solver, invocation->arena, chain.budget_bytes);
  Writer out = {0};
  chain_print_solution_json(&chain, &solution, minimum, &set_by, invocation->arena, &out);
  int code = driver_write(invocation, &out);
  writer_release(&out);
  chain_solver_release(solver);
  return code != EXIT_DONE ? code : solution.feasible ? EXIT_DONE : EXIT_INPUT;
}
