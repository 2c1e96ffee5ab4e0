// Reads and writes the test arrays described in raw_file.h. Whatever does not fit ends the program with status 1.
#include "tests/train/raw_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'S', 'E', 'E', 'R', 'R', 'A', 'W', '1'};
static const size_t type_bytes[RAW_TYPE_COUNT] = {4, 8, 1, 4};

static void fail(const char *what, const char *subject) {
  fprintf(stderr, "error: %s '%s'\n", what, subject);
  exit(1);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (!memory) fail("no memory for", "a test array");
  return memory;
}

static void read_exactly(FILE *in, void *to, size_t bytes, const char *path) {
  if (fread(to, 1, bytes, in) != bytes) fail("truncated test file", path);
}

// False at the end of the file.
static int read_record(FILE *in, const char *path, RawRecord *record) {
  uint32_t name_bytes;
  if (fread(&name_bytes, 1, 4, in) != 4) return 0;
  uint32_t header[2];
  read_exactly(in, header, sizeof header, path);
  if (header[0] >= RAW_TYPE_COUNT || header[1] > 8 || name_bytes > 4096) fail("not a test file", path);
  int64_t size[8];
  read_exactly(in, size, 8 * header[1], path);
  record->type = (RawType)header[0];
  record->count = 1;
  for (uint32_t i = 0; i < header[1]; i++) record->count *= (uint64_t)size[i];
  record->name = allocate(name_bytes + 1);
  read_exactly(in, record->name, name_bytes, path);
  record->name[name_bytes] = '\0';
  size_t bytes = record->count * type_bytes[record->type];
  record->data = allocate(bytes);
  read_exactly(in, record->data, bytes, path);
  return 1;
}

RawFile raw_load(const char *path) {
  FILE *in = fopen(path, "rb");
  if (!in) fail("cannot open", path);
  char found[sizeof magic];
  read_exactly(in, found, sizeof found, path);
  if (memcmp(found, magic, sizeof magic) != 0) fail("not a test file", path);
  RawFile file = {0};
  size_t capacity = 0;
  for (;;) {
    if (file.count == capacity) {
      capacity = capacity ? 2 * capacity : 64;
      file.records = realloc(file.records, capacity * sizeof *file.records);
      if (!file.records) fail("no memory for", path);
    }
    if (!read_record(in, path, &file.records[file.count])) break;
    file.count++;
  }
  fclose(in);
  return file;
}

void raw_release(RawFile *file) {
  for (size_t i = 0; i < file->count; i++) {
    free(file->records[i].name);
    free(file->records[i].data);
  }
  free(file->records);
  *file = (RawFile){0};
}

static const void *find_record(const RawFile *file, RawType type, uint64_t count, const char *name) {
  for (size_t i = 0; i < file->count; i++) {
    const RawRecord *record = &file->records[i];
    if (strcmp(record->name, name) != 0) continue;
    if (record->type != type) fail("wrong type of", name);
    if (count > 0 && record->count != count) fail("wrong number of elements in", name);
    return record->data;
  }
  return NULL;
}

#define FORMAT_NAME(name, format)                                                                \
  char name[4096];                                                                               \
  va_list arguments;                                                                             \
  va_start(arguments, format);                                                                   \
  if (vsnprintf(name, sizeof name, format, arguments) >= (int)sizeof name) fail("long name", format); \
  va_end(arguments)

const void *raw_find(const RawFile *file, RawType type, uint64_t count, const char *format, ...) {
  FORMAT_NAME(name, format);
  return find_record(file, type, count, name);
}

const void *raw_get(const RawFile *file, RawType type, uint64_t count, const char *format, ...) {
  FORMAT_NAME(name, format);
  const void *data = find_record(file, type, count, name);
  if (!data) fail("the test input lacks", name);
  return data;
}

FILE *raw_create(const char *path) {
  FILE *out = fopen(path, "wb");
  if (!out) fail("cannot create", path);
  fwrite(magic, 1, sizeof magic, out);
  return out;
}

void raw_write(FILE *out, RawType type, int rank, const int64_t *size, const void *data, const char *format, ...) {
  FORMAT_NAME(name, format);
  uint32_t header[3] = {(uint32_t)strlen(name), (uint32_t)type, (uint32_t)rank};
  uint64_t count = 1;
  for (int i = 0; i < rank; i++) count *= (uint64_t)size[i];
  fwrite(header, sizeof header, 1, out);
  fwrite(size, sizeof *size, (size_t)rank, out);
  fwrite(name, 1, header[0], out);
  fwrite(data, type_bytes[type], count, out);
}

void raw_close(FILE *out) {
  int failed = ferror(out);
  if (fclose(out) != 0 || failed) fail("cannot write", "the test output");
}
