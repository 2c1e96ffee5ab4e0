// A reader of pictures in files that seer does not know: one C file that defines `seer_reader`, compiled into a trainer
// by 'seerc build --reader FILE.c' (docs/readers.md). It says where in a file pictures lie and makes pixels of their
// bytes; the rest (reading ahead, limits, order, replacement, the sandbox) is as for all other pictures.
#ifndef SEER_RUNTIME_DATA_READER_H
#define SEER_RUNTIME_DATA_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/data/decode.h"
#include "runtime/status.h"

enum { SEER_READER_START_BYTES = 512 };

typedef struct SeerReaderPicture {
  const char *name;       // within its file: the picture is called FILE:NAME. No two are alike
  const char *label;      // NULL: it has none
  uint64_t offset, size;  // its bytes, within the file
} SeerReaderPicture;

typedef SeerStatus SeerReaderVisit(void *context, const SeerReaderPicture *picture);

// All three depend on nothing but what they are given.
typedef struct SeerReader {
  // Whether a file is one of this reader's: by its path and its first bytes, SEER_READER_START_BYTES where it has so
  // many. Asked of named files before all else, and of those in folders that are no picture, tar archive or index by
  // their names.
  bool (*takes)(const char *path, const uint8_t *start, size_t count);
  // Calls `visit` for each picture of a file that it takes, always in the same order, and gives on what is not SEER_OK.
  // What is wrong with the file as a whole is seer_fail(SEER_INPUT, ...), with its path.
  SeerStatus (*list)(const char *path, SeerReaderVisit *visit, void *context);
  // As seer_decode; NULL: it is that, the bytes being those of a JPEG, PNG or WebP. Any bytes, any thread, perhaps in
  // the sandbox: opens nothing, and holds memory of picture->image alone: see seer_picture_prepare, with 3 channels.
  bool (*decode)(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, const char **reason);
} SeerReader;

// The address is NULL in programs without one.
extern const SeerReader seer_reader __attribute__((weak));

#endif
