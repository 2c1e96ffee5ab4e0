// Chooses the decoder by content, then turns the picture upright.
#include "runtime/data/decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/data/catalogue.h"

const char *seer_decode_reason(const char *format, ...) {
  static _Thread_local char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

bool seer_picture_prepare(SeerPicture *picture, uint64_t width, uint64_t height, int channels, int64_t max_pixels,
                          const char **reason) {
  if (width == 0 || height == 0) {
    *reason = "has no pixels";
    return false;
  }
  if (width > SEER_MAX_SIDE || height > SEER_MAX_SIDE) {
    *reason = seer_decode_reason("%llu x %llu pixels: a side is longer than %d", (unsigned long long)width,
                                 (unsigned long long)height, SEER_MAX_SIDE);
    return false;
  }
  if (width * height > (uint64_t)max_pixels) {
    *reason = seer_decode_reason("%llu x %llu pixels are more than data.max_pixels", (unsigned long long)width,
                                 (unsigned long long)height);
    return false;
  }
  if (!seer_buffer_reserve(&picture->image, (size_t)(width * height) * (size_t)channels)) {
    *reason = "not enough memory to decode it";
    return false;
  }
  picture->pixels = picture->image.bytes;
  picture->width = picture->full_width = (int)width;
  picture->height = picture->full_height = (int)height;
  return true;
}

static bool orientation_swaps(int orientation) { return orientation >= 5; }

int seer_picture_shrink(const SeerPicture *picture, int width, int height, int orientation) {
  if (picture->shrink == NULL) { return 1; }
  return orientation_swaps(orientation) ? picture->shrink(picture->shrink_data, height, width)
                                        : picture->shrink(picture->shrink_data, width, height);
}

void seer_compose_over_white(uint8_t *pixels, size_t count) {
  const uint8_t *from = pixels;
  for (size_t i = 0; i < count; i++, from += 4, pixels += 3) {
    unsigned alpha = from[3], white = 255 * (255 - alpha) + 127;
    unsigned red = from[0] * alpha, green = from[1] * alpha, blue = from[2] * alpha;
    pixels[0] = (uint8_t)((red + white) / 255);
    pixels[1] = (uint8_t)((green + white) / 255);
    pixels[2] = (uint8_t)((blue + white) / 255);
  }
}

typedef struct TiffReader {
  const uint8_t *bytes;
  size_t count;
  bool big_endian;
} TiffReader;

static uint32_t tiff_number(const TiffReader *tiff, size_t at, int length) {
  uint32_t value = 0;
  for (int i = 0; i < length; i++) {
    value = value << 8 | tiff->bytes[at + (size_t)(tiff->big_endian ? i : length - 1 - i)];
  }
  return value;
}

int seer_exif_orientation(const uint8_t *bytes, size_t count) {
  enum { ENTRY_BYTES = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };
  if (count >= 6 && memcmp(bytes, "Exif\0", 6) == 0) {  // some writers repeat JPEG's prefix inside PNG and WebP
    bytes += 6;
    count -= 6;
  }
  if (count < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0)) { return 1; }
  TiffReader tiff = {bytes, count, bytes[0] == 'M'};
  size_t directory = tiff_number(&tiff, 4, 4);
  if (directory > count - 2) { return 1; }
  size_t entries = tiff_number(&tiff, directory, 2);
  for (size_t i = 0, at = directory + 2; i < entries && at <= count && count - at >= ENTRY_BYTES;
       i++, at += ENTRY_BYTES) {
    if (tiff_number(&tiff, at, 2) == TAG_ORIENTATION && tiff_number(&tiff, at + 2, 2) == TYPE_SHORT) {
      uint32_t value = tiff_number(&tiff, at + 8, 2);
      return value >= 1 && value <= 8 ? (int)value : 1;
    }
  }
  return 1;
}

// Orientation says where row 0 and column 0 of the stored picture belong. Bit by bit: 5..8 swap the axes; the rest are
// mirrors of the upright axes.
static bool picture_turn(SeerPicture *picture, int orientation, const char **reason) {
  size_t width = (size_t)picture->width, height = (size_t)picture->height;
  bool swap = orientation_swaps(orientation);
  bool mirror_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  bool mirror_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  size_t upright_width = swap ? height : width, upright_height = swap ? width : height;
  if (!seer_buffer_reserve(&picture->spare, width * height * 3)) {
    *reason = "not enough memory to turn it upright";
    return false;
  }
  for (size_t y = 0; y < upright_height; y++) {
    uint8_t *to = picture->spare.bytes + y * upright_width * 3;
    size_t turned_y = mirror_y ? upright_height - 1 - y : y;
    for (size_t x = 0; x < upright_width; x++, to += 3) {
      size_t turned_x = mirror_x ? upright_width - 1 - x : x;
      const uint8_t *from = picture->pixels + (swap ? turned_x * width + turned_y : turned_y * width + turned_x) * 3;
      to[0] = from[0];
      to[1] = from[1];
      to[2] = from[2];
    }
  }
  SeerBuffer turned = picture->spare;
  picture->spare = picture->image;
  picture->image = turned;
  picture->pixels = turned.bytes;
  picture->width = (int)upright_width;
  picture->height = (int)upright_height;
  int full_width = picture->full_width;
  picture->full_width = swap ? picture->full_height : full_width;
  picture->full_height = swap ? full_width : picture->full_height;
  return true;
}

bool seer_decode(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, const char **reason) {
  int orientation = 1;
  bool decoded = false;
  if (count == 0) {
    *reason = "is empty";
  } else if (!seer_magic_is_picture(bytes, count)) {
    *reason = "does not start like a JPEG, PNG or WebP";
  } else if (bytes[0] == 0xFF) {
    decoded = seer_decode_jpeg(bytes, count, max_pixels, picture, &orientation, reason);
  } else if (bytes[0] == 0x89) {
    decoded = seer_decode_png(bytes, count, max_pixels, picture, &orientation, reason);
  } else {
    decoded = seer_decode_webp(bytes, count, max_pixels, picture, &orientation, reason);
  }
  return decoded && (orientation == 1 || picture_turn(picture, orientation, reason));
}
