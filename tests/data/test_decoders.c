// Decoders on damaged bytes: thousands of mutants of every format, EXIF readers on every cut, limits. Nothing may
// crash, leak or read out of bounds (run under AddressSanitizer), and every failure must give a reason.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "runtime/data/decode.h"
#include "runtime/random.h"

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

static void mutate_folder(const char *folder, int mutants, int *tried, int *decoded) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", pictures_folder, folder);
  DIR *listing = opendir(path);
  assert_non_null(listing);
  SeerPicture picture = {0};
  uint64_t file_number = 0;
  for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
    if (entry->d_name[0] == '.' || strstr(entry->d_name, ".npy") != NULL) { continue; }
    Sample sample = sample_load(folder, entry->d_name);
    size_t room = sample.count + 64;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    assert_true(decode_copy(sample.bytes, sample.count, &picture));
    SeerRandom random = seer_random_make(11, SEER_STREAM_STEP, 0, file_number++, 0);
    for (int i = 0; i < mutants; i++) {
      memcpy(bytes, sample.bytes, sample.count);
      memset(bytes + sample.count, 0, room - sample.count);
      *decoded += decode_copy(bytes, mutate(bytes, sample.count, room, &random), &picture);
      (*tried)++;
    }
    free(bytes);
    free(sample.bytes);
  }
  seer_picture_release(&picture);
  closedir(listing);
}

static void test_mutants(void **state) {
  int tried = 0, decoded = 0;
  mutate_folder("formats", 100, &tried, &decoded);
  mutate_folder("orientations", 20, &tried, &decoded);
  print_message("%d mutants, %d still decode\n", tried, decoded);
  assert_true(tried >= 3000);
  assert_true(decoded < tried / 2);  // damage is found out, mostly
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

// A progressive JPEG with its last scan repeated beyond the limit.
static void test_scan_limit(void **state) {
  Sample sample = sample_load("formats", "progressive.jpg");
  size_t scan = 0;
  for (size_t i = 0; i + 1 < sample.count; i++) {
    if (sample.bytes[i] == 0xFF && sample.bytes[i + 1] == 0xDA) { scan = i; }
  }
  assert_true(scan > 0);
  size_t scan_bytes = sample.count - 2 - scan, room = sample.count + scan_bytes * 80;
  uint8_t *bytes = malloc(room + SEER_BUFFER_PADDING);
  assert_non_null(bytes);
  memcpy(bytes, sample.bytes, sample.count - 2);
  size_t count = sample.count - 2;
  for (int i = 0; i < 80; i++, count += scan_bytes) { memcpy(bytes + count, sample.bytes + scan, scan_bytes); }
  memcpy(bytes + count, "\xFF\xD9", 2);
  memset(bytes + count + 2, 0, SEER_BUFFER_PADDING);
  SeerPicture picture = {0};
  const char *reason = NULL;
  assert_false(seer_decode(bytes, count + 2, 1 << 20, &picture, &reason));
  assert_true(strstr(reason, "64 scans") != NULL || strstr(reason, "JPEG:") != NULL);
  seer_picture_release(&picture);
  free(bytes);
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
      cmocka_unit_test(test_mutants),    cmocka_unit_test(test_truncation), cmocka_unit_test(test_limits),
      cmocka_unit_test(test_scan_limit), cmocka_unit_test(test_exif),       cmocka_unit_test(test_white),
  };
  if (count < 2) { return 2; }
  pictures_folder = arguments[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
