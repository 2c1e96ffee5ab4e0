// Makes nodes of the Ast; see ast.h.
#include "lang/ast.h"

AstNode *ast_node(Arena *arena, AstKind kind, SourceSpan span) {
  AstNode *node = arena_new(arena, AstNode);
  node->kind = kind;
  node->span = span;
  node->depth = 1;
  return node;
}

void ast_item_add(Arena *arena, AstItems *items, const char *name, SourceSpan name_span, const AstNode *value) {
  AstItem item = {.name = name, .name_span = name_span, .value = value};
  arena_push(arena, items, AstItem, item);
}

void ast_child_add(Arena *arena, AstNode *node, const char *name, SourceSpan name_span, const AstNode *child) {
  ast_item_add(arena, &node->children, name, name_span, child);
  if (child->depth >= node->depth) node->depth = child->depth + 1;
}

static void print_indent(Writer *out, int depth) {
  for (int i = 0; i < depth; i++) writer_text(out, "  ");
}

static void print_place(Writer *out, const SourceMap *sources, SourceSpan span) {
  SourcePlace place = source_place(sources, span);
  writer_printf(out, "  # %u:%u\n", place.line, place.column);
}

static void print_head(const AstNode *node, Writer *out) {
  static const char *const names[] = {"error", "number", "string", "name",    "reference", "range", "list",
                                      "call",  "negate", "binary", "compare", "logic",     "not",   "group"};
  writer_text(out, names[node->kind]);
  switch (node->kind) {
    case AST_NUMBER:
      writer_text(out, " ");
      writer_json_number(out, node->number);
      if (*node->unit) writer_printf(out, " %s", node->unit);
      break;
    case AST_STRING:
      writer_text(out, " ");
      writer_json_string(out, node->text);
      break;
    case AST_NAME:
    case AST_CALL: writer_printf(out, " %s", node->text); break;
    case AST_REFERENCE: writer_printf(out, " %s.%s", node->text, node->key); break;
    case AST_BINARY: writer_printf(out, " %c", node->operation); break;
    case AST_COMPARE:
    case AST_LOGIC: writer_printf(out, " %s", node->text); break;
    case AST_ERROR:
    case AST_RANGE:
    case AST_LIST:
    case AST_NEGATE:
    case AST_NOT:
    case AST_GROUP: break;
  }
}

static void print_node(const AstNode *node, const SourceMap *sources, Writer *out, int depth) {
  print_head(node, out);
  print_place(out, sources, node->span);
  for (size_t i = 0; i < node->children.count; i++) {
    const AstItem *child = &node->children.items[i];
    print_indent(out, depth + 1);
    if (child->name) writer_printf(out, "%s = ", child->name);
    print_node(child->value, sources, out, depth + 1);
  }
}

static void print_statement(const AstStatement *statement, const SourceMap *sources, Writer *out) {
  switch (statement->kind) {
    case AST_USE:
      writer_text(out, "use ");
      writer_json_string(out, statement->name);
      print_place(out, sources, statement->span);
      break;
    case AST_LET:
      writer_printf(out, "let %s = ", statement->name);
      print_node(statement->value, sources, out, 0);
      break;
    case AST_SECTION:
      writer_printf(out, "section %s", statement->name);
      print_place(out, sources, statement->span);
      for (size_t i = 0; i < statement->keys.count; i++) {
        const AstItem *key = &statement->keys.items[i];
        writer_printf(out, "  %s = ", key->name);
        print_node(key->value, sources, out, 1);
      }
      break;
  }
}

void ast_print(const AstFile *file, const SourceMap *sources, Writer *out) {
  for (size_t i = 0; i < file->count; i++) print_statement(&file->items[i], sources, out);
}
