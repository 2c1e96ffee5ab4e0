// One walk over the headers of a tar archive: ustar, GNU long names, pax 'path' and 'size'. Members are only
// ever read in place, never written anywhere. Links, devices, folders and sparse files are passed over. Every header's
// checksum is verified; a name or size that no honest archive holds is an error that names the member.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/tar.h"

enum { BLOCK = 512, MAX_PAX = 1 << 20 };

// Offsets of fields in a header.
enum {
  AT_NAME = 0,
  NAME_BYTES = 100,
  AT_SIZE = 124,
  SIZE_BYTES = 12,
  AT_CHECKSUM = 148,
  CHECKSUM_BYTES = 8,
  AT_TYPE = 156,
  AT_MAGIC = 257,
  AT_PREFIX = 345,
  PREFIX_BYTES = 155,
  AT_GNU_EXTENDED = 482,
  AT_EXTENSION_EXTENDED = 504
};

typedef struct TarReader {
  const char *path;
  int file;
  uint64_t offset, file_bytes;            // offset: of the next header
  char name[SEER_TAR_NAME_MAX + 1];       // of the member at hand
  char next_name[SEER_TAR_NAME_MAX + 1];  // said by a GNU or pax header for the next member; "": nothing
  uint64_t next_size;                     // said by a pax header; UINT64_MAX: nothing
  bool next_sparse;
  uint8_t *extra;  // content of a pax header
} TarReader;

static SeerStatus tar_fail(const TarReader *tar, const char *what) {
  return seer_fail(SEER_INPUT,
                   "'%s' is no sound tar archive: member '%s' at byte %llu %s\nnote: write the shard again with "
                   "any tar program",
                   tar->path, tar->name, (unsigned long long)tar->offset, what);
}

static SeerStatus tar_read(const TarReader *tar, void *bytes, size_t count, uint64_t offset) {
  size_t done = 0;
  while (done < count) {
    ssize_t got = pread(tar->file, (char *)bytes + done, count - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0) { return seer_fail(SEER_INPUT, "cannot read '%s': %s", tar->path, strerror(errno)); }
    if (got == 0) { return tar_fail(tar, "is cut off"); }
    done += (size_t)got;
  }
  return SEER_OK;
}

// Octal text, or GNU's big-endian binary when the top bit is set.
static bool number_parse(const uint8_t *field, size_t length, uint64_t *value) {
  *value = 0;
  if (field[0] == 0x80) {
    for (size_t i = 1; i < length; i++) {
      if (*value >> 56 != 0) { return false; }
      *value = *value << 8 | field[i];
    }
    return true;
  }
  size_t i = 0;
  while (i < length && field[i] == ' ') { i++; }
  for (; i < length && field[i] >= '0' && field[i] <= '7'; i++) {
    if (*value >> 61 != 0) { return false; }
    *value = *value << 3 | (uint64_t)(field[i] - '0');
  }
  return i == length || field[i] == ' ' || field[i] == '\0';
}

static bool checksum_holds(const uint8_t *header) {
  uint64_t expected;
  if (!number_parse(header + AT_CHECKSUM, CHECKSUM_BYTES, &expected)) { return false; }
  uint64_t sum = 0;
  int64_t signed_sum = 0;  // some old programs summed chars
  for (int i = 0; i < BLOCK; i++) {
    bool blank = i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_BYTES;
    uint8_t byte = blank ? (uint8_t)' ' : header[i];
    sum += byte;
    signed_sum += (int8_t)byte;
  }
  return expected == sum || (signed_sum >= 0 && expected == (uint64_t)signed_sum);
}

static void name_from_header(TarReader *tar, const uint8_t *header) {
  size_t length = 0;
  if (memcmp(header + AT_MAGIC, "ustar\0", 6) == 0 && header[AT_PREFIX] != '\0') {
    length = strnlen((const char *)header + AT_PREFIX, PREFIX_BYTES);
    memcpy(tar->name, header + AT_PREFIX, length);
    tar->name[length++] = '/';
  }
  size_t base = strnlen((const char *)header + AT_NAME, NAME_BYTES);
  memcpy(tar->name + length, header + AT_NAME, base);
  tar->name[length + base] = '\0';
}

static SeerStatus name_check(const TarReader *tar) {
  if (tar->name[0] == '\0') { return tar_fail(tar, "has no name"); }
  if (tar->name[0] == '/') { return tar_fail(tar, "has an absolute path"); }
  for (const char *part = tar->name; part != NULL; part = strchr(part, '/')) {
    part += *part == '/';
    if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
      return tar_fail(tar, "points outside of the archive ('..')");
    }
  }
  return SEER_OK;
}

static SeerStatus long_name_read(TarReader *tar, uint64_t content, uint64_t size) {
  if (size == 0 || size > SEER_TAR_NAME_MAX + 1) {
    return tar_fail(tar, "has a long name of an impossible length (at most 4096 bytes are read)");
  }
  char name[SEER_TAR_NAME_MAX + 1];
  SeerStatus status = tar_read(tar, name, (size_t)size, content);
  if (status != SEER_OK) { return status; }
  size_t length = strnlen(name, (size_t)size);
  if (length > SEER_TAR_NAME_MAX) {
    return tar_fail(tar, "has a long name of an impossible length (at most 4096 bytes are read)");
  }
  memcpy(tar->next_name, name, length);
  tar->next_name[length] = '\0';
  return SEER_OK;
}

static SeerStatus pax_apply(TarReader *tar, const char *key, size_t key_length, const char *value,
                            size_t value_length) {
  if (key_length == 4 && memcmp(key, "path", 4) == 0) {
    if (value_length == 0 || value_length > SEER_TAR_NAME_MAX || memchr(value, '\0', value_length) != NULL) {
      return tar_fail(tar, "has a pax path that is empty, too long or holds a zero byte");
    }
    memcpy(tar->next_name, value, value_length);
    tar->next_name[value_length] = '\0';
  } else if (key_length == 4 && memcmp(key, "size", 4) == 0) {
    uint64_t size = 0;
    for (size_t i = 0; i < value_length; i++) {
      if (value[i] < '0' || value[i] > '9' || size > (UINT64_MAX / 2 - 9) / 10) {
        return tar_fail(tar, "has a pax size that is no number");
      }
      size = size * 10 + (uint64_t)(value[i] - '0');
    }
    if (value_length == 0) { return tar_fail(tar, "has a pax size that is no number"); }
    tar->next_size = size;
  } else if (key_length >= 11 && memcmp(key, "GNU.sparse.", 11) == 0) {
    tar->next_sparse = true;
  }
  return SEER_OK;
}

// Records "LENGTH KEY=VALUE\n", LENGTH counting the whole record.
static SeerStatus pax_read(TarReader *tar, uint64_t content, uint64_t size) {
  if (size > MAX_PAX) { return tar_fail(tar, "has a pax header of more than 1 MiB"); }
  if (tar->extra == NULL && (tar->extra = malloc(MAX_PAX)) == NULL) { return seer_no_memory("a pax header"); }
  SeerStatus status = tar_read(tar, tar->extra, (size_t)size, content);
  const char *record = (const char *)tar->extra, *end = record + size;
  while (status == SEER_OK && record < end && *record != '\0') {
    size_t length = 0;
    const char *key = record;
    while (key < end && *key >= '0' && *key <= '9' && length <= MAX_PAX) {
      length = length * 10 + (size_t)(*key++ - '0');
    }
    if (key >= end || *key != ' ' || length > (size_t)(end - record) || length < (size_t)(key - record) + 3 ||
        record[length - 1] != '\n') {
      return tar_fail(tar, "has a pax header that cannot be read");
    }
    key++;
    const char *last = record + length - 1, *equals = memchr(key, '=', (size_t)(last - key));
    if (equals == NULL) { return tar_fail(tar, "has a pax header that cannot be read"); }
    status = pax_apply(tar, key, (size_t)(equals - key), equals + 1, (size_t)(last - equals - 1));
    record += length;
  }
  return status;
}

// Old GNU sparse files put blocks of a map between header and content.
static SeerStatus sparse_map_skip(TarReader *tar, const uint8_t *header, uint64_t *content) {
  uint8_t extension[BLOCK];
  bool extended = header[AT_GNU_EXTENDED] != 0;
  while (extended) {
    SeerStatus status = tar_read(tar, extension, BLOCK, *content);
    if (status != SEER_OK) { return status; }
    extended = extension[AT_EXTENSION_EXTENDED] != 0;
    *content += BLOCK;
  }
  return SEER_OK;
}

static bool is_zero_block(const uint8_t *block) {
  static const uint8_t zeros[BLOCK];
  return memcmp(block, zeros, BLOCK) == 0;
}

// What a header says, with what GNU and pax headers said before it.
static SeerStatus header_parse(TarReader *tar, const uint8_t *header, uint64_t *size, bool *sparse) {
  char type = (char)header[AT_TYPE];
  bool describes_next = type == 'L' || type == 'K' || type == 'x' || type == 'g';
  name_from_header(tar, header);
  if (!checksum_holds(header)) { return tar_fail(tar, "has a header with a wrong checksum"); }
  if (!describes_next && tar->next_name[0] != '\0') { memcpy(tar->name, tar->next_name, sizeof tar->name); }
  if (!number_parse(header + AT_SIZE, SIZE_BYTES, size)) { return tar_fail(tar, "has a size that is no number"); }
  *sparse = false;
  if (!describes_next) {
    *size = tar->next_size != UINT64_MAX ? tar->next_size : *size;
    *sparse = tar->next_sparse || type == 'S';
    tar->next_name[0] = '\0';
    tar->next_size = UINT64_MAX;
    tar->next_sparse = false;
  }
  if (type >= '1' && type <= '6') {
    *size = 0;  // links, devices and folders have no content, whatever the field says
  }
  return SEER_OK;
}

// Takes the header at tar->offset; *end when the archive ends there.
static SeerStatus header_take(TarReader *tar, SeerTarVisit *visit, void *context, bool *end) {
  uint8_t block[2 * BLOCK];
  memcpy(tar->name, "?", sizeof "?");
  uint64_t left = tar->file_bytes - tar->offset;
  size_t take = left < sizeof block ? (size_t)left : sizeof block;
  if (take == 0) {
    *end = true;
    return SEER_OK;
  }
  if (take < BLOCK) { return tar_fail(tar, "is cut off"); }
  SeerStatus status = tar_read(tar, block, take, tar->offset);
  if (status != SEER_OK || is_zero_block(block)) {
    *end = true;
    return status;
  }
  uint64_t size = 0, content = tar->offset + BLOCK;
  bool sparse = false;
  status = header_parse(tar, block, &size, &sparse);
  char type = (char)block[AT_TYPE];
  if (status == SEER_OK && type == 'S') { status = sparse_map_skip(tar, block, &content); }
  if (status != SEER_OK) { return status; }
  if (content > tar->file_bytes || size > tar->file_bytes - content) { return tar_fail(tar, "is cut off"); }
  if (type == 'L') {
    status = long_name_read(tar, content, size);
  } else if (type == 'x') {
    status = pax_read(tar, content, size);
  } else if (!sparse && (type == '0' || type == '\0' || type == '7')) {
    status = name_check(tar);
    if (status == SEER_OK) {
      size_t start_bytes = take - BLOCK < size ? take - BLOCK : (size_t)size;
      SeerTarMember member = {tar->name, content, size, block + BLOCK, start_bytes};
      while (strncmp(member.name, "./", 2) == 0) { member.name += 2; }
      status = visit(context, tar->file, &member);
    }
  }
  uint64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
  tar->offset = padded <= tar->file_bytes - content ? content + padded : tar->file_bytes;
  return status;
}

SeerStatus seer_tar_walk(const char *path, SeerTarVisit *visit, void *context, uint64_t *bytes) {
  TarReader *tar = calloc(1, sizeof *tar);
  if (tar == NULL) { return seer_no_memory("reading a shard"); }
  tar->path = path;
  tar->next_size = UINT64_MAX;
  tar->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  SeerStatus status = SEER_OK;
  if (tar->file < 0 || fstat(tar->file, &info) != 0) {
    status = seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    status = seer_fail(SEER_INPUT, "'%s' is no file", path);
  } else {
    tar->file_bytes = (uint64_t)info.st_size;
  }
  for (bool end = false; status == SEER_OK && !end;) { status = header_take(tar, visit, context, &end); }
  if (bytes != NULL) { *bytes = tar->file_bytes; }
  if (tar->file >= 0) { close(tar->file); }
  free(tar->extra);
  free(tar);
  return status;
}
