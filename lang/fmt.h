// The one layout of a spec: stable, idempotent, keeps every comment and the user's blank lines (one at most).
// A section written on one line stays on one line where it fits; lists break only where they must.
#ifndef SEER_LANG_FMT_H
#define SEER_LANG_FMT_H

#include "compiler/base/diag.h"

// Formats a file of the source map. False, with errors, when it does not parse; `out` is then empty.
bool fmt_file(Arena *arena, SourceMap *sources, DiagList *diags, uint32_t file, Writer *out);

#endif
