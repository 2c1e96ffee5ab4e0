// Leaves those pictures in a source that a condition holds for: indices choose by themselves, of other pictures the
// label, the file's size and what its first bytes say of width and height are known.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"

enum { HEAD_BYTES = 1 << 16 };  // a header may stand behind metadata of any length, but seldom does

// Reads up to `room` bytes from `at`; how many.
static size_t head_read(int file, uint64_t at, uint8_t *bytes, size_t room) {
  size_t count = 0;
  while (count < room) {
    ssize_t got = pread(file, bytes + count, room - count, (off_t)(at + count));
    if (got < 0 && errno == EINTR) { continue; }
    if (got <= 0) { break; }
    count += (size_t)got;
  }
  return count;
}

static void sides_look(int file, uint64_t at, uint64_t bytes, SeerKeepFacts *facts) {
  uint64_t rooms[] = {bytes < HEAD_BYTES ? bytes : HEAD_BYTES, bytes < SEER_MAX_FILE_BYTES ? bytes : 0};
  int width, height;
  for (int i = 0; i < 2 && rooms[i] > 0 && facts->width < 0; i++) {
    if (i > 0 && rooms[1] <= rooms[0]) { break; }
    uint8_t *head = malloc((size_t)rooms[i]);
    size_t count = head != NULL ? head_read(file, at, head, (size_t)rooms[i]) : 0;
    if (seer_picture_size(head, count, &width, &height)) {
      facts->width = width;
      facts->height = height;
    }
    free(head);
  }
}

static void item_look(const void *set, int64_t picture, bool sizes, SeerKeepFacts *facts) {
  const SeerSource *source = set;
  const SeerItem *item = &source->items[picture];
  const SeerContainer *container = &source->containers[item->container];
  if (item->label >= 0) { facts->label = source->labels[item->label]; }
  if (!sizes) { return; }
  if (container->kind == SEER_IDX) {
    facts->width = container->width;
    facts->height = container->height;
    facts->bytes = (int64_t)container->width * container->height * container->channels;
    return;
  }
  bool within = container->kind == SEER_TAR || container->kind == SEER_OWN;
  int file = open(within ? container->path : item->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (file >= 0 && fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
    facts->bytes = within ? (int64_t)item->size : (int64_t)info.st_size;
    sides_look(file, within ? item->offset : 0, (uint64_t)facts->bytes, facts);
  }
  if (file >= 0) { close(file); }
}

static SeerStatus items_keep(SeerSource *source, const SeerKeep *keep, int threads, const char *folder,
                             SeerKeepCounts *counts) {
  SeerKept kept;
  SeerStatus status =
      seer_keep_look(keep, source->count, item_look, source, source->items[0].name, threads, folder, counts, &kept);
  if (status != SEER_OK) { return status; }
  int64_t count = 0;
  for (int64_t i = 0; i < source->count; i++) {
    if (seer_kept_has(&kept, i)) { source->items[count++] = source->items[i]; }
  }
  source->count = count;
  seer_kept_release(&kept);
  return SEER_OK;
}

SeerStatus seer_source_keep(SeerSource *source, const SeerKeep *keep, int threads, const char *folder,
                            SeerKeepCounts *counts) {
  SeerStatus status = SEER_OK;
  if (source->count > 0) { status = items_keep(source, keep, threads, folder, counts); }
  source->total = source->count;
  for (int i = 0; status == SEER_OK && i < source->indexed_count; i++) {
    SeerIndexed *indexed = &source->indexed[i];
    status = seer_index_keep(indexed->index, keep, threads, folder, counts);
    indexed->first = source->total;
    source->total += seer_index_count(indexed->index);
  }
  source->keep = keep;
  if (status != SEER_OK || source->total > 0) { return status; }
  char text[512];
  seer_keep_describe(keep, counts, text, sizeof text);
  return seer_fail(SEER_INPUT, "no picture is kept by '%s': %s\nnote: 'seerc data stats --by COLUMN' tells the values",
                   keep->text, text);
}
