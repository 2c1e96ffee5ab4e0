// Text to tree. The lexer cuts a whole file into tokens first, so that recovery can look ahead to the next key or
// section; the bison parser then reads that array. Errors go to `diags`; a tree always comes back.
#ifndef SEER_LANG_PARSE_H
#define SEER_LANG_PARSE_H

#include "compiler/base/diag.h"
#include "lang/ast.h"

#define PARSE_LARGEST_BYTES ((size_t)4 * 1024 * 1024)

typedef struct Token {
  int kind;  // a token number of grammar.y; 0 at the end
  SourceSpan span;
  const char *text;  // of a string: decoded
  const char *key;   // of a reference
  const char *unit;
  double number;
  bool starts_line;
  bool bad;      // already reported
  int depth;     // of open ( and [ before this token
  bool in_call;  // the innermost open bracket is (
} Token;

typedef struct TokenList {
  Token *items;
  size_t count, capacity;
  SourceSpan *comments;
  size_t comment_count, comment_capacity;
} TokenList;

typedef struct Parser {
  Arena *arena;
  const SourceMap *sources;
  DiagList *diags;
  int start;  // the token that selects what is parsed
  TokenList tokens;
  size_t cursor, offending;  // the next token; the one that an error stopped at
  bool close_pending;        // feed a '}' that the user forgot
  bool started, too_deep;
  AstFile *file;
  AstStatement *section;  // being filled
  AstNode *value;         // result of parse_value, parse_define
  const Token *define_target;
} Parser;

// The lexer alone: tokens and comments of one file; the formatter's self-check compares them.
TokenList lex_file(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file);

const AstFile *parse_file(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file);
// One value on its own, as a default of schema.def. NULL after an error.
const AstNode *parse_value(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file);

typedef struct ParsedDefine {
  const char *section, *key;  // section NULL: a constant
  SourceSpan target;
  const AstNode *value;  // NULL after an error
} ParsedDefine;

// "section.key=value" or "constant=value", as -D takes it.
ParsedDefine parse_define(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file);

// For grammar.y.
AstNode *parser_number(Parser *parser, const Token *token);
AstNode *parser_text(Parser *parser, AstKind kind, const Token *token);
AstNode *parser_node(Parser *parser, AstKind kind, SourceSpan span, char operation, const AstNode *left,
                     const AstNode *right);
// Of a condition; `right` may be NULL.
AstNode *parser_relate(Parser *parser, AstKind kind, SourceSpan span, const char *text, const AstNode *left,
                       const AstNode *right);
AstNode *parser_sequence(Parser *parser, AstKind kind, SourceSpan span, const Token *name, const AstItems *items);
// `list` (NULL: a new one) with one more element; `name` NULL for a positional one.
AstItems parser_items(Parser *parser, const AstItems *list, const Token *name, SourceSpan name_span,
                      const AstNode *value);
void parser_use(Parser *parser, SourceSpan span, const Token *path);
void parser_let(Parser *parser, SourceSpan span, const Token *name, const AstNode *value);
void parser_open(Parser *parser, const Token *name);
void parser_close(Parser *parser, SourceSpan end);
void parser_key(Parser *parser, const Token *name, const AstNode *value);
void parser_stray_key(Parser *parser, const Token *name);
void parser_stray_reference(Parser *parser, const Token *reference);
void parser_resync_section(Parser *parser);
void parser_resync_file(Parser *parser);
// `expected` names the tokens that could have come instead of the one read last.
void parser_syntax_error(Parser *parser, bool at_end, const char *const *expected, int expected_count);
void parser_give_up(Parser *parser, SourceSpan span);

#endif
