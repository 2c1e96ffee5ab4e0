// NumPy's npy files; see keyed_vectors.h. The header is a Python dictionary, of which only the three known keys are
// understood, and nothing but them may be there.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/keyed_vectors.h"
#include "runtime/files.h"
#include "runtime/narrow.h"

#define NPY_BYTES_MAX ((uint64_t)64 << 30)

typedef struct NpyHeader {
  int bytes;  // of a number: 2, 4, 8
  bool columns_first;
  int64_t size[2];
  uint64_t data_at;
} NpyHeader;

static void blanks_skip(const char **at) {
  while (**at == ' ' || **at == '\n') ++*at;
}

static bool word_take(const char **at, const char *word) {
  blanks_skip(at);
  size_t length = strlen(word);
  if (strncmp(*at, word, length) != 0) return false;
  *at += length;
  return true;
}

static bool quote_take(const char **at, char *text, size_t bytes) {
  blanks_skip(at);
  char quote = **at;
  const char *end = quote == '\'' || quote == '"' ? strchr(*at + 1, quote) : NULL;
  if (!end || (size_t)(end - *at) > bytes) return false;
  size_t length = (size_t)(end - *at) - 1;
  memcpy(text, *at + 1, length);
  text[length] = '\0';
  *at = end + 1;
  return true;
}

static bool number_take(const char **at, int64_t *number) {
  blanks_skip(at);
  if (!isdigit((unsigned char)**at)) return false;
  for (*number = 0; isdigit((unsigned char)**at); ++*at) {
    if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, **at - '0', number))
      return false;
  }
  return true;
}

// "(1200, 768)"; any other number of dimensions is told apart from what cannot be read.
static bool shape_take(const char **at, NpyHeader *header, int *rank) {
  if (!word_take(at, "(")) return false;
  for (*rank = 0; !word_take(at, ")"); ++*rank) {
    int64_t size;
    if (!number_take(at, &size)) return false;
    if (*rank < 2) header->size[*rank] = size;
    if (!word_take(at, ",") && **at != ')') return false;
  }
  return true;
}

static bool dictionary_read(const char *at, NpyHeader *header, char *kind, size_t kind_bytes, int *rank) {
  int seen = 0;
  if (!word_take(&at, "{")) return false;
  while (!word_take(&at, "}")) {
    char key[32];
    if (!quote_take(&at, key, sizeof key) || !word_take(&at, ":")) return false;
    if (!strcmp(key, "descr") && !(seen & 1)) {
      if (!quote_take(&at, kind, kind_bytes)) return false;
      seen |= 1;
    } else if (!strcmp(key, "fortran_order") && !(seen & 2)) {
      header->columns_first = word_take(&at, "True");
      if (!header->columns_first && !word_take(&at, "False")) return false;
      seen |= 2;
    } else if (!strcmp(key, "shape") && !(seen & 4)) {
      if (!shape_take(&at, header, rank)) return false;
      seen |= 4;
    } else {
      return false;
    }
    if (!word_take(&at, ",") && (blanks_skip(&at), *at != '}')) return false;
  }
  blanks_skip(&at);
  return seen == 7 && !*at;
}

// The header's text, NUL-terminated in place of the data's first byte by the caller's copy.
static char *header_copy(const unsigned char *data, uint64_t bytes, uint64_t *data_at) {
  static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
  if (bytes < 12 || memcmp(data, magic, sizeof magic) != 0 || data[6] < 1 || data[6] > 3) return NULL;
  uint64_t at = data[6] == 1 ? 10 : 12, length = (uint64_t)data[8] | (uint64_t)data[9] << 8;
  if (data[6] > 1) length |= (uint64_t)data[10] << 16 | (uint64_t)data[11] << 24;
  if (length > bytes - at || memchr(data + at, 0, length)) return NULL;
  *data_at = at + length;
  return strndup((const char *)data + at, length);
}

static SeerStatus header_read(const char *path, const unsigned char *data, uint64_t bytes, NpyHeader *header) {
  char kind[16] = "";
  int rank = 0;
  *header = (NpyHeader){.bytes = 0};
  char *text = header_copy(data, bytes, &header->data_at);
  bool read = text && dictionary_read(text, header, kind, sizeof kind, &rank);
  free(text);
  if (!read) return seer_fail(SEER_INPUT, "'%s' is no npy file: its header cannot be read", path);
  for (char *at = kind; *at; at++) *at = isprint((unsigned char)*at) ? *at : '?';
  header->bytes = !strcmp(kind, "<f2") ? 2 : !strcmp(kind, "<f4") ? 4 : !strcmp(kind, "<f8") ? 8 : 0;
  if (!header->bytes)
    return seer_fail(SEER_INPUT,
                     "'%s' holds numbers of kind '%s', not '<f2', '<f4' or '<f8'\nnote: in Python: "
                     "numpy.save(path, array.astype('<f4'))",
                     path, kind);
  if (rank != 2 || header->size[0] < 1 || header->size[1] < 1)
    return seer_fail(SEER_INPUT, "'%s' has %d dimensions, not one row of numbers for each text", path, rank);
  int64_t wanted = header->bytes;
  if (__builtin_mul_overflow(wanted, header->size[0], &wanted) ||
      __builtin_mul_overflow(wanted, header->size[1], &wanted) || (uint64_t)wanted != bytes - header->data_at)
    return seer_fail(SEER_INPUT,
                     "'%s' is damaged: %lld x %lld numbers of %d bytes are announced, and %llu bytes are there", path,
                     (long long)header->size[0], (long long)header->size[1], header->bytes,
                     (unsigned long long)(bytes - header->data_at));
  return SEER_OK;
}

static float number_read(const unsigned char *at, int bytes) {
  uint16_t half;
  float single;
  double wide;
  if (bytes == 2) {
    memcpy(&half, at, sizeof half);
    return seer_fp16_to_float(half);
  }
  if (bytes == 4) {
    memcpy(&single, at, sizeof single);
    return single;
  }
  memcpy(&wide, at, sizeof wide);
  return (float)wide;
}

SeerStatus seer_npy_load(const char *path, int64_t *rows, int64_t *columns, float **values) {
  char *text = NULL;
  uint64_t bytes = 0;
  NpyHeader header;
  *values = NULL;
  SeerStatus status = seer_file_read(path, NPY_BYTES_MAX, &text, &bytes);
  if (status) return status;
  const unsigned char *data = (const unsigned char *)text;
  status = header_read(path, data, bytes, &header);
  if (!status && !(*values = calloc((size_t)(header.size[0] * header.size[1]), sizeof(float))))
    status = seer_fail(SEER_MACHINE, "no memory to read '%s'", path);
  for (int64_t i = 0; !status && i < header.size[0]; i++) {
    for (int64_t j = 0; j < header.size[1]; j++) {
      int64_t at = header.columns_first ? j * header.size[0] + i : i * header.size[1] + j;
      (*values)[i * header.size[1] + j] =
          number_read(data + header.data_at + (uint64_t)(at * header.bytes), header.bytes);
    }
  }
  free(text);
  *rows = header.size[0];
  *columns = header.size[1];
  return status;
}
