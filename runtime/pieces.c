// Long texts in pieces; see pieces.h.
#include "runtime/pieces.h"

#include <stdlib.h>
#include <string.h>

void seer_pieces_print(FILE *out, SeerPieces pieces) {
  for (; *pieces; pieces++) fputs(*pieces, out);
}

char *seer_pieces_join(SeerPieces pieces) {
  size_t size = 1;
  for (SeerPieces piece = pieces; *piece; piece++) size += strlen(*piece);
  char *text = malloc(size), *at = text;
  for (; text && *pieces; pieces++) {
    size_t length = strlen(*pieces);
    memcpy(at, *pieces, length);
    at += length;
  }
  if (at) *at = '\0';
  return text;
}
