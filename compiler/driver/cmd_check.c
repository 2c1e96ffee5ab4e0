// seerc check: every message of every file, and nothing else. Warnings alone leave the exit code at 0.
#include "compiler/driver/driver.h"

int command_check(Invocation *invocation) {
  if (invocation->file_count == 0) {
    invocation_needs_files(invocation, 1);
    return EXIT_USAGE;
  }
  bool json = option_is_set(invocation, "json");
  int code = EXIT_DONE;
  for (int i = 0; i < invocation->file_count; i++) {
    LoadedSpec loaded = driver_load(invocation, invocation->files[i]);
    if (!loaded.spec) code = EXIT_INPUT;
    if (!json) {
      driver_report(invocation, loaded.diags);
      continue;
    }
    Writer out = {0};
    diag_print_json(loaded.diags, &out);
    int written = driver_write_stream(&out);
    writer_release(&out);
    if (written != EXIT_DONE) return written;
  }
  return code;
}
