// Prints the step: one file per block function with its kernels at literal shapes, and step.c, which calls them in the
// plan's order with each block's addresses.
#include <string.h>

#include "codegen/cuda/modules.h"
#include "codegen/emit.h"
#include "compiler/base/bug.h"

static bool is_function(const Program *program, size_t segment) {
  return (size_t)program->segments.items[segment].function == segment;
}

static const char *space_accessor(ProgramSpace space) {
  return space == SPACE_STATE ? "context->state + " : "context->arena + ";
}

// Only buffers in the state and the arena have addresses to pass; images, labels and scalars come from the context.
static bool has_address(const SegmentBuffer *buffer) {
  return buffer->space == SPACE_STATE || buffer->space == SPACE_ARENA;
}

static void print_buffers_struct(const ProgramSegment *segment, Writer *out) {
  writer_printf(out, "// Offsets in the state and the arena.\nstruct %s {\n", segment->function_name);
  int printed = 0;
  for (int i = 0; i < segment->buffer_count; i++) {
    const SegmentBuffer *buffer = &segment->buffers[i];
    if (!has_address(buffer)) continue;
    writer_printf(out, "  uint64_t %s;  // %s\n", buffer->field, buffer->space == SPACE_STATE ? "state" : "arena");
    printed++;
  }
  if (!printed) writer_text(out, "  uint64_t unused;\n");
  writer_printf(out, "};\nvoid %s(SeerContext *context, int launch, const struct %s *at);\n\n", segment->function_name,
                segment->function_name);
}

static void print_functions_of(const Program *program, Writer *out) {
  for (size_t i = 0; program && i < program->segments.count; i++) {
    if (is_function(program, i)) print_buffers_struct(&program->segments.items[i], out);
  }
}

static void print_entry_names(const Program *program, Writer *out) {
  for (int i = 0; program && i < program->entry_count; i++)
    writer_printf(out, "void step_%s(SeerContext *context);\n", program->entries[i].name);
}

static void print_world_names(const Trainer *trainer, const TrainerWorld *world, Writer *out) {
  print_entry_names(trainer_own_train(trainer, world), out);
  print_entry_names(world->features, out);
  writer_printf(out, "extern const SeerProgram %sprogram;\n\n", world->prefix);
}

void print_model_header(const Trainer *trainer, Writer *out) {
  writer_printf(
      out, "// The blocks of '%s': a function each, and the addresses it takes. Written by seerc; edits are lost.\n",
      trainer->settings.name);
  writer_text(out, "#ifndef SEER_MODEL_H\n#define SEER_MODEL_H\n\n#include \"runtime/program.h\"\n\n");
  for (int i = 0; i < trainer->world_count; i++) {
    print_functions_of(trainer_own_train(trainer, &trainer->worlds[i]), out);
    print_functions_of(trainer->worlds[i].features, out);
  }
  for (int i = 0; i < trainer->world_count; i++) print_world_names(trainer, &trainer->worlds[i], out);
  writer_text(out,
              "// What all of them share.\n"
              "extern const char *const spec_text[], *const pictures[], *const evaluate_pictures[];\n"
              "extern const double milestones[];\nextern const char *const monitor_columns[];\n"
              "extern const SeerReference monitor_references[];\n");
  if (trainer->settings.keep) writer_text(out, "extern const SeerKeep keep;\n");
  writer_text(out, "\n#endif\n");
}

// Launches with the same kernel and constants share one instance.
static bool same_instance(const ProgramLaunch *a, const ProgramLaunch *b) {
  return a->kernel == b->kernel && kernel_constants_same(a->kernel, a->constants, b->constants);
}

// Number of the launch's instance among those of its kernel in this segment, from 1; *is_first tells whether the
// launch is the one that defines it.
static int instance_number(const Program *program, const ProgramSegment *segment, size_t index, bool *is_first) {
  const ProgramLaunch *launch = &program->launches.items[index];
  int number = 0;
  for (size_t i = segment->launch_begin; i <= index; i++) {
    const ProgramLaunch *other = &program->launches.items[i];
    if (other->kernel != launch->kernel) continue;
    bool first = true;
    for (size_t j = segment->launch_begin; j < i; j++)
      first = first && !same_instance(&program->launches.items[j], other);
    number += first;
    if (same_instance(other, launch)) {
      *is_first = i == index;
      return number;
    }
  }
  BUG("launch %zu is not in its segment", index);
}

void print_real(Writer *out, double number) {
  size_t begin = out->size;
  writer_json_number(out, number);
  if (!strpbrk(out->text + begin, ".en")) writer_text(out, ".0");
}

static void print_instance(const Program *program, const ProgramLaunch *launch, int number, Writer *out) {
  const KernelInfo *info = kernel_info(launch->kernel);
  (void)program;
  writer_printf(out, "static void %s_%d(const void *arguments, int task, int worker) {\n", info->name, number);
  writer_printf(out, "  const struct %s_pointers *at = arguments;\n  (void)worker;\n  %s(", info->name, info->name);
  for (int i = 0; i < info->constant_count; i++) {
    writer_printf(out, "/*%s*/ ", info->constants[i]);
    if (info->constant_kinds[i] == CONSTANT_REAL) {
      print_real(out, launch->constants[i].number);
    } else {
      writer_printf(out, "%lld", (long long)launch->constants[i].integer);
    }
    writer_text(out, i + 1 < info->constant_count ? ", " : ",\n    ");
  }
  for (int i = 0; i < info->pointer_count; i++) writer_printf(out, "at->%s, ", info->pointers[i]);
  writer_text(out, "task);\n}\n\n");
}

static void print_pointers_struct(const KernelInfo *info, Writer *out) {
  writer_printf(out, "struct %s_pointers {\n", info->name);
  for (int i = 0; i < info->pointer_count; i++)
    writer_printf(out, "  %s *%s;\n", info->pointer_types[i], info->pointers[i]);
  writer_text(out, "};\n");
}

static bool kernel_seen(const Program *program, const ProgramSegment *segment, size_t index) {
  for (size_t i = segment->launch_begin; i < index; i++) {
    if (program->launches.items[i].kernel == program->launches.items[index].kernel) return true;
  }
  return false;
}

void print_operand(const Trainer *trainer, const Program *program, const ProgramSegment *segment,
                   const KernelOperand *operand, Writer *out) {
  switch (operand->space) {
    case SPACE_NONE: writer_text(out, "NULL"); return;
    case SPACE_IMAGES: writer_printf(out, "context->images[%llu]", (unsigned long long)operand->offset); return;
    case SPACE_LABELS: writer_text(out, "context->labels"); return;
    case SPACE_SCALARS: {
      const char *name = operand->kind == OPERAND_LOSS_SCALE ? "loss_scale"
                         : operand->kind == OPERAND_UNSCALE  ? "unscale"
                                                             : graph_value(program->graph, operand->value)->name;
      if (trainer->modules)
        writer_printf(out, "context->device_scalars + offsetof(SeerScalars, %s)", name);
      else
        writer_printf(out, "&context->scalars.%s", name);
      return;
    }
    case SPACE_STATE:
    case SPACE_ARENA: break;
  }
  writer_printf(out, "(void *)(%sat->%s", space_accessor(operand->space), segment->buffers[operand->buffer].field);
  if (operand->per_shard)
    writer_printf(out, " + (uint64_t)context->shard * %llu", (unsigned long long)operand->per_shard);
  if (operand->relative) writer_printf(out, " + %llu", (unsigned long long)operand->relative);
  writer_text(out, ")");
}

static bool is_collective(const ProgramLaunch *launch) { return kernel_info(launch->kernel)->collective; }

static void print_collective(const Trainer *trainer, const Program *program, const ProgramSegment *segment,
                             const ProgramLaunch *launch, Writer *out) {
  const KernelInfo *info = kernel_info(launch->kernel);
  writer_printf(out, "  seer_%s(context", info->name);
  for (int i = 0; i < info->constant_count; i++)
    writer_printf(out, ", /*%s*/ %lld", info->constants[i], (long long)launch->constants[i].integer);
  for (int i = 0; i < info->pointer_count; i++) {
    writer_text(out, ",\n    ");
    print_operand(trainer, program, segment, &launch->operands[i], out);
  }
  writer_text(out, ");\n");
}

static void print_launch(const Trainer *trainer, const Program *program, const ProgramSegment *segment, size_t index,
                         Writer *out) {
  const ProgramLaunch *launch = &program->launches.items[index];
  const KernelInfo *info = kernel_info(launch->kernel);
  bool is_first;
  int number = instance_number(program, segment, index, &is_first);
  writer_printf(out, "  seer_launch(context, launch + %zu, %s_%d,\n    &(struct %s_pointers){",
                index - segment->launch_begin, info->name, number, info->name);
  for (int i = 0; i < info->pointer_count; i++) {
    writer_printf(out, "%s.%s = ", i ? ",\n      " : "", info->pointers[i]);
    print_operand(trainer, program, segment, &launch->operands[i], out);
  }
  writer_printf(out, "},\n    %lld);\n", (long long)launch->tasks);
}

// The functions that a segment of target c calls: kernels at literal shapes.
static void print_instances(const Program *program, const ProgramSegment *segment, Writer *out) {
  for (size_t i = segment->launch_begin; i < segment->launch_end; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    if (is_collective(launch)) continue;
    if (!kernel_seen(program, segment, i)) print_pointers_struct(kernel_info(launch->kernel), out);
    bool is_first;
    int number = instance_number(program, segment, i, &is_first);
    if (is_first) print_instance(program, launch, number, out);
  }
}

void print_function(const Trainer *trainer, const Program *program, const ProgramSegment *segment, Writer *out) {
  Arena *scratch = arena_make("printing one function");
  writer_printf(out, "// %s (%s). Written by seerc; edits are lost.\n", segment->function_name,
                span_label(scratch, trainer->sources, segment->span));
  writer_printf(out, "#include \"%s\"\n#include \"model.h\"\n%s\n",
                trainer->modules ? "modules.h" : "kernels/kernels.h",
                trainer->modules ? "#include \"runtime/device/launch.h\"\n" : "");
  if (!trainer->modules) print_instances(program, segment, out);
  writer_printf(out, "void %s(SeerContext *context, int launch, const struct %s *at) {\n", segment->function_name,
                segment->function_name);
  writer_text(out, "  (void)at;\n");
  OpId last = OP_NONE;
  for (size_t i = segment->launch_begin; i < segment->launch_end; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    if (launch->op != last) {
      const Op *op = graph_op(program->graph, launch->op);
      writer_printf(out, "\n  // %s: %s", op->name, op_kind_name(op->kind));
      if (op->size_group >= 0) writer_printf(out, ", size group %d", op->size_group);
      writer_printf(out, " (%s)\n", span_label(scratch, trainer->sources, op->span));
      last = launch->op;
    }
    if (is_collective(launch))
      print_collective(trainer, program, segment, launch, out);
    else if (trainer->modules)
      print_cuda_launch(trainer, program, segment, i, out);
    else
      print_launch(trainer, program, segment, i, out);
  }
  writer_text(out, "}\n");
  arena_release(scratch);
}

static void print_call(const Trainer *trainer, const Program *program, const ProgramSegment *segment, int first_launch,
                       Arena *scratch, Writer *out) {
  const ProgramSegment *function = &program->segments.items[segment->function];
  const char *block = segment->block >= 0 ? program->graph->block_names[segment->block] : "step";
  writer_printf(out, "  // %s (%s)\n", block, span_label(scratch, trainer->sources, segment->span));
  writer_printf(out, "  %s(context, %zu, &(const struct %s){", function->function_name,
                (size_t)first_launch + segment->launch_begin, function->function_name);
  bool comma = false;
  for (int i = 0; i < segment->buffer_count; i++) {
    if (!has_address(&segment->buffers[i])) continue;
    writer_printf(out, "%s\n    .%s = %llu", comma ? "," : "", function->buffers[i].field,
                  (unsigned long long)segment->buffers[i].offset);
    comma = true;
  }
  writer_text(out, comma ? "});\n" : ".unused = 0});\n");
}

// What ranks send each other for a whole block, or what goes to the host and back; only the two ends of the way are
// calls.
static void print_traffic(const Program *program, const ProgramSegment *segment, Writer *out) {
  const ProgramLaunch *launch = &program->launches.items[segment->launch_begin];
  const KernelInfo *info = kernel_info(launch->kernel);
  const PlanStep *step = &program->plan->steps[launch->step];
  if (step->block >= 0) writer_printf(out, "  // %s\n", program->unit_names[step->block]);
  writer_printf(out, "  seer_%s(context", info->name);
  for (int i = 0; i < info->constant_count; i++)
    writer_printf(out, ", /*%s*/ %lld", info->constants[i], (long long)launch->constants[i].integer);
  for (int i = 0; i < info->pointer_count; i++)
    writer_printf(out, ", (void *)(%s%llu)", space_accessor(launch->operands[i].space),
                  (unsigned long long)launch->operands[i].offset);
  writer_text(out, ");\n");
}

static void print_entry(const Trainer *trainer, const Program *program, const ProgramEntry *entry, int first_launch,
                        Writer *out) {
  Arena *scratch = arena_make("printing one entry");
  writer_printf(out, "void step_%s(SeerContext *context) {\n", entry->name);
  for (size_t s = entry->segment_begin; s < entry->segment_end; s++) {
    const ProgramSegment *segment = &program->segments.items[s];
    if (segment->traffic)
      print_traffic(program, segment, out);
    else
      print_call(trainer, program, segment, first_launch, scratch, out);
  }
  writer_text(out, "}\n\n");
  arena_release(scratch);
}

static void print_entries(const Trainer *trainer, const Program *program, size_t first_launch, Writer *out) {
  for (int i = 0; program && i < program->entry_count; i++)
    print_entry(trainer, program, &program->entries[i], (int)first_launch, out);
}

void print_step(const Trainer *trainer, const TrainerWorld *world, Writer *out) {
  writer_printf(out, "// The step of '%s' in the plan's order: each call is one block, with where its tensors lie.\n",
                trainer->settings.name);
  writer_printf(out, "// Written by seerc; edits are lost.\n#include \"model.h\"\n%s\n",
                trainer->modules ? "#include \"runtime/device/launch.h\"\n" : "");
  print_entries(trainer, trainer_own_train(trainer, world), 0, out);
  print_entries(trainer, world->features, world->train ? world->train->launches.count : 0, out);
}
