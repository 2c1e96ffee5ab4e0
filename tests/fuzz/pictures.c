// libFuzzer target: any bytes as a picture. It decodes, whole and as small as the loader may ask for, or is refused
// with a reason; its size is what the header alone says. Checksums of PNG are mended in half of the inputs.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/data/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIXELS_MOST = 1 << 16 };

static void expect(bool holds) {
  if (!holds) abort();
}

static void png_repair(uint8_t *bytes, size_t count) {
  for (size_t at = 8; at + 12 <= count;) {
    size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (length > count - at - 12) return;
    uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, (unsigned)length + 4);
    for (size_t i = 0; i < 4; i++) bytes[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
    at += 12 + length;
  }
}

static int eighth(void *data, int width, int height) {
  (void)data;
  expect(width > 0 && height > 0 && (int64_t)width * height <= PIXELS_MOST);
  return 8;
}

static void decode(const uint8_t *bytes, size_t count, SeerShrink *shrink) {
  SeerPicture picture = {.shrink = shrink};
  const char *reason = NULL;
  if (seer_decode(bytes, count, PIXELS_MOST, &picture, &reason)) {
    unsigned sum = 0;
    expect(picture.width > 0 && picture.width <= picture.full_width && picture.height > 0);
    expect((int64_t)picture.full_width * picture.full_height <= PIXELS_MOST);
    for (size_t i = 0; i < (size_t)picture.width * (size_t)picture.height * 3; i++) sum += picture.pixels[i];
    expect(sum != 1 || picture.pixels != NULL);  // keeps the reads
  } else {
    expect(reason != NULL && reason[0] != '\0');
  }
  seer_picture_release(&picture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int width, height;
  uint8_t *bytes = calloc(1, size + SEER_BUFFER_PADDING);
  if (bytes == NULL) return 0;
  memcpy(bytes, data, size);
  if (size % 2 == 0 && size > 0 && bytes[0] == 0x89) png_repair(bytes, size);
  if (seer_picture_size(bytes, size, &width, &height)) expect(width > 0 && height > 0);
  decode(bytes, size, NULL);
  decode(bytes, size, eighth);
  free(bytes);
  return 0;
}
