// Lets the readers of a normalised, rectified tensor compute it while they read what BatchNorm read: it is not written.
// The scales of squeeze-and-excitation go the same way, and, on targets that want it, BatchNorm's gradient.
//
// Requires  fuse_normalization. A pattern whose readers are not all convolutions and pools stays as it is, and so does
//           what would be made again too often (pays), and what a library reads.
// Keeps     every value that others read, to rounding.
// Changes   batch_normalize with ReLU -> normalization_factors, taken by its readers;
//           scale_channels behind it -> taken by its readers, or reads through the view itself (scales_on_read);
//           scale_channels_backward -> scale_gradient, whose other half batch_norm_relu_backward or _sums makes;
//           batch_norm_relu_backward takes factors in the place of ReLU's result, even where that is written;
//           where gradients_on_read, batch_norm_relu_backward -> batch_norm_relu_sums and batch_norm_backward ->
//           batch_norm_sums, taken by the convolution's two backwards.
#include "compiler/passes/passes.h"

// An op that reads a value, and as which operand.
typedef struct Reader {
  OpId op;
  int operand;
} Reader;

// How the readers of a value see it. SEEN_PLAIN: as it lies.
typedef struct Seen {
  enum { SEEN_PLAIN, SEEN_NORMALIZED, SEEN_GRADIENT } kind;
  ValueId x, factors, scale;  // of the new graph; scale VALUE_NONE: none; SEEN_GRADIENT: x is dz
  ValueId raw;                // SEEN_GRADIENT
} Seen;

typedef struct Rewrite {
  const Graph *source;
  GraphTarget target;
  Graph *graph;
  ValueId *map;
  Reader *readers;    // of value v: [first[v], first[v + 1])
  int *first;
  bool *is_read_elsewhere;  // by value: an output, or bound to a state
  bool *deferred;     // by op: batch_normalize, scale_channels, batch_norm_backward and its kin
  bool *absorbed;     // by op: part of another
  OpId *scaling;      // by batch_norm_relu_backward: the scale_channels_backward whose result its dy is a sum with
  bool *masked;       // by op: batch_norm_relu_backward that takes factors, and the batch_normalize of those
  ValueId *factors;   // by value of the source: those that make it, in the new graph, or VALUE_NONE
  Seen *seen;         // by value of the source
} Rewrite;

static void index_readers(Arena *arena, Rewrite *r) {
  const Graph *source = r->source;
  size_t values = source->values.count;
  r->first = arena_array(arena, int, values + 2);
  r->is_read_elsewhere = arena_array(arena, bool, values + 1);
  for (OpId i = 0; i < source->ops.count; i++) {
    const Op *op = graph_op(source, i);
    for (int j = 0; j < op->operand_count; j++) r->first[op->operands[j] + 2]++;
  }
  for (size_t v = 2; v < values + 2; v++) r->first[v] += r->first[v - 1];
  r->readers = arena_array(arena, Reader, (size_t)r->first[values + 1] + 1);
  for (OpId i = 0; i < source->ops.count; i++) {
    const Op *op = graph_op(source, i);
    for (int j = 0; j < op->operand_count; j++) r->readers[r->first[op->operands[j] + 1]++] = (Reader){i, j};
  }
  for (size_t i = 0; i < source->outputs.count; i++) r->is_read_elsewhere[source->outputs.items[i].value] = true;
  for (size_t i = 0; i < values; i++) {
    if (source->values.items[i].bound != VALUE_NONE) r->is_read_elsewhere[source->values.items[i].bound] = true;
  }
}

static const Op *op_at(const Rewrite *r, OpId id) { return graph_op(r->source, id); }

static const Shape *shape_at(const Rewrite *r, ValueId value) { return &graph_value(r->source, value)->shape; }

static OpId made_by(const Rewrite *r, ValueId value, OpKind kind) {
  OpId producer = graph_value(r->source, value)->producer;
  return producer != OP_NONE && op_at(r, producer)->kind == kind ? producer : OP_NONE;
}

static ValueId other_addend(const Op *add, ValueId one) { return add->operands[add->operands[0] == one ? 1 : 0]; }

// The only reader of a value, or OP_NONE.
static OpId sole_reader(const Rewrite *r, ValueId value) {
  if (r->is_read_elsewhere[value] || r->first[value + 1] - r->first[value] != 1) return OP_NONE;
  return r->readers[r->first[value]].op;
}

static bool is_shape_only(const Op *op, int operand) { return op->kind == OP_conv2d_backward_input && operand == 2; }

// A convolution of seer's, or its weight gradient, that reads a value as its input; or one that needs its shape alone.
static bool reads_as_input(const Rewrite *r, const Op *op, int operand) {
  bool convolves = op->kind == OP_conv2d_statistics || op->kind == OP_conv2d_backward_weight;
  if (!convolves || operand != 0) return is_shape_only(op, operand);
  return layer_maker_of(r->target.layers, r->source, op) == LAYER_BY_SEER;
}

static bool all_readers_are_inputs(const Rewrite *r, ValueId value) {
  if (r->is_read_elsewhere[value]) return false;
  for (int i = r->first[value]; i < r->first[value + 1]; i++) {
    if (!reads_as_input(r, op_at(r, r->readers[i].op), r->readers[i].operand)) return false;
  }
  return true;
}

// The two backwards of a convolution take the gradient as they read it.
static bool all_readers_are_gradients(const Rewrite *r, ValueId value) {
  if (r->is_read_elsewhere[value]) return false;
  for (int i = r->first[value]; i < r->first[value + 1]; i++) {
    const Op *op = op_at(r, r->readers[i].op);
    bool fits = (op->kind == OP_conv2d_backward_input && r->readers[i].operand == 0) ||
                (op->kind == OP_conv2d_backward_weight && r->readers[i].operand == 1);
    if (!fits) return false;
  }
  return true;
}

// Whether a backward of BatchNorm and ReLU can do without ReLU's result.
static bool masks_on_read(const Rewrite *r, OpId backward) {
  return r->deferred[backward] || !r->target.gradients_on_read;
}

// The backward that takes factors of BatchNorm's x and makes the mask of its result y by them.
static OpId masking(const Rewrite *r, const Op *norm) {
  ValueId y = norm->results[0];
  for (int i = r->first[y]; i < r->first[y + 1]; i++) {
    const Op *op = op_at(r, r->readers[i].op);
    bool fits = op->kind == OP_batch_norm_relu_backward && r->readers[i].operand == 1 &&
                op->operands[2] == norm->operands[0] && !r->target.gradients_on_read;
    if (fits) return r->readers[i].op;
  }
  return OP_NONE;
}

// How often readers make an element of a value, on average, while they multiply: each tile of output channels makes
// what it reads, tap by tap.
static double times_made(const Rewrite *r, ValueId value) {
  int64_t tile_channels = r->target.tile_channels;
  double times = 0;
  for (int i = r->first[value]; i < r->first[value + 1]; i++) {
    const Op *op = op_at(r, r->readers[i].op);
    if (!reads_as_input(r, op, r->readers[i].operand) || is_shape_only(op, r->readers[i].operand)) continue;
    bool forward = op->kind == OP_conv2d_statistics;
    const Shape *x = shape_at(r, value), *w = shape_at(r, op->operands[forward ? 1 : 2]);
    const Shape *y = shape_at(r, forward ? op->results[0] : op->operands[1]);
    int64_t outputs = w->size[0] / op->attributes.groups;
    if (r->target.shrink > 1) outputs *= r->target.shrink;
    int64_t tiles = (outputs + tile_channels - 1) / tile_channels;
    double pixels = (double)(y->size[1] * y->size[2]) / (double)(x->size[1] * x->size[2]);
    times += (double)(w->size[2] * w->size[3] * tiles) * pixels;
  }
  return times;
}

// Whether a value is better made by its readers than moved `moves` times. Eight elements take some thirty instructions
// of a thread: GPUs of sm_80 and sm_90 issue those in the time in which they move four bytes. That products run on
// meanwhile is not counted: where it hides them, more would pay.
static bool pays(const Rewrite *r, ValueId value, int moves) {
  const double bytes_of_making = 0.5;
  if (r->target.normalize_on_read == NORMALIZE_ALWAYS) return true;
  double making = bytes_of_making * times_made(r, value) * r->target.view_percent / 100;
  return moves * (double)data_type_bytes(r->target.images) > making;
}

// dx of scale_channels_backward + the pool's gradient -> dy of a batch_norm_relu_backward: which, or OP_NONE.
static OpId scaled_gradient_of(const Rewrite *r, OpId scaling) {
  OpId sum = sole_reader(r, op_at(r, scaling)->results[0]);
  if (sum == OP_NONE || op_at(r, sum)->kind != OP_add) return OP_NONE;
  const Op *add = op_at(r, sum);
  ValueId other = other_addend(add, op_at(r, scaling)->results[0]);
  OpId norm = sole_reader(r, add->results[0]);
  if (made_by(r, other, OP_pool_average_backward) == OP_NONE || sole_reader(r, other) != sum || norm == OP_NONE)
    return OP_NONE;
  const Op *op = op_at(r, norm);
  bool fits = op->kind == OP_batch_norm_relu_backward && masks_on_read(r, norm) &&
              op->operands[0] == add->results[0] && op->operands[1] == op_at(r, scaling)->operands[1];
  return fits ? norm : OP_NONE;
}

static bool may_defer_to(const Rewrite *r, const Op *norm, Reader reader) {
  const Op *op = op_at(r, reader.op);
  if (reads_as_input(r, op, reader.operand) || (op->kind == OP_pool_average && reader.operand == 0)) return true;
  if (op->kind == OP_batch_norm_relu_backward)
    return reader.operand == 1 && op->operands[2] == norm->operands[0] && masks_on_read(r, reader.op);
  if (op->kind == OP_scale_channels)
    return reader.operand == 0 && (r->target.scales_on_read || all_readers_are_inputs(r, op->results[0]));
  return op->kind == OP_scale_channels_backward && reader.operand == 1 && scaled_gradient_of(r, reader.op) != OP_NONE;
}

// What the readers of BatchNorm's result can make of what it read.
static bool is_rectified(const Rewrite *r, const Op *norm) {
  return norm->kind == OP_batch_normalize && norm->attributes.relu && norm->operand_count == 5 &&
         norm->phase == PHASE_FORWARD && graph_value(r->source, norm->results[0])->shape.rank == 4;
}

static bool may_defer(const Rewrite *r, const Op *norm) {
  ValueId y = norm->results[0];
  bool fits = !r->is_read_elsewhere[y];
  for (int i = r->first[y]; fits && i < r->first[y + 1]; i++) fits = may_defer_to(r, norm, r->readers[i]);
  // Else x is read for it, and it is written.
  return fits && pays(r, y, 2);
}

// What hangs on a deferred normalisation: its scale, and the backward of that.
static void defer_scale(Rewrite *r, const Op *norm) {
  ValueId y = norm->results[0];
  for (int i = r->first[y]; i < r->first[y + 1]; i++) {
    OpId id = r->readers[i].op;
    const Op *op = op_at(r, id);
    if (op->kind == OP_scale_channels)
      r->deferred[id] = all_readers_are_inputs(r, op->results[0]) && pays(r, op->results[0], 2);
    if (op->kind != OP_scale_channels_backward) continue;
    OpId backward = scaled_gradient_of(r, id), sum = sole_reader(r, op->results[0]);
    r->scaling[backward] = id;
    ValueId pooled = other_addend(op_at(r, sum), op->results[0]);
    r->deferred[id] = r->absorbed[sum] = r->absorbed[graph_value(r->source, pooled)->producer] = true;
  }
}

// Gradients first: whether a normalisation can be deferred depends on its backward.
static void choose(Rewrite *r) {
  for (OpId i = 0; i < r->source->ops.count; i++) {
    const Op *op = op_at(r, i);
    bool backward = op->kind == OP_batch_norm_relu_backward || op->kind == OP_batch_norm_backward;
    if (r->target.gradients_on_read && backward && graph_value(r->source, op->results[0])->shape.rank == 4)
      r->deferred[i] = all_readers_are_gradients(r, op->results[0]);
  }
  for (OpId i = 0; i < r->source->ops.count; i++) {
    const Op *op = op_at(r, i);
    if (!is_rectified(r, op)) continue;
    OpId backward = masking(r, op);
    if (backward != OP_NONE) r->masked[i] = r->masked[backward] = true;
    if (!may_defer(r, op)) continue;
    r->deferred[i] = true;
    defer_scale(r, op);
  }
}

// ---- the new graph ----

static Op placed_like(const Op *op, OpKind kind) {
  Op made = *op;
  made.kind = kind;
  made.operand_count = 0;
  return made;
}

static void take(Op *op, ValueId value) { op->operands[op->operand_count++] = value; }

static void name_like(Rewrite *r, ValueId old, ValueId made) {
  r->map[old] = made;
  const char *name = graph_value(r->source, old)->name;
  if (name) graph_name_value(r->graph, made, name);
}

static void emit_factors(Rewrite *r, const Op *norm) {
  Op op = placed_like(norm, OP_normalization_factors);
  op.attributes = (OpAttributes){.epsilon = norm->attributes.epsilon};
  for (int i = 1; i < 5; i++) take(&op, r->map[norm->operands[i]]);
  r->factors[norm->results[0]] = graph_add_op1(r->graph, op);
}

static void emit_view(Rewrite *r, const Op *norm) {
  emit_factors(r, norm);
  r->seen[norm->results[0]] = (Seen){.kind = SEEN_NORMALIZED, .x = r->map[norm->operands[0]],
                                     .factors = r->factors[norm->results[0]], .scale = VALUE_NONE};
}

static void emit_scale(Rewrite *r, const Op *scale) {
  Seen seen = r->seen[scale->operands[0]];
  seen.scale = r->map[scale->operands[1]];
  r->seen[scale->results[0]] = seen;
}

static void emit_scale_gradient(Rewrite *r, const Op *backward) {
  Seen seen = r->seen[backward->operands[1]];
  Op op = placed_like(backward, OP_scale_gradient);
  take(&op, r->map[backward->operands[0]]);
  take(&op, seen.x);
  take(&op, seen.factors);
  name_like(r, backward->results[1], graph_add_op1(r->graph, op));
}

// The pooled gradient that scale_channels_backward's is added to.
static ValueId pooled_gradient(const Rewrite *r, const Op *scaling) {
  ValueId other = other_addend(op_at(r, sole_reader(r, scaling->results[0])), scaling->results[0]);
  return op_at(r, graph_value(r->source, other)->producer)->operands[0];
}

// The scale and the pooled gradient whose sum a backward's dy would be.
static void take_scaling(const Rewrite *r, Op *op, const Op *scaling) {
  if (!scaling) return;
  take(op, r->map[scaling->operands[2]]);
  take(op, r->map[pooled_gradient(r, scaling)]);
}

static void emit_sums(Rewrite *r, OpId id) {
  const Op *backward = op_at(r, id), *scaling = r->scaling[id] == OP_NONE ? NULL : op_at(r, r->scaling[id]);
  bool relu = backward->kind == OP_batch_norm_relu_backward;
  int x = relu ? 2 : 1;
  Op op = placed_like(backward, relu ? OP_batch_norm_relu_sums : OP_batch_norm_sums);
  take(&op, r->map[scaling ? scaling->operands[0] : backward->operands[0]]);
  for (int i = 0; i < 4; i++) take(&op, r->map[backward->operands[x + i]]);
  if (relu) {
    Seen y = r->seen[backward->operands[1]];
    take(&op, y.kind == SEEN_NORMALIZED ? y.factors : r->map[backward->operands[1]]);
  }
  take_scaling(r, &op, scaling);
  Op made = *graph_op(r->graph, graph_add_op(r->graph, op));
  for (int i = 0; i < 2; i++) name_like(r, backward->results[1 + i], made.results[i]);
  if (relu) name_like(r, backward->results[3], made.results[3]);
  r->seen[backward->results[0]] = (Seen){.kind = SEEN_GRADIENT, .x = relu ? made.results[3] : op.operands[0],
                                         .factors = made.results[2], .raw = op.operands[1], .scale = VALUE_NONE};
}

// A backward of BatchNorm and ReLU that takes factors in the place of ReLU's result.
static void emit_masked(Rewrite *r, OpId id) {
  const Op *backward = op_at(r, id), *scaling = r->scaling[id] == OP_NONE ? NULL : op_at(r, r->scaling[id]);
  Op op = placed_like(backward, backward->kind);
  take(&op, r->map[scaling ? scaling->operands[0] : backward->operands[0]]);
  take(&op, r->factors[backward->operands[1]]);
  for (int i = 2; i < 6; i++) take(&op, r->map[backward->operands[i]]);
  take_scaling(r, &op, scaling);
  Op made = *graph_op(r->graph, graph_add_op(r->graph, op));
  for (int i = 0; i < 4; i++) name_like(r, backward->results[i], made.results[i]);
}

static ValueId lying(const Rewrite *r, ValueId value) {
  return r->seen[value].kind == SEEN_PLAIN ? r->map[value] : r->seen[value].x;
}

static void take_view(Op *op, Seen seen) {
  if (seen.kind == SEEN_PLAIN) return;
  if (seen.kind == SEEN_GRADIENT) take(op, seen.raw);
  take(op, seen.factors);
  if (seen.scale != VALUE_NONE) take(op, seen.scale);
}

// A convolution, one of its backwards, a pool or a scale, with the views of what it reads.
static void emit_reader(Rewrite *r, OpId id) {
  const Op *old = op_at(r, id);
  Op op = placed_like(old, old->kind);
  bool backward = old->kind == OP_conv2d_backward_input;
  for (int i = 0; i < old->operand_count && !(backward && i == 2); i++) take(&op, lying(r, old->operands[i]));
  take_view(&op, r->seen[old->operands[0]]);
  if (old->kind == OP_conv2d_backward_weight) take_view(&op, r->seen[old->operands[1]]);
  int gradient = old->kind == OP_conv2d_backward_weight ? 1 : 0;
  op.attributes.gradient = r->seen[old->operands[gradient]].kind == SEEN_GRADIENT;
  if (backward && old->operand_count > 2) take(&op, lying(r, old->operands[2]));
  Op made = *graph_op(r->graph, graph_add_op(r->graph, op));
  for (int i = 0; i < old->result_count; i++) name_like(r, old->results[i], made.results[i]);
}

static void emit_op(Rewrite *r, OpId id) {
  const Op *op = op_at(r, id);
  if (r->absorbed[id]) return;
  bool reader = op->kind == OP_conv2d_statistics || op->kind == OP_conv2d_backward_weight ||
                op->kind == OP_conv2d_backward_input || op->kind == OP_pool_average ||
                (op->kind == OP_scale_channels && !r->deferred[id]);
  if (reader) {
    emit_reader(r, id);
  } else if (op->kind == OP_batch_norm_relu_backward && r->masked[id]) {
    emit_masked(r, id);
  } else if (!r->deferred[id]) {
    graph_copy_op(r->graph, r->source, id, r->map);
    if (r->masked[id]) emit_factors(r, op);
  } else if (op->kind == OP_batch_normalize) {
    emit_view(r, op);
  } else if (op->kind == OP_scale_channels) {
    emit_scale(r, op);
  } else if (op->kind == OP_scale_channels_backward) {
    emit_scale_gradient(r, op);
  } else {
    emit_sums(r, id);
  }
}

Graph *normalize_on_read_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  if (options->target.normalize_on_read == NORMALIZE_NEVER) return graph_copy(arena, graph);
  size_t ops = graph->ops.count + 1;
  Rewrite r = {.source = graph, .target = options->target, .deferred = arena_array(arena, bool, ops),
               .absorbed = arena_array(arena, bool, ops), .masked = arena_array(arena, bool, ops),
               .scaling = arena_array(arena, OpId, ops),
               .factors = arena_array(arena, ValueId, graph->values.count + 1),
               .seen = arena_array(arena, Seen, graph->values.count + 1)};
  for (size_t i = 0; i < ops; i++) r.scaling[i] = OP_NONE;
  index_readers(arena, &r);
  choose(&r);
  r.graph = graph_copy_start(arena, graph, &r.map);
  for (OpId i = 0; i < graph->ops.count; i++) emit_op(&r, i);
  graph_copy_finish(r.graph, graph, r.map);
  return r.graph;
}
