// Named arrays in one file, the way tests hand states, images and results between C and Python (raw_file.py).
//
// Format: the magic "SEERRAW1", then records to the end of the file: u32 bytes of the name, u32 type (RawType), u32
// rank, i64 size[rank], the name, the elements in row-major order. All integers little-endian, nothing aligned.
#ifndef TESTS_TRAIN_RAW_FILE_H
#define TESTS_TRAIN_RAW_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum RawType { RAW_F32, RAW_F64, RAW_U8, RAW_I32, RAW_TYPE_COUNT } RawType;

typedef struct RawRecord {
  char *name;
  RawType type;
  uint64_t count;  // of elements
  void *data;      // of exactly count elements, so that a reader of more is caught
} RawRecord;

typedef struct RawFile {
  RawRecord *records;
  size_t count;
} RawFile;

// Every failure ends the program with a message: these are test tools.
RawFile raw_load(const char *path);
void raw_release(RawFile *file);
// Of the given type and count (0: any), or NULL.
const void *raw_find(const RawFile *file, RawType type, uint64_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const void *raw_get(const RawFile *file, RawType type, uint64_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

FILE *raw_create(const char *path);
void raw_write(FILE *out, RawType type, int rank, const int64_t *size, const void *data, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void raw_close(FILE *out);

#endif
