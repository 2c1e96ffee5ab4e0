// The plan's steps as launches. A run is the launches of its op. A gather, a reduction, a copy to the host or back is
// started where the plan has its step, and finished when the operation beside it is over: from then on the plan counts
// on it.
#include "codegen/program_launches.h"

#include "compiler/base/bug.h"
#include "compiler/plan/machine.h"

typedef struct Flight {
  StepKind kind;
  bool refresh;   // of the state
  int block;      // of the chain
  uint32_t step;  // where it was started
} Flight;

typedef struct Launcher {
  Program *program;
  const Lowering *lowering;
  const Plan *plan;
  struct {
    Flight *items;
    size_t count, capacity;
  } flights;
  int runs;
} Launcher;

static void add_resolved(Launcher *launcher, ProgramLaunch launch) {
  const KernelInfo *info = kernel_info(launch.kernel);
  for (int p = 0; p < info->pointer_count; p++)
    program_resolve_operand(launcher->program, &launch, &launch.operands[p]);
  arena_push(launcher->program->arena, &launcher->program->launches, ProgramLaunch, launch);
}

// Before a run computes, weights are packed, and ranks bring gradients together, which is no launch to the runtime.
static bool prepares(KernelKind kernel) {
  return kernel_info(kernel)->collective || kernel == KERNEL_conv2d_pack || kernel == KERNEL_conv2d_pack_backward ||
         kernel == KERNEL_cuda_conv2d_pack || kernel == KERNEL_cuda_conv2d_round;
}

static void add_run(Launcher *launcher, uint32_t step, OpId op, RunVariant variant, bool reduces) {
  LaunchRange range = launcher->lowering->runs[variant][op];
  const Graph *graph = launcher->plan->graph;
  bool priced = false;
  launcher->runs++;
  for (size_t i = range.begin; i < range.end; i++) {
    ProgramLaunch launch = launcher->lowering->launches.items[i];
    launch.step = step;
    launch.reduces = reduces;
    launch.run = launcher->runs;
    if (!priced && !prepares(launch.kernel)) {
      priced = true;
      launch.flops = 2.0 * (double)plan_run_macs(graph, op, variant);
      launch.bytes = plan_run_bytes(graph, op, variant, launcher->lowering->value_bytes);
    }
    add_resolved(launcher, launch);
  }
}

static void add_launch(Launcher *launcher, ProgramLaunch launch) {
  launch.run = ++launcher->runs;
  launch.alone = true;
  add_resolved(launcher, launch);
}

static const KernelOperand nothing = {.kind = OPERAND_NONE, .value = VALUE_NONE};

static KernelOperand at_arena(uint64_t offset) {
  return (KernelOperand){.kind = OPERAND_UNIT, .value = VALUE_NONE, .space = SPACE_ARENA, .offset = offset};
}

static ProgramLaunch traffic(KernelKind kernel, uint32_t step, int block, KernelOperand buffer) {
  return (ProgramLaunch){.kernel = kernel,
                         .constants = {{.integer = block}},
                         .operands = {buffer},
                         .tasks = 1,
                         .op = OP_NONE,
                         .step = step,
                         .checked = VALUE_NONE};
}

// Where a unit's buffer has a gradient, while it is on its way.
static KernelOperand in_unit(const Plan *plan, uint32_t step, ValueId gradient) {
  KernelOperand all = at_arena(plan->items[plan_find_unit(plan, step, false)].offset + plan->units->offsets[gradient]);
  all.value = gradient;
  return all;
}

static GradientParts parts_of(const Launcher *launcher, ValueId gradient) {
  const Plan *plan = launcher->plan;
  const PlanShards *shards = plan->units->shards;
  return (GradientParts){.parts = shards->count,
                         .part = (int64_t)shards->part[gradient],
                         .count = shape_elements(graph_value(plan->graph, gradient)->shape),
                         .format = launcher->lowering->reduce,
                         .in_place = shards->in_unit[gradient]};
}

static void add_reducing(Launcher *launcher, uint32_t step, ValueId gradient, ProgramLaunch launch) {
  launch.op = graph_value(launcher->plan->graph, gradient)->producer;
  launch.reduces = true;
  launch.step = step;
  launch.checked = VALUE_NONE;
  add_launch(launcher, launch);
}

static void narrow_unit(Launcher *launcher, uint32_t step, int block) {
  const Plan *plan = launcher->plan;
  const PlanUnit *unit = &plan->units->items[block];
  for (size_t i = 0; i < unit->tensors.count; i++) {
    ValueId gradient = unit->tensors.items[i].gradient;
    if (gradient == VALUE_NONE) continue;
    GradientParts parts = parts_of(launcher, gradient);
    ProgramLaunch launch = launcher->lowering->narrow_parts(&parts, launcher->lowering->tuning);
    launch.operands[0] = in_unit(plan, step, gradient);
    add_reducing(launcher, step, gradient, launch);
  }
}

static void copy_items(Launcher *launcher, uint32_t step) {
  const Plan *plan = launcher->plan;
  const PlanStep *s = &plan->steps[step];
  KernelKind kernel = s->kind == STEP_FETCH ? KERNEL_fetch_start : KERNEL_offload_start;
  for (uint32_t i = 0; i < s->use_count; i++) {
    const PlanItem *item = &plan->items[plan->uses[s->use_begin + i].item];
    ProgramLaunch launch = traffic(kernel, step, s->block, at_arena(item->offset));
    launch.constants[0].integer = (int64_t)item->host_offset;
    launch.constants[1].integer = (int64_t)item->bytes;
    if (item->bytes) add_launch(launcher, launch);
  }
}

static void start(Launcher *launcher, uint32_t step) {
  const Plan *plan = launcher->plan;
  const PlanStep *s = &plan->steps[step];
  Flight flight = {s->kind, s->pass == PASS_UPDATE, s->block, step};
  if (flight.refresh) {
    add_launch(launcher, traffic(KERNEL_refresh_start, step, s->block, nothing));
  } else if (s->kind == STEP_OFFLOAD || s->kind == STEP_FETCH) {
    copy_items(launcher, step);
  } else {
    bool gather = s->kind == STEP_GATHER;
    if (!gather && launcher->lowering->reduce != SEER_FP32) narrow_unit(launcher, step, s->block);
    KernelOperand buffer = at_arena(plan->items[plan_find_unit(plan, step, gather)].offset);
    add_launch(launcher, traffic(gather ? KERNEL_gather_start : KERNEL_reduce_start, step, s->block, buffer));
  }
  arena_push(launcher->program->arena, &launcher->flights, Flight, flight);
}

// Averages one gradient of a unit: into its own place, or, when it accumulates, onto the unit's first part.
static void average(Launcher *launcher, uint32_t step, ValueId gradient) {
  const Plan *plan = launcher->plan;
  GradientParts parts = parts_of(launcher, gradient);
  ProgramLaunch launch = launcher->lowering->average_parts(&parts, launcher->lowering->tuning);
  launch.operands[0] = in_unit(plan, step, gradient);
  if (kernel_info(launch.kernel)->pointer_count > 1)
    launch.operands[1] = parts.in_place
                             ? launch.operands[0]
                             : (KernelOperand){.kind = OPERAND_UNIT,
                                               .value = gradient,
                                               .space = SPACE_ARENA,
                                               .offset = plan->value_offsets[gradient]};
  add_reducing(launcher, step, gradient, launch);
}

// The op that adds a gradient to its accumulator, or OP_NONE.
static OpId accumulation_of(const Plan *plan, ValueId gradient) {
  OpId reader = plan->first_use[gradient];
  bool accumulates = reader != OP_NONE && graph_op(plan->graph, reader)->kind == OP_accumulate;
  return accumulates ? reader : OP_NONE;
}

static void reduce_unit(Launcher *launcher, const Flight *flight) {
  const Plan *plan = launcher->plan;
  const PlanUnit *unit = &plan->units->items[flight->block];
  for (size_t i = 0; i < unit->tensors.count; i++) {
    ValueId gradient = unit->tensors.items[i].gradient;
    if (gradient == VALUE_NONE) continue;
    average(launcher, flight->step, gradient);
    OpId accumulation = accumulation_of(plan, gradient);
    if (accumulation != OP_NONE) add_run(launcher, flight->step, accumulation, RUN_FIRST, true);
  }
}

static KernelKind finish_kernel(const Flight *flight) {
  if (flight->refresh) return KERNEL_refresh_finish;
  switch (flight->kind) {
    case STEP_GATHER: return KERNEL_gather_finish;
    case STEP_REDUCE: return KERNEL_reduce_finish;
    case STEP_OFFLOAD: return KERNEL_offload_finish;
    case STEP_FETCH: return KERNEL_fetch_finish;
    case STEP_RUN:
    case STEP_NORMS: break;
  }
  BUG("step %u is no traffic to finish", flight->step);
}

static void finish(Launcher *launcher, const Flight *flight) {
  add_launch(launcher, traffic(finish_kernel(flight), flight->step, flight->block, nothing));
  if (flight->kind == STEP_REDUCE) reduce_unit(launcher, flight);
}

static void add_norms(Launcher *launcher, uint32_t step) {
  uint64_t bytes = plan_norms_bytes(launcher->plan->graph);
  KernelOperand mine = {.kind = OPERAND_NORMS, .value = VALUE_NONE}, all = mine;
  all.relative = bytes;
  add_launch(launcher, (ProgramLaunch){.kernel = KERNEL_gather_ranks,
                                       .constants = {{.integer = (int64_t)(bytes / sizeof(float))}},
                                       .operands = {mine, all},
                                       .tasks = 1,
                                       .op = OP_NONE,
                                       .step = step,
                                       .checked = VALUE_NONE});
}

// Of `block`, or, -1, all.
static void finish_flights(Launcher *launcher, int block) {
  size_t kept = 0;
  for (size_t i = 0; i < launcher->flights.count; i++) {
    Flight *flight = &launcher->flights.items[i];
    if (block >= 0 && (flight->kind != STEP_GATHER || flight->block != block)) {
      launcher->flights.items[kept++] = *flight;
    } else {
      finish(launcher, flight);
    }
  }
  launcher->flights.count = kept;
}

void program_add_launches(Program *program, const Lowering *lowering) {
  const Plan *plan = program->plan;
  Launcher launcher = {.program = program, .lowering = lowering, .plan = plan};
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const PlanStep *step = &plan->steps[i];
    if (i && step->operation != plan->steps[i - 1].operation) finish_flights(&launcher, -1);
    switch (step->kind) {
      case STEP_RUN:
        if (step->block >= 0) finish_flights(&launcher, step->block);
        // What is accumulated has to come back from the ranks first.
        if (plan->units && graph_op(plan->graph, step->op)->kind == OP_accumulate) break;
        add_run(&launcher, i, step->op, step->variant, false);
        break;
      case STEP_GATHER:
      case STEP_REDUCE:
      case STEP_OFFLOAD:
      case STEP_FETCH: start(&launcher, i); break;
      case STEP_NORMS: add_norms(&launcher, i); break;
    }
  }
  finish_flights(&launcher, -1);
}
