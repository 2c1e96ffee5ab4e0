// What commands share: loading a spec, printing messages, writing results.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "compiler/driver/driver.h"

LoadedSpec driver_load_with(Invocation *invocation, const char *path, const SpecDefine *defines, int define_count) {
  LoadedSpec loaded = {.sources = source_map_make(invocation->arena)};
  loaded.diags = diag_list_make(invocation->arena, loaded.sources);
  loaded.spec =
      spec_load(invocation->arena, loaded.sources, loaded.diags, path, invocation->library, defines, define_count);
  return loaded;
}

LoadedSpec driver_load(Invocation *invocation, const char *path) {
  return driver_load_with(invocation, path, invocation->defines, invocation->define_count);
}

int driver_report(const Invocation *invocation, DiagList *diags) {
  Writer out = {0};
  diag_print(diags, &out, invocation->colour);
  if (out.size) fwrite(out.text, 1, out.size, stderr);
  writer_release(&out);
  return diags->error_count ? EXIT_INPUT : EXIT_DONE;
}

int driver_fail(int code, const char *check, const char *message, const char *note) {
  fprintf(stderr, "seerc: error: %s [%s]\n", message, check);
  if (note) fprintf(stderr, "seerc: note: %s\n", note);
  return code;
}

int driver_report_runtime(const char *check, SeerStatus status) {
  static const char between[] = "\nnote: ";
  if (status == SEER_OK) return EXIT_DONE;
  char text[SEER_ERROR_BYTES];
  snprintf(text, sizeof text, "%s", seer_error());
  seer_error_clear();
  char *note = strstr(text, between);
  if (note) *note = '\0';
  driver_fail((int)status, check, text, NULL);
  while (note) {
    char *line = note + strlen(between);
    note = strstr(line, between);
    if (note) *note = '\0';
    fprintf(stderr, "seerc: note: %s\n", line);
  }
  return (int)status;
}

int driver_write_stream(const Writer *out) {
  bool written = !out->size || fwrite(out->text, 1, out->size, stdout) == out->size;
  if (written && fflush(stdout) == 0) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot write to standard output: %s [output]\n", strerror(errno));
  return EXIT_MACHINE;
}

int driver_write(const Invocation *invocation, const Writer *out) {
  const char *path = option_text(invocation, "out");
  if (!path || strcmp(path, "-") == 0) return driver_write_stream(out);
  int error = writer_save(out, path);
  if (!error) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", path, strerror(error));
  return EXIT_MACHINE;
}
