// The graph: ops on tensors of static logical shape, images as [N, H, W, C]. One graph is one entry point's work
// (a training micro-step with its update, or feature extraction).
//
// Operands and results are referred to by id. Ops are stored in a valid execution order. State (momenta, running
// statistics, the queue) is read as a value and written by binding a result to it: at the end of its phase the state
// takes the bound value.
#ifndef SEER_GRAPH_GRAPH_H
#define SEER_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/arena.h"
#include "compiler/base/span.h"
#include "compiler/base/writer.h"

typedef uint32_t ValueId;
typedef uint32_t OpId;
#define VALUE_NONE UINT32_MAX
#define OP_NONE UINT32_MAX

enum { MAX_RANK = 4, MAX_OPERANDS = 8, MAX_RESULTS = 4 };

typedef enum DataType { DATA_F32, DATA_U8, DATA_I32, DATA_BF16, DATA_F16 } DataType;

typedef struct Shape {
  int rank;
  int64_t size[MAX_RANK];
} Shape;

typedef enum ValueKind {
  VALUE_INPUT,      // set by the runtime before the step: images (u8 [N,H,W,3]), labels (i32 [N])
  VALUE_PARAMETER,  // trained; logical layouts are PyTorch's: conv [out, in/groups, kh, kw], linear [out, in]
  VALUE_STATE,      // lives across steps, not trained by gradient
  VALUE_SCALAR,     // f32 [1] set by the runtime each step: "learning_rate", "prototypes_active", "queue_active"
  VALUE_RESULT
} ValueKind;

// How the runtime fills a parameter or state before step 0. Draws are Philox(seed, hash of name, index).
typedef enum InitKind { INIT_ZERO, INIT_ONE, INIT_NORMAL /* mean 0, std a */, INIT_UNIFORM /* -a..a */ } InitKind;

typedef struct Value {
  const char *name;  // parameters and states: the name in snapshots (torchvision's names for the trunk)
  ValueKind kind;
  DataType type;
  Shape shape;
  OpId producer;  // OP_NONE unless VALUE_RESULT
  int result_index;
  ValueId bound;  // VALUE_STATE and VALUE_PARAMETER: the result it takes at the end of its phase, or VALUE_NONE
  InitKind init;
  double init_a;
  bool normalize_rows_at_start;  // prototypes: unit rows before step 0
  SourceSpan span;
} Value;

typedef enum OpKind {
#define OP(name, ...) OP_##name,
#include "compiler/graph/ops.def"
#undef OP
  OP_KIND_COUNT
} OpKind;

typedef enum OpPhase { PHASE_FORWARD, PHASE_BACKWARD, PHASE_UPDATE } OpPhase;

// Attributes: each op uses the fields that ops.def names; the others are zero.
typedef struct OpAttributes {
  int stride, padding, groups;
  int begin, end;            // slice_rows, pad_rows: rows; pool_average_backward: height, width
  int crops, assign_crops;   // swapped_prediction: rows are crop-major; codes are of the first assign_crops crops
  int iterations;            // sinkhorn
  bool hard;                 // sinkhorn: one-hot codes
  bool relu;                 // fused batch normalisation: ReLU after (the residual and) the affine map
  bool gradient, adds;       // convolution backwards: dy is seen through BatchNorm; an addend (ops.def)
  bool nesterov, clip;
  double epsilon;            // batch_norm, l2_normalize, sinkhorn (its temperature), larc
  double temperature, label_smoothing;
  double momentum, weight_decay, trust;
  double scale;              // accumulate, scale
  double mean[3], std[3];    // normalize_images, in 0..1
} OpAttributes;

typedef struct Op {
  OpKind kind;
  OpPhase phase;
  int operand_count, result_count;
  ValueId operands[MAX_OPERANDS];
  ValueId results[MAX_RESULTS];
  OpAttributes attributes;
  const char *name;  // "block2-1.f.a" and the like: where in the model
  int block;  // index of the unit in execution order (0 = stem, 1.. = residual blocks, then head, loss); -1: none
  int size_group;    // -1: none
  SourceSpan span;   // the spec line it came from
} Op;

typedef struct GraphValues { Value *items; size_t count, capacity; } GraphValues;
typedef struct GraphOps { Op *items; size_t count, capacity; } GraphOps;

typedef struct GraphOutput { const char *name; ValueId value; } GraphOutput;
typedef struct GraphOutputs { GraphOutput *items; size_t count, capacity; } GraphOutputs;

typedef struct Graph {
  Arena *arena;
  const char *name;
  GraphValues values;
  GraphOps ops;
  GraphOutputs outputs;        // "loss", "features", "codes", ... what the runtime reads after a step
  DataType image_type;         // DATA_F32, DATA_BF16 or DATA_F16: of images [N, H, W, C], as results and as gradients
  const char **block_names;    // by Op.block
  int block_count;
} Graph;

Graph *graph_make(Arena *arena, const char *name);
ValueId graph_add_input(Graph *graph, const char *name, DataType type, Shape shape);
ValueId graph_add_scalar(Graph *graph, const char *name);
ValueId graph_add_parameter(Graph *graph, const char *name, Shape shape, InitKind init, double init_a, SourceSpan span);
ValueId graph_add_state(Graph *graph, const char *name, DataType type, Shape shape, InitKind init, double init_a);
// Infers result shapes by the op's shape rule; a broken rule is a BUG naming the op. Returns the op; its results are
// in graph->ops.items[op].results.
OpId graph_add_op(Graph *graph, Op op);
// graph_add_op for the common case of one result.
ValueId graph_add_op1(Graph *graph, Op op);
void graph_bind(Graph *graph, ValueId state, ValueId result);
// Names a result, for values that others look up ("stem.0.weight.gradient").
void graph_name_value(Graph *graph, ValueId value, const char *name);
void graph_add_output(Graph *graph, const char *name, ValueId value);

const Value *graph_value(const Graph *graph, ValueId value);
const Op *graph_op(const Graph *graph, OpId op);
ValueId graph_find_value(const Graph *graph, const char *name);   // VALUE_NONE when there is none
ValueId graph_find_output(const Graph *graph, const char *name);  // VALUE_NONE when there is none

// Passes make a new graph from an old one: start copies everything but ops, then ops are copied or replaced in order,
// then finish carries bindings and outputs over. map[old value] is the new value; its maker fills in what it replaces.
Graph *graph_copy_start(Arena *arena, const Graph *source, ValueId **map);
OpId graph_copy_op(Graph *target, const Graph *source, OpId op, ValueId *map);
void graph_copy_finish(Graph *target, const Graph *source, const ValueId *map);
Graph *graph_copy(Arena *arena, const Graph *source);

Shape shape_make(int rank, int64_t a, int64_t b, int64_t c, int64_t d);
// Rank 1..4, sizes at least 1, and at most 2^59 elements, so that bytes never overflow.
bool shape_valid(Shape shape);
int64_t shape_elements(Shape shape);
bool shape_equal(Shape a, Shape b);
int64_t data_type_bytes(DataType type);
const char *op_kind_name(OpKind kind);
// Multiply-adds of one execution (multiply-accumulate = 1), and elements moved.
int64_t op_macs(const Graph *graph, const Op *op);

void graph_print(const Graph *graph, Writer *out);
// Reads what graph_print wrote. NULL on a syntax error, described in *error.
Graph *graph_read(Arena *arena, const char *text, const char **error);
// NULL when every rule holds, else what is broken (allocated in the arena).
const char *graph_verify(const Graph *graph, Arena *arena);

// The oracle: runs the graph in double precision, op by op, in stored order.
// tensors[value] holds shape_elements doubles, allocated by the caller for inputs, parameters, states and scalars;
// results are allocated in `arena`. Integers and bytes are held as doubles.
void graph_evaluate(const Graph *graph, Arena *arena, double **tensors);
// Only the ops of the phases first..last; earlier results must still be in `tensors`.
void graph_evaluate_phases(const Graph *graph, Arena *arena, double **tensors, OpPhase first, OpPhase last);
// States and parameters take the results bound to them that were made in this phase.
void graph_take_bindings(const Graph *graph, double **tensors, OpPhase phase);
// Room for every value that is not a result, zeroed.
double **graph_make_tensors(const Graph *graph, Arena *arena);

#endif
