// Headers of 512 bytes; see tar_write.h.
#include "compiler/data/tar_write.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 100, PREFIX_BYTES = 155, AT_PREFIX = 345 };

// Splits a name at a '/' so that it fits the two fields of ustar.
static bool name_place(char *header, const char *name) {
  size_t length = strlen(name);
  if (length <= NAME_BYTES) {
    memcpy(header, name, length);
    return true;
  }
  for (size_t slash = length - NAME_BYTES - 1; slash < length && slash <= PREFIX_BYTES; slash++) {
    if (name[slash] != '/' || slash == 0 || slash + 1 == length) continue;
    memcpy(header + AT_PREFIX, name, slash);
    memcpy(header, name + slash + 1, length - slash - 1);
    return true;
  }
  return false;
}

static void header_print(Writer *out, const char *name, uint64_t bytes, char type) {
  char header[TAR_BLOCK_BYTES] = {0};
  if (!name_place(header, name)) memcpy(header, name, NAME_BYTES);
  snprintf(header + 100, 8, "%07o", 0644u);
  snprintf(header + 108, 8, "%07o", 0u);
  snprintf(header + 116, 8, "%07o", 0u);
  snprintf(header + 124, 12, "%011llo", (unsigned long long)bytes);
  snprintf(header + 136, 12, "%011o", 0u);
  header[156] = type;
  memcpy(header + 257,
         "ustar\0"
         "00",
         8);
  memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof header; i++) sum += (unsigned char)header[i];
  snprintf(header + 148, 8, "%06o", sum & 0777777u);
  writer_bytes(out, header, sizeof header);
}

static void content_print(Writer *out, const void *content, uint64_t bytes) {
  static const char zeros[TAR_BLOCK_BYTES];
  writer_bytes(out, content, bytes);
  writer_bytes(out, zeros, (TAR_BLOCK_BYTES - bytes % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}

// "LENGTH path=NAME\n", LENGTH counting itself.
static void pax_print(Writer *out, const char *name) {
  Writer record = {0};
  size_t rest = strlen(" path=\n") + strlen(name), length = rest + 1;
  while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length))
    length = rest + (size_t)snprintf(NULL, 0, "%zu", length);
  writer_printf(&record, "%zu path=%s\n", length, name);
  header_print(out, "PaxHeader", record.size, 'x');
  content_print(out, record.text, record.size);
  writer_release(&record);
}

size_t tar_member_print(Writer *out, const char *name, const void *content, uint64_t bytes) {
  char scratch[TAR_BLOCK_BYTES] = {0};
  if (!name_place(scratch, name)) pax_print(out, name);
  header_print(out, name, bytes, '0');
  size_t begin = out->size;
  content_print(out, content, bytes);
  return begin;
}

void tar_end_print(Writer *out) {
  static const char zeros[2 * TAR_BLOCK_BYTES];
  writer_bytes(out, zeros, sizeof zeros);
}
