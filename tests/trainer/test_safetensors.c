// The safetensors reader against hostile headers, each a rule of its own; and writer against reader.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/safetensors.h"

static char file_path[64];

static void file_make(const void *bytes, size_t count) {
  FILE *file = fopen(file_path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, count, file), count);
  assert_int_equal(fclose(file), 0);
}

// A file of this header and `data` zero bytes; `claimed` < 0: the true header length.
static void header_make(const char *header, size_t length, long long claimed, size_t data) {
  unsigned char *bytes = calloc(1, 8 + length + data);
  uint64_t size = claimed < 0 ? length : (uint64_t)claimed;
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(size >> (8 * i));
  memcpy(bytes + 8, header, length);
  file_make(bytes, 8 + length + data);
  free(bytes);
}

#define T(name, dtype, shape, offsets) \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

typedef struct Hostile {
  const char *header;
  size_t data;
  long long claimed;
  const char *expected;
} Hostile;

static const Hostile hostile[] = {
    {"", 0, -1, "does not start with '{'"},
    {"{}", 0, 3, "header claims 3 bytes"},
    {"{}", 0, 0x7fffffffffffffffLL, "header claims"},
    {"{}", 1, -1, "1 bytes follow the last tensor"},
    {" {}", 0, -1, "does not start with '{'"},
    {"{}\n", 0, -1, "does not end with '}'"},
    {"{}x", 0, -1, "does not end with '}'"},
    {"[]", 0, -1, "does not start with '{'"},
    {"{", 0, -1, "does not end with '}'"},
    {"{\"a\":}", 0, -1, "no JSON"},
    {"{\"a\":1}", 0, -1, "'a' is no object"},
    {"{\"a\":null}", 0, -1, "'a' is no object"},
    {"{\"a\":{}}", 0, -1, "has no dtype"},
    {"{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, -1, "has no dtype"},
    {"{" T("a", "F33", "[1]", "[0,4]") "}", 4, -1, "unknown dtype"},
    {"{" T("a", "f32", "[1]", "[0,4]") "}", 4, -1, "unknown dtype"},
    {"{" T("a", "F32", "1", "[0,4]") "}", 4, -1, "has no shape"},
    {"{" T("a", "F32", "[1.0]", "[0,4]") "}", 4, -1, "not of whole numbers"},
    {"{" T("a", "F32", "[\"1\"]", "[0,4]") "}", 4, -1, "not of whole numbers"},
    {"{" T("a", "F32", "[-1]", "[0,4]") "}", 4, -1, "not of whole numbers"},
    {"{" T("a", "F32", "[true]", "[0,4]") "}", 4, -1, "not of whole numbers"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, -1, "more than 8 dimensions"},
    {"{" T("a", "F32", "[4611686018427387904,4]", "[0,0]") "}", 0, -1, "too large"},
    {"{" T("a", "F32", "[9223372036854775807]", "[0,0]") "}", 0, -1, "too large"},
    {"{" T("a", "F32", "[99999999999999999999]", "[0,4]") "}", 4, -1, "no JSON"},
    {"{" T("a", "F32", "[1]", "[0]") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "[0,4,8]") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "[4,0]") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "[-4,0]") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "[0.0,4.0]") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "\"0,4\"") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[1]", "null") "}", 4, -1, "no sound 'data_offsets'"},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 4, -1, "beyond the end"},
    {"{" T("a", "F32", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4, -1, "beyond the end"},
    {"{" T("a", "F32", "[2]", "[0,4]") "}", 4, -1, "its shape makes 8"},
    {"{" T("a", "F32", "[0]", "[0,4]") "}", 4, -1, "its shape makes 0"},
    {"{" T("a", "F16", "[3]", "[0,4]") "}", 4, -1, "its shape makes 6"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}", 4, -1, "overlaps"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[1]", "[4,8]") "}", 8, -1, "overlaps"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[8,12]") "}", 12, -1, "hole before tensor 'b'"},
    {"{" T("a", "F32", "[1]", "[4,8]") "}", 8, -1, "hole before tensor 'a'"},
    {"{" T("a", "F32", "[1]", "[0,4]") "}", 12, -1, "8 bytes follow the last tensor"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8, -1, "no JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "no JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, -1, "keys besides"},
    {"{" T("", "F32", "[1]", "[0,4]") "}", 4, -1, "name is empty"},
    {"{" T("a\\u0000b", "F32", "[1]", "[0,4]") "}", 4, -1, "no JSON"},
    {"{" T("\xff", "F32", "[1]", "[0,4]") "}", 4, -1, "no JSON"},
    {"{\"__metadata__\":1}", 0, -1, "'__metadata__' is no object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, -1, "metadata 'a' is no string"},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, -1, "metadata 'a' is no string"},
    {"{\"a\":[[[[[[[[[]]]]]]]]]}", 0, -1, "nested deeper"},
    {"{} {}", 0, -1, "no JSON"},
    {"{\"a\":'b'}", 0, -1, "no JSON"},
    {"{/*x*/}", 0, -1, "no JSON"},
};

static void hostile_headers_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
    SeerSafetensors *file = NULL;
    header_make(hostile[i].header, strlen(hostile[i].header), hostile[i].claimed, hostile[i].data);
    seer_error_clear();
    assert_int_equal(seer_safetensors_open(file_path, &file), SEER_INPUT);
    assert_null(file);
    if (!strstr(seer_error(), hostile[i].expected))
      fail_msg("%zu: '%s' lacks '%s'", i, seer_error(), hostile[i].expected);
  }
  assert_true(sizeof hostile / sizeof hostile[0] >= 40);
  seer_error_clear();
}

static void hostile_files_are_refused(void **state) {
  (void)state;
  SeerSafetensors *file = NULL;
  for (size_t length = 0; length < 8; length++) {
    file_make("\0\0\0\0\0\0\0", length);
    assert_int_equal(seer_safetensors_open(file_path, &file), SEER_INPUT);
  }
  size_t huge = SEER_HEADER_BYTES_MAX + 1;
  char *spaces = malloc(huge);
  memset(spaces, ' ', huge);
  memcpy(spaces, "{}", 2);
  header_make(spaces, huge, -1, 0);
  seer_error_clear();
  assert_int_equal(seer_safetensors_open(file_path, &file), SEER_INPUT);
  assert_non_null(strstr(seer_error(), "more than the limit"));
  memset(spaces, '[', huge);
  memcpy(spaces, "{\"a\":", 5);
  spaces[999999] = '}';
  header_make(spaces, 1000000, -1, 0);  // a million open brackets must not reach a recursive parser
  assert_int_equal(seer_safetensors_open(file_path, &file), SEER_INPUT);
  free(spaces);
  // A zip (or any) file whose first bytes are not a sane header.
  file_make("PK\003\004\024\0\0\0\010\0{}", 12);
  assert_int_equal(seer_safetensors_open(file_path, &file), SEER_INPUT);
  assert_int_equal(seer_safetensors_open("/nowhere/at/all", &file), SEER_INPUT);
  assert_int_equal(seer_safetensors_open("/", &file), SEER_INPUT);
  seer_error_clear();
}

static void sound_headers_are_read(void **state) {
  (void)state;
  static const char *const good[] = {
      "{}",
      "{}      ",
      "{\"__metadata__\":{}}",
      "{" T("a", "F32", "[]", "[0,4]") "}",
      "{" T("a", "U8", "[2,2]", "[0,4]") "}",
      "{" T("b", "F16", "[1]", "[2,4]") "," T("a", "BF16", "[1]", "[0,2]") "}",
      "{" T("e", "F32", "[0,5]", "[0,0]") "," T("a", "F32", "[1]", "[0,4]") "}",
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    SeerSafetensors *file = NULL;
    header_make(good[i], strlen(good[i]), -1, i < 3 ? 0 : 4);
    seer_error_clear();
    if (seer_safetensors_open(file_path, &file) != SEER_OK) fail_msg("%zu: %s", i, seer_error());
    seer_safetensors_close(file);
  }
}

static SeerStatus floats_read(const SeerSafetensors *file, const char *name, float *values) {
  const SeerStored *tensor = seer_safetensors_find(file, name);
  return seer_safetensors_read_floats(file, tensor, 0, seer_stored_count(tensor), values);
}

static void written_is_read(void **state) {
  (void)state;
  const float a[] = {1, -2.5f, 3e-40f, 4, 5, 6};
  const int64_t b[] = {-1};
  SeerToStore tensors[] = {{{.name = "one \"quoted\" \xc3\xa9", .dtype = SEER_DTYPE_F32, .rank = 2, .size = {2, 3}}, a},
                           {{.name = "empty", .dtype = SEER_DTYPE_F32, .rank = 1, .size = {0}}, a},
                           {{.name = "b", .dtype = SEER_DTYPE_I64, .rank = 0}, b}};
  SeerMetadata metadata[] = {{"k", "v"}};
  uint64_t bytes = 0;
  SeerHash hash, again;
  unlink(file_path);
  assert_int_equal(seer_safetensors_write(file_path, tensors, 3, metadata, 1, &bytes, &hash), SEER_OK);
  assert_int_equal(seer_file_hash(file_path, &again), SEER_OK);
  assert_string_equal(hash.hex, again.hex);
  SeerSafetensors *file = NULL;
  assert_int_equal(seer_safetensors_open(file_path, &file), SEER_OK);
  assert_int_equal(seer_safetensors_count(file), 3);
  assert_string_equal(seer_safetensors_metadata(file, "k"), "v");
  assert_null(seer_safetensors_metadata(file, "w"));
  const SeerStored *one = seer_safetensors_find(file, tensors[0].tensor.name);
  float values[6];
  assert_non_null(one);
  assert_int_equal(seer_stored_count(one), 6);
  assert_int_equal(seer_safetensors_read_floats(file, one, 0, seer_stored_count(one), values), SEER_OK);
  assert_memory_equal(values, a, sizeof a);
  assert_int_equal(seer_safetensors_read_floats(file, one, 2, 3, values), SEER_OK);
  assert_memory_equal(values, a + 2, 3 * sizeof *values);
  assert_int_equal(floats_read(file, "b", values), SEER_INPUT);
  assert_null(seer_safetensors_find(file, "c"));
  seer_safetensors_close(file);
  seer_error_clear();
  // A name twice would make a file nobody can read.
  tensors[1].tensor.name = "b";
  unlink(file_path);
  assert_int_not_equal(seer_safetensors_write(file_path, tensors, 3, metadata, 1, &bytes, NULL), SEER_OK);
  seer_error_clear();
}

static void narrow_floats_are_widened(void **state) {
  (void)state;
  static const uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x8000, 0x03ff, 0x7bff}, brain[] = {0x3f80, 0xc040};
  static const double wide[] = {1.5};
  SeerToStore tensors[] = {{{.name = "d", .dtype = SEER_DTYPE_F64, .rank = 1, .size = {1}}, wide},
                           {{.name = "h", .dtype = SEER_DTYPE_F16, .rank = 1, .size = {7}}, half},
                           {{.name = "b", .dtype = SEER_DTYPE_BF16, .rank = 1, .size = {2}}, brain}};
  uint64_t bytes = 0;
  unlink(file_path);
  assert_int_equal(seer_safetensors_write(file_path, tensors, 3, NULL, 0, &bytes, NULL), SEER_OK);
  SeerSafetensors *file = NULL;
  assert_int_equal(seer_safetensors_open(file_path, &file), SEER_OK);
  float values[7];
  assert_int_equal(floats_read(file, "h", values), SEER_OK);
  const float expected[] = {1, -2, 0x1p-24f, 1.0f / 0.0f, -0.0f, 1023 * 0x1p-24f, 65504};
  assert_memory_equal(values, expected, sizeof expected);
  assert_int_equal(seer_safetensors_read_floats(file, seer_safetensors_find(file, "h"), 5, 2, values), SEER_OK);
  assert_memory_equal(values, expected + 5, 2 * sizeof *values);
  assert_int_equal(floats_read(file, "b", values), SEER_OK);
  assert_true(values[0] == 1.0f && values[1] == -3.0f);
  assert_int_equal(floats_read(file, "d", values), SEER_OK);
  assert_true(values[0] == 1.5f);
  seer_safetensors_close(file);
}

// Every one-byte change of a header either fails to open or opens as a sound file; sanitizers watch the rest.
static void mutated_headers_do_no_harm(void **state) {
  (void)state;
  static const char header[] = "{" T("a", "F32", "[1,2]", "[0,8]") "," T("b", "U8", "[3]", "[8,11]") "}";
  size_t length = sizeof header - 1;
  char mutant[sizeof header];
  static const char replacements[] = "{}[]\":,0919- \\x\xff";
  int opened = 0;
  for (size_t at = 0; at < length; at++) {
    for (size_t r = 0; r < sizeof replacements - 1; r++) {
      memcpy(mutant, header, length);
      mutant[at] = replacements[r];
      header_make(mutant, length, -1, 11);
      SeerSafetensors *file = NULL;
      if (seer_safetensors_open(file_path, &file) == SEER_OK) opened++;
      seer_safetensors_close(file);
      seer_error_clear();
    }
  }
  assert_in_range(opened, 1, 200);  // a changed name is still sound
}

int main(void) {
  snprintf(file_path, sizeof file_path, "safetensors-test-%ld", (long)getpid());
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hostile_headers_are_refused), cmocka_unit_test(hostile_files_are_refused),
      cmocka_unit_test(sound_headers_are_read),      cmocka_unit_test(written_is_read),
      cmocka_unit_test(narrow_floats_are_widened),   cmocka_unit_test(mutated_headers_do_no_harm),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(file_path);
  return failed;
}
