// The text of one file as a tree: statements, keys, values, with spans; comments kept aside for the formatter.
// No look-ups, no defaults, no units resolved: what was written, nothing else.
#ifndef SEER_LANG_AST_H
#define SEER_LANG_AST_H

#include <stdbool.h>

#include "compiler/base/span.h"
#include "compiler/base/writer.h"

typedef enum AstKind {
  AST_ERROR,      // stands for something already reported
  AST_NUMBER,     // number, unit ("" for none)
  AST_STRING,     // text, escapes decoded
  AST_NAME,       // text
  AST_REFERENCE,  // text = section, key
  AST_RANGE,      // items[0]..items[1]
  AST_LIST,       // items
  AST_CALL,       // text(items), arguments with names
  AST_NEGATE,     // -items[0]
  AST_BINARY,     // items[0] op items[1]
  AST_COMPARE,    // items[0] text items[1]; text "==", "!=", "<", "<=", ">", ">=", "in", "not in"
  AST_LOGIC,      // items[0] text items[1]; text "and", "or"
  AST_NOT,        // not items[0]
  AST_GROUP       // (items[0])
} AstKind;

typedef struct AstNode AstNode;

// An element, an argument (name set), or a key of a section.
typedef struct AstItem {
  const char *name;  // NULL for an element or a positional argument
  SourceSpan name_span;
  const AstNode *value;
} AstItem;

typedef struct AstItems {
  AstItem *items;
  size_t count, capacity;
} AstItems;

struct AstNode {
  AstKind kind;
  SourceSpan span;
  const char *text, *key, *unit;
  double number;
  char operation;
  int depth;  // 1 for a leaf; bounded by AST_DEEPEST
  AstItems children;
};

#define AST_DEEPEST 100

typedef enum AstStatementKind { AST_USE, AST_LET, AST_SECTION } AstStatementKind;

typedef struct AstStatement {
  AstStatementKind kind;
  SourceSpan span;       // the whole statement
  SourceSpan name_span;  // of the path, the constant or the section's name
  const char *name;
  const AstNode *value;  // AST_LET
  AstItems keys;         // AST_SECTION
} AstStatement;

typedef struct AstFile {
  uint32_t file;
  AstStatement *items;
  size_t count, capacity;
  SourceSpan *comments;
  size_t comment_count;
} AstFile;

AstNode *ast_node(Arena *arena, AstKind kind, SourceSpan span);
void ast_item_add(Arena *arena, AstItems *items, const char *name, SourceSpan name_span, const AstNode *value);
// Adds a child and keeps depth.
void ast_child_add(Arena *arena, AstNode *node, const char *name, SourceSpan name_span, const AstNode *child);
void ast_print(const AstFile *file, const SourceMap *sources, Writer *out);

#endif
