// libFuzzer target: any bytes as a spec, with a small library to `use`. Loads, prints messages, formats; what parses
// must format to a stable text, and what resolves must print to a text that resolves again. Also takes the input as a
// -D.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/files.h"
#include "lang/fmt.h"
#include "lang/reference.h"
#include "lang/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const MemoryFile library[] = {
    {"specs/models/small.seer", "model { depths = [1, 2]  widths = [16, 32]  group_widths = [8] }\n"},
    {"specs/models/large.seer",
     "use \"small\"\nlet width = 48\nmodel { widths = [width, 2 * width]  group_widths = [16] }\n"},
    {"specs/recipes/loop.seer", "use \"loop\"\ntrain { epochs = 10  batch = 64 }\n"},
    {"specs/machines/this.seer", "cluster { memory = auto }\n"},
};
static const MemoryFiles library_files = {library, (int)(sizeof library / sizeof *library)};

static void print_messages(DiagList *diags) {
  Writer out = {0};
  diag_print(diags, &out, true);
  diag_print_json(diags, &out);
  writer_release(&out);
}

static const Spec *load(Arena *arena, const char *text, size_t size, const SpecDefine *defines, int count) {
  SpecFiles files = spec_files_in_memory(&library_files);
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  const Spec *spec = spec_load_text(arena, sources, diags, "main.seer", text, size, &files, defines, count);
  if ((spec != NULL) != (diags->error_count == 0)) abort();
  print_messages(diags);
  return spec;
}

static void check_printed(Arena *arena, const Spec *spec) {
  Writer text = {0};
  spec_print(spec, &text);
  const Spec *again = load(arena, text.text, text.size, NULL, 0);
  if (!again) abort();
  Writer twice = {0};
  spec_print(again, &twice);
  if (twice.size != text.size || memcmp(twice.text, text.text, text.size) != 0) abort();
  writer_release(&twice);
  writer_release(&text);
}

static bool format(Arena *arena, const char *text, size_t size, Writer *out) {
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  uint32_t file = source_map_add(sources, "main.seer", text, size);
  return fmt_file(arena, sources, diags, file, out);
}

static void check_formatted(Arena *arena, const char *text, size_t size) {
  Writer once = {0}, twice = {0};
  if (format(arena, text, size, &once)) {
    if (!format(arena, once.text ? once.text : "", once.size, &twice)) abort();
    if (once.size != twice.size || (once.size && memcmp(once.text, twice.text, once.size) != 0)) abort();
  }
  writer_release(&twice);
  writer_release(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 65536) return 0;
  Arena *arena = arena_make("fuzz");
  const char *text = arena_string(arena, (const char *)data, size);
  const Spec *spec = load(arena, text, size, NULL, 0);
  if (spec) check_printed(arena, spec);
  check_formatted(arena, text, size);
  if (size < 200) {
    SpecDefine define = {.text = text};
    load(arena, "", 0, &define, 1);
    Writer out = {0};
    if (!reference_explain(arena, text, &out)) reference_suggest(arena, text);
    writer_release(&out);
  }
  arena_release(arena);
  return 0;
}
