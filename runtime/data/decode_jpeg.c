// JPEG by libjpeg-turbo: grey, YCbCr, RGB, CMYK and YCCK (inverted when an Adobe marker says so), baseline and
// progressive, and smaller where that is enough, by a smaller inverse DCT. Damage that libjpeg would paint over
// (truncation, bad codes, lost markers) is a failure here: half a picture must not be learnt from. All of libjpeg's
// memory is its own pool, so one longjmp and a destroy leave nothing.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "runtime/data/decode.h"

typedef struct JpegDecoder {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf give_up;
  const char *reason;
  const uint8_t *bytes;
  size_t count;
  int64_t max_pixels;
  SeerPicture *picture;
  int orientation;
} JpegDecoder;

static _Noreturn void jpeg_give_up(j_common_ptr common) {
  JpegDecoder *decoder = common->client_data;
  char message[JMSG_LENGTH_MAX];
  common->err->format_message(common, message);
  decoder->reason = common->err->msg_code == JERR_NO_BACKING_STORE
                        ? "JPEG: its coefficients take more memory than those of a picture of data.max_pixels"
                        : seer_decode_reason("JPEG: %s", message);
  longjmp(decoder->give_up, 1);
}

static void jpeg_message(j_common_ptr common, int level) {
  if (level >= 0) { return; }
  switch (common->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR: return;  // the pixels are whole
    default: jpeg_give_up(common);
  }
}

static void jpeg_scan_limit(j_common_ptr common) {
  JpegDecoder *decoder = common->client_data;
  if (decoder->jpeg.input_scan_number > SEER_MAX_SCANS) {
    decoder->reason = "JPEG: more than 64 scans";
    longjmp(decoder->give_up, 1);
  }
}

static void orientation_find(JpegDecoder *decoder) {
  for (jpeg_saved_marker_ptr marker = decoder->jpeg.marker_list; marker != NULL; marker = marker->next) {
    if (marker->data_length >= 6 && memcmp(marker->data, "Exif\0", 6) == 0) {
      decoder->orientation = seer_exif_orientation(marker->data + 6, marker->data_length - 6);
      return;
    }
  }
}

static uint8_t ink_over_paper(unsigned ink, unsigned black) {
  return (uint8_t)(((255 - ink) * (255 - black) + 127) / 255);
}

static void rows_decode_cmyk(JpegDecoder *decoder) {
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  size_t width = jpeg->output_width;
  JSAMPARRAY row = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)(width * 4), 1);
  unsigned flip = jpeg->saw_Adobe_marker ? 255 : 0;
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *to = decoder->picture->pixels + jpeg->output_scanline * width * 3;
    jpeg_read_scanlines(jpeg, row, 1);
    const uint8_t *from = row[0];
    for (size_t x = 0; x < width; x++, from += 4, to += 3) {
      unsigned black = from[3] ^ flip;
      to[0] = ink_over_paper(from[0] ^ flip, black);
      to[1] = ink_over_paper(from[1] ^ flip, black);
      to[2] = ink_over_paper(from[2] ^ flip, black);
    }
  }
}

static void rows_decode_rgb(JpegDecoder *decoder) {
  enum { ROWS_AT_ONCE = 16 };
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW rows[ROWS_AT_ONCE];
    JDIMENSION count = jpeg->output_height - jpeg->output_scanline;
    count = count < ROWS_AT_ONCE ? count : ROWS_AT_ONCE;
    for (JDIMENSION i = 0; i < count; i++) {
      rows[i] = decoder->picture->pixels + (size_t)(jpeg->output_scanline + i) * jpeg->output_width * 3;
    }
    jpeg_read_scanlines(jpeg, rows, count);
  }
}

// Between setjmp and the destroy: may leave by longjmp at any call of the library.
static bool jpeg_run(JpegDecoder *decoder) {
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  jpeg_create_decompress(jpeg);
  // Of markers that are kept, and behind them of the coefficients of all scans.
  jpeg->mem->max_memory_to_use = (long)(decoder->max_pixels * SEER_JPEG_BYTES_A_PIXEL + SEER_DECODE_BYTES_BESIDES);
  decoder->progress.progress_monitor = jpeg_scan_limit;
  jpeg->progress = &decoder->progress;
  jpeg_mem_src(jpeg, decoder->bytes, (unsigned long)decoder->count);
  jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(jpeg, TRUE);
  if (!seer_picture_prepare(decoder->picture, jpeg->image_width, jpeg->image_height, 3, decoder->max_pixels,
                            &decoder->reason)) {
    return false;
  }
  orientation_find(decoder);
  jpeg->scale_num = 1;
  jpeg->scale_denom = (unsigned)seer_picture_shrink(decoder->picture, decoder->picture->width, decoder->picture->height,
                                                    decoder->orientation);
  jpeg_calc_output_dimensions(jpeg);
  decoder->picture->width = (int)jpeg->output_width;
  decoder->picture->height = (int)jpeg->output_height;
  bool cmyk = jpeg->num_components == 4;
  jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(jpeg);
  if (cmyk) {
    rows_decode_cmyk(decoder);
  } else {
    rows_decode_rgb(decoder);
  }
  jpeg_finish_decompress(jpeg);
  return true;
}

bool seer_decode_jpeg(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                      const char **reason) {
  JpegDecoder decoder = {
      .bytes = bytes, .count = count, .max_pixels = max_pixels, .picture = picture, .orientation = 1};
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.jpeg.client_data = &decoder;
  decoder.errors.error_exit = jpeg_give_up;
  decoder.errors.emit_message = jpeg_message;
  bool decoded = setjmp(decoder.give_up) == 0 && jpeg_run(&decoder);
  jpeg_destroy_decompress(&decoder.jpeg);
  if (decoded) {
    *orientation = decoder.orientation;
  } else {
    *reason = decoder.reason;
  }
  return decoded;
}
