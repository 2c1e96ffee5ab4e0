// Cuts the training graph into blocks, and turns chain operations into runs of ops.
#include "compiler/plan/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/plan/modes.h"

static bool is_trunk_block(const char *name) { return strcmp(name, "stem") == 0 || strncmp(name, "block", 5) == 0; }

static int stage_of(const char *name) {
  return strncmp(name, "block", 5) == 0 && name[5] >= '0' && name[5] <= '9' ? (int)strtol(name + 5, NULL, 10) : 0;
}

static void add_value(Arena *arena, ValueIds *values, ValueId value) {
  for (size_t i = 0; i < values->count; i++) {
    if (values->items[i] == value) return;
  }
  arena_push(arena, values, ValueId, value);
}

bool value_ids_have(const ValueIds *values, ValueId value) {
  for (size_t i = 0; i < values->count; i++) {
    if (values->items[i] == value) return true;
  }
  return false;
}

// Where the ops of a layer go, by their name, which their backward ops share.
typedef struct Layer {
  const char *name;
  int graph_block, piece;
} Layer;

typedef struct Layers {
  Layer *items;
  size_t count, capacity;
} Layers;

static const Layer *find_layer(const Layers *layers, const Op *op) {
  for (size_t i = layers->count; i-- > 0;) {
    const Layer *layer = &layers->items[i];
    if (layer->graph_block == op->block && strcmp(layer->name, op->name) == 0) return layer;
  }
  return NULL;
}

typedef struct Cutting {
  Arena *arena;
  PlanBlocks *blocks;
  const bool *in_pieces;  // by block of the graph
  int trunk;              // blocks of it
  int *pieces, *first;    // by block of the graph, the last standing for the head
  Layers layers;
} Cutting;

static const char *piece_name(Arena *arena, const char *block, const Op *op) {
  const char *layer = strstr(op->name, block);
  return layer ? layer : arena_printf(arena, "%s.%s", block, op->name);
}

// A piece begins at each convolution but the first; a layer belongs where its first op does.
static void find_pieces(Cutting *cutting) {
  const Graph *graph = cutting->blocks->graph;
  bool *convolves = arena_array(cutting->arena, bool, cutting->trunk);
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    bool cut =
        op->phase == PHASE_FORWARD && op->block >= 0 && op->block < cutting->trunk && cutting->in_pieces[op->block];
    if (!cut || find_layer(&cutting->layers, op)) continue;
    if (plan_convolves(op)) {
      cutting->pieces[op->block] += convolves[op->block];
      convolves[op->block] = true;
    }
    Layer layer = {op->name, op->block, cutting->pieces[op->block] - 1};
    arena_push(cutting->arena, &cutting->layers, Layer, layer);
  }
}

static void number_blocks(Cutting *cutting) {
  PlanBlocks *blocks = cutting->blocks;
  const Graph *graph = blocks->graph;
  for (int b = 0; b <= cutting->trunk; b++) {
    cutting->first[b] = blocks->count;
    blocks->count += cutting->pieces[b];
  }
  blocks->items = arena_array(cutting->arena, PlanBlock, blocks->count);
  for (int b = 0; b < cutting->trunk; b++) {
    for (int i = 0; i < cutting->pieces[b]; i++)
      blocks->items[cutting->first[b] + i] =
          (PlanBlock){.name = graph->block_names[b], .stage = stage_of(graph->block_names[b])};
  }
  blocks->items[blocks->count - 1] = (PlanBlock){.name = "head"};
}

static int block_of(const Cutting *cutting, const Op *op) {
  int block = op->block < cutting->trunk ? op->block : cutting->trunk;
  if (cutting->pieces[block] == 1) return cutting->first[block];
  const Layer *layer = find_layer(&cutting->layers, op);
  if (!layer) BUG("op '%s' (%s) is of no layer", op->name, op_kind_name(op->kind));
  return cutting->first[block] + layer->piece;
}

// Blocks of the graph in front of the first that is none of the trunk are the chain's, or their pieces are; all others
// are its last block.
static void assign_ops(Arena *arena, PlanBlocks *blocks, const bool *in_pieces) {
  const Graph *graph = blocks->graph;
  Cutting cutting = {.arena = arena, .blocks = blocks, .in_pieces = in_pieces};
  while (cutting.trunk < graph->block_count && is_trunk_block(graph->block_names[cutting.trunk])) cutting.trunk++;
  cutting.pieces = arena_array(arena, int, cutting.trunk + 1);
  cutting.first = arena_array(arena, int, cutting.trunk + 1);
  for (int b = 0; b <= cutting.trunk; b++) cutting.pieces[b] = 1;
  if (in_pieces) find_pieces(&cutting);
  number_blocks(&cutting);
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    blocks->block_of_op[id] = -1;
    if (op->phase == PHASE_UPDATE) continue;
    if (op->block < 0) BUG("op '%s' (%s) belongs to no block", op->name, op_kind_name(op->kind));
    int block = block_of(&cutting, op);
    PlanBlock *b = &blocks->items[block];
    blocks->block_of_op[id] = block;
    OpIds *list = op->phase == PHASE_FORWARD ? &b->forward : &b->backward;
    if (!b->forward.count && op->block < cutting.trunk && cutting.pieces[op->block] > 1)
      b->name = piece_name(arena, b->name, op);
    arena_push(arena, list, OpId, id);
    for (int i = 0; i < op->result_count; i++) blocks->maker_of_value[op->results[i]] = block;
  }
}

static bool is_forward(const PlanBlocks *blocks, ValueId value) {
  OpId producer = graph_value(blocks->graph, value)->producer;
  return producer != OP_NONE && graph_op(blocks->graph, producer)->phase == PHASE_FORWARD;
}

// What a block reads of one further back is handed on by those between.
static void take_forward(Arena *arena, PlanBlocks *blocks, int maker, int block, ValueId value) {
  if (maker > block) BUG("block '%s' reads a value of one behind it", blocks->items[block].name);
  for (int b = maker; b < block; b++) {
    add_value(arena, &blocks->items[b].outputs, value);
    add_value(arena, &blocks->items[b + 1].inputs, value);
  }
}

static void take_gradient(Arena *arena, PlanBlocks *blocks, int maker, int block, ValueId value) {
  if (maker < block) BUG("block '%s' reads a gradient of one before it", blocks->items[block].name);
  for (int b = block; b < maker; b++) add_value(arena, &blocks->items[b].gradients, value);
}

static void take_read(Arena *arena, PlanBlocks *blocks, const Op *reader, int block, ValueId value) {
  int maker = blocks->maker_of_value[value];
  if (maker < 0) return;
  if (!is_forward(blocks, value)) {
    take_gradient(arena, blocks, maker, block, value);
  } else if (maker != block) {
    take_forward(arena, blocks, maker, block, value);
  } else if (reader->phase == PHASE_BACKWARD) {
    add_value(arena, blocks->is_statistic[value] ? &blocks->items[block].statistics : &blocks->items[block].wanted,
              value);
  }
}

static void mark_special_values(PlanBlocks *blocks) {
  const Graph *graph = blocks->graph;
  for (OpId id = 0; id < graph->ops.count; id++) {
    const Op *op = graph_op(graph, id);
    if (op->kind == OP_conv2d_statistics || op->kind == OP_batch_norm)
      blocks->is_statistic[op->results[1]] = blocks->is_statistic[op->results[2]] = true;
    if (op->phase != PHASE_UPDATE) continue;
    for (int i = 0; i < op->operand_count; i++) blocks->is_lasting[op->operands[i]] = true;
  }
  for (size_t i = 0; i < graph->outputs.count; i++) blocks->is_lasting[graph->outputs.items[i].value] = true;
}

static void classify_values(Arena *arena, PlanBlocks *blocks) {
  const Graph *graph = blocks->graph;
  mark_special_values(blocks);
  for (OpId id = 0; id < graph->ops.count; id++) {
    int block = blocks->block_of_op[id];
    if (block < 0) continue;
    ValueUses reads = run_reads(graph, id, RUN_FIRST);
    for (int i = 0; i < reads.count; i++) take_read(arena, blocks, graph_op(graph, id), block, reads.items[i].value);
  }
  // What the next block takes along is held as the block's output.
  for (int b = 0; b < blocks->count; b++) {
    PlanBlock *block = &blocks->items[b];
    size_t kept = 0;
    for (size_t i = 0; i < block->wanted.count; i++) {
      if (!value_ids_have(&block->outputs, block->wanted.items[i]))
        block->wanted.items[kept++] = block->wanted.items[i];
    }
    block->wanted.count = kept;
  }
}

PlanBlocks *plan_blocks_make(Arena *arena, const Graph *graph, const PlanCosts *costs, const bool *in_pieces) {
  PlanBlocks *blocks = arena_new(arena, PlanBlocks);
  *blocks = (PlanBlocks){.graph = graph,
                         .costs = costs,
                         .block_of_op = arena_array(arena, int, graph->ops.count + 1),
                         .maker_of_value = arena_array(arena, int, graph->values.count + 1),
                         .is_statistic = arena_array(arena, bool, graph->values.count + 1),
                         .is_lasting = arena_array(arena, bool, graph->values.count + 1),
                         .is_bound = arena_array(arena, bool, graph->values.count + 1)};
  for (size_t v = 0; v < graph->values.count; v++) {
    blocks->maker_of_value[v] = -1;
    if (graph->values.items[v].bound != VALUE_NONE) blocks->is_bound[graph->values.items[v].bound] = true;
  }
  assign_ops(arena, blocks, in_pieces);
  classify_values(arena, blocks);
  for (int b = 0; b < blocks->count; b++) save_modes_list(arena, blocks, b);
  return blocks;
}

void plan_blocks_offer_as(PlanBlocks *blocks, const PlanBlocks *original) {
  if (blocks->count != original->count) BUG("%d blocks follow %d", blocks->count, original->count);
  for (int b = 0; b < blocks->count; b++) {
    PlanBlock *block = &blocks->items[b];
    const PlanBlock *other = &original->items[b];
    bool same = strcmp(block->name, other->name) == 0 && block->mode_count == other->mode_count;
    for (int k = 0; same && k < block->mode_count; k++) same = strcmp(block->modes[k].name, other->modes[k].name) == 0;
    if (!same) BUG("block '%s' has other modes than '%s', which it follows", block->name, other->name);
    block->offered = other->offered;
    block->offered_count = other->offered_count;
  }
}

// ---- chain operations as runs ----

static void add_run(Arena *arena, Schedule *schedule, OpId op, RunVariant variant, StepPass pass, int block) {
  ScheduleEntry entry = {.kind = STEP_RUN, .op = op, .variant = variant, .pass = pass, .block = block, .operation = -1};
  arena_push(arena, schedule, ScheduleEntry, entry);
}

void plan_blocks_forward(Arena *arena, const PlanBlocks *blocks, int block, bool again, const SaveMode *mode,
                         Schedule *schedule) {
  const PlanBlock *b = &blocks->items[block];
  StepPass pass = again ? PASS_REFORWARD : PASS_FORWARD;
  for (size_t i = 0; i < b->forward.count; i++) {
    OpId op = b->forward.items[i];
    add_run(arena, schedule, op, again ? RUN_AGAIN : RUN_FIRST, pass, block);
    if (mode && value_ids_have(&mode->masked, graph_op(blocks->graph, op)->results[0]))
      add_run(arena, schedule, op, RUN_MASK, pass, block);
  }
}

typedef struct Remaking {
  Arena *arena;
  const PlanBlocks *blocks;
  int block;
  const SaveMode *mode;
  ValueIds made;
  Schedule *schedule;
} Remaking;

static bool is_at_hand(const Remaking *remaking, ValueId value) {
  const PlanBlock *block = &remaking->blocks->items[remaking->block];
  return remaking->blocks->maker_of_value[value] != remaking->block || !is_forward(remaking->blocks, value) ||
         remaking->blocks->is_statistic[value] || remaking->blocks->is_lasting[value] ||
         value_ids_have(&block->outputs, value) || value_ids_have(&remaking->mode->kept, value) ||
         value_ids_have(&remaking->made, value);
}

static void remake(Remaking *remaking, ValueId value) {
  const Graph *graph = remaking->blocks->graph;
  OpId op = graph_value(graph, value)->producer;
  ValueUses reads = run_reads(graph, op, RUN_AGAIN), writes = run_writes(graph, op, RUN_AGAIN);
  for (int i = 0; i < reads.count; i++) {
    if (!is_at_hand(remaking, reads.items[i].value)) remake(remaking, reads.items[i].value);
  }
  add_run(remaking->arena, remaking->schedule, op, RUN_AGAIN, PASS_BACKWARD, remaking->block);
  for (int i = 0; i < writes.count; i++) add_value(remaking->arena, &remaking->made, writes.items[i].value);
}

void plan_blocks_backward(Arena *arena, const PlanBlocks *blocks, int block, const SaveMode *mode, Schedule *schedule) {
  const PlanBlock *b = &blocks->items[block];
  Remaking remaking = {arena, blocks, block, mode, {0}, schedule};
  for (size_t i = 0; i < b->backward.count; i++) {
    OpId id = b->backward.items[i];
    const Op *op = graph_op(blocks->graph, id);
    int sign = run_sign_operand(blocks->graph, op);
    bool masked = sign >= 0 && value_ids_have(&mode->masked, op->operands[sign]);
    RunVariant variant = masked ? RUN_MASKED : RUN_FIRST;
    ValueUses reads = run_reads(blocks->graph, id, variant);
    for (int j = 0; j < reads.count; j++) {
      if (reads.items[j].form == FORM_WHOLE && !is_at_hand(&remaking, reads.items[j].value))
        remake(&remaking, reads.items[j].value);
    }
    add_run(arena, schedule, id, variant, PASS_BACKWARD, block);
  }
}

static const SaveMode *mode_of(const PlanBlocks *blocks, const ChainOp *op) {
  const PlanBlock *block = &blocks->items[op->block];
  return &block->modes[block->offered[op->mode]];
}

Schedule plan_blocks_schedule(Arena *arena, const PlanBlocks *blocks, const ChainOps *operations) {
  Schedule schedule = {0};
  bool *ran = arena_array(arena, bool, blocks->count);
  for (size_t i = 0; i < operations->count; i++) {
    const ChainOp *op = &operations->items[i];
    size_t begin = schedule.count;
    if (op->kind == CHAIN_BACKWARD) {
      plan_blocks_backward(arena, blocks, op->block, mode_of(blocks, op), &schedule);
    } else {
      plan_blocks_forward(arena, blocks, op->block, ran[op->block], op->kind == CHAIN_SAVE ? mode_of(blocks, op) : NULL,
                          &schedule);
      ran[op->block] = true;
    }
    for (size_t j = begin; j < schedule.count; j++) schedule.items[j].operation = (int)i;
  }
  for (OpId id = 0; id < blocks->graph->ops.count; id++) {
    if (graph_op(blocks->graph, id)->phase == PHASE_UPDATE) add_run(arena, &schedule, id, RUN_FIRST, PASS_UPDATE, -1);
  }
  return schedule;
}

Chain plan_blocks_chain(Arena *arena, const PlanBlocks *blocks) {
  Chain chain = {.blocks = arena_array(arena, ChainBlock, blocks->count), .block_count = blocks->count};
  for (int b = 0; b < blocks->count; b++) chain.blocks[b] = save_modes_chain_block(arena, blocks, b);
  return chain;
}
