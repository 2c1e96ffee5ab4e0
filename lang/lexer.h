// Hides flex behind one call: generated headers of flex and bison do not mix.
#ifndef SEER_LANG_LEXER_H
#define SEER_LANG_LEXER_H

#include "lang/parse.h"

typedef struct Lexer {
  Arena *arena;
  DiagList *diags;
  uint32_t file, begin, end;  // of the token at hand
  bool starts_line;
  TokenList *tokens;
} Lexer;

// Appends every token of `text`, without the final one, to lexer->tokens.
void lexer_scan(Lexer *lexer, const char *text, size_t size);

#endif
