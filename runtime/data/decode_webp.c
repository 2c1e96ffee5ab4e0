// WebP by libwebp: lossy and lossless, alpha composed over white; the orientation from the container's EXIF chunk.
// Animations are refused: which frame would be the picture is anyone's guess.
#include <string.h>
#include <webp/decode.h>

#include "runtime/data/decode.h"

static uint32_t little_endian(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// RIFF: "RIFF" size "WEBP", then chunks: name, size, bytes, padded to even.
static int orientation_find(const uint8_t *bytes, size_t count) {
  size_t at = 12;
  while (at <= count && count - at >= 8) {
    size_t size = little_endian(bytes + at + 4), left = count - at - 8;
    if (size > left) { return 1; }
    if (memcmp(bytes + at, "EXIF", 4) == 0) { return seer_exif_orientation(bytes + at + 8, size); }
    at += 8 + size + (size & 1);
  }
  return 1;
}

static const char *status_text(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY: return "not enough memory to decode it";
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED: return "WebP: premature end of file";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "WebP: uses an unsupported feature";
    default: return "WebP: damaged";
  }
}

bool seer_decode_webp(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture, int *orientation,
                      const char **reason) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) {
    *reason = "WebP: the library is of another version than its headers";
    return false;
  }
  VP8StatusCode status = WebPGetFeatures(bytes, count, &config.input);
  if (status != VP8_STATUS_OK) {
    *reason = status_text(status);
    return false;
  }
  if (config.input.has_animation) {
    *reason = "WebP: is an animation";
    return false;
  }
  int channels = config.input.has_alpha ? 4 : 3;
  if (!seer_picture_prepare(picture, (uint64_t)config.input.width, (uint64_t)config.input.height, channels, max_pixels,
                            reason)) {
    return false;
  }
  size_t pixels = (size_t)picture->width * (size_t)picture->height;
  config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = picture->pixels;
  config.output.u.RGBA.stride = picture->width * channels;
  config.output.u.RGBA.size = pixels * (size_t)channels;
  status = WebPDecode(bytes, count, &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) {
    *reason = status_text(status);
    return false;
  }
  if (channels == 4) { seer_compose_over_white(picture->pixels, pixels); }
  *orientation = orientation_find(bytes, count);
  return true;
}
