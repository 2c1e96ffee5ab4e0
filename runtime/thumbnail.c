// Thumbnails for report pages: the square middle of a picture, as JPEG, in base64.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "runtime/page.h"

enum { QUALITY = 80 };

typedef struct JpegErrors {
  struct jpeg_error_mgr manager;
  jmp_buf leave;
} JpegErrors;

static void jpeg_leave(j_common_ptr info) { longjmp(((JpegErrors *)(void *)info->err)->leave, 1); }
static void jpeg_silent(j_common_ptr info) { (void)info; }

// The library allocates *bytes; the caller frees it. False when it fails.
static bool jpeg_encode(const uint8_t *pixels, int side, unsigned char **bytes, unsigned long *length) {
  struct jpeg_compress_struct info;
  JpegErrors errors;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jpeg_leave;
  errors.manager.output_message = jpeg_silent;
  if (setjmp(errors.leave)) {
    jpeg_destroy_compress(&info);
    return false;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, bytes, length);
  info.image_width = info.image_height = (JDIMENSION)side;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, QUALITY, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)info.next_scanline * (size_t)side * 3);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return true;
}

static char *base64_uri(const unsigned char *bytes, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const char prefix[] = "data:image/jpeg;base64,";
  char *text = malloc(sizeof prefix + (length + 2) / 3 * 4), *at = text;
  if (!text) return NULL;
  memcpy(at, prefix, sizeof prefix - 1);
  at += sizeof prefix - 1;
  for (size_t i = 0; i < length; i += 3) {
    unsigned word = (unsigned)bytes[i] << 16;
    if (i + 1 < length) word |= (unsigned)bytes[i + 1] << 8;
    if (i + 2 < length) word |= bytes[i + 2];
    *at++ = digits[word >> 18];
    *at++ = digits[word >> 12 & 63];
    *at++ = i + 1 < length ? digits[word >> 6 & 63] : '=';
    *at++ = i + 2 < length ? digits[word & 63] : '=';
  }
  *at = '\0';
  return text;
}

char *seer_thumbnail_uri(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, int side) {
  SeerPicture decoded = {0};
  const char *reason = NULL;
  uint8_t *pixels = malloc((size_t)side * (size_t)side * 3);
  unsigned char *jpeg = NULL;
  unsigned long length = 0;
  char *uri = NULL;
  if (pixels && seer_decoder_decode(decoder, picture, max_pixels, &decoded, &reason) == SEER_OK &&
      seer_picture_evaluate(&decoded, side, side, pixels) == SEER_OK && jpeg_encode(pixels, side, &jpeg, &length)) {
    uri = base64_uri(jpeg, length);
  }
  seer_picture_release(&decoded);
  free(pixels);
  free(jpeg);
  return uri;
}

bool seer_thumbnail_print(FILE *page, SeerDecoder *decoder, int64_t picture, int64_t max_pixels, int side,
                          const char *attributes) {
  char *uri = seer_thumbnail_uri(decoder, picture, max_pixels, side);
  if (!uri) return false;
  fprintf(page, "<img src=\"%s\" width=\"%d\" height=\"%d\" %s alt=\"", uri, side, side, attributes);
  seer_page_escape(page, seer_source_name(seer_decoder_source(decoder), picture));
  fputs("\">", page);
  free(uri);
  return true;
}
