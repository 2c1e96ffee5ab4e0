// Reads conditions from standard input, one a line, and chooses by each among the pictures that are named:
//   keep_tool THREADS PATTERN...
// prints for each one JSON object: kept, dropped, unknown, and the names of those kept; or the error.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/keep.h"
#include "runtime/data/source.h"

static void say(const char *key, const char *text) {
  Writer out = {0};
  writer_printf(&out, "{\"%s\": ", key);
  writer_json_string(&out, text);
  printf("%s}\n", out.text);
  writer_release(&out);
}

static void choose(Arena *arena, const char *text, int threads, const char *const *patterns) {
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  const SpecValue *condition = spec_condition(arena, sources, diags, "condition", text);
  if (condition == NULL) {
    say("wrong", diags->items[0].text);
    return;
  }
  const SeerKeep *keep = keep_from_condition(arena, condition);
  SeerSource *source = NULL;
  SeerKeepCounts counts = {0};
  SeerStatus status = seer_source_open(patterns, NULL, &source);
  if (status == SEER_OK && keep != NULL) { status = seer_source_keep(source, keep, threads, "/tmp", &counts); }
  if (status != SEER_OK) {
    say("error", seer_error());
    seer_error_clear();
  } else {
    Writer out = {0};
    writer_printf(&out, "{\"kept\": %lld, \"unknown\": %lld, \"pictures\": %lld, \"names\": [", (long long)counts.kept,
                  (long long)counts.unknown, (long long)counts.pictures);
    for (int64_t i = 0; i < seer_source_count(source); i++) {
      if (i > 0) writer_text(&out, ",");
      writer_json_string(&out, seer_source_name(source, i));
    }
    printf("%s]}\n", out.text);
    writer_release(&out);
  }
  seer_source_close(source);
}

int main(int count, char **arguments) {
  static char line[1 << 16];
  if (count < 3) return 2;
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    Arena *arena = arena_make("condition");
    choose(arena, line, atoi(arguments[1]), (const char *const *)arguments + 2);
    arena_release(arena);
  }
  return 0;
}
