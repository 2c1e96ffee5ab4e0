// From the bytes of a file to a SeerPicture, with limits: hostile bytes cost bounded time and memory, and end in a
// reason.
#ifndef SEER_RUNTIME_DATA_DECODE_H
#define SEER_RUNTIME_DATA_DECODE_H

#include <stdbool.h>

#include "runtime/data/source.h"

#define SEER_MAX_FILE_BYTES ((uint64_t)512 << 20)
// A file may take 8 bytes for each pixel of data.max_pixels, more than any encoding needs, or this if it is more.
#define SEER_MIN_FILE_BYTES ((uint64_t)1 << 20)
// All that decoding holds at once is less than so many bytes for each such pixel: the file (8), the picture and its
// turned copy (4 each, with alpha), the coefficients of a progressive JPEG of four components (8); and some for rows
// and tables, whatever the picture's size.
enum { SEER_FILE_BYTES_A_PIXEL = 8, SEER_JPEG_BYTES_A_PIXEL = 8, SEER_DECODE_BYTES_A_PIXEL = 24 };
enum { SEER_DECODE_BYTES_BESIDES = 8 << 20 };
// But a lossless WebP that was made for it can have 65,536 groups of codes, and libwebp makes tables for all of them:
// (2300 + 2704) * 4 bytes each, and what tells of them. It needs 300 KB and 2^20 pixels for that.
#define SEER_WEBP_TABLE_BYTES ((uint64_t)65536 * (5004 * 4 + 1024))
enum { SEER_MAX_SIDE = 65535 };
enum { SEER_MAX_SCANS = 64 };  // a progressive JPEG may legally hold so many scans that decoding takes hours

// `bytes` must have SEER_BUFFER_PADDING readable bytes behind them. Kind by content. False with a reason on failure.
bool seer_decode(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, const char **reason);

// Width and height as stored, from the header alone. False when there are none.
bool seer_picture_size(const uint8_t *bytes, size_t count, int *width, int *height);

// Formats a reason into thread-local memory, kept until the next one of this thread.
const char *seer_decode_reason(const char *format, ...) __attribute__((format(printf, 1, 2)));

// For the decoders of single formats: checks the limit and makes room for `channels` bytes per pixel in `image`.
bool seer_picture_prepare(SeerPicture *picture, uint64_t width, uint64_t height, int channels, int64_t max_pixels,
                          const char **reason);
// By how much a decoder that can may make the picture smaller: its sides as stored, of an orientation (below).
int seer_picture_shrink(const SeerPicture *picture, int width, int height, int orientation);
// [pixels][4] RGBA to [pixels][3] over white, in place.
void seer_compose_over_white(uint8_t *pixels, size_t count);
// Orientation 1..8 in a TIFF structure as EXIF holds it; 1 when there is none or the bytes are damaged.
int seer_exif_orientation(const uint8_t *tiff, size_t count);

bool seer_decode_jpeg(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                      const char **reason);
bool seer_decode_png(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                     const char **reason);
bool seer_decode_webp(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                      const char **reason);

#endif
