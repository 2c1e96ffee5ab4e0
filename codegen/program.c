// Makes the Program: resolves operands to addresses, cuts launches into segments, and finds segments that are the same
// function on other addresses.
#include "codegen/program.h"

#include <ctype.h>
#include <string.h>

#include "codegen/program_launches.h"
#include "compiler/base/bug.h"

static ProgramSpace space_of_value(const Plan *plan, const Value *value, ValueId id) {
  if (value->kind == VALUE_SCALAR) return SPACE_SCALARS;
  if (value->kind == VALUE_INPUT) return value->type == DATA_U8 ? SPACE_IMAGES : SPACE_LABELS;
  return plan->value_in_state[id] ? SPACE_STATE : SPACE_ARENA;
}

// Inputs are named images0, images1, ...: the number is the size group.
static uint64_t images_group(const Value *value) {
  const char *digits = value->name + strlen(value->name);
  while (digits > value->name && isdigit((unsigned char)digits[-1])) digits--;
  uint64_t group = 0;
  for (; *digits; digits++) group = group * 10 + (uint64_t)(*digits - '0');
  return group;
}

static uint64_t item_offset(const Plan *plan, uint32_t item, uint32_t step, ValueId value) {
  if (item == PLAN_NO_ITEM) BUG("step %u has no place for value %u", step, value);
  return plan->items[item].offset;
}

// Parameters that were gathered, and gradients on their way to the ranks, lie in their unit's buffer while blocks run.
static bool lies_in_unit(const Plan *plan, uint32_t step, ValueId value) {
  return plan->units && plan->units->offsets[value] != PLAN_NO_OFFSET && plan->steps[step].pass != PASS_UPDATE;
}

uint64_t program_offset(const Program *program, const ProgramLaunch *launch, ValueId id, ProgramSpace *space) {
  const Plan *plan = program->plan;
  const Value *value = graph_value(program->graph, id);
  if (lies_in_unit(plan, launch->step, id)) {
    *space = SPACE_ARENA;
    uint32_t unit = plan_find_unit(plan, launch->step, value->kind != VALUE_PARAMETER && !launch->reduces);
    return item_offset(plan, unit, launch->step, id) + plan->units->offsets[id];
  }
  *space = space_of_value(plan, value, id);
  if (*space == SPACE_IMAGES) return images_group(value);
  if (*space == SPACE_STATE) return plan->value_offsets[id];
  if (*space != SPACE_ARENA) return 0;
  return item_offset(plan, plan_find_use(plan, launch->step, id, FORM_WHOLE), launch->step, id);
}

static void resolve_value(const Program *program, const ProgramLaunch *launch, KernelOperand *operand) {
  const Plan *plan = program->plan;
  operand->offset = operand->relative + program_offset(program, launch, operand->value, &operand->space);
  bool update = plan->steps[launch->step].pass == PASS_UPDATE;
  if (update && operand->space == SPACE_STATE && program->is_own && program->is_own[operand->value])
    operand->per_shard = plan->units->shards->part[operand->value] * sizeof(float);
}

void program_resolve_operand(const Program *program, const ProgramLaunch *launch, KernelOperand *operand) {
  const Plan *plan = program->plan;
  if (operand->kind == OPERAND_UNIT) return;  // placed when it was made
  operand->space = SPACE_ARENA;
  switch (operand->kind) {
    case OPERAND_NONE: operand->space = SPACE_NONE; break;
    case OPERAND_VALUE: resolve_value(program, launch, operand); break;
    case OPERAND_MASK: {
      uint32_t item = plan_find_use(plan, launch->step, operand->value, FORM_MASK);
      operand->offset = item_offset(plan, item, launch->step, operand->value) + operand->relative;
      break;
    }
    case OPERAND_NORMS: operand->offset = plan->items[plan->norms].offset + operand->relative; break;
    case OPERAND_WORKSPACE:
      operand->offset = plan->items[plan->steps[launch->step].workspace].offset + operand->relative;
      break;
    case OPERAND_LOSS_SCALE:
    case OPERAND_UNSCALE: operand->space = SPACE_SCALARS; break;
    case OPERAND_UNIT: BUG("a unit's operand was to be left alone");
  }
}

// The part of a dotted name behind the block's own: "f.a" of "trunk_output.block1.block1-0.f.a"; "y" for the block's.
static const char *local_name(const char *name, const char *block) {
  size_t length = block ? strlen(block) : 0;
  const char *found = length ? strstr(name, block) : NULL;
  for (; found && found[length] != '.' && found[length] != '\0'; found = strstr(found + 1, block)) continue;
  if (!found) return name;
  return found[length] ? found + length + 1 : "y";
}

static char *make_identifier(Arena *arena, const char *name) {
  char *text = arena_printf(arena, "%s%s", isdigit((unsigned char)name[0]) ? "v" : "", name);
  for (char *c = text; *c; c++) {
    if (!isalnum((unsigned char)*c)) *c = '_';
  }
  return text;
}

static const char *role_of_result(const Op *op, int index) {
  static const char *const norm[] = {"y", "mean", "variance", "extra"};
  static const char *const gradient[] = {"dx", "dgamma", "dbeta", "masked"};
  if (op->result_count == 1) return "";
  return op->phase == PHASE_FORWARD ? norm[index] : gradient[index];
}

// What a result is called inside the segment. Names must not depend on which block a neighbour is, so that equal blocks
// read the same: what comes from other blocks is an input, or the gradient of the output.
static const char *result_name(const Program *program, const ProgramSegment *segment, const Value *value,
                               const char *block) {
  const Op *op = graph_op(program->graph, value->producer);
  const char *prefix = op->phase == PHASE_BACKWARD ? "d_" : "";
  if (op->block != segment->block) return op->phase == PHASE_BACKWARD ? "d_output" : "input";
  const char *role = role_of_result(op, value->result_index);
  const char *local = make_identifier(program->arena, local_name(op->name, block));
  return arena_printf(program->arena, *role ? "%s%s_%s" : "%s%s", prefix, local, role);
}

static const char *field_name(const Program *program, const ProgramSegment *segment, const ProgramLaunch *launch,
                              const KernelOperand *operand) {
  const Graph *graph = program->graph;
  const char *block = segment->block >= 0 ? graph->block_names[segment->block] : NULL;
  const char *name;
  if (operand->kind == OPERAND_WORKSPACE) {
    const char *op = graph_op(graph, launch->op)->name;
    name = arena_printf(program->arena, "%s_scratch", make_identifier(program->arena, local_name(op, block)));
  } else if (operand->kind == OPERAND_NORMS) {
    name = "norms";
  } else {
    const Value *value = graph_value(graph, operand->value);
    name = value->kind == VALUE_RESULT ? result_name(program, segment, value, block)
                                       : make_identifier(program->arena, local_name(value->name, block));
    if (operand->kind == OPERAND_MASK) name = arena_printf(program->arena, "%s_mask", name);
    if (operand->kind == OPERAND_UNIT) name = arena_printf(program->arena, "%s_parts", name);
  }
  const char *unique = name;
  for (int i = 0, suffix = 2; i < segment->buffer_count; i++) {
    if (strcmp(segment->buffers[i].field, unique) == 0) {
      unique = arena_printf(program->arena, "%s_%d", name, suffix++);
      i = -1;
    }
  }
  return unique;
}

static int buffer_of(Program *program, ProgramSegment *segment, const ProgramLaunch *launch,
                     const KernelOperand *operand) {
  for (int i = 0; i < segment->buffer_count; i++) {
    const SegmentBuffer *buffer = &segment->buffers[i];
    if (buffer->kind != operand->kind) continue;
    // A value that is made twice within a segment is two buffers.
    if (operand->kind == OPERAND_WORKSPACE ? buffer->workspace_of == launch->step
                                           : buffer->value == operand->value && buffer->space == operand->space &&
                                                 buffer->offset + operand->relative == operand->offset)
      return i;
  }
  SegmentBuffer buffer = {.field = field_name(program, segment, launch, operand),
                          .kind = operand->kind,
                          .value = operand->value,
                          .workspace_of = operand->kind == OPERAND_WORKSPACE ? launch->step : UINT32_MAX,
                          .space = operand->space,
                          .offset = operand->space == SPACE_ARENA || operand->space == SPACE_STATE
                                        ? operand->offset - operand->relative
                                        : operand->offset};
  segment->buffers[segment->buffer_count] = buffer;
  return segment->buffer_count++;
}

static void number_buffers(Program *program, ProgramSegment *segment) {
  int pointers = 0;
  if (segment->traffic) return;
  for (size_t i = segment->launch_begin; i < segment->launch_end; i++)
    pointers += kernel_info(program->launches.items[i].kernel)->pointer_count;
  segment->buffers = arena_array(program->arena, SegmentBuffer, pointers + 1);
  for (size_t i = segment->launch_begin; i < segment->launch_end; i++) {
    ProgramLaunch *launch = &program->launches.items[i];
    for (int p = 0; p < kernel_info(launch->kernel)->pointer_count; p++) {
      KernelOperand *operand = &launch->operands[p];
      bool has_buffer = operand->kind != OPERAND_NONE && operand->kind != OPERAND_LOSS_SCALE &&
                        operand->kind != OPERAND_UNSCALE;
      operand->buffer = has_buffer ? buffer_of(program, segment, launch, operand) : -1;
    }
  }
}

static bool same_launch(const Program *program, const ProgramSegment *sa, const ProgramLaunch *a,
                        const ProgramSegment *sb, const ProgramLaunch *b) {
  if (a->kernel != b->kernel || a->tasks != b->tasks) return false;
  if (a->grid.x != b->grid.x || a->grid.y != b->grid.y || a->grid.z != b->grid.z) return false;
  const KernelInfo *info = kernel_info(a->kernel);
  if (!kernel_constants_same(a->kernel, a->constants, b->constants)) return false;
  for (int i = 0; i < info->pointer_count; i++) {
    const KernelOperand *x = &a->operands[i], *y = &b->operands[i];
    if (x->kind != y->kind || x->space != y->space || x->relative != y->relative || x->buffer != y->buffer ||
        x->per_shard != y->per_shard)
      return false;
    if (x->space == SPACE_IMAGES && x->offset != y->offset) return false;
    if (x->space == SPACE_SCALARS && x->value != y->value) return false;
    if (x->buffer >= 0 && strcmp(sa->buffers[x->buffer].field, sb->buffers[y->buffer].field) != 0) return false;
  }
  (void)program;
  return true;
}

static bool same_function(const Program *program, const ProgramSegment *a, const ProgramSegment *b) {
  if (a->launch_end - a->launch_begin != b->launch_end - b->launch_begin || a->buffer_count != b->buffer_count)
    return false;
  for (size_t i = 0; i < a->launch_end - a->launch_begin; i++) {
    if (!same_launch(program, a, &program->launches.items[a->launch_begin + i], b,
                     &program->launches.items[b->launch_begin + i]))
      return false;
  }
  return true;
}

static bool name_taken(const Program *program, size_t segment_count, const char *name) {
  for (size_t i = 0; i < segment_count; i++) {
    const ProgramSegment *segment = &program->segments.items[i];
    if ((size_t)segment->function == i && strcmp(segment->function_name, name) == 0) return true;
  }
  return false;
}

static void name_function(Program *program, size_t index) {
  ProgramSegment *segment = &program->segments.items[index];
  if (segment->traffic) {
    segment->function = -1;
    return;
  }
  for (size_t i = 0; i < index; i++) {
    const ProgramSegment *earlier = &program->segments.items[i];
    if ((size_t)earlier->function == i && earlier->pass == segment->pass && earlier->reduces == segment->reduces &&
        same_function(program, earlier, segment)) {
      segment->function = (int)i;
      segment->function_name = earlier->function_name;
      return;
    }
  }
  const char *block = segment->block >= 0 ? program->graph->block_names[segment->block] : "step";
  const char *entry = program->entry_count == 1 ? "features_" : "";
  const char *base =
      arena_printf(program->arena, "%s%s_%s", entry, segment->reduces ? "reduce" : step_pass_name(segment->pass),
                   make_identifier(program->arena, block));
  const char *name = base;
  for (int suffix = 2; name_taken(program, index, name); suffix++)
    name = arena_printf(program->arena, "%s_%d", base, suffix);
  segment->function = (int)index;
  segment->function_name = name;
}

enum { MAX_SEGMENT_LAUNCHES = 160 };

static bool continues(const Program *program, const ProgramSegment *last, const ProgramLaunch *launch, bool op_begins) {
  const PlanStep *step = &program->plan->steps[launch->step];
  if (last->traffic || launch->op == OP_NONE) return false;
  return last->pass == step->pass && last->reduces == launch->reduces && last->operation == step->operation &&
         last->block == graph_op(program->graph, launch->op)->block &&
         (!op_begins || last->launch_end - last->launch_begin < MAX_SEGMENT_LAUNCHES);
}

// A segment ends where the block or the pass changes, at the update, and when it grows past what one reads in one go.
static void cut_segments(Program *program) {
  for (size_t i = 0; i < program->launches.count; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    ProgramSegment *last = program->segments.count ? &program->segments.items[program->segments.count - 1] : NULL;
    bool op_begins = i == 0 || launch[-1].step != launch->step || launch[-1].op != launch->op;
    if (last && continues(program, last, launch, op_begins)) {
      last->launch_end = i + 1;
      continue;
    }
    const PlanStep *step = &program->plan->steps[launch->step];
    bool traffic = launch->op == OP_NONE;
    ProgramSegment segment = {.pass = step->pass,
                              .traffic = traffic,
                              .reduces = launch->reduces,
                              .operation = step->operation,
                              .block = traffic ? -1 : graph_op(program->graph, launch->op)->block,
                              .launch_begin = i,
                              .launch_end = i + 1};
    if (!traffic) segment.span = graph_op(program->graph, launch->op)->span;
    arena_push(program->arena, &program->segments, ProgramSegment, segment);
  }
}

static void list_entries(Program *program) {
  size_t update = 0;
  while (update < program->segments.count && program->segments.items[update].pass != PASS_UPDATE) update++;
  bool trains = update < program->segments.count;
  program->entries[0] = (ProgramEntry){trains ? "train" : "features", 0, update};
  program->entries[1] = (ProgramEntry){"update", update, program->segments.count};
  program->entry_count = trains ? 2 : 1;
}

// By ValueId: what lies in a parameter that this rank keeps several parts of, and updates one.
static const bool *find_own(Arena *arena, const Graph *graph, const Plan *plan) {
  if (!plan->units || plan_shards_groups(plan->units->shards) == 1) return NULL;
  bool *is_own = arena_array(arena, bool, graph->values.count + 1);
  for (ValueId v = 0; v < graph->values.count; v++) {
    const Value *value = graph_value(graph, v);
    if (value->kind != VALUE_PARAMETER) continue;
    is_own[v] = true;
    if (value->bound != VALUE_NONE) is_own[value->bound] = true;
  }
  return is_own;
}

Program *program_make(Arena *arena, const Graph *graph, const Lowering *lowering, const Plan *plan,
                      const char *const *unit_names) {
  Program *program = arena_new(arena, Program);
  *program = (Program){.arena = arena,
                       .graph = graph,
                       .plan = plan,
                       .ranks = lowering->ranks,
                       .unit_names = unit_names,
                       .is_own = find_own(arena, graph, plan)};
  program_add_launches(program, lowering);
  cut_segments(program);
  list_entries(program);
  for (size_t i = 0; i < program->segments.count; i++) number_buffers(program, &program->segments.items[i]);
  for (size_t i = 0; i < program->segments.count; i++) name_function(program, i);
  return program;
}

static const char *verify_operand(const Program *program, const ProgramLaunch *launch, int index, Arena *arena) {
  const KernelOperand *operand = &launch->operands[index];
  const KernelInfo *info = kernel_info(launch->kernel);
  const char *op = launch->op == OP_NONE ? "traffic" : graph_op(program->graph, launch->op)->name;
  if (operand->space != SPACE_STATE && operand->space != SPACE_ARENA) return NULL;
  uint64_t limit = operand->space == SPACE_STATE ? program->plan->state_bytes : program->plan->arena_bytes;
  if (operand->offset >= limit) {
    return arena_printf(arena, "'%s': argument '%s' of %s lies outside its space", op, info->pointers[index],
                        info->name);
  }
  if (operand->relative == 0 && operand->offset % PLAN_ALIGNMENT) {
    return arena_printf(arena, "'%s': argument '%s' of %s is not aligned", op, info->pointers[index], info->name);
  }
  return NULL;
}

// CUDA C++ Programming Guide, technical specifications by compute capability.
static bool grid_fits(LaunchGrid grid) {
  enum { GRID_MOST = 65535 };  // of y and z
  return grid.y <= GRID_MOST && grid.z <= GRID_MOST;
}

const char *program_verify(const Program *program, Arena *arena) {
  for (size_t i = 0; i < program->launches.count; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    const KernelInfo *info = kernel_info(launch->kernel);
    if (launch->tasks < 1 || launch->tasks > INT32_MAX) {
      return arena_printf(arena, "launch %zu: %s has %lld tasks", i, info->name, (long long)launch->tasks);
    }
    if (!grid_fits(launch->grid)) return arena_printf(arena, "launch %zu: %s has a grid no GPU takes", i, info->name);
    for (int p = 0; p < info->pointer_count; p++) {
      const char *error = verify_operand(program, launch, p, arena);
      if (error) return error;
    }
  }
  for (size_t i = 0; i + 1 < program->segments.count; i++) {
    if (program->segments.items[i].launch_end != program->segments.items[i + 1].launch_begin)
      return "segments leave launches out";
  }
  return program_verify_copies(program, arena);
}

static void print_argument(const KernelOperand *operand, const char *name, Writer *out) {
  static const char *const spaces[] = {"none", "state", "arena", "images", "labels", "scalars"};
  if (operand->space == SPACE_STATE || operand->space == SPACE_ARENA || operand->space == SPACE_IMAGES) {
    writer_printf(out, " %s=%s+%llu", name, spaces[operand->space], (unsigned long long)operand->offset);
  } else {
    writer_printf(out, " %s=%s", name, spaces[operand->space]);
  }
}

void program_print(const Program *program, Writer *out) {
  for (int e = 0; e < program->entry_count; e++) {
    const ProgramEntry *entry = &program->entries[e];
    writer_printf(out, "entry %s\n", entry->name);
    for (size_t s = entry->segment_begin; s < entry->segment_end; s++) {
      const ProgramSegment *segment = &program->segments.items[s];
      writer_printf(out, "  segment %zu %s%s\n", s, segment->traffic ? "traffic" : "function ",
                    segment->traffic ? "" : segment->function_name);
      for (size_t i = segment->launch_begin; i < segment->launch_end; i++) {
        const ProgramLaunch *launch = &program->launches.items[i];
        const KernelInfo *info = kernel_info(launch->kernel);
        writer_printf(out, "    %zu %s tasks=%lld", i, info->name, (long long)launch->tasks);
        for (int c = 0; c < info->constant_count; c++) {
          writer_printf(out, " %s=", info->constants[c]);
          if (info->constant_kinds[c] == CONSTANT_REAL) {
            writer_json_number(out, launch->constants[c].number);
          } else {
            writer_printf(out, "%lld", (long long)launch->constants[c].integer);
          }
        }
        for (int p = 0; p < info->pointer_count; p++) print_argument(&launch->operands[p], info->pointers[p], out);
        writer_text(out, "\n");
      }
    }
  }
}
