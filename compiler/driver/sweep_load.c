// See sweep_load.h.
#include <inttypes.h>
#include <string.h>

#include "compiler/base/hash.h"
#include "compiler/driver/settings.h"
#include "compiler/driver/sweep_load.h"
#include "compiler/passes/build_model.h"
#include "runtime/data/source.h"

// What is wrong whatever the other keys are: said before anything is done.
static bool is_no_value(const DiagList *diags, const Diag *diag) {
  static const char *const checks[] = {
      "type",  "unit",   "unknown-unit", "unknown-name",      "name",         "range", "range-order",
      "whole", "string", "syntax",       "unknown-reference", "unknown-call", "number"};
  if (diag->severity != DIAG_ERROR || !diag->span.file) return false;
  if (strcmp(source_map_file(diags->sources, diag->span.file)->name, "--over") != 0) return false;
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    if (strcmp(diag->check, checks[i]) == 0) return true;
  }
  return false;
}

static const char *hash_of(Arena *arena, const Spec *spec) {
  Writer text = {0};
  spec_print(spec, &text);
  const char *hash = arena_printf(arena, "%016" PRIx64, hash_text(HASH_START, text.text));
  writer_release(&text);
  return hash;
}

static bool has_labels(const Sweep *sweep, const Spec *spec) {
  Arena *arena = sweep->arena;
  SeerProgram program = settings_from_spec(arena, spec);
  bool evaluated = program.evaluate_pictures && program.evaluate_pictures[0], given = sweep->data_count > 0;
  const char *const *pictures = evaluated ? program.evaluate_pictures : given ? sweep->data : program.pictures;
  const char *labels = evaluated ? program.evaluate_labels : given ? sweep->labels : program.labels;
  SeerSource *source = NULL;
  bool labelled = pictures && pictures[0] && seer_source_open(pictures, labels, &source) == SEER_OK &&
                  seer_source_label_count(source) > 0;
  if (source) seer_source_close(source);
  seer_error_clear();
  return labelled;
}

// Behind the last step alone, where the spec does not say otherwise. Of several ranks the first looks at a snapshot.
static const char *knn_every_of(const Sweep *sweep, const Spec *spec, int *labelled) {
  enum { BEYOND_ANY_RUN = 1000000000 };
  const SpecValue *every = spec_value(spec, KEY_evaluate_knn_every);
  if (every->by_user || (sweep->on_gpus && rank_count_from_spec(spec) > 1)) return NULL;  // not yet by ranks on GPUs
  if (*labelled < 0) *labelled = has_labels(sweep, spec);
  if (!*labelled) return NULL;
  int64_t save = spec_integer(spec, KEY_save_every);
  return arena_printf(sweep->arena, "%" PRId64, (BEYOND_ANY_RUN + save - 1) / save * save);
}

static int load_variant(Sweep *sweep, SweepVariant *variant, int *labelled, LoadedSpec *loaded) {
  *loaded = driver_load_with(sweep->invocation, sweep->invocation->files[0], variant->defines, variant->define_count);
  for (size_t i = 0; i < loaded->diags->count; i++) {
    if (is_no_value(loaded->diags, &loaded->diags->items[i])) return driver_report(sweep->invocation, loaded->diags);
  }
  if (!loaded->spec) return EXIT_DONE;
  variant->spec_hash = hash_of(sweep->arena, loaded->spec);
  variant->knn_every = knn_every_of(sweep, loaded->spec, labelled);
  return EXIT_DONE;
}

int sweep_load_specs(Sweep *sweep) {
  int labelled = -1, code = EXIT_DONE, good = 0;
  LoadedSpec loaded = {0};
  for (int i = 0; i < sweep->variant_count && code == EXIT_DONE; i++) {
    LoadedSpec one;
    code = load_variant(sweep, &sweep->variants[i], &labelled, &one);
    good += one.spec != NULL;
    if (!one.spec) loaded = one;
  }
  if (code != EXIT_DONE || good) return code;
  return driver_report(sweep->invocation, loaded.diags);
}

void sweep_take_variants(Sweep *sweep, const Variants *variants) {
  Arena *arena = sweep->arena;
  const char **keys = arena_array(arena, const char *, variants->axis_count + 1);
  const char **columns = arena_array(arena, const char *, variants->axis_count + 1);
  sweep->axis_count = variants->axis_count;
  sweep->seed_axis = -1;
  for (int i = 0; i < variants->axis_count; i++) {
    keys[i] = variants->axes[i].target;
    columns[i] = variants->axes[i].label;
    if (strcmp(keys[i], "train.seed") == 0) sweep->seed_axis = i;
  }
  sweep->keys = keys;
  sweep->columns = columns;
  sweep->variant_count = variants->count;
  sweep->variants = arena_array(arena, SweepVariant, variants->count);
  for (int i = 0; i < variants->count; i++) {
    const Variant *variant = &variants->items[i];
    const char **values = arena_array(arena, const char *, variants->axis_count + 1);
    for (int axis = 0; axis < variants->axis_count; axis++) values[axis] = variant_value(variants, variant, axis);
    sweep->variants[i] = (SweepVariant){.name = variant->name,
                                        .folder = variant->file_name,
                                        .values = values,
                                        .defines = variant->defines,
                                        .define_count = variant->define_count,
                                        .spec_hash = ""};
  }
}
