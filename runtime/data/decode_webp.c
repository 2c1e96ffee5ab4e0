// WebP by libwebp: lossy and lossless, alpha composed over white; the orientation from the container's EXIF chunk. Of
// an animation the first frame, on its canvas.
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

// The first frame of an animation: a still picture of its own, and where it lies.
typedef struct Frame {
  const uint8_t *bytes;
  size_t count;
  uint32_t x, y;
} Frame;

static bool frame_find(const uint8_t *bytes, size_t count, Frame *frame) {
  enum { HEADER = 16 };
  size_t at = 12;
  while (at <= count && count - at >= 8) {
    size_t size = little_endian(bytes + at + 4), left = count - at - 8;
    if (size > left) { return false; }
    const uint8_t *chunk = bytes + at + 8;
    if (memcmp(bytes + at, "ANMF", 4) == 0) {
      if (size <= HEADER) { return false; }
      *frame = (Frame){chunk + HEADER, size - HEADER, (little_endian(chunk) & 0xFFFFFF) * 2,
                       (little_endian(chunk + 3) & 0xFFFFFF) * 2};
      return true;
    }
    at += 8 + size + (size & 1);
  }
  return false;
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
  Frame frame = {bytes, count, 0, 0};
  int width = config.input.width, height = config.input.height;
  bool is_animation = config.input.has_animation != 0;
  if (is_animation) {
    if (!frame_find(bytes, count, &frame)) {
      *reason = "WebP: an animation without a frame";
      return false;
    }
    status = WebPGetFeatures(frame.bytes, frame.count, &config.input);
    if (status != VP8_STATUS_OK || config.input.has_animation) {
      *reason = status_text(status);
      return false;
    }
    if ((uint64_t)frame.x + (uint64_t)config.input.width > (uint64_t)width ||
        (uint64_t)frame.y + (uint64_t)config.input.height > (uint64_t)height) {
      *reason = "WebP: a frame beyond its canvas";
      return false;
    }
  }
  int channels = config.input.has_alpha || is_animation ? 4 : 3;
  if (!seer_picture_prepare(picture, (uint64_t)width, (uint64_t)height, channels, max_pixels, reason)) { return false; }
  size_t pixels = (size_t)picture->width * (size_t)picture->height;
  size_t first = ((size_t)frame.y * (size_t)width + frame.x) * (size_t)channels;
  if (is_animation) { memset(picture->pixels, 0, pixels * 4); }
  config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = picture->pixels + first;
  config.output.u.RGBA.stride = picture->width * channels;
  config.output.u.RGBA.size = pixels * (size_t)channels - first;
  status = WebPDecode(frame.bytes, frame.count, &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) {
    *reason = status_text(status);
    return false;
  }
  if (channels == 4) { seer_compose_over_white(picture->pixels, pixels); }
  *orientation = orientation_find(bytes, count);
  return true;
}
