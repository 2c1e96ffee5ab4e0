// A set of pictures, by number: folders (recursive), tar shards, IDX files, indices of shards (index.h), and glob and
// {a..b} patterns of them. Numbers follow the sorted order of paths, then of members, pictures of indices last; labels
// are folder names in sorted order, IDX labels, or those of the index.
//
// What counts as a picture: a file or member whose suffix says JPEG, PNG or WebP (even if its content does not decode:
// that is a damaged picture), or, under any other suffix, one whose first bytes say so. The rest is passed over.
// Hidden files and folders are passed over; a folder reached twice through links is read once. A `.tar` file inside a
// folder is a shard.
//
// A folder with a SEER_INDEX_NAME is what that index says; any other index must be named.
//
// Labels: the folder of a picture relative to the data root ("cats", "birds/owls"), none for pictures in the root
// itself; in a shard the first folder of the member's path. The data root of a pattern is the part of it that is
// spelled out: of 'photos/*' and 'photos/{cats,dogs}' it is 'photos'.
#ifndef SEER_RUNTIME_DATA_SOURCE_H
#define SEER_RUNTIME_DATA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/data/buffer.h"
#include "runtime/data/keep.h"
#include "runtime/status.h"

typedef struct SeerSource SeerSource;

// `patterns` NULL-terminated; `labels` an IDX label file or NULL. An empty set is an error that says what was looked
// at.
SeerStatus seer_source_open(const char *const *patterns, const char *labels, SeerSource **source);
// Leaves the pictures that the condition holds for, and counts, before anything else is asked of the source. Labels
// keep their numbers. `threads` and `folder` as for seer_index_keep. SEER_INPUT when none is left.
SeerStatus seer_source_keep(SeerSource *source, const SeerKeep *keep, int threads, const char *folder,
                            SeerKeepCounts *counts);

// What is taken of a picture: a box in pixels, or in sides of the picture, upright.
typedef struct SeerCut {
  double left, top, right, bottom;
  bool relative;
  bool whole;  // all of it: the rest is not looked at
  bool
      squared;  // of a box with a side at least a fifth longer than the other: its square, at the top of a high one, in
                // the middle of a wide one (as VISSL, vissl/data/disk_dataset.py, takes people's boxes)
  int least;    // pixels: a box with a shorter side is not taken
} SeerCut;

#define SEER_CUT_SMALL "the box is too small"  // how the reason begins, when it is

// A set of files that hold one picture each, in this order, one as often as it is named, without labels. Nothing is
// opened yet. `cuts` [count], or NULL: what decoding gives.
SeerStatus seer_source_list(const char *const *paths, const SeerCut *cuts, int64_t count, SeerSource **source);
void seer_source_close(SeerSource *source);
int64_t seer_source_count(const SeerSource *source);
// A hash of all names and labels in their order, and of what is known of sizes without opening files that hold one
// picture: places in shards, IDX files to the last pixel, indices whole; and of the condition.
uint64_t seer_source_hash(const SeerSource *source);
// "photos/cats/1.jpg", "a.tar:cats/1.jpg", "train.gz#17". Of a picture of an index it lasts until this thread asks for
// another.
const char *seer_source_name(const SeerSource *source, int64_t picture);
int32_t seer_source_label(const SeerSource *source, int64_t picture);  // -1: none
int seer_source_label_count(const SeerSource *source);
const char *seer_source_label_name(const SeerSource *source, int32_t label);

// Asked once, before decoding, by a decoder that can leave pixels out: by how much a picture whose sides are so long,
// upright, may be made smaller: 1, 2, 4 or 8.
typedef int SeerShrink(void *data, int width, int height);

// A decoded picture: 8-bit RGB, upright (EXIF orientation applied), alpha composed over white. Start from {0}: its
// memory is used again by the next decode, and lasts until seer_picture_release.
typedef struct SeerPicture {
  SeerShrink *shrink;  // NULL: every pixel is wanted
  void *shrink_data;
  int full_width, full_height;    // as the file has it, upright
  int width, height;              // as decoded
  uint8_t *pixels;                // [height][width][3], at least SEER_BUFFER_PADDING bytes readable after the last
  SeerBuffer image, spare, file;  // pixels lie in `image`
} SeerPicture;

// Reads and decodes; any thread. On failure (bytes that are no picture, too large, truncated, unreadable) returns
// SEER_INPUT and *reason says why, in a static or thread-local string; nothing is recorded as an error: the caller
// decides.
SeerStatus seer_source_decode(const SeerSource *source, int64_t picture, int64_t max_pixels, SeerPicture *decoded,
                              const char **reason);
void seer_picture_release(SeerPicture *picture);

// The two halves of seer_source_decode, for who reads ahead: reads the picture's bytes, *count of them and no more than
// `limit`, into `file` (none where the source holds pixels, IDX); decodes what was read into decoded->file.
SeerStatus seer_source_read(const SeerSource *source, int64_t picture, uint64_t limit, SeerBuffer *file, size_t *count,
                            const char **reason);
SeerStatus seer_source_decode_read(const SeerSource *source, int64_t picture, int64_t max_pixels, size_t count,
                                   SeerPicture *decoded, const char **reason);
// More bytes than a picture of so many pixels needs are not read.
uint64_t seer_source_byte_limit(int64_t max_pixels);
// Whether any picture has to be read from a file.
bool seer_source_reads_files(const SeerSource *source);

// Evaluation view: shorter side to `resize` (bilinear, antialiased, as Pillow; at least `size`), centre crop of `size`,
// into u8 [size][size][3]. Fails only for want of memory.
SeerStatus seer_picture_evaluate(const SeerPicture *picture, int resize, int size, uint8_t *pixels);
// The whole picture as a square, whatever its sides.
SeerStatus seer_picture_stretch(const SeerPicture *picture, int size, uint8_t *pixels);

#endif
