// libFuzzer target: any bytes as the file that a user names: a tar archive, an IDX file, a picture. What opens has
// pictures with names and labels, which are read from within the file. Checksums of tar headers are mended in half of
// the inputs.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/data/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
  if (!holds) abort();
}

static void tar_repair(uint8_t *bytes, size_t count) {
  for (size_t at = 0; at + 512 <= count; at += 512) {
    unsigned sum = 0;
    char text[8];
    if (memcmp(bytes + at + 257, "ustar", 5) != 0) continue;
    memset(bytes + at + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++) sum += bytes[at + i];
    snprintf(text, sizeof text, "%06o", sum & 0777777u);
    memcpy(bytes + at + 148, text, 7);
  }
}

static void source_read(const SeerSource *source) {
  SeerBuffer file = {0};
  size_t count;
  const char *reason = NULL;
  expect(seer_source_count(source) > 0);
  for (int64_t i = 0; i < seer_source_count(source) && i < 64; i++) {
    int32_t label = seer_source_label(source, i);
    const char *name = seer_source_name(source, i);
    expect(name != NULL && name[0] != '\0' && label >= -1 && label < seer_source_label_count(source));
    expect(strstr(name, "/../") == NULL);
    if (label >= 0) expect(seer_source_label_name(source, label) != NULL);
    // Of this file all is there: a member cannot be cut off, nor be larger than what it lies in.
    expect(seer_source_read(source, i, (uint64_t)1 << 30, &file, &count, &reason) == SEER_OK);
  }
  seer_source_hash(source);
  seer_buffer_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  const char *patterns[] = {path, NULL};
  uint8_t *bytes = malloc(size + 1);
  int file = memfd_create("archive", MFD_CLOEXEC);
  expect(bytes != NULL && file >= 0);
  memcpy(bytes, data, size);
  if (size % 1024 < 512) tar_repair(bytes, size);
  expect(write(file, bytes, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  SeerSource *source = NULL;
  seer_error_clear();
  SeerStatus status = seer_source_open(patterns, NULL, &source);
  expect(status == SEER_OK || (status == SEER_INPUT && seer_error()[0] != '\0'));
  if (status == SEER_OK) source_read(source);
  seer_source_close(source);
  close(file);
  free(bytes);
  return 0;
}
