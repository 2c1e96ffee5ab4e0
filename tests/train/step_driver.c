// Runs the emitted step of one trainer on given states and pictures, for tests/train/parity_test.py: takes the place of
// the trainer's main. Input and output are files of named arrays (raw_file.h).
//
//   step_driver --describe               one line per state tensor: kind name init init_a normalize rank sizes
//   step_driver INPUT OUTPUT THREADS     runs the steps of INPUT
//
// Before each micro-step the arena is filled with NaN bytes: nothing may live there between steps.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program.h"
#include "runtime/status.h"
#include "tests/train/raw_file.h"

static const char *const kind_names[] = {"parameter", "velocity", "statistic", "queue", "accumulator"};
static const char *const init_names[] = {"zero", "one", "normal", "uniform"};

static const SeerProgram *program;

static uint64_t tensor_elements(const SeerTensor *tensor) {
  uint64_t count = 1;
  for (int i = 0; i < tensor->rank; i++) count *= (uint64_t)tensor->size[i];
  return count;
}

static unsigned char *aligned_memory(uint64_t bytes) {
  uint64_t rounded = (bytes + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT;
  unsigned char *memory = aligned_alloc(SEER_ALIGNMENT, rounded > 0 ? rounded : SEER_ALIGNMENT);
  if (!memory) {
    fprintf(stderr, "error: no memory for %llu bytes\n", (unsigned long long)bytes);
    exit(SEER_MACHINE);
  }
  memset(memory, 0xff, rounded);
  return memory;
}

static void describe(void) {
  printf("program %d %d %d\n", program->batch, program->accumulate, program->views.size_group_count);
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    printf("%s %s %s %.17g %d %d", kind_names[tensor->kind], tensor->name, init_names[tensor->init], tensor->init_a,
           tensor->normalize_rows_at_start, tensor->rank);
    for (int d = 0; d < tensor->rank; d++) printf(" %lld", (long long)tensor->size[d]);
    printf("\n");
  }
}

static void load_state(const RawFile *input, SeerContext *context) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind == SEER_ACCUMULATOR) continue;
    uint64_t count = tensor_elements(tensor);
    memcpy(context->state + tensor->offset, raw_get(input, RAW_F32, count, "state/%s", tensor->name), 4 * count);
  }
}

static void dump_state(FILE *out, const SeerContext *context, int step) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind == SEER_ACCUMULATOR) continue;
    raw_write(out, RAW_F32, tensor->rank, tensor->size, context->state + tensor->offset, "step/%d/state/%s", step,
              tensor->name);
  }
}

static const SeerTensor *find_accumulator(const SeerTensor *parameter) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    size_t length = strlen(parameter->name);
    if (tensor->kind == SEER_ACCUMULATOR && strncmp(tensor->name, parameter->name, length) == 0 &&
        strcmp(tensor->name + length, ".accumulator") == 0)
      return tensor;
  }
  fprintf(stderr, "error: no accumulator of '%s'\n", parameter->name);
  exit(SEER_BUG);
}

static void dump_gradients(FILE *out, const SeerContext *context, int step) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind != SEER_PARAMETER) continue;
    const unsigned char *gradient = program->accumulate > 1 ? context->state + find_accumulator(tensor)->offset
                                                                : context->arena + tensor->gradient_offset;
    raw_write(out, RAW_F32, tensor->rank, tensor->size, gradient, "step/%d/gradient/%s", step, tensor->name);
  }
}

static void set_images(const RawFile *input, SeerContext *context, int step, int micro) {
  uint64_t micro_batch = (uint64_t)(program->batch / program->accumulate);
  for (int g = 0; g < program->views.size_group_count; g++) {
    const SeerSizeGroup *group = &program->views.size_groups[g];
    uint64_t bytes = micro_batch * (uint64_t)group->crops * (uint64_t)group->size * (uint64_t)group->size * 3;
    context->images[g] = raw_get(input, RAW_U8, bytes, "step/%d/micro/%d/images/%d", step, micro, g);
  }
  context->labels = NULL;
  if (program->task == SEER_SUPERVISED)
    context->labels = raw_get(input, RAW_I32, micro_batch, "step/%d/micro/%d/labels", step, micro);
}

static void run_step(const RawFile *input, FILE *out, SeerContext *context, int step) {
  const float *scalars = raw_get(input, RAW_F32, 3, "step/%d/scalars", step);
  for (int micro = 0; micro < program->accumulate; micro++) {
    set_images(input, context, step, micro);
    context->scalars = (SeerScalars){.learning_rate = scalars[0],
                                     .prototypes_active = scalars[1],
                                     .queue_active = scalars[2],
                                     .accumulate_restart = micro == 0};
    memset(context->arena, 0xff, program->arena_bytes);
    program->train(context);
    raw_write(out, RAW_F32, 1, &(int64_t){1}, context->arena + program->loss_offset, "step/%d/micro/%d/loss", step,
              micro);
    if (program->task == SEER_SWAV)
      raw_write(out, RAW_F32, 1, &(int64_t){program->prototypes}, context->arena + program->usage_offset,
                "step/%d/micro/%d/usage", step, micro);
  }
  dump_gradients(out, context, step);
  program->update(context);
  dump_state(out, context, step);
}

static void run_features(const RawFile *input, FILE *out, SeerContext *context) {
  uint64_t side = (uint64_t)program->evaluate_size, images = (uint64_t)program->evaluate_batch;
  const uint8_t *pixels = raw_find(input, RAW_U8, images * side * side * 3, "features/images");
  if (!pixels) return;
  context->images[0] = pixels;
  memset(context->arena, 0xff, program->arena_bytes);
  program->features(context);
  int64_t size[2] = {program->evaluate_batch, program->feature_width};
  raw_write(out, RAW_F32, 2, size, context->arena + program->features_offset, "features");
}

static int run(const char *input_path, const char *output_path, int threads) {
  RawFile input = raw_load(input_path);
  SeerContext context = {.program = program,
                         .state = aligned_memory(program->state_bytes),
                         .arena = aligned_memory(program->arena_bytes),
                         .pool = seer_pool_make(threads),
                         .check_finite = true,
                         .first_not_finite = -1};
  if (!context.pool) {
    fprintf(stderr, "error: %s\n", seer_error());
    return SEER_MACHINE;
  }
  load_state(&input, &context);
  FILE *out = raw_create(output_path);
  run_features(&input, out, &context);
  int steps = *(const int32_t *)raw_get(&input, RAW_I32, 1, "steps");
  for (int step = 0; step < steps && context.first_not_finite < 0; step++) run_step(&input, out, &context, step);
  raw_close(out);
  seer_pool_release(context.pool);
  free(context.state);
  free(context.arena);
  raw_release(&input);
  if (context.first_not_finite < 0) return 0;
  const SeerLaunch *launch = &program->launches[context.first_not_finite];
  char label[256];
  seer_launch_label(launch, label, sizeof label);
  fprintf(stderr, "error: launch %d '%s' of %s is not finite\n", context.first_not_finite, label, launch->location);
  return SEER_BUG;
}

int main(int argc, char **argv) {
  program = seer_programs[0];
  if (argc == 2 && strcmp(argv[1], "--describe") == 0) {
    describe();
    return 0;
  }
  if (argc != 4) {
    fprintf(stderr, "usage: %s --describe | INPUT OUTPUT THREADS\n", argv[0]);
    return SEER_USAGE;
  }
  return run(argv[1], argv[2], atoi(argv[3]));
}
