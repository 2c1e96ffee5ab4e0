// The text form of a graph, one value or op a line; read.c reads it back. What is zero, unset or implied is left out.
//   graph "train" images bf16
//   parameter %1 "stem.0.weight" f32 [32,3,3,3] init normal 0.083 bound %90 span 1 20 31
//   %7, %8, %9 = batch_norm(%6, %2, %3) {epsilon 1e-05} -> [2,16,16,32], [32], [32] forward "stem" block 0 group 0
#include <string.h>

#include "compiler/base/bug.h"
#include "compiler/graph/op.h"
#include "compiler/graph/text.h"

static void print_shape(Writer *out, Shape shape) {
  writer_text(out, "[");
  for (int i = 0; i < shape.rank; i++) writer_printf(out, "%s%lld", i ? "," : "", (long long)shape.size[i]);
  writer_text(out, "]");
}

static void print_span(Writer *out, SourceSpan span) {
  if (span.file) writer_printf(out, " span %u %u %u", span.file, span.begin, span.end);
}

static void print_value(const Graph *graph, Writer *out, ValueId id) {
  const Value *value = graph_value(graph, id);
  writer_printf(out, "%s %%%u ", value_kind_words[value->kind], id);
  writer_json_string(out, value->name);
  writer_printf(out, " %s ", data_type_words[value->type]);
  print_shape(out, value->shape);
  if (value->init != INIT_ZERO) {
    writer_printf(out, " init %s", init_words[value->init]);
    if (value->init == INIT_NORMAL || value->init == INIT_UNIFORM) {
      writer_text(out, " ");
      writer_json_number(out, value->init_a);
    }
  }
  if (value->normalize_rows_at_start) writer_text(out, " unit_rows");
  if (value->bound != VALUE_NONE) writer_printf(out, " bound %%%u", value->bound);
  print_span(out, value->span);
  writer_text(out, "\n");
}

static void print_triple(Writer *out, const double *triple) {
  for (int i = 0; i < 3; i++) {
    writer_text(out, i ? " " : "");
    writer_json_number(out, triple[i]);
  }
}

static void print_attributes(Writer *out, const OpAttributes *a) {
  const char *separator = " {";
#define PRINT_INTEGER(field) if (a->field) writer_printf(out, "%s" #field " %d", separator, a->field), separator = ", ";
#define PRINT_FLAG(field) if (a->field) writer_printf(out, "%s" #field, separator), separator = ", ";
#define PRINT_REAL(field)                                                                    \
  if (a->field < 0 || a->field > 0) {                                                        \
    writer_printf(out, "%s" #field " ", separator), separator = ", ";                        \
    writer_json_number(out, a->field);                                                       \
  }
#define PRINT_TRIPLE(field)                                                                  \
  if (memcmp(a->field, (double[3]){0, 0, 0}, sizeof a->field) != 0) {                        \
    writer_printf(out, "%s" #field " ", separator), separator = ", ";                        \
    print_triple(out, a->field);                                                             \
  }
  OP_INTEGER_ATTRIBUTES(PRINT_INTEGER)
  OP_FLAG_ATTRIBUTES(PRINT_FLAG)
  OP_REAL_ATTRIBUTES(PRINT_REAL)
  OP_TRIPLE_ATTRIBUTES(PRINT_TRIPLE)
  if (separator[0] == ',') writer_text(out, "}");
}

static void print_op(const Graph *graph, Writer *out, const Op *op) {
  for (int i = 0; i < op->result_count; i++) {
    writer_printf(out, "%s%%%u", i ? ", " : "", op->results[i]);
    const Value *result = graph_value(graph, op->results[i]);
    if (result->name) {
      writer_text(out, " ");
      writer_json_string(out, result->name);
    }
  }
  writer_printf(out, " = %s(", op_kind_name(op->kind));
  for (int i = 0; i < op->operand_count; i++) writer_printf(out, "%s%%%u", i ? ", " : "", op->operands[i]);
  writer_text(out, ")");
  print_attributes(out, &op->attributes);
  writer_text(out, " -> ");
  for (int i = 0; i < op->result_count; i++) {
    writer_text(out, i ? ", " : "");
    print_shape(out, graph_value(graph, op->results[i])->shape);
  }
  writer_printf(out, " %s", phase_words[op->phase]);
  if (op->name) {
    writer_text(out, " ");
    writer_json_string(out, op->name);
  }
  if (op->block >= 0) writer_printf(out, " block %d", op->block);
  if (op->size_group >= 0) writer_printf(out, " group %d", op->size_group);
  print_span(out, op->span);
  writer_text(out, "\n");
}

void graph_print(const Graph *graph, Writer *out) {
  writer_text(out, "graph ");
  writer_json_string(out, graph->name);
  if (graph->image_type != DATA_F32) writer_printf(out, " images %s", data_type_words[graph->image_type]);
  writer_text(out, "\n");
  for (int i = 0; i < graph->block_count; i++) {
    writer_printf(out, "block %d ", i);
    writer_json_string(out, graph->block_names[i]);
    writer_text(out, "\n");
  }
  for (ValueId i = 0; i < graph->values.count; i++) {
    if (graph_value(graph, i)->kind != VALUE_RESULT) print_value(graph, out, i);
  }
  for (OpId i = 0; i < graph->ops.count; i++) print_op(graph, out, graph_op(graph, i));
  for (size_t i = 0; i < graph->outputs.count; i++) {
    writer_text(out, "output ");
    writer_json_string(out, graph->outputs.items[i].name);
    writer_printf(out, " %%%u\n", graph->outputs.items[i].value);
  }
}
