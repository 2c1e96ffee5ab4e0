// Prints the tree in order; comments are taken from the side list as their position comes up. Afterwards the tokens of
// the result must be those of the source.
#include "lang/fmt.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "lang/parse.h"
#include "grammar.h"

#define LINE_WIDTH 100

typedef struct Formatter {
  Arena *arena;
  const char *text;
  const AstFile *file;
  Writer *out;
  size_t next_comment;
  uint32_t previous_end;  // in the source, of what was printed last
  bool block_start;       // no blank line here
} Formatter;

static void print_indent(Writer *out, int indent) {
  for (int i = 0; i < indent; i++) writer_text(out, "  ");
}

static const SourceSpan *peek_comment(const Formatter *formatter) {
  return formatter->next_comment < formatter->file->comment_count ? &formatter->file->comments[formatter->next_comment]
                                                                  : NULL;
}

static bool comment_within(const Formatter *formatter, uint32_t end) {
  const SourceSpan *comment = peek_comment(formatter);
  return comment && comment->begin < end;
}

// One blank line where the source has one or more.
static void print_gap(Formatter *formatter, uint32_t begin) {
  int newlines = 0;
  for (uint32_t i = formatter->previous_end; i < begin; i++) {
    char c = formatter->text[i];
    if (c == '\n')
      newlines++;
    else if (!strchr(" \t\r\f\v,", c))
      newlines = 0;
  }
  if (newlines >= 2 && !formatter->block_start) writer_text(formatter->out, "\n");
  formatter->block_start = false;
}

static void print_comment(Formatter *formatter, const SourceSpan *comment) {
  writer_bytes(formatter->out, formatter->text + comment->begin, comment->end - comment->begin);
  formatter->previous_end = comment->end;
  formatter->next_comment++;
}

static void flush_comments(Formatter *formatter, uint32_t before, int indent) {
  while (comment_within(formatter, before)) {
    const SourceSpan *comment = peek_comment(formatter);
    print_gap(formatter, comment->begin);
    print_indent(formatter->out, indent);
    print_comment(formatter, comment);
    writer_text(formatter->out, "\n");
  }
}

// Ends the line, with the comment that shares it in the source.
static void end_line(Formatter *formatter, uint32_t end) {
  formatter->previous_end = end;
  const SourceSpan *comment = peek_comment(formatter);
  bool same_line = comment && comment->begin >= end;
  for (uint32_t i = end; same_line && i < comment->begin; i++)
    same_line = strchr(" \t\r\f\v,", formatter->text[i]) != NULL;
  if (same_line) {
    writer_text(formatter->out, "  ");
    print_comment(formatter, comment);
  }
  writer_text(formatter->out, "\n");
}

static void print_flat(const Formatter *formatter, const AstNode *node, Writer *out);

static void print_flat_items(const Formatter *formatter, const AstNode *node, const char *open, const char *close,
                             Writer *out) {
  writer_text(out, open);
  for (size_t i = 0; i < node->children.count; i++) {
    const AstItem *item = &node->children.items[i];
    if (i) writer_text(out, ", ");
    if (item->name) writer_printf(out, "%s = ", item->name);
    print_flat(formatter, item->value, out);
  }
  writer_text(out, close);
}

static void print_flat(const Formatter *formatter, const AstNode *node, Writer *out) {
  const AstItem *children = node->children.items;
  switch (node->kind) {
    case AST_ERROR: BUG("formatting an error");
    case AST_NUMBER:
    case AST_STRING:
    case AST_NAME:
    case AST_REFERENCE: writer_bytes(out, formatter->text + node->span.begin, node->span.end - node->span.begin); break;
    case AST_RANGE:
      print_flat(formatter, children[0].value, out);
      writer_text(out, "..");
      print_flat(formatter, children[1].value, out);
      break;
    case AST_LIST: print_flat_items(formatter, node, "[", "]", out); break;
    case AST_CALL:
      writer_text(out, node->text);
      print_flat_items(formatter, node, "(", ")", out);
      break;
    case AST_NEGATE:
      writer_text(out, "-");
      print_flat(formatter, children[0].value, out);
      break;
    case AST_BINARY:
      print_flat(formatter, children[0].value, out);
      writer_printf(out, " %c ", node->operation);
      print_flat(formatter, children[1].value, out);
      break;
    case AST_COMPARE:
    case AST_LOGIC:
      print_flat(formatter, children[0].value, out);
      writer_printf(out, " %s ", node->text);
      print_flat(formatter, children[1].value, out);
      break;
    case AST_NOT:
      writer_text(out, "not ");
      print_flat(formatter, children[0].value, out);
      break;
    case AST_GROUP: print_flat_items(formatter, node, "(", ")", out); break;
  }
}

static size_t flat_width(const Formatter *formatter, const char *name, const AstNode *node) {
  Writer flat = {0};
  print_flat(formatter, node, &flat);
  size_t width = flat.size + (name ? strlen(name) + 3 : 0);
  writer_release(&flat);
  return width;
}

static bool is_sequence(const AstNode *node) { return node->kind == AST_LIST || node->kind == AST_CALL; }

static void print_item(Formatter *formatter, const AstItem *item, int indent, const char *after);

// The first `wanted` at or after `from` that is not inside of a comment.
static uint32_t find_bracket(const Formatter *formatter, uint32_t from, char wanted) {
  size_t comment = formatter->next_comment;
  for (uint32_t i = from;; i++) {
    while (comment < formatter->file->comment_count && formatter->file->comments[comment].begin == i) {
      i = formatter->file->comments[comment++].end;
    }
    if (formatter->text[i] == wanted) return i;
    if (!formatter->text[i]) BUG("no '%c' after byte %u", wanted, from);
  }
}

static void print_broken(Formatter *formatter, const AstNode *node, int indent) {
  char open = node->kind == AST_CALL ? '(' : '[', close = node->kind == AST_CALL ? ')' : ']';
  uint32_t bracket = node->kind == AST_CALL ? find_bracket(formatter, node->span.begin, open) : node->span.begin;
  writer_printf(formatter->out, "%s%c", node->kind == AST_CALL ? node->text : "", open);
  end_line(formatter, bracket + 1);
  formatter->block_start = true;
  for (size_t i = 0; i < node->children.count; i++) {
    print_item(formatter, &node->children.items[i], indent + 1, i + 1 < node->children.count ? "," : "");
  }
  flush_comments(formatter, node->span.end, indent + 1);
  print_indent(formatter->out, indent);
  writer_printf(formatter->out, "%c", close);
}

// A key, an element or an argument on lines of its own. Comments inside of a value that is no list stand above it.
static void print_item(Formatter *formatter, const AstItem *item, int indent, const char *after) {
  const AstNode *value = item->value;
  uint32_t begin = item->name ? item->name_span.begin : value->span.begin;
  flush_comments(formatter, begin, indent);
  print_gap(formatter, begin);
  flush_comments(formatter, is_sequence(value) ? value->span.begin : value->span.end, indent);
  bool fits = 2 * (size_t)indent + flat_width(formatter, item->name, value) + strlen(after) <= LINE_WIDTH;
  print_indent(formatter->out, indent);
  if (item->name) writer_printf(formatter->out, "%s = ", item->name);
  bool broken = is_sequence(value) && value->children.count > 0 && !fits;
  if (broken || comment_within(formatter, value->span.end))
    print_broken(formatter, value, indent);
  else
    print_flat(formatter, value, formatter->out);
  writer_text(formatter->out, after);
  end_line(formatter, value->span.end);
}

static bool is_one_line(const Formatter *formatter, const AstStatement *section) {
  const char *text = formatter->text + section->name_span.begin;
  if (memchr(text, '\n', section->span.end - section->name_span.begin)) return false;
  size_t width = strlen(section->name) + 4;
  for (size_t i = 0; i < section->keys.count; i++) {
    width += 2 + flat_width(formatter, section->keys.items[i].name, section->keys.items[i].value);
  }
  return width <= LINE_WIDTH;
}

static void print_section(Formatter *formatter, const AstStatement *section) {
  Writer *out = formatter->out;
  writer_printf(out, "%s {", section->name);
  if (is_one_line(formatter, section)) {
    for (size_t i = 0; i < section->keys.count; i++) {
      writer_printf(out, "%s%s = ", i ? "  " : " ", section->keys.items[i].name);
      print_flat(formatter, section->keys.items[i].value, out);
    }
    writer_text(out, section->keys.count ? " }" : "}");
  } else {
    end_line(formatter, find_bracket(formatter, section->name_span.end, '{') + 1);
    formatter->block_start = true;
    for (size_t i = 0; i < section->keys.count; i++) print_item(formatter, &section->keys.items[i], 1, "");
    flush_comments(formatter, section->span.end, 1);
    writer_text(out, "}");
  }
  formatter->block_start = false;
  end_line(formatter, section->span.end);
}

static void print_statement(Formatter *formatter, const AstStatement *statement) {
  flush_comments(formatter, statement->span.begin, 0);
  print_gap(formatter, statement->span.begin);
  switch (statement->kind) {
    case AST_USE:
      flush_comments(formatter, statement->span.end, 0);
      writer_text(formatter->out, "use ");
      writer_bytes(formatter->out, formatter->text + statement->name_span.begin,
                   statement->name_span.end - statement->name_span.begin);
      end_line(formatter, statement->span.end);
      break;
    case AST_LET: {
      flush_comments(formatter, is_sequence(statement->value) ? statement->value->span.begin : statement->span.end, 0);
      writer_text(formatter->out, "let ");
      AstItem item = {.name = statement->name, .name_span = statement->name_span, .value = statement->value};
      formatter->block_start = true;
      print_item(formatter, &item, 0, "");
      break;
    }
    case AST_SECTION: print_section(formatter, statement); break;
  }
}

static bool same_token(const Token *a, const Token *b) {
  if (a->kind != b->kind || strcmp(a->text, b->text) != 0) return false;
  return !a->key || strcmp(a->key, b->key) == 0;
}

// A ',' before a closing bracket is the one thing that formatting may drop.
static size_t skip_last_comma(const TokenList *tokens, size_t i) {
  bool closes = i + 1 < tokens->count && (tokens->items[i + 1].kind == ']' || tokens->items[i + 1].kind == ')');
  return tokens->items[i].kind == ',' && closes ? i + 1 : i;
}

static void verify_result(Arena *arena, SourceMap *sources, uint32_t file, const Writer *out) {
  SourceMap *scratch = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, scratch);
  uint32_t result = source_map_add(scratch, "result", out->text ? out->text : "", out->size);
  TokenList before = lex_file(arena, sources, diags, file), after = lex_file(arena, scratch, diags, result);
  if (before.comment_count != after.comment_count) BUG("formatting lost a comment");
  size_t i = 0, j = 0;
  for (;; i++, j++) {
    i = skip_last_comma(&before, i);
    j = skip_last_comma(&after, j);
    if (!same_token(&before.items[i], &after.items[j])) BUG("formatting changed token %zu", i);
    if (before.items[i].kind == 0) return;
  }
}

bool fmt_file(Arena *arena, SourceMap *sources, DiagList *diags, uint32_t file, Writer *out) {
  size_t errors = diags->error_count;
  const AstFile *ast = parse_file(arena, sources, diags, file);
  if (diags->error_count != errors) return false;
  const SourceFile *source = source_map_file(sources, file);
  Formatter formatter = {.arena = arena, .text = source->text, .file = ast, .out = out, .block_start = true};
  for (size_t i = 0; i < ast->count; i++) print_statement(&formatter, &ast->items[i]);
  flush_comments(&formatter, (uint32_t)source->size + 1, 0);
  verify_result(arena, sources, file, out);
  return true;
}
