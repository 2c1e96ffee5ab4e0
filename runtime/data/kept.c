// Sets of pictures as bits; see kept.h.
#include "runtime/data/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/files.h"

// A file of `bytes` zeros that no folder names, and that the disk has room for.
static SeerStatus file_make(const char *folder, size_t bytes, int *file) {
  SeerPath path;
  *file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (*file < 0) {  // not every file system has such files
    SeerStatus status = seer_path_print(&path, "%s/.kept.XXXXXX", folder);
    if (status != SEER_OK) { return status; }
    *file = mkostemp(path.text, O_CLOEXEC);
    if (*file >= 0) { unlink(path.text); }
  }
  int error = *file < 0 ? errno : posix_fallocate(*file, 0, (off_t)bytes);
  if (error == 0) { return SEER_OK; }
  if (*file >= 0) { close(*file); }
  return seer_fail(SEER_MACHINE,
                   "cannot note which pictures are kept, %zu bytes, in folder '%s': %s\nnote: free some space there, "
                   "or choose another folder",
                   bytes, folder, strerror(error));
}

SeerStatus seer_kept_make(int64_t pictures, const char *folder, SeerKept *kept) {
  size_t groups = (size_t)(pictures + SEER_KEPT_GROUP - 1) / SEER_KEPT_GROUP;
  size_t bits_bytes = groups * (SEER_KEPT_GROUP / 8), bytes = bits_bytes + (groups + 1) * sizeof(uint64_t);
  *kept = (SeerKept){.pictures = pictures, .bytes = bytes};
  int file = -1;
  if (bytes > SEER_KEPT_MOST_BYTES) {
    SeerStatus status = file_make(folder, bytes, &file);
    if (status != SEER_OK) { return status; }
  }
  void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);
  int error = errno;
  if (file >= 0) { close(file); }
  if (map == MAP_FAILED) {
    return seer_fail(SEER_MACHINE, "cannot note which pictures are kept, %zu bytes: %s", bytes, strerror(error));
  }
  kept->bits = map;
  kept->before = kept->bits + bits_bytes / sizeof(uint64_t);
  return SEER_OK;
}

void seer_kept_release(SeerKept *kept) {
  if (kept->bits != NULL) { munmap(kept->bits, kept->bytes); }
  *kept = (SeerKept){0};
}

void seer_kept_count(SeerKept *kept) {
  int64_t groups = (kept->pictures + SEER_KEPT_GROUP - 1) / SEER_KEPT_GROUP;
  uint64_t count = 0;
  for (int64_t group = 0; group < groups; group++) {
    kept->before[group] = count;
    for (int i = 0; i < SEER_KEPT_GROUP / 64; i++) {
      count += (uint64_t)__builtin_popcountll(kept->bits[group * (SEER_KEPT_GROUP / 64) + i]);
    }
  }
  kept->before[groups] = count;
  kept->count = (int64_t)count;
}

int64_t seer_kept_select(const SeerKept *kept, int64_t number) {
  uint64_t wanted = (uint64_t)number;
  int64_t low = 0, high = (kept->pictures + SEER_KEPT_GROUP - 1) / SEER_KEPT_GROUP - 1;
  while (low < high) {  // the last group that no more than `number` stand before
    int64_t middle = low + (high - low + 1) / 2;
    if (kept->before[middle] <= wanted) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const uint64_t *word = kept->bits + low * (SEER_KEPT_GROUP / 64);
  wanted -= kept->before[low];
  for (uint64_t count; wanted >= (count = (uint64_t)__builtin_popcountll(*word)); word++) { wanted -= count; }
  uint64_t bits = *word;
  for (; wanted > 0; wanted--) { bits &= bits - 1; }
  return (word - kept->bits) * 64 + __builtin_ctzll(bits);
}
