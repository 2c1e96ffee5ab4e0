// seerc show: one row per stage; a stage prints what the compiler holds there.
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "lang/files.h"
#include "lang/parse.h"
#include "lang/schema.h"

typedef struct Stage {
  const char *name, *help;
  int (*show)(Invocation *invocation, const char *path, Writer *out);
} Stage;

static int show_ast(Invocation *invocation, const char *path, Writer *out) {
  char *text = NULL;
  size_t size = 0;
  SourceMap *sources = source_map_make(invocation->arena);
  DiagList *diags = diag_list_make(invocation->arena, sources);
  int error = spec_files_on_disk.read(NULL, invocation->arena, path, &text, &size);
  if (error) {
    diag_error(diags, (SourceSpan){0}, "file", "cannot read '%s': %s", path, strerror(error));
    return driver_report(invocation, diags);
  }
  uint32_t file = source_map_add(sources, strcmp(path, "-") == 0 ? "<stdin>" : path, text ? text : "", size);
  ast_print(parse_file(invocation->arena, sources, diags, file), sources, out);
  return driver_report(invocation, diags);
}

static int show_spec(Invocation *invocation, const char *path, Writer *out) {
  LoadedSpec loaded = driver_load(invocation, path);
  if (loaded.spec) spec_print(loaded.spec, out);
  return driver_report(invocation, loaded.diags);
}

typedef struct Watched {
  Writer *out;
  const char *stop;  // print the graph as it stands after this pass; NULL: after each
} Watched;

static void print_watched(void *data, const char *pass, const Graph *graph) {
  Watched *watched = data;
  if (watched->stop && strcmp(watched->stop, pass) != 0) return;
  graph_print(graph, watched->out);
}

static int show_graph(Invocation *invocation, const char *pass, Writer *out) {
  Compiled compiled;
  DiagList *diags;
  Watched watched = {out, pass};
  return driver_compile(invocation, print_watched, &watched, &compiled, &diags);
}

static int show_model(Invocation *invocation, const char *path, Writer *out) {
  (void)path;
  return show_graph(invocation, "model", out);
}

static int show_training(Invocation *invocation, const char *path, Writer *out) {
  (void)path;
  return show_graph(invocation, pass_list[pass_count - 1].name, out);
}

static int show_plan(Invocation *invocation, const char *path, Writer *out) {
  Compiled compiled;
  DiagList *diags;
  (void)path;
  int code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code == EXIT_DONE) plan_print(compiled.train_plan, out);
  return code;
}

static int show_program(Invocation *invocation, const char *path, Writer *out) {
  Compiled compiled;
  DiagList *diags;
  (void)path;
  int code = driver_compile(invocation, NULL, NULL, &compiled, &diags);
  if (code == EXIT_DONE) program_print(compiled.trainer.worlds[0].train, out);
  return code;
}

static const Stage stages[] = {
    {"ast", "the text as a tree, with positions", show_ast},
    {"spec", "every key with its value, which reads back as a spec", show_spec},
    {"model", "the graph of the model and its loss, before any pass", show_model},
    {"training", "the graph of the whole step, after every pass", show_training},
    {"plan", "the steps in order with the address of every result", show_plan},
    {"program", "the launches with their constants and addresses", show_program},
};

static const Stage *find_stage(Invocation *invocation, const char *name) {
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
    if (strcmp(stages[i].name, name) == 0) return &stages[i];
  }
  Suggestion suggestion = suggestion_make(name);
  Writer all = {0};
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
    suggestion_offer(&suggestion, stages[i].name);
    writer_printf(&all, "%s%s", i ? ", " : "", stages[i].name);
  }
  const char *best = suggestion_best(&suggestion);
  if (best)
    usage_error(invocation, "unknown stage '%s', did you mean '%s'?", name, best);
  else
    usage_error(invocation, "unknown stage '%s': the stages are %s", name, all.text);
  writer_release(&all);
  return NULL;
}

int command_show(Invocation *invocation) {
  const char *name = option_text(invocation, "at");
  const Stage *stage = find_stage(invocation, name ? name : "spec");
  if (!stage || !invocation_needs_files(invocation, 1)) return EXIT_USAGE;
  Writer out = {0};
  int code = stage->show(invocation, invocation->files[0], &out);
  if (code == EXIT_DONE) code = driver_write(invocation, &out);
  writer_release(&out);
  return code;
}
