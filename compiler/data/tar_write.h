// Members of a tar archive as POSIX.1-2001 defines it: ustar, with a pax header where a name needs one. Nothing but
// name and size is said of a file: no time, no owner, so the same files give the same bytes.
#ifndef SEER_COMPILER_DATA_TAR_WRITE_H
#define SEER_COMPILER_DATA_TAR_WRITE_H

#include <stdint.h>

#include "compiler/base/writer.h"

enum { TAR_BLOCK_BYTES = 512 };

// Appends the header, the content and the padding. Returns where in `out` the content begins.
size_t tar_member_print(Writer *out, const char *name, const void *content, uint64_t bytes);
// The two blocks of zero that end an archive.
void tar_end_print(Writer *out);

#endif
