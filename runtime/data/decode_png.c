// PNG by libpng: every colour type and depth becomes 8-bit RGB or RGBA, alpha is composed over white. Colour profiles
// and gamma are left alone, as every training pipeline does. Missing or wrong critical chunks are failures; what
// changes no pixel (texts, palettes to suggest) is not even unpacked, for it can be a thousand times as large as it
// looks.
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/data/decode.h"

typedef struct PngDecoder {
  png_structp png;
  png_infop info;
  jmp_buf give_up;
  const char *reason;
  const uint8_t *bytes;
  size_t count, at;
  size_t row_room;  // bytes of the file that the row at hand may still take
  int64_t max_pixels;
  SeerPicture *picture;
  int orientation;
} PngDecoder;

static _Noreturn void png_give_up(png_structp png, png_const_charp message) {
  PngDecoder *decoder = png_get_error_ptr(png);
  decoder->reason = seer_decode_reason("PNG: %s", message);
  longjmp(decoder->give_up, 1);
}

static void png_ignore(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static void png_take(png_structp png, png_bytep bytes, size_t count) {
  PngDecoder *decoder = png_get_io_ptr(png);
  if (count > decoder->count - decoder->at) { png_error(png, "premature end of file"); }
  if (count > decoder->row_room) { png_error(png, "more data than its pixels need"); }
  decoder->row_room -= count;
  memcpy(bytes, decoder->bytes + decoder->at, count);
  decoder->at += count;
}

static void orientation_find(PngDecoder *decoder) {
  png_uint_32 count = 0;
  png_bytep exif = NULL;
  if (png_get_eXIf_1(decoder->png, decoder->info, &count, &exif) != 0) {
    decoder->orientation = seer_exif_orientation(exif, count);
  }
}

static void limits_set(png_structp png) {
  enum { CHUNK_BYTES_MAX = 8 << 20, CHUNKS_MAX = 128, SIDE_MAX = 1 << 20 };
  static const png_byte wanted[] = "eXIf";
  png_set_user_limits(png, SIDE_MAX, SIDE_MAX);
  png_set_chunk_malloc_max(png, CHUNK_BYTES_MAX);
  png_set_chunk_cache_max(png, CHUNKS_MAX);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, wanted, 1);
}

// Before each row: behind the last one the library unpacks all that is left, and blocks may be empty, so that a small
// file could keep it busy for hours. A row may take twice the bytes of its pixels in the file, and ROW_BYTES_MORE.
static void row_begin(PngDecoder *decoder, size_t stored_bytes) {
  enum { ROW_BYTES_MORE = 1 << 16 };
  decoder->row_room = 2 * stored_bytes + ROW_BYTES_MORE;
}

static void rows_read(PngDecoder *decoder, int passes, png_uint_32 height, size_t row_bytes, size_t stored_bytes) {
  for (int pass = 0; pass < passes; pass++) {
    for (png_uint_32 y = 0; y < height; y++) {
      row_begin(decoder, stored_bytes);
      png_read_row(decoder->png, decoder->picture->pixels + y * row_bytes, NULL);
    }
  }
  decoder->row_room = SIZE_MAX;
}

static bool png_run(PngDecoder *decoder) {
  png_structp png = decoder->png;
  limits_set(png);
  png_set_read_fn(png, decoder, png_take);
  png_read_info(png, decoder->info);
  int color = png_get_color_type(png, decoder->info);
  bool alpha = (color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, decoder->info, PNG_INFO_tRNS) != 0;
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  int passes = png_set_interlace_handling(png);
  png_uint_32 width = png_get_image_width(png, decoder->info), height = png_get_image_height(png, decoder->info);
  if (!seer_picture_prepare(decoder->picture, width, height, alpha ? 4 : 3, decoder->max_pixels, &decoder->reason)) {
    return false;
  }
  size_t stored_bytes = png_get_rowbytes(png, decoder->info);
  png_read_update_info(png, decoder->info);
  size_t row_bytes = (size_t)width * (alpha ? 4 : 3);
  if (png_get_rowbytes(png, decoder->info) != row_bytes) { png_error(png, "unexpected layout of rows"); }
  rows_read(decoder, passes, height, row_bytes, stored_bytes);
  png_read_end(png, decoder->info);
  orientation_find(decoder);
  if (alpha) { seer_compose_over_white(decoder->picture->pixels, (size_t)width * height); }
  return true;
}

bool seer_decode_png(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                     const char **reason) {
  PngDecoder decoder = {.bytes = bytes,
                        .count = count,
                        .row_room = SIZE_MAX,
                        .max_pixels = max_pixels,
                        .picture = picture,
                        .orientation = 1,
                        .reason = "not enough memory to decode it"};
  bool decoded = false;
  if (setjmp(decoder.give_up) == 0) {
    decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, png_give_up, png_ignore);
    decoder.info = decoder.png != NULL ? png_create_info_struct(decoder.png) : NULL;
    decoded = decoder.info != NULL && png_run(&decoder);
  } else {
    decoded = false;
  }
  if (decoder.png != NULL) { png_destroy_read_struct(&decoder.png, &decoder.info, NULL); }
  if (decoded) {
    *orientation = decoder.orientation;
  } else {
    *reason = decoder.reason;
  }
  return decoded;
}
