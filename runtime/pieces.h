// A long text in pieces, NULL behind the last: C compilers need not take a literal of more than 4095 bytes, and the
// plan and its page are longer. A piece never ends inside a line, unless the line alone is too long.
#ifndef SEER_RUNTIME_PIECES_H
#define SEER_RUNTIME_PIECES_H

#include <stdio.h>

typedef const char *const *SeerPieces;

void seer_pieces_print(FILE *out, SeerPieces pieces);
// The whole text, malloc'ed; NULL without memory.
char *seer_pieces_join(SeerPieces pieces);

#endif
