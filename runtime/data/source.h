// A set of pictures, by index: folders (recursive), tar shards, IDX files, and glob and {a..b} patterns of them.
// Indices follow the sorted order of paths, then of members; labels are folder names in sorted order, or IDX labels.
#ifndef SEER_RUNTIME_DATA_SOURCE_H
#define SEER_RUNTIME_DATA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/status.h"

typedef struct SeerSource SeerSource;

// `patterns` NULL-terminated; `labels` an IDX label file or NULL. An empty set is an error that says what was looked at.
SeerStatus seer_source_open(const char *const *patterns, const char *labels, SeerSource **source);
void seer_source_close(SeerSource *source);
int64_t seer_source_count(const SeerSource *source);
const char *seer_source_name(const SeerSource *source, int64_t picture);  // "photos/cats/1.jpg", "a.tar:cats/1.jpg", "train.gz#17"
int32_t seer_source_label(const SeerSource *source, int64_t picture);     // -1: none
int seer_source_label_count(const SeerSource *source);
const char *seer_source_label_name(const SeerSource *source, int32_t label);

// A decoded picture: 8-bit RGB, upright (EXIF orientation applied), alpha composed over white.
typedef struct SeerPicture {
  int width, height;
  uint8_t *pixels;   // [height][width][3]
} SeerPicture;

// Reads and decodes. On failure (bytes that are no picture, too large, truncated) *reason says why, in a static or
// thread-local string, and nothing is recorded as an error: the caller decides.
SeerStatus seer_source_decode(const SeerSource *source, int64_t picture, int64_t max_pixels, SeerPicture *decoded, const char **reason);
void seer_picture_release(SeerPicture *picture);

// Evaluation view: shorter side to `resize` (bilinear, antialiased, as Pillow), centre crop of `size`.
void seer_picture_evaluate(const SeerPicture *picture, int resize, int size, uint8_t *pixels);

#endif
