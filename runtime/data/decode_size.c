// Width and height of a picture from its header alone, as they are stored: EXIF orientation has no part in it.
#include <string.h>
#include <webp/decode.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"

static uint32_t big_endian(const uint8_t *bytes, int length) {
  uint32_t value = 0;
  for (int i = 0; i < length; i++) { value = value << 8 | bytes[i]; }
  return value;
}

// Segments: FF, marker, length, content; the frame's header is SOF0..SOF15 without DHT, JPG and DAC.
static bool jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height) {
  size_t at = 2;
  while (at + 4 <= count) {
    if (bytes[at] != 0xFF) { return false; }
    uint8_t marker = bytes[at + 1];
    if (marker == 0xFF) {  // padding
      at++;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += 2;
      continue;
    }
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      if (at + 9 > count) { return false; }
      *height = big_endian(bytes + at + 5, 2);
      *width = big_endian(bytes + at + 7, 2);
      return true;
    }
    if (marker == 0xD9 || marker == 0xDA) { return false; }
    at += 2 + (size_t)big_endian(bytes + at + 2, 2);
  }
  return false;
}

bool seer_picture_size(const uint8_t *bytes, size_t count, int *width, int *height) {
  uint32_t across = 0, down = 0;
  bool known = false;
  if (!seer_magic_is_picture(bytes, count)) { return false; }
  if (bytes[0] == 0xFF) {
    known = jpeg_size(bytes, count, &across, &down);
  } else if (bytes[0] == 0x89) {
    known = count >= 24 && memcmp(bytes + 12, "IHDR", 4) == 0;
    if (known) {
      across = big_endian(bytes + 16, 4);
      down = big_endian(bytes + 20, 4);
    }
  } else {
    int webp_width = 0, webp_height = 0;
    known = WebPGetInfo(bytes, count, &webp_width, &webp_height) != 0;
    across = (uint32_t)webp_width;
    down = (uint32_t)webp_height;
  }
  if (!known || across == 0 || down == 0 || across > SEER_MAX_SIDE || down > SEER_MAX_SIDE) { return false; }
  *width = (int)across;
  *height = (int)down;
  return true;
}
