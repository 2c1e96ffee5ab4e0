// seerc fmt: writes files in place, standard input to standard output. --check and --diff never write.
// 0: nothing to change (or changed); 1: would change, or a file does not parse.
#include <stdio.h>
#include <string.h>

#include "compiler/driver/diff.h"
#include "compiler/driver/driver.h"
#include "lang/files.h"
#include "lang/fmt.h"

typedef struct Formatted {
  const char *before;
  Writer after;
  bool changed;
} Formatted;

static int format_file(Invocation *invocation, const char *path, const char *shown, Formatted *formatted) {
  char *text = NULL;
  size_t size = 0;
  SourceMap *sources = source_map_make(invocation->arena);
  DiagList *diags = diag_list_make(invocation->arena, sources);
  int error = spec_files_on_disk.read(NULL, invocation->arena, path, &text, &size);
  if (error) {
    diag_error(diags, (SourceSpan){0}, "file", "cannot read '%s': %s", shown, strerror(error));
    diag_note(diags, (SourceSpan){0}, "name a spec file that exists and may be read");
    return driver_report(invocation, diags);
  }
  uint32_t file = source_map_add(sources, shown, text ? text : "", size);
  if (!fmt_file(invocation->arena, sources, diags, file, &formatted->after)) return driver_report(invocation, diags);
  formatted->before = source_map_file(sources, file)->text;
  formatted->changed =
      formatted->after.size != size || (size && memcmp(formatted->before, formatted->after.text, size) != 0);
  return EXIT_DONE;
}

static int save(const char *path, const Formatted *formatted) {
  int error = writer_save(&formatted->after, path);
  if (!error) return EXIT_DONE;
  fprintf(stderr, "seerc: error: cannot write '%s': %s [output]\n", path, strerror(error));
  return EXIT_MACHINE;
}

static int deliver(Invocation *invocation, const char *path, const char *shown, Formatted *formatted) {
  bool check = option_is_set(invocation, "check"), diff = option_is_set(invocation, "diff");
  bool from_input = strcmp(path, "-") == 0;
  if (!check && !diff) {
    if (from_input) return driver_write_stream(&formatted->after);
    return formatted->changed ? save(path, formatted) : EXIT_DONE;
  }
  if (!formatted->changed) return EXIT_DONE;
  Writer out = {0};
  if (check) writer_printf(&out, "%s\n", shown);
  if (diff)
    diff_print(invocation->arena, shown, formatted->before, formatted->after.text ? formatted->after.text : "", &out);
  int code = driver_write_stream(&out);
  writer_release(&out);
  return code == EXIT_DONE ? EXIT_INPUT : code;
}

int command_fmt(Invocation *invocation) {
  if (invocation->file_count == 0) {
    invocation_needs_files(invocation, 1);
    return EXIT_USAGE;
  }
  int worst = EXIT_DONE;
  for (int i = 0; i < invocation->file_count; i++) {
    const char *path = invocation->files[i];
    const char *shown = strcmp(path, "-") == 0 ? "<stdin>" : path;
    Formatted formatted = {0};
    int code = format_file(invocation, path, shown, &formatted);
    if (code == EXIT_DONE) code = deliver(invocation, path, shown, &formatted);
    writer_release(&formatted.after);
    if (code > worst) worst = code;
  }
  return worst;
}
