// JPEGs decoded smaller: of the size that libjpeg promises, never where a crop would lack pixels, and views of them are
// those of the whole picture but for its finest detail.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "runtime/data/augment.h"
#include "runtime/random.h"

enum { SIZE = 64, POSITIONS = 24, SCALES = 4 };  // of sides: 1, 1/2, 1/4, 1/8

static const char *pictures_folder;
static const SeerSizeGroup groups[] = {{1, SIZE, 0.004, 0.01}, {1, SIZE, 0.02, 0.05}, {1, SIZE, 0.1, 1.0}};
static const SeerViews views = {.size_group_count = 1, .flip = 0.5, .aspect_low = 0.75, .aspect_high = 4.0 / 3.0};

typedef struct Asked {
  int position, width, height, answer;
  SeerViewDraw draw;
} Asked;

static int shrink(void *data, int width, int height) {
  Asked *asked = data;
  SeerRandom random = seer_random_make(5, SEER_STREAM_VIEWS, 0, (uint64_t)asked->position, 0);
  seer_view_draw(&views, &groups[asked->position % 3], width, height, &random, &asked->draw);
  asked->width = width;
  asked->height = height;
  asked->answer = seer_view_shrink(&asked->draw, SIZE);
  return asked->answer;
}

static double apart(const uint8_t *a, const uint8_t *b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += abs(a[i] - b[i]);
  return sum / (double)count;
}

static void check_picture(const char *name, int *seen) {
  char path[512];
  snprintf(path, sizeof path, "%s/large/%s.jpg", pictures_folder, name);
  const char *patterns[] = {path, NULL}, *reason = NULL;
  SeerSource *source;
  SeerPicture whole = {0}, small = {0};
  SeerAugmenter augmenter = {0};
  static uint8_t pixels[2][SIZE * SIZE * 3];
  assert_int_equal(seer_source_open(patterns, NULL, &source), SEER_OK);
  assert_int_equal(seer_source_decode(source, 0, 1 << 26, &whole, &reason), SEER_OK);
  for (int position = 0; position < POSITIONS; position++) {
    Asked asked = {.position = position};
    small.shrink = shrink;
    small.shrink_data = &asked;
    assert_int_equal(seer_source_decode(source, 0, 1 << 26, &small, &reason), SEER_OK);
    assert_true(asked.width == whole.width && asked.height == whole.height);
    assert_true(small.full_width == whole.width && small.full_height == whole.height);
    assert_int_equal(small.width, (whole.width + asked.answer - 1) / asked.answer);
    assert_int_equal(small.height, (whole.height + asked.answer - 1) / asked.answer);
    assert_true(asked.draw.box.width >= asked.answer * SIZE && asked.draw.box.height >= asked.answer * SIZE);
    assert_true(seer_view_apply(&augmenter, &whole, &asked.draw, SIZE, pixels[0]));
    assert_true(seer_view_apply(&augmenter, &small, &asked.draw, SIZE, pixels[1]));
    double difference = apart(pixels[0], pixels[1], sizeof pixels[0]);
    if (asked.answer == 1) assert_true(difference == 0);
    if (difference >= 4) fail_msg("%s at 1/%d: %.2f apart", name, asked.answer, difference);
    for (int i = 0; i < SCALES; i++) seen[i] += asked.answer == 1 << i;
  }
  seer_picture_release(&whole);
  seer_picture_release(&small);
  seer_augmenter_release(&augmenter);
  seer_source_close(source);
}

static void test_views_agree(void **state) {
  (void)state;
  static const char *const names[] = {"wide", "turned", "cmyk", "grey", "progressive"};
  int seen[SCALES] = {0};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_picture(names[i], seen);
  for (int i = 0; i < SCALES; i++) assert_true(seen[i] > 0);
}

// A crop at the border of a picture whose sides are no multiples of eight: what is asked for lies in what was decoded.
static void test_borders(void **state) {
  (void)state;
  SeerAugmenter augmenter = {0};
  static uint8_t pixels[SIZE * SIZE * 3];
  for (int full = 513; full <= 520; full++)
    for (int scale = 2; scale <= 8; scale *= 2) {
      SeerPicture picture = {.full_width = full, .full_height = full};
      picture.width = picture.height = (full + scale - 1) / scale;
      size_t bytes = (size_t)picture.width * (size_t)picture.width * 3;
      picture.pixels = calloc(1, bytes + SEER_BUFFER_PADDING);
      assert_non_null(picture.pixels);
      memset(picture.pixels, 77, bytes);
      for (int side = full - 9; side <= full; side++) {
        SeerViewDraw draw = {.box = {.left = full - side, .top = full - side, .width = side, .height = side}};
        assert_true(seer_view_apply(&augmenter, &picture, &draw, SIZE, pixels));
        for (int i = 0; i < SIZE * SIZE * 3; i++) assert_int_equal(pixels[i], 77);
      }
      free(picture.pixels);
    }
  seer_augmenter_release(&augmenter);
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  pictures_folder = arguments[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_views_agree), cmocka_unit_test(test_borders)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
