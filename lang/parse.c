// Tokens, recovery and messages around the grammar. Needs the text in the source map; gives a tree for any bytes.
#include "lang/parse.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "lang/lexer.h"
#include "lang/schema.h"
#include "grammar.h"

static SourceSpan nowhere(void) { return (SourceSpan){0}; }

// Behind it a value may go on or begin: a name there is part of one.
static bool wants_operand(const Token *token) {
  if (token->kind >= TOK_EQUAL && token->kind <= TOK_AT_LEAST) return true;
  switch (token->kind) {
    case '=':
    case '(':
    case '[':
    case ',':
    case TOK_AND:
    case TOK_OR:
    case TOK_NOT:
    case TOK_IN: return true;
    default: return false;
  }
}

// Of a key, or of "section.key".
static bool takes_condition(const Token *token) {
  const char *name = token->key ? token->key : token->text;
  for (int i = 0; i < schema_key_count; i++) {
    if (schema_keys[i].type == TYPE_CONDITION && strcmp(schema_keys[i].name, name) == 0) return true;
  }
  return false;
}

// "country" in "keep = country = FR" and in "keep = year > 1990 and country = FR".
static bool is_compared(const TokenList *tokens, size_t i) {
  const Token *previous = i ? &tokens->items[i - 1] : NULL;
  if (!previous || tokens->items[i].starts_line) return false;
  if (previous->kind == '=') return i > 1 && takes_condition(previous - 1);
  return previous->kind == TOK_AND || previous->kind == TOK_OR || previous->kind == TOK_NOT;
}

// A name before '=' (or ':', as users of other formats write) is a key; a name before '{' opens a section.
// Brackets left open end where a key that cannot be an argument, a section or a brace begins.
static void classify(TokenList *tokens) {
  int depth = 0;
  char innermost[AST_DEEPEST + 1] = {0};
  for (size_t i = 0; i + 1 < tokens->count; i++) {
    Token *token = &tokens->items[i];
    const Token *next = token + 1;
    const Token *previous = i ? token - 1 : NULL;
    bool after_let = previous && previous->kind == TOK_LET;
    if (token->kind == TOK_NAME && !is_compared(tokens, i)) {
      if (next->kind == '=' || (next->kind == TOK_OTHER && strcmp(next->text, ":") == 0)) token->kind = TOK_KEY;
      if (next->kind == TOK_EQUAL && previous && !wants_operand(previous)) token->kind = TOK_KEY;
      if (next->kind == '{') token->kind = TOK_SECTION;
    }
    bool may_be_argument = depth > 0 && innermost[depth < AST_DEEPEST ? depth : AST_DEEPEST] == '(' && previous &&
                           (!token->starts_line || previous->kind == ',' || previous->kind == '(');
    bool starts_key = token->kind == TOK_KEY && (after_let || !may_be_argument);
    if (starts_key && (token->starts_line || after_let)) depth = 0;
    if (token->kind == TOK_SECTION || token->kind == '{' || token->kind == '}' || token->kind == TOK_LET ||
        token->kind == TOK_USE)
      depth = 0;
    token->depth = depth;
    token->in_call = depth > 0 && innermost[depth < AST_DEEPEST ? depth : AST_DEEPEST] == '(';
    if (token->kind == '(' || token->kind == '[') {
      depth++;
      if (depth <= AST_DEEPEST) innermost[depth] = (char)token->kind;
    }
    if ((token->kind == ')' || token->kind == ']') && depth > 0) depth--;
  }
}

TokenList lex_file(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file) {
  TokenList tokens = {0};
  const SourceFile *source = source_map_file(sources, file);
  Lexer lexer = {.arena = arena, .diags = diags, .file = file, .starts_line = true, .tokens = &tokens};
  if (source->size > PARSE_LARGEST_BYTES) {
    diag_error(diags, (SourceSpan){file, 0, 0}, "file", "'%s' is larger than 4MiB", source->name);
    diag_note(diags, nowhere(), "a spec is a small text; is this the right file?");
  } else {
    size_t mark = source->size >= 3 && memcmp(source->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    lexer.begin = lexer.end = (uint32_t)mark;
    lexer_scan(&lexer, source->text + mark, source->size - mark);
  }
  Token end = {.kind = 0,
               .span = {file, (uint32_t)source->size, (uint32_t)source->size},
               .text = "",
               .unit = "",
               .starts_line = true};
  arena_push(arena, &tokens, Token, end);
  classify(&tokens);
  return tokens;
}

static bool starts_statement(const Token *token) {
  return token->kind == TOK_SECTION || token->kind == TOK_USE || token->kind == TOK_LET;
}

static uint32_t column_of(const Parser *parser, SourceSpan span) { return source_place(parser->sources, span).column; }

// A statement that begins further right than the open section, or amid a line, was meant to be inside of it;
// one that begins at its column shows that '}' was forgotten.
static bool is_nested(const Parser *parser, const Token *token) {
  if (!starts_statement(token) || !parser->section) return false;
  return !token->starts_line || column_of(parser, token->span) > column_of(parser, parser->section->name_span);
}

// The last token of a statement that does not belong here.
static size_t skip_nested(const Parser *parser, size_t i) {
  const Token *tokens = parser->tokens.items;
  if (tokens[i].kind != TOK_SECTION) return tokens[i + 1].kind != 0 ? i + 1 : i;
  int open = 0;
  for (; tokens[i + 1].kind != 0; i++) {
    open += (tokens[i].kind == '{') - (tokens[i].kind == '}');
    if (tokens[i].kind == '}' && open <= 0) return i;
  }
  return i;
}

void parser_resync_section(Parser *parser) {
  size_t i = parser->offending;
  for (;; i++) {
    if (is_nested(parser, &parser->tokens.items[i])) {
      i = skip_nested(parser, i);
      continue;
    }
    const Token *token = &parser->tokens.items[i];
    if (token->kind == '}' || (token->kind == TOK_KEY && token->depth == 0)) break;
    if (starts_statement(token) || token->kind == 0) {
      parser->close_pending = true;
      break;
    }
  }
  parser->cursor = i;
}

void parser_resync_file(Parser *parser) {
  size_t i = parser->offending;
  while (parser->tokens.items[i].kind != 0 && !starts_statement(&parser->tokens.items[i])) i++;
  parser->cursor = i;
}

static const char *token_text(Parser *parser, const Token *token) {
  switch (token->kind) {
    case 0: return "end of the file";
    case TOK_STRING: return "a string";
    case TOK_REFERENCE: return arena_printf(parser->arena, "'%s.%s'", token->text, token->key);
    case TOK_OTHER:
      if (strncmp(token->text, "byte 0x", 7) == 0) return token->text;
      if (strcmp(token->text, "'") == 0) return "single quote";
      return arena_printf(parser->arena, "'%s'", token->text);
    default: return arena_printf(parser->arena, "'%s'", token->text);
  }
}

typedef struct Expected {
  bool value, key, equals, comma, close_list, close_call, close_brace, close_group, open_brace, statement, string,
      relation, in, end;
} Expected;

static Expected expected_from(const char *const *names, int count) {
  Expected expected = {0};
  const struct {
    const char *name;
    bool *flag;
  } flags[] = {{"a number", &expected.value},  {"a key", &expected.key},      {"'='", &expected.equals},
               {"','", &expected.comma},       {"']'", &expected.close_list}, {"')'", &expected.close_call},
               {"'}'", &expected.close_brace}, {"'{'", &expected.open_brace}, {"a section", &expected.statement},
               {"a string", &expected.string}, {"'=='", &expected.relation},  {"'in'", &expected.in}};
  for (int i = 0; i < count; i++) {
    for (size_t j = 0; j < sizeof flags / sizeof *flags; j++) {
      if (strcmp(names[i], flags[j].name) == 0) *flags[j].flag = true;
    }
  }
  return expected;
}

static const char *expected_text(const Expected *expected) {
  if (expected->value && expected->close_list) return "a value or ']'";
  if (expected->value && expected->close_call) return "an argument or ')'";
  if (expected->value) return "a value";
  if (expected->comma && expected->close_list) return "',' or ']'";
  if (expected->comma && expected->close_call) return "',' or ')'";
  if (expected->close_call) return "')'";
  if (expected->equals) return "'='";
  if (expected->close_brace) return "a key or '}'";
  if (expected->open_brace) return "'{'";
  if (expected->statement) return "a section, 'use' or 'let'";
  if (expected->string) return "a path in double quotes";
  if (expected->in && !expected->relation) return "'in'";
  if (expected->key) return "a name and '='";
  return "the end";
}

// Habits from other formats, by the character that gives them away.
static const char *note_for_character(const char *text, const Expected *expected) {
  if (strcmp(text, ":") == 0) return "values follow '=': write 'key = value'";
  if (strcmp(text, ";") == 0) return "no ';' is needed between keys";
  if (strcmp(text, "'") == 0) return "strings are written with double quotes";
  if (strncmp(text, "\xe2\x80", 2) == 0) return "write plain double quotes and '-', not typographic ones";
  if (strcmp(text, "@") == 0 || strcmp(text, "$") == 0)
    return "refer to a key as 'section.key', to a constant by its name";
  if (strchr("&|!~", *text)) return "conditions are joined by 'and', 'or' and 'not'";
  if (strcmp(text, "^") == 0) return "the operators are + - * /";
  if (strcmp(text, ".") == 0) return "refer to a key as 'section.key', without blanks; a range is 'low..high'";
  return expected->value ? "values are numbers, strings, names, lists, ranges and calls" : "remove it";
}

static const char *note_for_token(const Parser *parser, size_t index, const Expected *expected) {
  const Token *token = &parser->tokens.items[index];
  const Token *previous = index ? token - 1 : NULL;
  bool after_number = previous && previous->kind == TOK_NUMBER && !token->starts_line;
  if ((token->kind == TOK_NAME || token->kind == TOK_KEY) && after_number && schema_find_unit(token->text) >= 0)
    return arena_printf(parser->arena, "write the unit directly after its number: '%s%s'", previous->text, token->text);
  if (expected->in && !expected->relation) return "write 'not in [...]', or '!='";
  if (token->kind == TOK_DOTDOT && expected->relation) return "write both ends: 'width >= 100 and width <= 200'";
  if (token->kind == TOK_OTHER) return note_for_character(token->text, expected);
  if (token->kind == TOK_EQUAL && expected->equals) return "a value is set with one '='";
  if (token->kind == '=' && expected->relation) return "conditions compare with '=='";
  if (token->kind >= TOK_EQUAL && token->kind <= TOK_AT_LEAST && expected->value) return "write the value itself";
  if (token->kind == TOK_AND || token->kind == TOK_OR || token->kind == TOK_NOT || token->kind == TOK_IN)
    return "'and', 'or', 'not' and 'in' make conditions: 'country in [FR, DE]'; in quotes they are words";
  if (token->kind == '/' || (previous && previous->kind == '/' && token->kind == '*')) return "comments start with '#'";
  if (token->kind == ',' && expected->close_brace) return "no ',' is needed between keys";
  if (token->kind == '=' && previous && previous->kind == '=') return "a value is set with one '='";
  if (token->kind == '[' && expected->statement) return "sections are written 'name { key = value }'";
  if (token->kind == '{' && expected->value) return "a section is written 'name { ... }', a list '[ ... ]'";
  if (token->kind == '}' && expected->statement)
    return "this brace closes nothing: remove it, or add the section's name and '{'";
  if (expected->close_list || expected->close_call)
    return expected->close_list ? "separate elements with ',' and end the list with ']'"
                                : "separate arguments with ',' and end with ')'";
  if (token->kind == TOK_NAME && expected->close_brace && !token->starts_line && previous && previous->kind != '{')
    return "a key takes one value; write several as a list '[a, b]'";
  if (token->kind == TOK_NAME && expected->close_brace) return "a key is set with 'key = value'";
  if (expected->statement) return "a spec is a list of 'name { key = value }', 'use \"path\"' and 'let name = value'";
  if (expected->close_brace) return "keys are set with 'key = value'; a section ends with '}'";
  if (expected->string && !expected->value) return "name the file in double quotes: use \"models/regnety_400mf\"";
  if (expected->key) return "write 'let name = value'";
  if (expected->equals) return "a value follows '='";
  return "write a number, a string, a name, a list, a range or a call";
}

static void report_statement_in_section(Parser *parser, const Token *token) {
  if (is_nested(parser, token)) {
    diag_error(parser->diags, token->span, "syntax", "'%s' cannot stand inside of section '%s'", token->text,
               parser->section->name);
    diag_note(parser->diags, parser->section->name_span, "end this section with '}' first");
    return;
  }
  SourceSpan span = token->span;
  diag_error(parser->diags, span, "syntax", "section '%s' is not closed: expected '}'", parser->section->name);
  diag_note(parser->diags, parser->section->name_span, "it was opened here; end it with '}'");
}

void parser_syntax_error(Parser *parser, bool at_end, const char *const *names, int count) {
  Expected expected = expected_from(names, count);
  size_t index = at_end ? parser->tokens.count - 1 : parser->cursor - 1;
  parser->offending = index;
  const Token *token = &parser->tokens.items[index];
  bool unfinished = starts_statement(token) || token->kind == 0;
  if (unfinished && parser->section && expected.close_brace && expected.key) {
    report_statement_in_section(parser, token);
    return;
  }
  bool is_key_name = token->kind == TOK_NAME && parser->section && expected.close_brace &&
                     schema_find_key(parser->section->name, token->text) >= 0;
  if (is_key_name) {
    diag_error(parser->diags, token->span, "syntax", "expected '=' after key '%s'", token->text);
    diag_note(parser->diags, nowhere(), "write '%s = value'", token->text);
    return;
  }
  const Token *previous = index ? token - 1 : NULL;
  bool value_is_missing = expected.value && previous && previous->kind == '=' &&
                          (token->kind == TOK_KEY || token->kind == '}' || unfinished);
  if (value_is_missing) {
    const Token *key = index >= 2 ? token - 2 : previous;
    diag_error(parser->diags, previous->span, "syntax", "expected a value for %s after '='", token_text(parser, key));
    diag_note(parser->diags, nowhere(), "write one, or remove the key to keep its default");
    return;
  }
  bool at_previous =
      token->starts_line && previous && (token->kind == 0 || token->kind == TOK_KEY) && !expected.statement;
  if (at_previous)
    diag_error(parser->diags, previous->span, "syntax", "expected %s after %s", expected_text(&expected),
               token_text(parser, previous));
  else
    diag_error(parser->diags, token->span, "syntax", "unexpected %s, expected %s", token_text(parser, token),
               expected_text(&expected));
  diag_note(parser->diags, nowhere(), "%s", note_for_token(parser, index, &expected));
}

void parser_give_up(Parser *parser, SourceSpan span) {
  diag_error(parser->diags, span, "nesting", "nested too deeply");
  diag_note(parser->diags, nowhere(), "split the value with 'let'");
}

static AstNode *checked_depth(Parser *parser, AstNode *node) {
  if (node->depth <= AST_DEEPEST) return node;
  if (!parser->too_deep) {
    diag_error(parser->diags, node->span, "nesting", "nested more than %d levels deep", AST_DEEPEST);
    diag_note(parser->diags, nowhere(), "split the value with 'let'");
  }
  parser->too_deep = true;
  return ast_node(parser->arena, AST_ERROR, node->span);
}

AstNode *parser_number(Parser *parser, const Token *token) {
  if (token->bad) return ast_node(parser->arena, AST_ERROR, token->span);
  AstNode *node = ast_node(parser->arena, AST_NUMBER, token->span);
  node->number = token->number;
  node->unit = token->unit;
  return node;
}

AstNode *parser_text(Parser *parser, AstKind kind, const Token *token) {
  if (token->bad) return ast_node(parser->arena, AST_ERROR, token->span);
  AstNode *node = ast_node(parser->arena, kind, token->span);
  node->text = token->text;
  node->key = token->key;
  return node;
}

AstNode *parser_node(Parser *parser, AstKind kind, SourceSpan span, char operation, const AstNode *left,
                     const AstNode *right) {
  AstNode *node = ast_node(parser->arena, kind, span);
  node->operation = operation;
  ast_child_add(parser->arena, node, NULL, left->span, left);
  if (right) ast_child_add(parser->arena, node, NULL, right->span, right);
  return checked_depth(parser, node);
}

AstNode *parser_relate(Parser *parser, AstKind kind, SourceSpan span, const char *text, const AstNode *left,
                       const AstNode *right) {
  AstNode *node = parser_node(parser, kind, span, 0, left, right);
  node->text = text;
  return node;
}

AstNode *parser_sequence(Parser *parser, AstKind kind, SourceSpan span, const Token *name, const AstItems *items) {
  AstNode *node = ast_node(parser->arena, kind, span);
  node->text = name ? name->text : NULL;
  for (size_t i = 0; i < items->count; i++) {
    const AstItem *item = &items->items[i];
    ast_child_add(parser->arena, node, item->name, item->name_span, item->value);
  }
  return checked_depth(parser, node);
}

AstItems parser_items(Parser *parser, const AstItems *list, const Token *name, SourceSpan name_span,
                      const AstNode *value) {
  AstItems items = list ? *list : (AstItems){0};
  ast_item_add(parser->arena, &items, name ? name->text : NULL, name_span, value);
  return items;
}

static AstStatement *add_statement(Parser *parser, AstStatementKind kind, SourceSpan span, const Token *name) {
  AstStatement statement = {.kind = kind, .span = span, .name_span = name->span, .name = name->text};
  arena_push(parser->arena, parser->file, AstStatement, statement);
  return &parser->file->items[parser->file->count - 1];
}

void parser_use(Parser *parser, SourceSpan span, const Token *path) {
  if (!path->bad) add_statement(parser, AST_USE, span, path);
}

void parser_let(Parser *parser, SourceSpan span, const Token *name, const AstNode *value) {
  add_statement(parser, AST_LET, span, name)->value = value;
}

void parser_open(Parser *parser, const Token *name) {
  parser->section = add_statement(parser, AST_SECTION, name->span, name);
}

void parser_close(Parser *parser, SourceSpan span) {
  parser->section->span = span;
  parser->section = NULL;
}

void parser_key(Parser *parser, const Token *name, const AstNode *value) {
  ast_item_add(parser->arena, &parser->section->keys, name->text, name->span, value);
}

void parser_stray_key(Parser *parser, const Token *name) {
  diag_error(parser->diags, name->span, "stray-key", "'%s' stands outside of any section", name->text);
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].name, name->text) != 0) continue;
    diag_note(parser->diags, nowhere(), "write '%s { %s = ... }'", schema_keys[i].section, name->text);
    return;
  }
  diag_note(parser->diags, nowhere(), "keys belong into a section; constants are written 'let %s = value'", name->text);
}

void parser_stray_reference(Parser *parser, const Token *reference) {
  SourceSpan span = reference->span;
  diag_error(parser->diags, span, "stray-key", "'%s.%s' cannot be set in this way", reference->text, reference->key);
  if (parser->section && strcmp(parser->section->name, reference->text) == 0)
    diag_note(parser->diags, nowhere(), "inside its section the key alone is enough: '%s = ...'", reference->key);
  else
    diag_note(parser->diags, nowhere(), "write '%s { %s = ... }'", reference->text, reference->key);
}

static Parser parser_make(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file, int start) {
  Parser parser = {.arena = arena, .sources = sources, .diags = diags, .start = start};
  parser.tokens = lex_file(arena, sources, diags, file);
  parser.file = arena_new(arena, AstFile);
  parser.file->file = file;
  parser.file->comments = parser.tokens.comments;
  parser.file->comment_count = parser.tokens.comment_count;
  return parser;
}

const AstFile *parse_file(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file) {
  Parser parser = parser_make(arena, sources, diags, file, TOK_START_FILE);
  seer_parse(&parser);
  return parser.file;
}

const AstNode *parse_value(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file) {
  size_t errors = diags->error_count;
  Parser parser = parser_make(arena, sources, diags, file, TOK_START_VALUE);
  seer_parse(&parser);
  return diags->error_count == errors ? parser.value : NULL;
}

ParsedDefine parse_define(Arena *arena, const SourceMap *sources, DiagList *diags, uint32_t file) {
  size_t errors = diags->error_count;
  Parser parser = parser_make(arena, sources, diags, file, TOK_START_DEFINE);
  seer_parse(&parser);
  ParsedDefine define = {0};
  if (diags->error_count != errors || !parser.define_target) return define;
  const Token *target = parser.define_target;
  define.target = target->span;
  define.section = target->key ? target->text : NULL;
  define.key = target->key ? target->key : target->text;
  define.value = parser.value;
  return define;
}
