// Finds rows in a buffer that holds one of the largest at least, and fields in rows; see table.h.
#include "runtime/data/table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/utf8.h"

enum { ROOM_BYTES = TABLE_ROW_BYTES_MAX + (1 << 16) };

TableKind table_kind_of(const char *path) {
  static const struct {
    const char *suffix;
    TableKind kind;
  } suffixes[] = {{".csv", TABLE_CSV}, {".tsv", TABLE_TSV}, {".jsonl", TABLE_JSONL}, {".ndjson", TABLE_JSONL}};
  size_t length = strlen(path);
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    size_t tail = strlen(suffixes[i].suffix);
    if (length > tail && strcasecmp(path + length - tail, suffixes[i].suffix) == 0) return suffixes[i].kind;
  }
  return TABLE_NONE;
}

SeerStatus table_fail(const char *path, uint64_t line, const char *what, const char *note) {
  return seer_fail(SEER_INPUT, "line %" PRIu64 " of '%s' %s%s%s", line, path, what, note != NULL ? "\nnote: " : "",
                   note != NULL ? note : "");
}

// Moves what is left to the front and reads on behind it.
static SeerStatus room_fill(TableReader *reader) {
  size_t left = reader->end - reader->start;
  memmove(reader->room, reader->room + reader->start, left);
  reader->start = 0;
  reader->end = left;
  while (!reader->at_end && reader->end < ROOM_BYTES) {
    ssize_t got = read(reader->file, reader->room + reader->end, ROOM_BYTES - reader->end);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return seer_fail(SEER_MACHINE, "cannot read '%s': %s", reader->path, strerror(errno));
    reader->at_end = got == 0;
    XXH3_128bits_update(reader->hash, reader->room + reader->end, (size_t)got);
    reader->end += (size_t)got;
  }
  return SEER_OK;
}

SeerStatus table_open(TableReader *reader, const char *path, TableKind kind) {
  struct stat info;
  *reader = (TableReader){.path = path, .kind = kind, .line = 1, .file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (reader->file < 0 || fstat(reader->file, &info) != 0)
    return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  if (!S_ISREG(info.st_mode))
    return seer_fail(SEER_INPUT, "'%s' is no regular file\nnote: rows are read more than once: write them to a file",
                     path);
  reader->room = malloc(ROOM_BYTES + 1);
  reader->hash = XXH3_createState();
  if (reader->room == NULL || reader->hash == NULL) return seer_fail(SEER_MACHINE, "out of memory for '%s'", path);
  XXH3_128bits_reset(reader->hash);
  SeerStatus status = room_fill(reader);
  if (status == SEER_OK && reader->end >= 2 &&
      (memcmp(reader->room, "\xFF\xFE", 2) == 0 || memcmp(reader->room, "\xFE\xFF", 2) == 0))
    return seer_fail(SEER_INPUT, "'%s' is UTF-16\nnote: write it as UTF-8, with 'iconv -f UTF-16 -t UTF-8'", path);
  if (reader->end >= 3 && memcmp(reader->room, "\xEF\xBB\xBF", 3) == 0) reader->start = reader->offset = 3;
  return status;
}

void table_close(TableReader *reader) {
  if (reader->file >= 0) close(reader->file);
  free(reader->room);
  XXH3_freeState(reader->hash);
  *reader = (TableReader){.file = -1};
}

void table_hash(const TableReader *reader, char hex[33]) {
  XXH128_hash_t value = XXH3_128bits_digest(reader->hash);
  snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)value.high64, (uint64_t)value.low64);
}

// The LF that ends the row at `bytes`; NULL: it is not among them.
static const char *row_end(TableKind kind, const char *bytes, size_t count) {
  const char *end = count > 0 ? memchr(bytes, '\n', count) : NULL;
  size_t plain = end != NULL ? (size_t)(end - bytes) : count;
  if (kind == TABLE_JSONL || plain == 0 || memchr(bytes, '"', plain) == NULL) return end;
  char delimiter = kind == TABLE_TSV ? '\t' : ',';
  bool quoted = false, begins = true;
  for (const char *at = bytes; at < bytes + count; at++) {
    if (quoted) {
      quoted = *at != '"';  // the first of a doubled one closes, the second opens again
      begins = !quoted;
      continue;
    }
    if (*at == '\n') return at;
    quoted = *at == '"' && begins;
    begins = *at == delimiter;
  }
  return NULL;
}

static SeerStatus row_check(const TableReader *reader, const TableRow *row) {
  if (row->length > TABLE_ROW_BYTES_MAX)
    return table_fail(reader->path, row->line, "begins a row of more than 1,048,576 bytes",
                      reader->kind == TABLE_JSONL ? NULL : "is a quote not closed?");
  const char *nul = memchr(row->bytes, '\0', row->length);
  if (nul != NULL) return table_fail(reader->path, row->line, "has a NUL byte", NULL);
  for (size_t i = 0, bytes; i < row->length; i += bytes) {
    bytes = (unsigned char)row->bytes[i] < 0x80 ? 1 : seer_utf8_length(row->bytes + i);
    if (bytes == 0)
      return table_fail(reader->path, row->line, "is no UTF-8",
                        "write it as UTF-8, with 'iconv -f LATIN1 -t UTF-8' or the like");
  }
  return SEER_OK;
}

SeerStatus table_next(TableReader *reader, TableRow *row) {
  for (;;) {
    char *bytes = reader->room + reader->start;
    size_t count = reader->end - reader->start;
    const char *end = row_end(reader->kind, bytes, count);
    *row = (TableRow){.offset = reader->offset, .line = reader->line};
    if (end == NULL && !reader->at_end && count < ROOM_BYTES) {
      SeerStatus status = room_fill(reader);
      if (status != SEER_OK) return status;
      continue;
    }
    if (end == NULL && count == 0) return SEER_OK;
    row->length = end != NULL ? (size_t)(end - bytes) : count;
    size_t taken = row->length + (end != NULL);
    reader->start += taken;
    reader->offset += taken;
    if (row->length > 0 && bytes[row->length - 1] == '\r') row->length--;
    row->bytes = bytes;
    for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(bytes + taken - at))) != NULL; at++) reader->line++;
    if (row->length == 0) continue;
    bytes[row->length] = '\0';
    return row_check(reader, row);
  }
}

int table_split(TableKind kind, char *row, size_t length, char *fields[TABLE_FIELDS_MAX], const char **fault) {
  const char delimiter = kind == TABLE_TSV ? '\t' : ',', *end = row + length;
  int count = 0;
  for (char *from = row;; from++) {
    char *to = from;
    *fault = "has more than 1,024 fields";
    if (count == TABLE_FIELDS_MAX) return -1;
    fields[count++] = to;
    if (from < end && *from == '"') {
      for (from++; from < end && (*from != '"' || from[1] == '"'); from++) {
        from += *from == '"';
        *to++ = *from;
      }
      *fault = "has a quote that is not closed";
      if (from == end) return -1;
      from++;
      *fault = "has text behind a closing quote: in a quoted field quotes are doubled";
      if (from < end && *from != delimiter) return -1;
    } else {
      to = from += strcspn(from, (char[]){delimiter, '\r', '\0'});
      *fault = "has a carriage return without a line feed";
      if (*from == '\r') return -1;
    }
    bool is_last = from == end;
    *to = '\0';
    if (is_last) break;
  }
  *fault = NULL;
  return count;
}
