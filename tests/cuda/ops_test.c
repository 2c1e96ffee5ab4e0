// Every op of the programs that seerc writes for GPUs, one at a time, against the interpreter in double precision.
//
//   ops_test SPEC LIBRARY PRECISION ARCHITECTURE VIEWS FOLDER [KERNEL ARGUMENT]
//   ops_test --kernels LIBRARY SPEC...      that their programs launch every kernel there is
//
// VIEWS: "always" or "never": what BatchNorm makes is seen by its readers, or written. "libraries": always, but where
// libraries read it, which make all the layers that they can.
// The spec's kernels are compiled for ARCHITECTURE ("simulated", or one of a GPU that is there), its step as it is
// emitted; seer_launch_kernel, which that calls, is here. Before an op's first launch its operands are read from the
// GPU's memory and the interpreter makes its results from them; after its last launch they are compared. So errors do
// not pile up, and what is wrong is told by op, kernel and place. Every value has memory of its own, which ends where
// the GPU's does and is full of NaNs until it is made; the addresses in the emitted text must be those of the plan.
//
// KERNEL ARGUMENT: plants a fault. In the kernel's launches a constant is another one, or a pointer is exchanged with
// the next; the test ends after the first op that shows it, and has to fail.
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/cuda/channels.h"
#include "codegen/cuda/modules.h"
#include "codegen/cuda/tuning.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/modules_build.h"
#include "runtime/device/device.h"
#include "runtime/device/launch.h"
#include "runtime/device/libraries.h"
#include "tests/cuda/op_reference.h"
#include "tests/graph/graph_tools.h"

enum { POISON = 0xFF };          // of bytes: a NaN in fp16, bf16 and float
enum { ALLOCATION_UNIT = 256 };  // of the GPU's memory
enum {
  ACCESS_BYTES = 16
};  // that a thread takes at once: a value begins at a multiple; libraries are promised
    // the plan's alignment
enum { DEVIATIONS_TOLD = 20 };

typedef struct Memory {
  SeerAddress block, begin;  // block 0: within another
  uint64_t bytes;
} Memory;

// The run of an op that is on its way.
typedef struct OpRun {
  Arena *arena;
  const Op *op;
  RunVariant variant;
  size_t first_launch;
  Memory workspace;
  ValueUses reads, writes;
  unsigned char *before[MAX_OPERANDS];  // bytes of operands; NULL: not read
  double *results[MAX_RESULTS];         // that are right
} OpRun;

typedef struct Tally {
  int results;
  double worst, limit;
} Tally;

typedef struct Test {
  SeerContext context;  // what the emitted step is given: the first field
  Arena *arena;
  const Trainer *trainer;
  SeerDevice *device;
  SeerDeviceStream *stream;
  SeerLibraries *libraries;
  uint64_t alignment;
  SeerScalars values_of_scalars;
  Memory scalars;
  Tally tallies[OP_KIND_COUNT][MAX_RESULTS];
  int runs, wrong;
  const char *wrong_kernel, *wrong_argument;  // of the planted fault; NULL: none
  bool is_planted;
  // Of the program that runs; by ValueId where not said otherwise.
  const Program *program;
  const ChannelLayout *layouts;
  ValueId *homes;  // in whose memory a value lies
  Memory *memories;
  int first_number;  // of the program's first launch
  size_t next;
  OpRun run;
} Test;

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  exit(1);
}

static void must(SeerStatus status) {
  if (status) fail(seer_error());
}

// ---- memory ----

static Memory memory_make(Test *test, uint64_t bytes) {
  Memory memory = {.bytes = bytes};
  uint64_t whole = (bytes + ALLOCATION_UNIT - 1) / ALLOCATION_UNIT * ALLOCATION_UNIT;
  must(seer_device_alloc(test->device, whole, "a value", &memory.block));
  memory.begin = memory.block + (whole - bytes) / test->alignment * test->alignment;
  must(seer_device_fill(test->device, test->stream, memory.block, POISON, whole));
  return memory;
}

static void memory_release(Test *test, Memory *memory) {
  if (memory->block) seer_device_free(test->device, memory->block);
  *memory = (Memory){0};
}

static const Value *value_of(const Test *test, ValueId value) { return graph_value(test->program->graph, value); }

// Images, by their layout; and the factors of a view, which are two numbers a channel: op_reference.c.
static bool is_of_images(const Test *test, ValueId value) {
  return test->layouts[value].all && value_of(test, value)->shape.rank == 4;
}
static bool is_line(const Test *test, ValueId value) {
  return test->layouts[value].all && value_of(test, value)->shape.rank == 2;
}

static int64_t elements_in_memory(const Test *test, ValueId value) {
  int64_t count = shape_elements(value_of(test, value)->shape), all = test->layouts[value].all;
  if (is_line(test, value)) return 2 * all;
  return is_of_images(test, value) ? count / value_of(test, value)->shape.size[3] * all : count;
}

static Memory *memory_of(Test *test, ValueId value) {
  Memory *memory = &test->memories[test->homes[value]];
  uint64_t bytes = (uint64_t)(elements_in_memory(test, value) * data_type_bytes(value_of(test, value)->type));
  if (!memory->bytes) *memory = memory_make(test, bytes);
  if (memory->bytes != bytes) fail("values of several sizes lie in one place");
  return memory;
}

static unsigned char *download(Test *test, Arena *arena, ValueId value) {
  Memory *memory = memory_of(test, value);
  unsigned char *bytes = arena_alloc(arena, memory->bytes);
  must(seer_device_download(test->device, test->stream, bytes, memory->begin, memory->bytes));
  must(seer_device_stream_wait(test->device, test->stream));
  return bytes;
}

static double number_at(DataType type, const unsigned char *bytes, int64_t at) {
  switch (type) {
    case DATA_F32: return (double)((const float *)(const void *)bytes)[at];
    case DATA_BF16: return (double)seer_bf16_to_float(((const uint16_t *)(const void *)bytes)[at]);
    case DATA_F16: return (double)seer_fp16_to_float(((const uint16_t *)(const void *)bytes)[at]);
    case DATA_U8: return bytes[at];
    case DATA_I32: return ((const int32_t *)(const void *)bytes)[at];
  }
  fail("a value of another type");
}

// Where a GPU has the element that is number `index` in logical order; -1: it is zero, and not there.
static int64_t place_of(const Test *test, ValueId value, int64_t index) {
  const ChannelLayout *layout = &test->layouts[value];
  const Shape *shape = &value_of(test, value)->shape;
  if (!layout->all) return index;
  int64_t channels = shape->size[shape->rank - 1], channel = index % channels, row = index / channels;
  if (is_line(test, value) && row-- == 0) return -1;
  return row * layout->all + channel / layout->group_channels * layout->group_pitch + channel % layout->group_channels;
}

static double *numbers_of(const Test *test, Arena *arena, ValueId value, const unsigned char *bytes) {
  int64_t count = shape_elements(value_of(test, value)->shape);
  double *numbers = arena_array(arena, double, count);
  for (int64_t i = 0; i < count; i++) {
    int64_t at = place_of(test, value, i);
    if (at >= 0) numbers[i] = number_at(value_of(test, value)->type, bytes, at);
  }
  return numbers;
}

// Pads must be zero to the bit, but for a sign.
static bool pads_are_zero(const Test *test, ValueId value, const unsigned char *bytes) {
  const ChannelLayout *layout = &test->layouts[value];
  for (int64_t i = 0; is_of_images(test, value) && i < elements_in_memory(test, value); i++) {
    bool is_pad = i % layout->all % layout->group_pitch >= layout->group_channels;
    if (is_pad && ((const uint16_t *)(const void *)bytes)[i] & 0x7FFF) return false;
  }
  return true;
}

// ---- what the emitted text says ----

static uint64_t scalar_offset(const Test *test, const KernelOperand *operand) {
  static const struct {
    const char *name;
    uint64_t offset;
  } fields[] = {{"learning_rate", offsetof(SeerScalars, learning_rate)},
                {"prototypes_active", offsetof(SeerScalars, prototypes_active)},
                {"queue_active", offsetof(SeerScalars, queue_active)},
                {"accumulate_restart", offsetof(SeerScalars, accumulate_restart)}};
  if (operand->kind == OPERAND_LOSS_SCALE) return offsetof(SeerScalars, loss_scale);
  if (operand->kind == OPERAND_UNSCALE) return offsetof(SeerScalars, unscale);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strcmp(fields[i].name, value_of(test, operand->value)->name) == 0) return fields[i].offset;
  }
  fail("a scalar that is none of the runtime's");
}

// By the plan, of a trainer whose blocks of memory are the context's.
static const unsigned char *planned_address(const Test *test, const KernelOperand *operand) {
  const SeerContext *context = &test->context;
  switch (operand->space) {
    case SPACE_NONE: return NULL;
    case SPACE_STATE: return context->state + operand->offset;
    case SPACE_ARENA: return context->arena + operand->offset;
    case SPACE_IMAGES: return context->images[operand->offset];
    case SPACE_LABELS: return (const unsigned char *)context->labels;
    case SPACE_SCALARS: return context->device_scalars + scalar_offset(test, operand);
  }
  fail("an operand in no space");
}

static SeerAddress own_address(Test *test, const KernelOperand *operand) {
  switch (operand->kind) {
    case OPERAND_NONE: return 0;
    case OPERAND_VALUE: return memory_of(test, operand->value)->begin + operand->relative;
    case OPERAND_WORKSPACE: return test->run.workspace.begin + operand->relative;
    case OPERAND_LOSS_SCALE:
    case OPERAND_UNSCALE: return test->scalars.begin + scalar_offset(test, operand);
    case OPERAND_MASK:
    case OPERAND_UNIT:
    case OPERAND_NORMS: break;
  }
  fail("an operand that only several ranks have");
}

// ---- comparison ----

// The kernel of the run that writes a value.
static const char *writer_of(const Test *test, ValueId value) {
  for (size_t i = test->next; i-- > test->run.first_launch;) {
    const ProgramLaunch *launch = &test->program->launches.items[i];
    const KernelInfo *info = kernel_info(launch->kernel);
    for (int p = 0; p < info->pointer_count; p++) {
      const KernelOperand *operand = &launch->operands[p];
      if (operand->kind == OPERAND_VALUE && operand->value == value && strncmp(info->pointer_types[p], "const", 5) != 0)
        return info->name;
    }
  }
  return "no kernel";
}

static const char *place_text(Arena *arena, Shape shape, int64_t index) {
  const char *text = "";
  for (int i = shape.rank - 1; i >= 0; i--) {
    text = arena_printf(arena, "%lld%s%s", (long long)(index % shape.size[i]), *text ? "," : "", text);
    index /= shape.size[i];
  }
  return text;
}

static void tell(Test *test, const char *what) {
  const OpRun *run = &test->run;
  if (test->wrong++ < DEVIATIONS_TOLD)
    printf("WRONG: '%s' (%s, %s, run %s; %s): %s\n", run->op->name, op_kind_name(run->op->kind),
           step_pass_name(test->program->plan->steps[test->program->launches.items[run->first_launch].step].pass),
           run_variant_name(run->variant), span_label(run->arena, test->trainer->sources, run->op->span), what);
}

// Gradients of weights are rounded where a library makes them so.
static double limit_of(const Test *test, ValueId value, int result) {
  static const double rounding[] = {[DATA_BF16] = 2.4e-3, [DATA_F16] = 3e-4};
  bool is_rounded = strcmp(writer_of(test, value), "conv2d_widen_weight") == 0;
  return is_rounded ? rounding[test->program->graph->image_type]
                    : reference_limit(test->program->graph, test->run.op, result);
}

static void compare(Test *test, ValueId value, int result, const double *got) {
  const OpRun *run = &test->run;
  const double *wanted = run->results[result];
  Shape shape = value_of(test, value)->shape;
  double apart = 0, all = 0, furthest = -1;
  int64_t at = 0;
  for (int64_t i = 0; i < shape_elements(shape); i++) {
    double difference = fabs(got[i] - wanted[i]);
    apart += difference * difference;  // a NaN stays
    all += wanted[i] * wanted[i];
    if (!(difference <= furthest) && !isnan(furthest)) furthest = difference, at = i;
  }
  double limit = limit_of(test, value, result), error = sqrt(apart / (all > 0 ? all : 1));
  Tally *tally = &test->tallies[run->op->kind][result];
  tally->results++;
  tally->limit = limit;
  if (!(error <= tally->worst)) tally->worst = error;
  if (error <= limit) return;
  tell(test, arena_printf(run->arena,
                          "result %d, of %s, is %.2e from the interpreter's, of %.1e allowed; furthest at [%s]: %.9g, "
                          "and %.9g is right",
                          result, writer_of(test, value), error, limit, place_text(run->arena, shape, at), got[at],
                          wanted[at]));
}

// ---- faults ----

static bool is_wrong(const Test *test, const KernelInfo *info, const char *argument) {
  return test->wrong_kernel && strcmp(test->wrong_kernel, info->name) == 0 &&
         strcmp(test->wrong_argument, argument) == 0;
}

// Of values, the arguments of a launch, one becomes another in `spare`.
static void plant(Test *test, const KernelInfo *info, void **values, uint64_t *spare) {
  int at = info->pointer_count;
  for (int i = 0; i + 1 < info->pointer_count; i++) {
    bool same = *(const SeerAddress *)values[i] == *(const SeerAddress *)values[i + 1];
    if (same || !is_wrong(test, info, info->pointers[i])) continue;
    void *other = values[i];
    values[i] = values[i + 1], values[i + 1] = other;
    test->is_planted = true;
  }
  for (int i = 0; i < info->constant_count; i++) {
    ConstantKind kind = info->constant_kinds[i];
    if (kind == CONSTANT_MACRO) continue;
    if (is_wrong(test, info, info->constants[i])) {
      if (kind == CONSTANT_REAL) *(float *)(void *)spare = *(const float *)values[at] * 1.01f + 1e-5f;
      if (kind == CONSTANT_INTEGER) *(int *)(void *)spare = *(const int *)values[at] - 1;
      if (kind == CONSTANT_COUNT) *spare = *(const uint64_t *)values[at] - 1;
      values[at] = spare;
      test->is_planted = true;
    }
    at++;
  }
}

// ---- runs ----

static bool uses(const ValueUses *uses, ValueId value) {
  for (int i = 0; i < uses->count; i++) {
    if (uses->items[i].value == value) return true;
  }
  return false;
}

// Whether an update writes it in place.
static bool is_written(const Test *test, ValueId value) {
  for (int i = 0; i < test->run.writes.count; i++) {
    if (test->homes[test->run.writes.items[i].value] == test->homes[value]) return true;
  }
  return false;
}

static bool is_operand(const Test *test, ValueId result) {
  for (int i = 0; i < test->run.op->operand_count; i++) {
    if (test->homes[test->run.op->operands[i]] == test->homes[result]) return true;
  }
  return false;
}

static void run_begin(Test *test, const ProgramLaunch *launch) {
  const Graph *graph = test->program->graph;
  const Plan *plan = test->program->plan;
  const PlanStep *step = &plan->steps[launch->step];
  OpRun *run = &test->run;
  *run = (OpRun){.arena = arena_make("a run"),
                 .op = graph_op(graph, launch->op),
                 .variant = step->variant,
                 .first_launch = test->next,
                 .reads = run_reads(graph, launch->op, step->variant),
                 .writes = run_writes(graph, launch->op, step->variant)};
  if (step->workspace != PLAN_NO_ITEM) run->workspace = memory_make(test, plan->items[step->workspace].bytes);
  const double *operands[MAX_OPERANDS];
  for (int i = 0; i < run->op->operand_count; i++) {
    ValueId value = run->op->operands[i];
    if (uses(&run->reads, value)) run->before[i] = download(test, run->arena, value);
    operands[i] = run->before[i] ? numbers_of(test, run->arena, value, run->before[i])
                                 : arena_array(run->arena, double, shape_elements(value_of(test, value)->shape));
  }
  reference_evaluate(graph, run->op, run->arena, operands, (double)test->values_of_scalars.loss_scale, run->results);
  for (int i = 0; i < run->writes.count; i++) {
    ValueId value = run->writes.items[i].value;
    Memory *memory = memory_of(test, value);
    if (!is_operand(test, value))
      must(seer_device_fill(test->device, test->stream, memory->begin, POISON, memory->bytes));
  }
}

static void run_end(Test *test) {
  OpRun *run = &test->run;
  for (int i = 0; i < run->op->result_count; i++) {
    ValueId value = run->op->results[i];
    if (!uses(&run->writes, value)) continue;
    unsigned char *bytes = download(test, run->arena, value);
    double *got = numbers_of(test, run->arena, value, bytes);
    if (i == 0) reference_evaluate_stored(test->program->graph, run->op, run->arena, got, run->results);
    compare(test, value, i, got);
    if (!pads_are_zero(test, value, bytes))
      tell(test, arena_printf(run->arena, "result %d, of %s, has pads that are not zero", i, writer_of(test, value)));
  }
  for (int i = 0; i < run->op->operand_count; i++) {
    ValueId value = run->op->operands[i];
    if (!run->before[i] || is_written(test, value)) continue;
    if (memcmp(run->before[i], download(test, run->arena, value), memory_of(test, value)->bytes) != 0)
      tell(test, arena_printf(run->arena, "operand %d is not what it was before", i));
  }
  memory_release(test, &run->workspace);
  arena_release(run->arena);
  test->runs++;
}

static bool is_of_run(const Test *test, size_t launch) {
  const LaunchList *launches = &test->program->launches;
  return launch < launches->count && launches->items[launch].run == launches->items[test->next].run;
}

// The launch that is next.
static const ProgramLaunch *launch_begin(Test *test, int number) {
  if (number != test->first_number + (int)test->next) fail("launches do not come in the program's order");
  const ProgramLaunch *launch = &test->program->launches.items[test->next];
  if (!test->next || !is_of_run(test, test->next - 1)) run_begin(test, launch);
  return launch;
}

static void launch_end(Test *test) {
  bool is_last = !is_of_run(test, test->next + 1);
  test->next++;
  if (!is_last) return;
  run_end(test);
  if (test->is_planted && test->wrong) _Exit(1);  // there is memory left, of which the simulator would tell
}

// What takes the place of a pointer in the emitted text.
static SeerAddress pointer_take(Test *test, const ProgramLaunch *launch, int i, const unsigned char *given) {
  const KernelInfo *info = kernel_info(launch->kernel);
  if (given != planned_address(test, &launch->operands[i]))
    tell(test, arena_printf(test->run.arena, "argument '%s' of %s is not where the plan has it", info->pointers[i],
                            info->name));
  return own_address(test, &launch->operands[i]);
}

void seer_launch_library(SeerContext *context, int number, int call, const void *const *pointers) {
  Test *test = (Test *)context;
  const ProgramLaunch *launch = launch_begin(test, number);
  const KernelInfo *info = kernel_info(launch->kernel);
  if (call != cuda_modules_call(test->trainer->modules, launch)) fail("a launch is of another call");
  const void *own[MAX_KERNEL_POINTERS];
  for (int i = 0; i < info->pointer_count; i++)
    own[i] = (const void *)(uintptr_t)pointer_take(test, launch, i, (const unsigned char *)pointers[i]);
  must(seer_libraries_run(test->libraries, test->stream, call, own));
  launch_end(test);
}

void seer_launch_kernel(SeerContext *context, int number, int kernel, unsigned x, unsigned y, unsigned z,
                        void **arguments) {
  Test *test = (Test *)context;
  const ProgramLaunch *launch = launch_begin(test, number);
  const KernelInfo *info = kernel_info(launch->kernel);
  if (kernel != cuda_modules_kernel(test->trainer->modules, launch)) fail("a launch is of another kernel");
  SeerAddress addresses[MAX_KERNEL_POINTERS];
  void *values[MAX_KERNEL_POINTERS + MAX_KERNEL_CONSTANTS];
  int count = info->pointer_count;
  for (int i = 0; i < info->constant_count; i++) count += info->constant_kinds[i] != CONSTANT_MACRO;
  memcpy(values, arguments, (size_t)count * sizeof *values);
  for (int i = 0; i < info->pointer_count; i++) {
    addresses[i] = pointer_take(test, launch, i, *(const unsigned char *const *)arguments[i]);
    values[i] = &addresses[i];
  }
  uint64_t spare = 0;
  if (test->wrong_kernel) plant(test, info, values, &spare);
  must(seer_device_launch(test->device, test->stream, kernel, x, y, z, values));
  launch_end(test);
}

// ---- programs ----

// What no op makes: the same numbers in every program, by names.
static void fill_values(Test *test) {
  const Graph *graph = test->program->graph;
  Arena *arena = arena_make("numbers");
  double **numbers = filled_tensors(graph, arena);
  for (ValueId v = 0; v < graph->values.count; v++) {
    const Value *value = graph_value(graph, v);
    int64_t count = shape_elements(value->shape);
    if (value->kind == VALUE_RESULT) continue;
    if (value->kind == VALUE_SCALAR) {
      KernelOperand operand = {.kind = OPERAND_VALUE, .value = v};
      test->memories[v] =
          (Memory){.begin = test->scalars.begin + scalar_offset(test, &operand), .bytes = sizeof(float)};
      continue;
    }
    unsigned char *bytes = arena_alloc(arena, (size_t)(count * data_type_bytes(value->type)));
    for (int64_t i = 0; i < count; i++) {
      if (value->type == DATA_U8) bytes[i] = (unsigned char)numbers[v][i];
      if (value->type == DATA_I32) ((int32_t *)(void *)bytes)[i] = (int32_t)numbers[v][i];
      if (value->type == DATA_F32) ((float *)(void *)bytes)[i] = (float)numbers[v][i];
    }
    must(seer_device_upload(test->device, test->stream, memory_of(test, v)->begin, bytes, memory_of(test, v)->bytes));
  }
  arena_release(arena);
}

static void program_begin(Test *test, const Program *program, int first_number) {
  const Graph *graph = program->graph;
  test->program = program;
  test->first_number = first_number;
  test->layouts = channel_layouts_make(test->arena, graph);
  test->homes = arena_array(test->arena, ValueId, graph->values.count + 1);
  test->memories = arena_array(test->arena, Memory, graph->values.count + 1);
  for (ValueId v = 0; v < graph->values.count; v++) test->homes[v] = v;
  // What a state takes is written where the state lies, if the plan says so.
  for (ValueId v = 0; v < graph->values.count; v++) {
    ValueId bound = graph_value(graph, v)->bound;
    if (bound != VALUE_NONE && program->plan->value_in_state[bound]) test->homes[bound] = v;
  }
  fill_values(test);
}

static void program_end(Test *test) {
  for (ValueId v = 0; v < test->program->graph->values.count; v++) memory_release(test, &test->memories[v]);
}

static void run_entry(Test *test, void *step, int entry) {
  const Program *program = test->program;
  const ProgramEntry *e = &program->entries[entry];
  char name[64];
  snprintf(name, sizeof name, "step_%s", e->name);
  SeerEntry *function;
  *(void **)&function = dlsym(step, name);
  if (!function) fail(dlerror());
  must(seer_device_upload(test->device, test->stream, test->scalars.begin, &test->values_of_scalars,
                          sizeof test->values_of_scalars));
  test->next = program->segments.items[e->segment_begin].launch_begin;
  function(&test->context);
  if (test->next != program->segments.items[e->segment_end - 1].launch_end) fail("launches are missing");
}

static void run_programs(Test *test, void *step) {
  const TrainerWorld *world = &test->trainer->worlds[0];
  program_begin(test, world->train, 0);
  for (int micro = 0; micro < test->trainer->settings.accumulate; micro++) {
    test->values_of_scalars.accumulate_restart = micro == 0;
    run_entry(test, step, 0);
  }
  run_entry(test, step, 1);
  program_end(test);
  program_begin(test, world->features, (int)world->train->launches.count);
  run_entry(test, step, 0);
  program_end(test);
}

// ---- from the spec to the GPU ----

// "always", "never"; "least", "most": what pays, all parameters of a tuning at a bound.
static TuningSet tuning_of(const char *views) {
  TuningSet set = tuning_usual(&cuda_tuning_table);
  for (int i = 0; i < set.table->count; i++) {
    if (strcmp(views, "least") == 0) set.values[i] = set.table->rows[i].least;
    if (strcmp(views, "most") == 0) set.values[i] = set.table->rows[i].most;
  }
  return set;
}

// All layers that a library can make.
static LayerChoices library_layers(Arena *arena, const Graph *graph, LayerChoices choices) {
  LayerUses uses = layer_uses_list(arena, graph);
  for (size_t i = 0; i < uses.count; i++) {
    for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
      LayerChoice choice = {uses.items[i].shape, (LayerMaker)maker};
      if (layer_maker_takes(choice.maker, &choice.shape)) choices = layer_choices_with(arena, &choices, choice);
    }
  }
  return choices;
}

static Compiled compile_tuned(Arena *arena, const char *path, const char *library, const char *precision,
                              const char *const *architecture, const char *views, const TuningSet *tuning) {
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  SpecDefine define = {.text = arena_printf(arena, "train.precision=%s", precision)};
  CompileOptions options = {.cpu = "native",
                            .architectures = architecture,
                            .architecture_count = 1,
                            .normalize_on_read = strcmp(views, "never") == 0 ? NORMALIZE_NEVER
                                                 : strcmp(views, "always") == 0 || strcmp(views, "libraries") == 0
                                                     ? NORMALIZE_ALWAYS
                                                     : NORMALIZE_WHERE_IT_PAYS,
                            .gpu_tuning = tuning};
  Compiled compiled = {0};
  const Spec *spec = spec_load(arena, sources, diags, path, library, &define, 1);
  if (!spec || !compile_spec(arena, sources, diags, spec, library, &options, &compiled)) {
    Writer out = {0};
    diag_print(diags, &out, false);
    fail(out.text);
  }
  return compiled;
}

static Compiled compile(Arena *arena, const char *path, const char *library, const char *precision,
                        const char *const *architecture, const char *views) {
  TuningSet *tuning = arena_new(arena, TuningSet);
  *tuning = tuning_of(views);
  Compiled compiled = compile_tuned(arena, path, library, precision, architecture, views, tuning);
  if (strcmp(views, "libraries") != 0) return compiled;
  tuning->layers = library_layers(arena, compiled.train_graph, tuning->layers);
  tuning->layers = library_layers(arena, compiled.features_graph, tuning->layers);
  return compile_tuned(arena, path, library, precision, architecture, views, tuning);
}

// ---- which kernels there are ----

// Those that only several ranks launch, only the runtime, only an update of more than four million numbers.
static bool is_for_others(const KernelInfo *info) {
  static const char *const names[] = {"sinkhorn_fold_ranks", "not_finite", "larc_fold"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], info->name) == 0) return true;
  }
  return info->file && strcmp(info->file, "ranks") == 0;
}

static void mark_launched(const Program *program, bool *is_launched) {
  for (size_t i = 0; i < program->launches.count; i++) is_launched[program->launches.items[i].kernel] = true;
}

static int check_kernels(Arena *arena, const char *library, char **specs, int count) {
  static bool is_launched[KERNEL_KIND_COUNT];
  const char *architecture = "simulated";
  int missing = 0;
  static const char *const views[] = {"always", "never", "libraries"};
  enum { VIEWS = sizeof views / sizeof *views };
  for (int i = 0; i < VIEWS * count; i++) {
    Compiled compiled = compile(arena, specs[i / VIEWS], library, "bf16", &architecture, views[i % VIEWS]);
    mark_launched(compiled.trainer.worlds[0].train, is_launched);
    mark_launched(compiled.trainer.worlds[0].features, is_launched);
  }
  for (int kind = 0; kind < KERNEL_KIND_COUNT; kind++) {
    const KernelInfo *info = kernel_info((KernelKind)kind);
    bool is_of_gpus = info->file || info->library != LAYER_BY_SEER;
    if (!is_of_gpus || is_launched[kind] || is_for_others(info)) continue;
    printf("no program launches %s of %s\n", info->name, info->file ? info->file : "a library");
    missing++;
  }
  return missing ? 1 : 0;
}

// ---- the GPU ----

static const SeerKernels *kernels_load(Arena *arena, const CudaModules *modules, const char *folder) {
  SeerModule *codes = arena_array(arena, SeerModule, modules->count);
  SeerKernel *kernels = arena_array(arena, SeerKernel, modules->kernels.count);
  SeerBlock *blocks = arena_array(arena, SeerBlock, modules->kernels.count);
  for (size_t m = 0; m < modules->count; m++) {
    size_t size = modules->code_bytes[0][m];
    const char *path = cuda_code_path(arena, &modules->items[m], modules->architectures[0]);
    FILE *file = fopen(arena_printf(arena, "%s/%s", folder, path), "rb");
    char *bytes = arena_alloc(arena, size + 1);
    if (!file || fread(bytes, 1, size, file) != size) fail("a module cannot be read");
    fclose(file);
    codes[m] = (SeerModule){bytes, size};
  }
  for (size_t k = 0; k < modules->kernels.count; k++) {
    const CudaKernel *kernel = &modules->kernels.items[k];
    kernels[k] = (SeerKernel){kernel->name, kernel_info(kernel->kernel)->name, kernel->module};
    blocks[k] = (SeerBlock){modules->blocks[0][k].threads, modules->blocks[0][k].shared_bytes};
  }
  SeerArchitecture *architecture = arena_new(arena, SeerArchitecture);
  *architecture = (SeerArchitecture){modules->architectures[0], codes, blocks};
  SeerKernels *all = arena_new(arena, SeerKernels);
  *all = (SeerKernels){1, (int)modules->count, (int)modules->kernels.count, architecture, kernels};
  return all;
}

static void library_build(const char *folder) {
  static const char command[] =
      "cd \"$0\" && ${CC:-cc} -std=c11 -D_GNU_SOURCE -I. -fPIC -shared step.c libraries.c blocks/*.c -o step.so";
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command, folder, (char *)NULL);
    _exit(127);
  }
  int status = 1;
  if (child > 0) waitpid(child, &status, 0);
  if (status != 0) fail("the step cannot be compiled");
}

// Emits the trainer and compiles what the test runs of it: its kernels, and its step as a library.
static void *build(Arena *arena, const Trainer *trainer, const char *folder) {
  const char *error = trainer_emit(trainer, arena, folder);
  if (error) fail(error);
  Invocation invocation = {.arena = arena};
  if (modules_build(&invocation, trainer, folder, NULL) != EXIT_DONE) exit(1);
  library_build(folder);
  void *step = dlopen(arena_printf(arena, "%s/step.so", folder), RTLD_NOW | RTLD_LOCAL);
  if (!step) fail(dlerror());
  return step;
}

static int verdict(const Test *test, const char *name) {
  for (int kind = 0; kind < OP_KIND_COUNT; kind++) {
    for (int result = 0; result < MAX_RESULTS; result++) {
      const Tally *tally = &test->tallies[kind][result];
      if (tally->results)
        printf("%-30s result %d: %4d made, at most %.2e of %.1e\n", op_kind_name((OpKind)kind), result, tally->results,
               tally->worst, tally->limit);
    }
  }
  printf("%s: %d runs of ops, %d deviations\n", name, test->runs, test->wrong);
  return test->wrong ? 1 : 0;
}

// Far apart, and never touched.
static unsigned char *no_memory(int number) { return (unsigned char *)(uintptr_t)((uint64_t)number << 40); }

int main(int argc, char **argv) {
  if (argc > 3 && strcmp(argv[1], "--kernels") == 0)
    return check_kernels(arena_make("kernels"), argv[2], argv + 3, argc - 3);
  if (argc != 7 && argc != 9) {
    fprintf(stderr, "usage: %s SPEC LIBRARY PRECISION ARCHITECTURE VIEWS FOLDER [KERNEL ARGUMENT] | --kernels ...\n",
            argv[0]);
    return 2;
  }
  const char *architecture = argv[4], *folder = argv[6];
  setvbuf(stdout, NULL, _IOLBF, 0);  // the simulator ends the process where a kernel does what it must not
  Arena *arena = arena_make("test");
  Compiled compiled = compile(arena, argv[1], argv[2], argv[3], &architecture, argv[5]);
  void *step = build(arena, &compiled.trainer, folder);
  Test *test = arena_new(arena, Test);
  bool scales = compiled.trainer.settings.scales_loss;
  *test = (Test){.context = {.state = no_memory(1), .arena = no_memory(2), .device_scalars = no_memory(3)},
                 .arena = arena,
                 .alignment = compiled.trainer.modules->calls.count ? PLAN_ALIGNMENT : ACCESS_BYTES,
                 .trainer = &compiled.trainer,
                 .wrong_kernel = argc > 7 ? argv[7] : NULL,
                 .wrong_argument = argc > 7 ? argv[8] : NULL,
                 .values_of_scalars = {.learning_rate = 0.3f,
                                       .prototypes_active = 1,
                                       .queue_active = 1,
                                       .loss_scale = scales ? 0x1p10f : 1,
                                       .unscale = scales ? 0x1p-10f : 1}};
  test->context.labels = (const int32_t *)(const void *)no_memory(4);
  for (int i = 0; i < SEER_MAX_SIZE_GROUPS; i++) test->context.images[i] = no_memory(5 + i);
  must(seer_device_open(kernels_load(arena, compiled.trainer.modules, folder), 0, &test->device));
  must(seer_device_stream_make(test->device, &test->stream));
  const SeerLibraryCalls *calls = (const SeerLibraryCalls *)dlsym(step, "seer_gpu_calls");
  if (!calls) fail(dlerror());
  must(seer_libraries_open(calls, test->device, &test->libraries));
  test->scalars = memory_make(test, sizeof(SeerScalars));
  run_programs(test, step);
  if (test->wrong_kernel && !test->is_planted) fail("the fault's kernel has no such argument, or is not launched");
  int status = verdict(test, compiled.trainer.settings.name);
  memory_release(test, &test->scalars);
  seer_libraries_close(test->libraries);
  seer_device_stream_release(test->device, test->stream);
  seer_device_close(test->device);
  arena_release(arena);
  return status;
}
