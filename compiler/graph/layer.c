// Shapes of layers: from ops, to text and back; see layer.h.
#include "compiler/graph/layer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const layer_maker_names[LAYER_MAKER_COUNT] = {"seer", "cublaslt", "cudnn"};
const char *const layer_maker_titles[LAYER_MAKER_COUNT] = {"seer", "cuBLASLt", "cuDNN"};

LayerMaker layer_maker_find(const char *name) {
  int maker = 0;
  while (maker < LAYER_MAKER_COUNT && strcmp(layer_maker_names[maker], name) != 0) maker++;
  return (LayerMaker)maker;
}

// Where a kind of op has its layer's input, weights and output: operands, or, from 8 on, results.
typedef struct Roles {
  OpKind op, kind;
  int input, weights, output;
} Roles;

enum { RESULT = MAX_OPERANDS };  // the op's first

static const Roles roles[] = {
    {OP_conv2d, OP_conv2d, 0, 1, RESULT},
    {OP_conv2d_statistics, OP_conv2d, 0, 1, RESULT},
    {OP_conv2d_backward_input, OP_conv2d_backward_input, RESULT, 1, 0},
    {OP_conv2d_backward_weight, OP_conv2d_backward_weight, 0, RESULT, 1},
    {OP_linear, OP_linear, 0, 1, RESULT},
    {OP_linear_backward_input, OP_linear_backward_input, RESULT, 1, 0},
    {OP_linear_backward_weight, OP_linear_backward_weight, 0, RESULT, 1},
};
enum { ROLES = sizeof roles / sizeof *roles };

static bool is_linear(OpKind kind) {
  return kind == OP_linear || kind == OP_linear_backward_input || kind == OP_linear_backward_weight;
}

static const Shape *shape_at(const Graph *graph, const Op *op, int role) {
  return &graph_value(graph, role == RESULT ? op->results[0] : op->operands[role])->shape;
}

bool layer_shape_of(const Graph *graph, const Op *op, LayerShape *shape) {
  const Roles *found = NULL;
  for (int i = 0; i < ROLES && !found; i++) found = roles[i].op == op->kind ? &roles[i] : NULL;
  if (!found) return false;
  const Shape *x = shape_at(graph, op, found->input), *w = shape_at(graph, op, found->weights);
  if (is_linear(found->kind)) {
    *shape = (LayerShape){found->kind, x->size[0], 1, 1, w->size[1], w->size[0], 1, 1, 0, 1};
    return true;
  }
  const OpAttributes *a = &op->attributes;
  *shape = (LayerShape){found->kind, x->size[0], x->size[1], x->size[2], w->size[1] * a->groups,
                        w->size[0],  w->size[2], a->stride,  a->padding, a->groups};
  return true;
}

bool layer_shape_same(const LayerShape *a, const LayerShape *b) {
  return a->kind == b->kind && a->images == b->images && a->height == b->height && a->width == b->width &&
         a->inputs == b->inputs && a->outputs == b->outputs && a->kernel == b->kernel && a->stride == b->stride &&
         a->pad == b->pad && a->groups == b->groups;
}

static int64_t outputs_along(const LayerShape *s, int64_t size) {
  return (size + 2 * s->pad - s->kernel) / s->stride + 1;
}

double layer_shape_products(const LayerShape *s) {
  double pixels = (double)s->images * (double)outputs_along(s, s->height) * (double)outputs_along(s, s->width);
  return pixels * (double)s->inputs / (double)s->groups * (double)s->outputs * (double)(s->kernel * s->kernel);
}

static void add_use(Arena *arena, LayerUses *uses, const Op *op, const LayerShape *shape) {
  for (size_t i = 0; i < uses->count; i++) {
    if (!layer_shape_same(&uses->items[i].shape, shape)) continue;
    uses->items[i].count++;
    return;
  }
  arena_push(arena, uses, LayerUse, ((LayerUse){*shape, 1, op->name}));
}

LayerUses layer_uses_list(Arena *arena, const Graph *graph) {
  LayerUses uses = {0};
  LayerShape shape;
  for (OpId id = 0; id < graph->ops.count; id++) {
    if (layer_shape_of(graph, graph_op(graph, id), &shape)) add_use(arena, &uses, graph_op(graph, id), &shape);
  }
  return uses;
}

void layer_shape_print(const LayerShape *s, Writer *out) {
  writer_printf(out, "%s %" PRId64, op_kind_name(s->kind), s->images);
  if (is_linear(s->kind)) {
    writer_printf(out, "x%" PRId64 " -> %" PRId64, s->inputs, s->outputs);
    return;
  }
  writer_printf(out, "x%" PRId64 "x%" PRId64 "x%" PRId64 " -> %" PRId64 " %" PRId64 "x%" PRId64 "/%" PRId64, s->height,
                s->width, s->inputs, s->outputs, s->kernel, s->kernel, s->stride);
  writer_printf(out, " groups %" PRId64, s->groups);
}

static bool is_sound(const LayerShape *s) {
  const int64_t most = (int64_t)1 << 40;
  const int64_t numbers[] = {s->images, s->height, s->width, s->inputs, s->outputs, s->kernel, s->stride, s->groups};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    if (numbers[i] < 1 || numbers[i] > most) return false;
  }
  return s->kernel % 2 == 1 && s->inputs % s->groups == 0 && s->outputs % s->groups == 0;
}

bool layer_shape_read(const char *text, LayerShape *shape, const char **end) {
  char name[32];
  int at = 0, rest = 0;
  if (sscanf(text, "%31[a-z_0-9] %n", name, &at) != 1 || !at) return false;
  int row = 0;
  while (row < ROLES && (roles[row].op != roles[row].kind || strcmp(op_kind_name(roles[row].kind), name) != 0)) row++;
  if (row == ROLES) return false;
  LayerShape s = {.kind = roles[row].kind, .height = 1, .width = 1, .kernel = 1, .stride = 1, .groups = 1};
  int64_t across = 1;
  bool read = is_linear(s.kind) ? sscanf(text + at, "%" SCNd64 "x%" SCNd64 " -> %" SCNd64 "%n", &s.images, &s.inputs,
                                         &s.outputs, &rest) == 3
                                : sscanf(text + at,
                                         "%" SCNd64 "x%" SCNd64 "x%" SCNd64 "x%" SCNd64 " -> %" SCNd64 " %" SCNd64
                                         "x%" SCNd64 "/%" SCNd64 " groups %" SCNd64 "%n",
                                         &s.images, &s.height, &s.width, &s.inputs, &s.outputs, &s.kernel, &across,
                                         &s.stride, &s.groups, &rest) == 9;
  if (!read || !is_sound(&s) || (!is_linear(s.kind) && across != s.kernel)) return false;
  s.pad = (s.kernel - 1) / 2;
  *shape = s;
  *end = text + at + rest;
  return true;
}

bool layer_maker_takes(LayerMaker maker, const LayerShape *s) {
  bool is_matrix = is_linear(s->kind) || (s->kernel == 1 && s->stride == 1 && s->groups == 1 && s->pad == 0);
  switch (maker) {
    case LAYER_BY_SEER: return true;
    case LAYER_BY_CUBLASLT: return is_matrix;
    case LAYER_BY_CUDNN: return !is_matrix;
    case LAYER_MAKER_COUNT: break;
  }
  return false;
}

LayerMaker layer_choices_find(const LayerChoices *choices, const LayerShape *shape) {
  for (size_t i = 0; choices && i < choices->count; i++) {
    if (layer_shape_same(&choices->items[i].shape, shape)) return choices->items[i].maker;
  }
  return LAYER_BY_SEER;
}

LayerMaker layer_maker_of(const LayerChoices *choices, const Graph *graph, const Op *op) {
  LayerShape shape;
  bool is_layer = choices && choices->count && layer_shape_of(graph, op, &shape);
  return is_layer ? layer_choices_find(choices, &shape) : LAYER_BY_SEER;
}

LayerChoices layer_choices_with(Arena *arena, const LayerChoices *choices, LayerChoice choice) {
  LayerChoices made = {0};
  memcpy(made.versions, choices->versions, sizeof made.versions);
  for (size_t i = 0; i < choices->count; i++) {
    if (!layer_shape_same(&choices->items[i].shape, &choice.shape))
      arena_push(arena, &made, LayerChoice, choices->items[i]);
  }
  if (choice.maker != LAYER_BY_SEER) arena_push(arena, &made, LayerChoice, choice);
  return made;
}

void layer_version_print(int64_t version, Writer *out) {
  writer_printf(out, "%" PRId64 ".%" PRId64 ".%" PRId64, version / 10000, version / 100 % 100, version % 100);
}
