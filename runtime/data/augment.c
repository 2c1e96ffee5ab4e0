// Draws and applies views. The flip is applied last, while planes become pixels: it commutes with all that follows it
// in the recipe, bit for bit, since colour operations know no place and the blur is symmetric.
#include "runtime/data/augment.h"

#include <math.h>

#include "runtime/data/blur.h"
#include "runtime/data/colour.h"

// torchvision's RandomResizedCrop: ten tries at an area and an aspect ratio, then the largest central box whose aspect
// ratio is allowed.
static SeerBox crop_draw(const SeerViews *views, const SeerSizeGroup *group, int width, int height,
                         SeerRandom *random) {
  enum { TRIES = 10 };
  double area = (double)width * height;
  double log_low = log(views->aspect_low), log_high = log(views->aspect_high);
  for (int i = 0; i < TRIES; i++) {
    double target = area * seer_random_between(random, group->scale_low, group->scale_high);
    double aspect = exp(seer_random_between(random, log_low, log_high));
    double w = rint(sqrt(target * aspect)), h = rint(sqrt(target / aspect));
    if (w >= 1 && w <= width && h >= 1 && h <= height) {
      SeerBox box = {.width = (int)w, .height = (int)h};
      box.top = (int)seer_random_below(random, (uint32_t)(height - box.height + 1));
      box.left = (int)seer_random_below(random, (uint32_t)(width - box.width + 1));
      return box;
    }
  }
  SeerBox box = {.width = width, .height = height};
  double aspect = (double)width / height;
  if (aspect < views->aspect_low) {
    box.height = (int)rint(width / views->aspect_low);
  } else if (aspect > views->aspect_high) {
    box.width = (int)rint(height * views->aspect_high);
  }
  box.height = box.height < 1 ? 1 : box.height > height ? height : box.height;
  box.width = box.width < 1 ? 1 : box.width > width ? width : box.width;
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

static double factor_draw(SeerRandom *random, double strength) {
  return seer_random_between(random, strength < 1.0 ? 1.0 - strength : 0.0, 1.0 + strength);
}

void seer_view_draw(const SeerViews *views, const SeerSizeGroup *group, int width, int height, SeerRandom *random,
                    SeerViewDraw *draw) {
  draw->flip = seer_random_uniform(random) < views->flip;
  draw->jitter = seer_random_uniform(random) < views->jitter;
  draw->grey = seer_random_uniform(random) < views->grey;
  draw->blur = seer_random_uniform(random) < views->blur;
  draw->amount[SEER_BRIGHTNESS] = factor_draw(random, views->brightness);
  draw->amount[SEER_CONTRAST] = factor_draw(random, views->contrast);
  draw->amount[SEER_SATURATION] = factor_draw(random, views->saturation);
  draw->amount[SEER_HUE] = seer_random_between(random, -views->hue, views->hue);
  draw->sigma = seer_random_between(random, views->blur_sigma_low, views->blur_sigma_high);
  for (int i = 0; i < SEER_JITTER_COUNT; i++) {  // Fisher-Yates, inside out
    int j = (int)seer_random_below(random, (uint32_t)i + 1);
    draw->order[i] = draw->order[j];
    draw->order[j] = (SeerJitter)i;
  }
  draw->box = crop_draw(views, group, width, height, random);
}

int seer_view_shrink(const SeerViewDraw *draw, int size) {
  int side = draw->box.width < draw->box.height ? draw->box.width : draw->box.height;
  return side >= 8 * size ? 8 : side >= 4 * size ? 4 : side >= 2 * size ? 2 : 1;
}

// [begin, begin + length) of `full` pixels, where there are `count`.
static int place_shrink(int begin, int length, int full, int count, int *shrunk_length) {
  int first = (int)((int64_t)begin * count / full), end = (int)(((int64_t)(begin + length) * count + full - 1) / full);
  *shrunk_length = end - first;
  return first;
}

static SeerBox box_of(const SeerPicture *picture, SeerBox box) {
  SeerBox shrunk;
  shrunk.left = place_shrink(box.left, box.width, picture->full_width, picture->width, &shrunk.width);
  shrunk.top = place_shrink(box.top, box.height, picture->full_height, picture->height, &shrunk.height);
  return shrunk;
}

static void jitter_apply(SeerJitter jitter, uint8_t *const planes[3], size_t count, double amount) {
  switch (jitter) {
    case SEER_BRIGHTNESS: seer_adjust_brightness(planes, count, amount); break;
    case SEER_CONTRAST: seer_adjust_contrast(planes, count, amount); break;
    case SEER_SATURATION: seer_adjust_saturation(planes, count, amount); break;
    case SEER_HUE: seer_adjust_hue(planes, count, amount); break;
    case SEER_JITTER_COUNT: break;
  }
}

void seer_interleave(const uint8_t *const planes[3], int width, int height, bool flip, uint8_t *pixels) {
  for (int y = 0; y < height; y++) {
    size_t at = (size_t)y * (size_t)width;
    const uint8_t *red = planes[0] + at, *green = planes[1] + at, *blue = planes[2] + at;
    uint8_t *to = pixels + at * 3;
    if (flip) {
      for (int x = 0; x < width; x++) {
        to[3 * x] = red[width - 1 - x];
        to[3 * x + 1] = green[width - 1 - x];
        to[3 * x + 2] = blue[width - 1 - x];
      }
    } else {
      for (int x = 0; x < width; x++) {
        to[3 * x] = red[x];
        to[3 * x + 1] = green[x];
        to[3 * x + 2] = blue[x];
      }
    }
  }
}

bool seer_view_apply(SeerAugmenter *augmenter, const SeerPicture *picture, const SeerViewDraw *draw, int size,
                     uint8_t *pixels) {
  size_t count = (size_t)size * (size_t)size;
  if (!seer_buffer_reserve(&augmenter->planes, count * 3)) { return false; }
  uint8_t *memory = augmenter->planes.bytes;
  uint8_t *planes[3] = {memory, memory + count, memory + 2 * count};
  SeerBox window = {0, 0, size, size};
  SeerBox box = box_of(picture, draw->box);
  if (!seer_resample(&augmenter->resampler, picture, box, size, size, window, planes)) { return false; }
  for (int i = 0; draw->jitter && i < SEER_JITTER_COUNT; i++) {
    jitter_apply(draw->order[i], planes, count, draw->amount[draw->order[i]]);
  }
  if (draw->grey) { seer_make_grey(planes, count); }
  for (int channel = 0; draw->blur && channel < 3; channel++) {
    if (!seer_blur(planes[channel], size, size, draw->sigma, &augmenter->blur)) { return false; }
  }
  const uint8_t *read[3] = {planes[0], planes[1], planes[2]};
  seer_interleave(read, size, size, draw->flip, pixels);
  return true;
}

void seer_augmenter_release(SeerAugmenter *augmenter) {
  seer_resampler_release(&augmenter->resampler);
  seer_buffer_release(&augmenter->planes);
  seer_buffer_release(&augmenter->blur);
}

// The square in the middle of the picture as it is when it has been resized.
static SeerStatus middle_make(const SeerPicture *picture, int width, int height, int size, uint8_t *pixels) {
  SeerBox window = {
      .left = (int)rint((width - size) / 2.0), .top = (int)rint((height - size) / 2.0), .width = size, .height = size};
  SeerBox whole = {0, 0, picture->width, picture->height};
  SeerAugmenter scratch = {0};
  size_t count = (size_t)size * (size_t)size;
  bool made = seer_buffer_reserve(&scratch.planes, count * 3);
  if (made) {
    uint8_t *memory = scratch.planes.bytes;
    uint8_t *planes[3] = {memory, memory + count, memory + 2 * count};
    made = seer_resample(&scratch.resampler, picture, whole, width, height, window, planes);
    const uint8_t *read[3] = {planes[0], planes[1], planes[2]};
    if (made) { seer_interleave(read, size, size, false, pixels); }
  }
  seer_augmenter_release(&scratch);
  return made ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory to resize a picture");
}

SeerStatus seer_picture_evaluate(const SeerPicture *picture, int resize, int size, uint8_t *pixels) {
  int shorter = picture->width < picture->height ? picture->width : picture->height;
  resize = resize < size ? size : resize;
  int width = (int)((int64_t)resize * picture->width / shorter);
  int height = (int)((int64_t)resize * picture->height / shorter);
  return middle_make(picture, width, height, size, pixels);
}

SeerStatus seer_picture_stretch(const SeerPicture *picture, int size, uint8_t *pixels) {
  return middle_make(picture, size, size, size, pixels);
}
