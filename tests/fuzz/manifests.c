// libFuzzer target: any bytes as a manifest of pictures, the first byte drawing the kind of table. What reads gives
// pictures whose keys lead nowhere out of a folder, and the same columns row by row; all else is refused with a line.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/data/keys.h"
#include "compiler/data/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
  if (!holds) abort();
}

// A manifest's kind is told by its name: links to a file in memory, which lie in a folder of this process's own.
static const char *link_of(unsigned kind, int file) {
  static const char *const suffixes[] = {"csv", "tsv", "jsonl"};
  static char folder[] = "manifest-XXXXXX", path[64];
  char target[64];
  static int made;
  if (!made) expect(mkdtemp(folder) != NULL);
  made = 1;
  snprintf(path, sizeof path, "%s/m.%s", folder, suffixes[kind % 3]);
  snprintf(target, sizeof target, "/proc/self/fd/%d", file);
  unlink(path);
  expect(symlink(target, path) == 0);
  return path;
}

static void rows_read(Arena *arena, const DataSamples *samples) {
  const char **keys = data_keys_make(arena, samples);
  expect(keys != NULL);
  for (size_t i = 0; i < samples->count; i++) {
    DataFacts facts = {0};
    const char *left;
    if (samples->items[i].damage != NULL) continue;  // it is left out
    expect(keys[i][0] != '\0' && keys[i][0] != '/' && strstr(keys[i], "/../") == NULL);
    expect(data_companions_read(&samples->items[i], &facts, &left) == SEER_OK && json_is_object(facts.columns));
    data_facts_release(&facts);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  int file = memfd_create("manifest", MFD_CLOEXEC);
  expect(file >= 0 && write(file, data + 1, size - 1) == (ssize_t)size - 1);
  const char *path = link_of(data[0], file);
  Arena *arena = arena_make("manifest");
  DataSamples samples = {0};
  seer_error_clear();
  SeerStatus status = data_manifest_gather(arena, path, &samples);
  expect(status == SEER_OK || (status == SEER_INPUT && strstr(seer_error(), path) != NULL));
  if (status == SEER_OK) rows_read(arena, &samples);
  arena_release(arena);
  close(file);
  return 0;
}
