// What is compiled for: processors, architectures of GPUs, what each target wants of a graph and cannot do yet.
#include <string.h>

#include "compiler/driver/compile_stages.h"
#include "runtime/engine.h"

bool cpu_is_known(const char *cpu) {
  return strcmp(cpu, "x86-64") == 0 || strcmp(cpu, "x86-64-v3") == 0 || strcmp(cpu, "x86-64-v4") == 0 ||
         strcmp(cpu, "x86-64-v4+bf16") == 0;
}

const char *native_cpu(void) {
  const char *level = seer_cpu_level();
  return cpu_is_known(level) ? level : "x86-64";
}

const char *cpu_of_options(const CompileOptions *options) {
  return strcmp(options->cpu, "native") == 0 ? native_cpu() : options->cpu;
}

// The tests' GPU: as sm_80, or as sm_90a.
bool architecture_is_simulated(const char *name) {
  return strcmp(name, "simulated") == 0 || strcmp(name, "simulated_sm_90a") == 0;
}

// An architecture is sm_ and a number, with or without a letter; or the tests' simulated GPU.
bool architecture_is_known(const char *name) {
  size_t digits = strncmp(name, "sm_", 3) == 0 ? strspn(name + 3, "0123456789") : 0;
  const char *rest = name + 3 + digits;
  return (digits >= 2 && (!*rest || strcmp(rest, "a") == 0)) || architecture_is_simulated(name);
}

bool architecture_is_ptx(const char *name) { return strncmp(name, "compute_", strlen("compute_")) == 0; }

const char *architectures_join(Arena *arena, const CompileOptions *options) {
  const char *list = "";
  for (int i = 0; i < options->architecture_count; i++) {
    if (!architecture_is_ptx(options->architectures[i]))
      list = arena_printf(arena, "%s%s%s", list, *list ? "," : "", options->architectures[i]);
  }
  return list;
}

// Target c trains in fp32, and in bf16 where the machine computes with its processors. Anything else can be planned,
// not built.
static bool is_for_c(const Spec *spec, const PlanMachine *machine) {
  return spec_is(spec, KEY_train_precision, "fp32") ||
         (spec_is(spec, KEY_train_precision, "bf16") && machine->has_processors);
}

BuildTarget target_of(const CompileOptions *options, const Spec *spec, const PlanMachine *machine) {
  if (options->architectures) return TARGET_CUDA;
  return is_for_c(spec, machine) ? TARGET_C : TARGET_NONE;
}

// What a GPU writes and does not write is by bytes, unless `options` say otherwise. Target c has all views.
GraphTarget graph_target(const CompileOptions *options, BuildTarget target, const Spec *spec) {
  GraphTarget wanted = {.additions = target != TARGET_NONE,
                        .gradients_on_read = target == TARGET_C,
                        .scales_on_read = target == TARGET_CUDA,
                        .images = DATA_F32};
  if (target == TARGET_C) wanted.normalize_on_read = NORMALIZE_ALWAYS;
  if (target == TARGET_CUDA) {
    CudaTuning tuning = cuda_tuning(options->gpu_tuning);
    wanted.normalize_on_read = options->normalize_on_read;
    wanted.view_percent = (int)tuning.views_percent;
    wanted.tile_channels = (int)tuning.conv_channels;
    if (options->gpu_tuning) wanted.layers = &options->gpu_tuning->layers;
  }
  if (target != TARGET_NONE && spec_is(spec, KEY_train_precision, "bf16")) wanted.images = DATA_BF16;
  if (target == TARGET_CUDA && spec_is(spec, KEY_train_precision, "fp16")) wanted.images = DATA_F16;
  return wanted;
}

static void cuda_lacks(DiagList *diags, const Spec *spec, SpecKey key, const char *what) {
  diag_error(diags, spec_span(spec, key), "limitation", "target cuda cannot yet %s", what);
}

static void check_cuda_limits(DiagList *diags, const Spec *spec) {
  if (spec_is(spec, KEY_train_precision, "fp32")) {
    cuda_lacks(diags, spec, KEY_train_precision, "train in 'fp32'");
    diag_note(diags, (SourceSpan){0}, "use 'precision = bf16' or 'fp16'");
  }
  if (spec_flag(spec, KEY_train_reproducible))
    cuda_lacks(diags, spec, KEY_train_reproducible, "train in slices that do not depend on the number of ranks");
}

bool check_limits(DiagList *diags, BuildTarget target, const Spec *spec) {
  size_t before = diags->error_count;
  if (target == TARGET_CUDA) check_cuda_limits(diags, spec);
  if (target == TARGET_NONE) {
    diag_error(diags, spec_span(spec, KEY_train_precision), "limitation", "seerc cannot yet train in '%s' on '%s'",
               spec_text(spec, KEY_train_precision), spec_text(spec, KEY_cluster_machine));
    diag_note(diags, (SourceSpan){0},
              "use 'precision = fp32', or 'bf16' on the machine 'this'; `seerc plan` plans other precisions, too");
  }
  return diags->error_count == before;
}
