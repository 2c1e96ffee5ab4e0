// The inside of a SeerSource while it is filled: containers, pictures, labels and the strings they point to.
// Shared by the readers of folders, shards and IDX files, and by columns.c; nobody else includes it.
#ifndef SEER_RUNTIME_DATA_CATALOGUE_H
#define SEER_RUNTIME_DATA_CATALOGUE_H

#include <stdbool.h>

#include "runtime/data/index.h"
#include "runtime/data/source.h"

enum { SEER_MAGIC_BYTES = 16 };  // enough of a file's start to tell its kind

typedef enum SeerSuffix { SEER_SUFFIX_PICTURE, SEER_SUFFIX_TAR, SEER_SUFFIX_UNREAD, SEER_SUFFIX_OTHER } SeerSuffix;

// SEER_OWN: of a reader of the user's: reader.h.
typedef enum SeerContainerKind { SEER_FOLDER, SEER_TAR, SEER_IDX, SEER_OWN } SeerContainerKind;

typedef struct SeerContainer {
  SeerContainerKind kind;
  const char *path;
  // IDX: all pixels, [count][height][width][channels]
  uint8_t *pixels;
  int width, height, channels;
} SeerContainer;

typedef struct SeerItem {
  const char *name;
  uint64_t offset, size;  // SEER_TAR, SEER_OWN: of its bytes; SEER_IDX: offset is the index; SEER_FOLDER: neither
  int32_t container, label;
} SeerItem;

// Shards with an index: their pictures are looked up in it and take no memory here.
typedef struct SeerIndexed {
  SeerIndex *index;
  int64_t first;    // number of its first picture in the source
  int32_t *labels;  // of the source, by label of the index
} SeerIndexed;

struct SeerSource {
  SeerItem *items;
  int64_t count, capacity;
  SeerIndexed *indexed;  // their pictures come behind the items
  int indexed_count;
  int64_t total;         // pictures, once opened
  const SeerKeep *keep;  // NULL: all
  SeerContainer *containers;
  int32_t container_count, container_capacity;

  const char **labels;  // interned names; in sorted order once opened
  int32_t label_count, label_capacity;
  int32_t *label_slots;  // open addressing over `labels`; -1: free
  uint32_t slot_count;

  SeerCut *cuts;  // [count]; NULL: pictures are whole
  struct SeerStringBlock *strings;
  int64_t unread;  // files of picture kinds that seer does not read
};

// Kind of a file by its name.
SeerSuffix seer_suffix_of(const char *name);
// Whether the first bytes are those of a JPEG, PNG or WebP.
bool seer_magic_is_picture(const uint8_t *bytes, size_t count);

// All of these record an error and return non-zero (NULL) when memory runs out.
const char *seer_catalogue_string(SeerSource *source, const char *bytes, size_t length);
SeerStatus seer_catalogue_label(SeerSource *source, const char *name, size_t length, int32_t *label);
SeerStatus seer_catalogue_container(SeerSource *source, SeerContainer container, int32_t *index);
SeerStatus seer_catalogue_item(SeerSource *source, SeerItem item);
SeerStatus seer_catalogue_sort_labels(SeerSource *source);
void seer_catalogue_release(SeerSource *source);

SeerStatus seer_no_memory(const char *what);

// Leaves of a decoded picture what a cut takes. False with a reason.
bool seer_picture_cut(SeerPicture *picture, const SeerCut *cut, const char **reason);

// The readers. Each adds the pictures of `path` in sorted order.
SeerStatus seer_tar_index(SeerSource *source, const char *path);
SeerStatus seer_indexed_add(SeerSource *source, const char *path);
SeerStatus seer_idx_images(SeerSource *source, const char *path);
SeerStatus seer_idx_labels(SeerSource *source, const char *path);
bool seer_idx_is(const uint8_t *bytes, size_t count);  // plain or gzip
// Whether the user's reader takes a file, and what it does with it; with none, nothing is taken.
bool seer_reader_takes(const char *path, const uint8_t *start, size_t count);
SeerStatus seer_reader_add(SeerSource *source, const char *path);
bool seer_reader_decode(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture,
                        const char **reason);

// The index that holds a picture of the source, and its number there; NULL: it is an item.
const SeerIndexed *seer_indexed_find(const SeerSource *source, int64_t picture, int64_t *number);
// As the functions of source.h, for a picture of an index.
const char *seer_indexed_name(const SeerIndexed *indexed, int64_t number);
int32_t seer_indexed_label(const SeerIndexed *indexed, int64_t number);
// Where its bytes lie. False with a reason.
bool seer_indexed_place(const SeerIndexed *indexed, int64_t number, char *path, size_t room, SeerIndexEntry *entry,
                        const char **reason);

#endif
