// Reads what print.c wrote. Takes any text: a broken one gives an error with its line, never a crash; a graph that
// reads well has passed graph_verify.
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/graph/op.h"
#include "compiler/graph/text.h"

typedef struct Reader {
  Arena *arena;
  Graph *graph;
  const char *at;
  size_t size;  // of the text: no value's number can be larger
  int line;
  const char *error;  // the first one
} Reader;

static bool fail(Reader *reader, const char *what) {
  if (!reader->error) reader->error = arena_printf(reader->arena, "line %d: %s", reader->line, what);
  return false;
}

static void skip_blanks(Reader *reader) {
  while (*reader->at == ' ') reader->at++;
}

static bool take(Reader *reader, const char *token) {
  skip_blanks(reader);
  size_t length = strlen(token);
  if (strncmp(reader->at, token, length) != 0) return false;
  bool word = isalnum((unsigned char)token[length - 1]) != 0;
  if (word && (isalnum((unsigned char)reader->at[length]) || reader->at[length] == '_')) return false;
  reader->at += length;
  return true;
}

static bool expect(Reader *reader, const char *token) {
  return take(reader, token) || fail(reader, arena_printf(reader->arena, "'%s' expected", token));
}

static bool read_integer(Reader *reader, int64_t low, int64_t high, int64_t *out) {
  skip_blanks(reader);
  char *end;
  long long number = strtoll(reader->at, &end, 10);
  if (end == reader->at || number < low || number > high) return fail(reader, "a number in range expected");
  reader->at = end;
  *out = number;
  return true;
}

static bool read_real(Reader *reader, double *out) {
  skip_blanks(reader);
  char *end;
  *out = strtod(reader->at, &end);
  if (end == reader->at) return fail(reader, "a number expected");
  reader->at = end;
  return true;
}

static bool read_id(Reader *reader, ValueId *out) {
  int64_t number;
  if (!expect(reader, "%") || !read_integer(reader, 0, VALUE_NONE - 1, &number)) return false;
  *out = (ValueId)number;
  return true;
}

static int hex_digit(char c) {
  const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c) : NULL;
  return found ? (int)(found - digits) : -1;
}

// Undoes writer_json_string, which escapes nothing above 0x7f.
static bool read_string(Reader *reader, const char **out) {
  if (!expect(reader, "\"")) return false;
  char *text = arena_alloc(reader->arena, strcspn(reader->at, "\n") + 1), *end = text;
  for (; *reader->at != '"'; reader->at++) {
    if (!*reader->at || *reader->at == '\n') return fail(reader, "a string without its end");
    if (*reader->at != '\\') {
      *end++ = *reader->at;
      continue;
    }
    reader->at++;
    if (*reader->at == 'n') {
      *end++ = '\n';
    } else if (*reader->at == 'u') {
      int high = hex_digit(reader->at[1]) == 0 && hex_digit(reader->at[2]) == 0 ? hex_digit(reader->at[3]) : -1;
      int low = high >= 0 ? hex_digit(reader->at[4]) : -1;
      if (low < 0) return fail(reader, "an escape that is not known");
      *end++ = (char)(16 * high + low);
      reader->at += 4;
    } else if (*reader->at == '"' || *reader->at == '\\') {
      *end++ = *reader->at;
    } else {
      return fail(reader, "an escape that is not known");
    }
  }
  reader->at++;
  *out = text;
  return true;
}

static bool read_word(Reader *reader, const char *const *words, int count, int *out) {
  for (int i = 0; i < count; i++) {
    if (take(reader, words[i])) {
      *out = i;
      return true;
    }
  }
  return fail(reader, "a word that is not known");
}

static bool read_shape(Reader *reader, Shape *shape) {
  *shape = (Shape){0};
  if (!expect(reader, "[")) return false;
  do {
    if (shape->rank == MAX_RANK) return fail(reader, "too many dimensions");
    if (!read_integer(reader, 1, INT64_MAX, &shape->size[shape->rank++])) return false;
  } while (take(reader, ","));
  return expect(reader, "]") && (shape_valid(*shape) || fail(reader, "a shape that is too large"));
}

static bool read_span(Reader *reader, SourceSpan *span) {
  int64_t numbers[3];
  if (!take(reader, "span")) return true;
  for (int i = 0; i < 3; i++) {
    if (!read_integer(reader, 0, UINT32_MAX, &numbers[i])) return false;
  }
  *span = (SourceSpan){(uint32_t)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2]};
  return true;
}

// Values come in any order of ids; gaps are found at the end.
static bool place_value(Reader *reader, ValueId id, Value value) {
  GraphValues *values = &reader->graph->values;
  if (id > reader->size) return fail(reader, "a value's number is too large");
  while (values->count <= id)
    arena_push(reader->arena, values, Value, (Value){.kind = VALUE_RESULT, .producer = OP_NONE, .bound = VALUE_NONE});
  if (values->items[id].shape.rank) return fail(reader, "a value is defined twice");
  values->items[id] = value;
  return true;
}

static bool read_value(Reader *reader, ValueKind kind) {
  Value value = {.kind = kind, .producer = OP_NONE, .bound = VALUE_NONE};
  ValueId id;
  int word;
  if (!read_id(reader, &id) || !read_string(reader, &value.name)) return false;
  if (!read_word(reader, data_type_words, DATA_TYPES, &word) || !read_shape(reader, &value.shape)) return false;
  value.type = (DataType)word;
  if (take(reader, "init")) {
    if (!read_word(reader, init_words, 4, &word)) return false;
    value.init = (InitKind)word;
    if ((value.init == INIT_NORMAL || value.init == INIT_UNIFORM) && !read_real(reader, &value.init_a)) return false;
  }
  value.normalize_rows_at_start = take(reader, "unit_rows");
  if (take(reader, "bound") && !read_id(reader, &value.bound)) return false;
  return read_span(reader, &value.span) && place_value(reader, id, value);
}

static bool read_attribute(Reader *reader, OpAttributes *a) {
  int64_t number;
#define READ_INTEGER(field)                                                                     \
  if (take(reader, #field)) {                                                                   \
    if (!read_integer(reader, INT_MIN, INT_MAX, &number)) return false;                         \
    a->field = (int)number;                                                                     \
    return true;                                                                                \
  }
#define READ_FLAG(field) if (take(reader, #field)) return a->field = true;
#define READ_REAL(field) if (take(reader, #field)) return read_real(reader, &a->field);
#define READ_TRIPLE(field)                                                                      \
  if (take(reader, #field))                                                                     \
    return read_real(reader, &a->field[0]) && read_real(reader, &a->field[1]) && read_real(reader, &a->field[2]);
  OP_INTEGER_ATTRIBUTES(READ_INTEGER)
  OP_FLAG_ATTRIBUTES(READ_FLAG)
  OP_REAL_ATTRIBUTES(READ_REAL)
  OP_TRIPLE_ATTRIBUTES(READ_TRIPLE)
  return fail(reader, "an attribute that is not known");
}

static bool read_op_kind(Reader *reader, OpKind *kind) {
  for (int i = 0; i < OP_KIND_COUNT; i++) {
    if (take(reader, op_kind_name((OpKind)i))) {
      *kind = (OpKind)i;
      return true;
    }
  }
  return fail(reader, "an op that is not known");
}

static bool read_operands(Reader *reader, Op *op) {
  if (!expect(reader, "(")) return false;
  if (take(reader, ")")) return true;
  do {
    if (op->operand_count == MAX_OPERANDS) return fail(reader, "too many operands");
    if (!read_id(reader, &op->operands[op->operand_count++])) return false;
  } while (take(reader, ","));
  return expect(reader, ")");
}

static bool read_op_place(Reader *reader, Op *op) {
  int word;
  int64_t number;
  if (!read_word(reader, phase_words, 3, &word)) return false;
  op->phase = (OpPhase)word;
  skip_blanks(reader);
  if (*reader->at == '"' && !read_string(reader, &op->name)) return false;
  if (take(reader, "block")) {
    if (!read_integer(reader, 0, INT_MAX, &number)) return false;
    op->block = (int)number;
  }
  if (take(reader, "group")) {
    if (!read_integer(reader, 0, INT_MAX, &number)) return false;
    op->size_group = (int)number;
  }
  return read_span(reader, &op->span);
}

static bool read_op(Reader *reader) {
  Op op = {.block = -1, .size_group = -1};
  Value results[MAX_RESULTS];
  for (int i = 0; i < MAX_OPERANDS; i++) op.operands[i] = VALUE_NONE;
  for (int i = 0; i < MAX_RESULTS; i++) op.results[i] = VALUE_NONE;
  do {
    if (op.result_count == MAX_RESULTS) return fail(reader, "too many results");
    Value *value = &results[op.result_count];
    *value = (Value){.kind = VALUE_RESULT, .producer = (OpId)reader->graph->ops.count, .result_index = op.result_count,
                     .bound = VALUE_NONE};
    if (!read_id(reader, &op.results[op.result_count++])) return false;
    skip_blanks(reader);
    if (*reader->at == '"' && !read_string(reader, &value->name)) return false;
  } while (take(reader, ","));
  if (!expect(reader, "=") || !read_op_kind(reader, &op.kind) || !read_operands(reader, &op)) return false;
  if (take(reader, "{")) {
    do {
      if (!read_attribute(reader, &op.attributes)) return false;
    } while (take(reader, ","));
    if (!expect(reader, "}")) return false;
  }
  if (!expect(reader, "->")) return false;
  for (int i = 0; i < op.result_count; i++) {
    if ((i && !expect(reader, ",")) || !read_shape(reader, &results[i].shape)) return false;
    results[i].type = op_result_type(reader->graph, &op, results[i].shape);
  }
  if (!read_op_place(reader, &op)) return false;
  for (int i = 0; i < op.result_count; i++) {
    results[i].span = op.span;
    if (!place_value(reader, op.results[i], results[i])) return false;
  }
  arena_push(reader->arena, &reader->graph->ops, Op, op);
  return true;
}

static bool read_block(Reader *reader) {
  int64_t number;
  Graph *graph = reader->graph;
  if (!read_integer(reader, graph->block_count, graph->block_count, &number)) return false;
  size_t count = (size_t)graph->block_count;
  const char **names = arena_grow(reader->arena, graph->block_names, count, count + 1, sizeof(char *));
  graph->block_names = names;
  graph->block_count++;
  return read_string(reader, &names[count]);
}

static bool read_image_type(Reader *reader) {
  int word;
  if (!read_word(reader, data_type_words, DATA_TYPES, &word)) return false;
  reader->graph->image_type = (DataType)word;
  return true;
}

static bool read_line(Reader *reader) {
  if (take(reader, "block")) return read_block(reader);
  for (int i = 0; i < 4; i++) {
    if (take(reader, value_kind_words[i])) return read_value(reader, (ValueKind)i);
  }
  if (take(reader, "output")) {
    GraphOutput output;
    if (!read_string(reader, &output.name) || !read_id(reader, &output.value)) return false;
    graph_add_output(reader->graph, output.name, output.value);
    return true;
  }
  return read_op(reader);
}

Graph *graph_read(Arena *arena, const char *text, const char **error) {
  Reader reader = {.arena = arena, .graph = graph_make(arena, ""), .at = text, .size = strlen(text), .line = 1};
  bool good = expect(&reader, "graph") && read_string(&reader, &reader.graph->name);
  if (good && take(&reader, "images")) good = read_image_type(&reader);
  good = good && expect(&reader, "\n");
  while (good) {
    reader.line++;
    skip_blanks(&reader);
    if (!*reader.at) break;
    good = *reader.at == '\n' || read_line(&reader);
    good = good && expect(&reader, "\n");
  }
  if (good) reader.error = graph_verify(reader.graph, arena);
  *error = reader.error;
  return reader.error ? NULL : reader.graph;
}
