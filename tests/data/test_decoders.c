// Decoders on damaged bytes: 20,000 mutants of every format, EXIF readers on every cut, limits. Nothing may
// crash, leak or read out of bounds (run under AddressSanitizer), and every failure must give a reason.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cm.h"
#include "runtime/data/decode.h"
#include "runtime/random.h"

enum { MUTANTS = 20000 };

static const char *pictures_folder;

typedef struct Sample {
  uint8_t *bytes;
  size_t count;
  char name[300];
} Sample;

static Sample sample_load(const char *folder, const char *name) {
  Sample sample;
  snprintf(sample.name, sizeof sample.name, "%s/%s/%s", pictures_folder, folder, name);
  FILE *file = fopen(sample.name, "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  sample.count = (size_t)ftell(file);
  rewind(file);
  sample.bytes = malloc(sample.count + 1);
  assert_non_null(sample.bytes);
  assert_int_equal(fread(sample.bytes, 1, sample.count, file), sample.count);
  fclose(file);
  return sample;
}

// Decodes a copy of exactly this length plus padding, so that the sanitizer sees any read beyond.
static bool decode_copy(const uint8_t *bytes, size_t count, SeerPicture *picture) {
  uint8_t *copy = calloc(1, count + SEER_BUFFER_PADDING);
  const char *reason = NULL;
  assert_non_null(copy);
  memcpy(copy, bytes, count);
  bool decoded = seer_decode(copy, count, 1 << 20, picture, &reason);
  assert_true(decoded || (reason != NULL && reason[0] != '\0'));
  assert_true(!decoded || (picture->width > 0 && picture->height > 0));
  free(copy);
  return decoded;
}

static size_t mutate(uint8_t *bytes, size_t count, size_t room, SeerRandom *random) {
  int changes = 1 + (int)seer_random_below(random, 4);
  for (int i = 0; i < changes && count > 0; i++) {
    size_t at = seer_random_below(random, (uint32_t)count);
    if (seer_random_below(random, 4) == 0) {
      at = at % 64;  // headers are where parsers go wrong
    }
    at = at < count ? at : count - 1;
    switch (seer_random_below(random, 6)) {
      case 0: bytes[at] ^= (uint8_t)(1u << seer_random_below(random, 8)); break;
      case 1: bytes[at] = (uint8_t)seer_random_word(random); break;
      case 2: count = at; break;
      case 3: bytes[at] = seer_random_below(random, 2) != 0 ? 0xFF : 0; break;
      case 4: {
        size_t length = seer_random_below(random, 16);
        length = length < count - at ? length : count - at;
        memmove(bytes + at, bytes + at + length, count - at - length);
        count -= length;
        break;
      }
      default: {
        size_t length = seer_random_below(random, 16);
        length = length < room - count ? length : room - count;
        memmove(bytes + at + length, bytes + at, count - at);
        count += length;
        break;
      }
    }
  }
  return count;
}

// Checksums of PNG's chunks as they are now: a mutant would seldom get past them.
static void png_repair(uint8_t *bytes, size_t count) {
  for (size_t at = 8; at + 12 <= count;) {
    size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (length > count - at - 12) { return; }
    uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, (unsigned)length + 4);
    for (int i = 0; i < 4; i++) { bytes[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i)); }
    at += 12 + length;
  }
}

static void sample_mutate(const Sample *sample, int from, int to, SeerPicture *picture, int *decoded) {
  size_t room = sample->count + 64;
  uint8_t *bytes = malloc(room);
  assert_non_null(bytes);
  assert_true(decode_copy(sample->bytes, sample->count, picture));
  for (int i = from; i < to; i++) {
    SeerRandom random = seer_random_make(11, SEER_STREAM_STEP, 0, (uint64_t)i, sample->bytes[0]);
    memcpy(bytes, sample->bytes, sample->count);
    memset(bytes + sample->count, 0, room - sample->count);
    size_t count = mutate(bytes, sample->count, room, &random);
    if (sample->bytes[0] == 0x89 && i % 8 != 0) { png_repair(bytes, count); }
    *decoded += decode_copy(bytes, count, picture);
  }
  free(bytes);
}

// Of all pictures whose first byte is this, MUTANTS together.
static void format_mutate(const char *name, uint8_t first) {
  Sample samples[100];
  int count = 0, decoded = 0;
  static const char *const folders[] = {"formats", "orientations"};
  for (size_t i = 0; i < 2; i++) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", pictures_folder, folders[i]);
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
      if (entry->d_name[0] == '.' || strstr(entry->d_name, ".npy") != NULL) { continue; }
      assert_in_range(count, 0, 99);
      samples[count] = sample_load(folders[i], entry->d_name);
      if (samples[count].bytes[0] == first) {
        count++;
      } else {
        free(samples[count].bytes);
      }
    }
    closedir(listing);
  }
  SeerPicture picture = {0};
  for (int i = 0; i < count; i++) {
    sample_mutate(&samples[i], MUTANTS * i / count, MUTANTS * (i + 1) / count, &picture, &decoded);
    free(samples[i].bytes);
  }
  seer_picture_release(&picture);
  print_message("%s: %d mutants of %d pictures, %d still decode\n", name, MUTANTS, count, decoded);
  assert_true(count >= 8 && decoded < MUTANTS / 2 && decoded > MUTANTS / 100);
}

static void test_jpeg_mutants(void **state) {
  format_mutate("JPEG", 0xFF);
  (void)state;
}

static void test_png_mutants(void **state) {
  format_mutate("PNG", 0x89);
  (void)state;
}

static void test_webp_mutants(void **state) {
  format_mutate("WebP", 'R');
  (void)state;
}

// Every cut of a file is a failure: the end is part of every format.
static void test_truncation(void **state) {
  static const char *const names[] = {"baseline.jpg", "progressive.jpg", "rgb.png",        "palette.png",
                                      "lossy.webp",   "lossless.webp",   "interlaced.png", "cmyk.jpg"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    Sample sample = sample_load("formats", names[i]);
    SeerPicture picture = {0};
    assert_true(decode_copy(sample.bytes, sample.count, &picture));
    size_t step = sample.count / 40 + 1;
    for (size_t count = 0; count + 4 < sample.count; count += step) {
      assert_false(decode_copy(sample.bytes, count, &picture));
    }
    seer_picture_release(&picture);
    free(sample.bytes);
  }
  (void)state;
}

static void test_limits(void **state) {
  Sample sample = sample_load("formats", "rgb.png");
  uint8_t *padded = calloc(1, sample.count + SEER_BUFFER_PADDING);
  const char *reason = NULL;
  SeerPicture picture = {0};
  assert_non_null(padded);
  memcpy(padded, sample.bytes, sample.count);
  assert_true(seer_decode(padded, sample.count, 97 * 61, &picture, &reason));
  assert_false(seer_decode(padded, sample.count, 97 * 61 - 1, &picture, &reason));
  assert_string_equal(reason, "97 x 61 pixels are more than data.max_pixels");
  assert_false(seer_decode(padded, 0, 1 << 20, &picture, &reason));
  assert_string_equal(reason, "is empty");
  assert_false(seer_decode((const uint8_t *)"GIF89a..................", 8, 1 << 20, &picture, &reason));
  assert_string_equal(reason, "does not start like a JPEG, PNG or WebP");
  seer_picture_release(&picture);
  free(padded);
  free(sample.bytes);
  (void)state;
}

static void test_exif(void **state) {
  // "MM", one entry: orientation 6.
  static const uint8_t sound[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0};
  assert_int_equal(seer_exif_orientation(sound, sizeof sound), 6);
  for (size_t count = 0; count < sizeof sound - 6; count++) {
    uint8_t *cut = malloc(count + 1);
    assert_non_null(cut);
    memcpy(cut, sound, count);
    int orientation = seer_exif_orientation(cut, count);
    assert_true(orientation == 1 || orientation == 6);
    free(cut);
  }
  uint8_t changed[sizeof sound];
  for (size_t at = 0; at < sizeof sound; at++) {
    for (int value = 0; value < 256; value++) {
      memcpy(changed, sound, sizeof sound);
      changed[at] = (uint8_t)value;
      int orientation = seer_exif_orientation(changed, sizeof changed);
      assert_true(orientation >= 1 && orientation <= 8);
    }
  }
  static const uint8_t far_directory[] = {'I', 'I', 42, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0};
  assert_int_equal(seer_exif_orientation(far_directory, sizeof far_directory), 1);
  (void)state;
}

static void test_white(void **state) {
  uint8_t pixels[] = {10, 20, 30, 0, 10, 20, 30, 255, 0, 100, 255, 128};
  seer_compose_over_white(pixels, 3);
  static const uint8_t expected[] = {255, 255, 255, 10, 20, 30, 127, 177, 255};
  assert_memory_equal(pixels, expected, sizeof expected);
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_jpeg_mutants), cmocka_unit_test(test_png_mutants), cmocka_unit_test(test_webp_mutants),
      cmocka_unit_test(test_truncation),   cmocka_unit_test(test_limits),      cmocka_unit_test(test_exif),
      cmocka_unit_test(test_white),
  };
  if (count < 2) { return 2; }
  pictures_folder = arguments[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
