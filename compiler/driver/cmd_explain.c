// seerc explain: one entry of the schema or of the checks; without a name, the sections.
#include <stdio.h>

#include "compiler/driver/driver.h"
#include "lang/reference.h"

static int explain_name(Invocation *invocation, const char *name, Writer *out) {
  if (reference_explain(invocation->arena, name, out)) return EXIT_DONE;
  const char *best = reference_suggest(invocation->arena, name);
  fprintf(stderr, "seerc: error: nothing is called '%s' [explain]\n", name);
  if (best)
    fprintf(stderr, "seerc: note: did you mean '%s'?\n", best);
  else
    fprintf(stderr, "seerc: note: 'seerc explain' lists the sections, 'seerc doc' everything\n");
  return EXIT_INPUT;
}

int command_explain(Invocation *invocation) {
  Writer out = {0};
  int code = EXIT_DONE;
  if (invocation->file_count == 0) reference_list(&out);
  for (int i = 0; i < invocation->file_count; i++) {
    if (explain_name(invocation, invocation->files[i], &out) != EXIT_DONE) code = EXIT_INPUT;
  }
  int written = driver_write_stream(&out);
  writer_release(&out);
  return written != EXIT_DONE ? written : code;
}
