// Compiles what a command line asks for.
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/tuning_use.h"
#include "lang/files.h"

// Of the same spec, for the processor of a machine like this one: in bf16 where that is asked for and it has that.
static void compile_carried(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                            const CompileOptions *options, Compiled *compiled) {
  Spec *own = arena_new(arena, Spec);
  *own = *spec;
  own->values[KEY_cluster_machine].text = "this";
  if (!spec_is(spec, KEY_train_precision, "bf16") || strcmp(cpu_of_options(options), "x86-64-v4+bf16") != 0)
    own->values[KEY_train_precision].text = "fp32";
  CompileOptions of_processor = *options;
  of_processor.architectures = NULL;
  of_processor.hook = NULL;
  Compiled *carried = arena_new(arena, Compiled);
  if (compile_spec(arena, sources, diags, own, library, &of_processor, carried))
    compiled->trainer.carried = &carried->trainer;
  else
    diag_note(diags, (SourceSpan){0}, "this is the trainer for the processor, which 'c' of --target asks for");
}

int cpu_check(const Invocation *invocation) {
  const char *cpu = option_text(invocation, "cpu");
  if (!cpu || strcmp(cpu, "native") == 0 || cpu_is_known(cpu)) return EXIT_DONE;
  return usage_error(invocation,
                     "unknown processor '%s': native, x86-64, x86-64-v3, x86-64-v4 and x86-64-v4+bf16 are known", cpu);
}

// Splits "cuda:sm_90a,sm_80", and adds PTX for what comes after the oldest.
static int architectures_choose(const Invocation *invocation, CompileOptions *options) {
  const char *target = option_text(invocation, "target");
  Arena *arena = invocation->arena;
  if (!target || strcmp(target, "c") == 0) return EXIT_DONE;
  if (strncmp(target, "cuda:", 5) != 0 || !target[5])
    return usage_error(invocation, "unknown target '%s': c and cuda:ARCHITECTURE,... are known", target);
  const char **names = arena_array(arena, const char *, strlen(target) + 1);
  int count = 0;
  long oldest = 0;
  for (const char *at = target + 5; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    names[count] = arena_string(arena, at, strcspn(at, ","));
    if (strcmp(names[count], "c") == 0) {
      options->carries = true;
      continue;
    }
    if (!architecture_is_known(names[count]))
      return usage_error(invocation, "unknown architecture '%s': sm_80, sm_90a and the like are known", names[count]);
    if (architecture_is_simulated(names[count++])) continue;
    long number = strtol(names[count - 1] + 3, NULL, 10);
    if (number < 80)
      return usage_error(invocation, "architecture '%s' has no tensor cores for bf16: sm_80 is the oldest",
                         names[count - 1]);
    if (!oldest || number < oldest) oldest = number;
  }
  if (!count) return usage_error(invocation, "'--target=%s' names no architecture: sm_80, sm_90a", target);
  if (oldest) names[count++] = arena_printf(arena, "compute_%ld", oldest);
  options->architectures = names;
  options->architecture_count = count;
  return EXIT_DONE;
}

static int views_choose(const Invocation *invocation, CompileOptions *options) {
  static const char *const names[] = {
      [NORMALIZE_NEVER] = "never", [NORMALIZE_WHERE_IT_PAYS] = "where-it-pays", [NORMALIZE_ALWAYS] = "always"};
  const char *name = option_text(invocation, "normalize-on-read");
  options->normalize_on_read = NORMALIZE_WHERE_IT_PAYS;
  if (!name) return EXIT_DONE;
  if (!options->architectures) return usage_error(invocation, "'--normalize-on-read' is not of target c");
  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
    if (strcmp(name, names[i]) != 0) continue;
    options->normalize_on_read = (NormalizeOnRead)i;
    return EXIT_DONE;
  }
  return usage_error(invocation, "'--normalize-on-read' is where-it-pays, always or never, not '%s'", name);
}

// The reader's text, with its own name and lines for the C compiler. Other commands have none.
static int reader_choose(const Invocation *invocation, CompileOptions *options) {
  bool builds = strcmp(invocation->command->name, "build") == 0;
  const char *path = builds ? option_text(invocation, "reader") : NULL;
  Arena *arena = invocation->arena;
  char *text;
  size_t size;
  if (!path) return EXIT_DONE;
  int failure = spec_files_on_disk.read(spec_files_on_disk.context, arena, path, &text, &size);
  if (failure)
    return driver_fail(EXIT_INPUT, "reader", arena_printf(arena, "cannot read '%s': %s", path, strerror(failure)),
                       "a reader is a file of C: see docs/readers.md");
  Writer out = {0};
  writer_text(&out, "#line 1 ");
  print_c_string(&out, path);
  writer_printf(&out, "\n%s", text);
  options->reader = arena_string(arena, out.text, out.size);
  writer_release(&out);
  return EXIT_DONE;
}

int target_choose(const Invocation *invocation, CompileOptions *options) {
  int code = architectures_choose(invocation, options);
  return code == EXIT_DONE ? views_choose(invocation, options) : code;
}

int compile_options(const Invocation *invocation, CompileOptions *options) {
  if (cpu_check(invocation) != EXIT_DONE) return EXIT_USAGE;
  const char *cpu = option_text(invocation, "cpu");
  *options = (CompileOptions){.cpu = cpu ? cpu : "native",
                              .sanitize = option_is_set(invocation, "sanitize"),
                              .plan_only = strcmp(invocation->command->name, "plan") == 0};
  return target_choose(invocation, options);
}

int driver_compile(Invocation *invocation, PassHook *hook, void *hook_data, Compiled *compiled, DiagList **diags) {
  bool build = strcmp(invocation->command->name, "build") == 0;
  CompileOptions options;
  int code = compile_options(invocation, &options);
  options.curve = !options.plan_only || option_is_set(invocation, "html") || option_is_set(invocation, "sweep") ||
                  option_is_set(invocation, "svg");
  options.hook = hook;
  options.hook_data = hook_data;
  if (code == EXIT_DONE && build) code = reader_choose(invocation, &options);
  if (code != EXIT_DONE) return code;
  LoadedSpec loaded = driver_load(invocation, invocation->files[0]);
  *diags = loaded.diags;
  bool good = loaded.spec && spec_require_model(loaded.spec, loaded.diags) &&
              tuning_choose(invocation, &loaded, &options) &&
              compile_spec(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &options,
                           compiled);
  if (good && options.carries && build)
    compile_carried(invocation->arena, loaded.sources, loaded.diags, loaded.spec, invocation->library, &options,
                    compiled);
  return driver_report(invocation, loaded.diags);
}
