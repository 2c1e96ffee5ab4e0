// Reads and writes safetensors; see safetensors.h.
#include "runtime/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_DEPTH_MAX = 8, NAME_BYTES_MAX = 1024 };

struct SeerSafetensors {
  int fd;
  SeerPath path;
  json_t *header;
  uint64_t data_at, data_bytes;
  int count;
  SeerStored *tensors;
};

static const struct {
  const char *name;
  uint64_t bytes;
} dtypes[] = {
#define DTYPE(NAME, bytes) {#NAME, bytes},
    SEER_DTYPES(DTYPE)
#undef DTYPE
};

const char *seer_dtype_name(SeerDtype dtype) { return dtypes[dtype].name; }
uint64_t seer_dtype_bytes(SeerDtype dtype) { return dtypes[dtype].bytes; }

uint64_t seer_stored_count(const SeerStored *tensor) {
  return (tensor->end - tensor->begin) / seer_dtype_bytes(tensor->dtype);
}

const char *seer_shape_text(char *text, size_t bytes, const int64_t *size, int rank) {
  size_t at = (size_t)snprintf(text, bytes, "[");
  for (int i = 0; i < rank && at < bytes; i++) {
    at += (size_t)snprintf(text + at, bytes - at, "%s%lld", i ? ", " : "", (long long)size[i]);
  }
  if (at < bytes) snprintf(text + at, bytes - at, "]");
  return text;
}

__attribute__((format(printf, 2, 3))) static SeerStatus damaged(const SeerSafetensors *file, const char *format, ...) {
  char reason[1536];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return seer_fail(SEER_INPUT, "'%s' is no sound safetensors file: %s", file->path.text, reason);
}

static SeerStatus bytes_read(const SeerSafetensors *file, uint64_t at, void *target, uint64_t bytes) {
  char *out = target;
  while (bytes > 0) {
    ssize_t got = pread(file->fd, out, bytes < (1u << 30) ? bytes : (1u << 30), (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return seer_fail(SEER_MACHINE, "cannot read '%s': %s", file->path.text, strerror(errno));
    if (got == 0) return damaged(file, "it ends early");
    out += got;
    at += (uint64_t)got;
    bytes -= (uint64_t)got;
  }
  return SEER_OK;
}

// The JSON library recurses per level: bound the depth before it sees a hostile header.
static int json_depth(const char *text, uint64_t bytes) {
  int depth = 0, deepest = 0;
  bool quoted = false;
  for (uint64_t i = 0; i < bytes; i++) {
    if (quoted) {
      if (text[i] == '\\')
        i++;
      else if (text[i] == '"')
        quoted = false;
    } else if (text[i] == '"') {
      quoted = true;
    } else if (text[i] == '{' || text[i] == '[') {
      if (++depth > deepest) deepest = depth;
    } else if (text[i] == '}' || text[i] == ']') {
      depth--;
    }
  }
  return deepest;
}

static SeerStatus header_parse(SeerSafetensors *file, const char *text, uint64_t bytes) {
  if (bytes == 0 || text[0] != '{') return damaged(file, "its header does not start with '{'");
  uint64_t end = bytes;
  while (text[end - 1] == ' ') end--;
  if (text[end - 1] != '}') return damaged(file, "its header does not end with '}'");
  if (json_depth(text, end) > JSON_DEPTH_MAX)
    return damaged(file, "its header is nested deeper than %d", JSON_DEPTH_MAX);
  json_error_t error;
  file->header = json_loadb(text, end, JSON_REJECT_DUPLICATES, &error);
  if (!file->header) return damaged(file, "its header is no JSON: %.120s", error.text);
  return SEER_OK;
}

static SeerStatus header_read(SeerSafetensors *file) {
  struct stat info;
  if (fstat(file->fd, &info) != 0)
    return seer_fail(SEER_MACHINE, "cannot read '%s': %s", file->path.text, strerror(errno));
  if (!S_ISREG(info.st_mode)) return damaged(file, "it is no regular file");
  uint64_t size = (uint64_t)info.st_size, length = 0;
  if (size < 8) return damaged(file, "it has %llu bytes", (unsigned long long)size);
  unsigned char prefix[8];
  SeerStatus status = bytes_read(file, 0, prefix, sizeof prefix);
  if (status) return status;
  for (int i = 7; i >= 0; i--) length = length << 8 | prefix[i];
  if (length > size - 8)
    return damaged(file, "its header claims %llu bytes, the file has %llu", (unsigned long long)length,
                   (unsigned long long)size);
  if (length > SEER_HEADER_BYTES_MAX)
    return damaged(file, "its header claims %llu bytes, more than the limit of %d", (unsigned long long)length,
                   SEER_HEADER_BYTES_MAX);
  char *text = malloc(length + 1);
  if (!text) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  status = bytes_read(file, 8, text, length);
  if (!status) status = header_parse(file, text, length);
  free(text);
  file->data_at = 8 + length;
  file->data_bytes = size - file->data_at;
  return status;
}

static SeerStatus metadata_check(const SeerSafetensors *file, const json_t *metadata) {
  if (!json_is_object(metadata)) return damaged(file, "'__metadata__' is no object");
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
    if (!json_is_string(value)) return damaged(file, "metadata '%.100s' is no string", key);
  }
  return SEER_OK;
}

static SeerStatus shape_read(const SeerSafetensors *file, const json_t *shape, SeerStored *tensor, uint64_t *bytes) {
  if (!json_is_array(shape)) return damaged(file, "tensor '%.100s' has no shape", tensor->name);
  if (json_array_size(shape) > SEER_STORED_RANK_MAX)
    return damaged(file, "tensor '%.100s' has more than %d dimensions", tensor->name, SEER_STORED_RANK_MAX);
  tensor->rank = (int)json_array_size(shape);
  *bytes = seer_dtype_bytes(tensor->dtype);
  for (int i = 0; i < tensor->rank; i++) {
    const json_t *size = json_array_get(shape, (size_t)i);
    if (!json_is_integer(size) || json_integer_value(size) < 0) {
      return damaged(file, "tensor '%.100s' has a shape that is not of whole numbers", tensor->name);
    }
    tensor->size[i] = json_integer_value(size);
    if (__builtin_mul_overflow(*bytes, (uint64_t)tensor->size[i], bytes)) {
      return damaged(file, "tensor '%.100s' is too large", tensor->name);
    }
  }
  return SEER_OK;
}

static SeerStatus range_read(const SeerSafetensors *file, const json_t *range, SeerStored *tensor, uint64_t bytes) {
  const json_t *begin = json_array_get(range, 0), *end = json_array_get(range, 1);
  if (!json_is_array(range) || json_array_size(range) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
      json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin)) {
    return damaged(file, "tensor '%.100s' has no sound 'data_offsets'", tensor->name);
  }
  tensor->begin = (uint64_t)json_integer_value(begin);
  tensor->end = (uint64_t)json_integer_value(end);
  if (tensor->end > file->data_bytes)
    return damaged(file, "tensor '%.100s' lies beyond the end of the file", tensor->name);
  if (tensor->end - tensor->begin != bytes) {
    return damaged(file, "tensor '%.100s' has %llu bytes where its shape makes %llu", tensor->name,
                   (unsigned long long)(tensor->end - tensor->begin), (unsigned long long)bytes);
  }
  return SEER_OK;
}

static SeerStatus tensor_parse(const SeerSafetensors *file, const char *name, const json_t *entry, SeerStored *tensor) {
  *tensor = (SeerStored){.name = name, .dtype = SEER_DTYPE_COUNT};
  if (!*name || strlen(name) > NAME_BYTES_MAX) return damaged(file, "a tensor's name is empty or too long");
  if (!json_is_object(entry)) return damaged(file, "tensor '%.100s' is no object", name);
  const char *dtype = json_string_value(json_object_get(entry, "dtype"));
  if (!dtype) return damaged(file, "tensor '%.100s' has no dtype", name);
  for (int i = 0; i < SEER_DTYPE_COUNT; i++) {
    if (strcmp(dtype, dtypes[i].name) == 0) tensor->dtype = (SeerDtype)i;
  }
  if (tensor->dtype == SEER_DTYPE_COUNT) return damaged(file, "tensor '%.100s' has unknown dtype '%.20s'", name, dtype);
  if (json_object_size(entry) != 3)
    return damaged(file, "tensor '%.100s' has keys besides dtype, shape, data_offsets", name);
  uint64_t bytes = 0;
  SeerStatus status = shape_read(file, json_object_get(entry, "shape"), tensor, &bytes);
  return status ? status : range_read(file, json_object_get(entry, "data_offsets"), tensor, bytes);
}

static int stored_compare(const void *a, const void *b) {
  const SeerStored *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return strcmp(x->name, y->name);
}

// One range after another, from the first byte to the last: no hole, no overlap, nothing behind.
static SeerStatus ranges_check(const SeerSafetensors *file) {
  uint64_t at = 0;
  for (int i = 0; i < file->count; i++) {
    const SeerStored *tensor = &file->tensors[i];
    if (tensor->begin < at) return damaged(file, "tensor '%.100s' overlaps the one before", tensor->name);
    if (tensor->begin > at) return damaged(file, "there is a hole before tensor '%.100s'", tensor->name);
    at = tensor->end;
  }
  if (at != file->data_bytes)
    return damaged(file, "%llu bytes follow the last tensor", (unsigned long long)(file->data_bytes - at));
  return SEER_OK;
}

static SeerStatus tensors_parse(SeerSafetensors *file) {
  if (!json_is_object(file->header)) return damaged(file, "its header is no object");
  file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
  if (!file->tensors) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  const char *name;
  json_t *entry;
  SeerStatus status = SEER_OK;
  json_object_foreach(file->header, name, entry) {
    if (strcmp(name, "__metadata__") == 0)
      status = metadata_check(file, entry);
    else
      status = tensor_parse(file, name, entry, &file->tensors[file->count++]);
    if (status) return status;
  }
  qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, stored_compare);
  return ranges_check(file);
}

SeerStatus seer_safetensors_open(const char *path, SeerSafetensors **result) {
  *result = NULL;
  SeerSafetensors *file = calloc(1, sizeof *file);
  if (!file) return seer_fail(SEER_MACHINE, "no memory to read '%s'", path);
  file->fd = -1;
  SeerStatus status = seer_path_print(&file->path, "%s", path);
  if (!status && (file->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
    status = seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  }
  if (!status) status = header_read(file);
  if (!status) status = tensors_parse(file);
  if (status)
    seer_safetensors_close(file);
  else
    *result = file;
  return status;
}

void seer_safetensors_close(SeerSafetensors *file) {
  if (!file) return;
  if (file->fd >= 0) close(file->fd);
  json_decref(file->header);
  free(file->tensors);
  free(file);
}

int seer_safetensors_count(const SeerSafetensors *file) { return file->count; }

const SeerStored *seer_safetensors_tensor(const SeerSafetensors *file, int index) { return &file->tensors[index]; }

const SeerStored *seer_safetensors_find(const SeerSafetensors *file, const char *name) {
  for (int i = 0; i < file->count; i++) {
    if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
  }
  return NULL;
}

const char *seer_safetensors_metadata(const SeerSafetensors *file, const char *key) {
  return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

static float half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu, mantissa = half & 0x3ffu;
  float value;
  uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  if (exponent == 0) {
    value = (float)mantissa * 0x1p-24f;
    memcpy(&bits, &value, sizeof bits);
    bits |= sign;
  }
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float element_to_float(SeerDtype dtype, const unsigned char *at) {
  uint16_t half;
  uint32_t bits;
  float value = 0;
  double wide;
  if (dtype == SEER_DTYPE_F64) {
    memcpy(&wide, at, sizeof wide);
    return (float)wide;
  }
  if (dtype == SEER_DTYPE_F32) {
    memcpy(&value, at, sizeof value);
    return value;
  }
  memcpy(&half, at, sizeof half);
  if (dtype == SEER_DTYPE_F16) return half_to_float(half);
  bits = (uint32_t)half << 16;
  memcpy(&value, &bits, sizeof value);
  return value;
}

SeerStatus seer_safetensors_read_floats(const SeerSafetensors *file, const SeerStored *tensor, uint64_t first,
                                        uint64_t count, float *values) {
  enum { CHUNK = 1 << 16 };
  SeerDtype dtype = tensor->dtype;
  uint64_t unit = seer_dtype_bytes(dtype), begin = tensor->begin + first * unit, end = begin + count * unit;
  if (dtype == SEER_DTYPE_F32) return bytes_read(file, file->data_at + begin, values, end - begin);
  if (dtype != SEER_DTYPE_F16 && dtype != SEER_DTYPE_BF16 && dtype != SEER_DTYPE_F64) {
    return seer_fail(SEER_INPUT, "tensor '%s' of '%s' holds %s, not floating-point numbers", tensor->name,
                     file->path.text, seer_dtype_name(dtype));
  }
  unsigned char *chunk = malloc(CHUNK);
  if (!chunk) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  SeerStatus status = SEER_OK;
  for (uint64_t at = begin; at < end && !status;) {
    uint64_t bytes = end - at < CHUNK ? end - at : CHUNK;
    status = bytes_read(file, file->data_at + at, chunk, bytes);
    for (uint64_t i = 0; i < bytes && !status; i += unit) *values++ = element_to_float(dtype, chunk + i);
    at += bytes;
  }
  free(chunk);
  return status;
}

SeerStatus seer_safetensors_read_bytes(const SeerSafetensors *file, const SeerStored *tensor, void *bytes) {
  return bytes_read(file, file->data_at + tensor->begin, bytes, tensor->end - tensor->begin);
}

SeerStatus seer_safetensors_read_range(const SeerSafetensors *file, const SeerStored *tensor, uint64_t first,
                                       uint64_t count, void *bytes) {
  return bytes_read(file, file->data_at + tensor->begin + first, bytes, count);
}

static json_t *tensor_entry(const SeerStored *tensor) {
  json_t *shape = json_array();
  for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->size[i]));
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", seer_dtype_name(tensor->dtype), "shape", shape, "data_offsets",
                   (json_int_t)tensor->begin, (json_int_t)tensor->end);
}

// The header as text, padded with spaces so that the data starts at a multiple of 8.
static char *header_make(const SeerToStore *tensors, int count, const SeerMetadata *metadata, int metadata_count,
                         uint64_t *bytes) {
  json_t *header = json_object(), *extra = json_object();
  for (int i = 0; i < metadata_count; i++) json_object_set_new(extra, metadata[i].key, json_string(metadata[i].value));
  json_object_set_new(header, "__metadata__", extra);
  uint64_t at = 0;
  for (int i = 0; i < count; i++) {
    SeerStored tensor = tensors[i].tensor;
    uint64_t size = seer_dtype_bytes(tensor.dtype);
    for (int d = 0; d < tensor.rank; d++) size *= (uint64_t)tensor.size[d];
    tensor.begin = at;
    tensor.end = at += size;
    json_object_set_new(header, tensor.name, tensor_entry(&tensor));
  }
  char *text = (int)json_object_size(header) == count + 1 ? json_dumps(header, JSON_COMPACT) : NULL;
  json_decref(header);
  uint64_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
  char *result = text ? malloc(padded + 8) : NULL;
  if (result) {
    for (int i = 0; i < 8; i++) result[i] = (char)(padded >> (8 * i) & 0xff);
    memcpy(result + 8, text, length);
    memset(result + 8 + length, ' ', padded - length);
  }
  free(text);
  *bytes = padded + 8;
  return result;
}

SeerStatus seer_safetensors_create(SeerFile *file, const char *path, const SeerToStore *tensors, int count,
                                   const SeerMetadata *metadata, int metadata_count) {
  uint64_t header_bytes = 0;
  char *header = header_make(tensors, count, metadata, metadata_count, &header_bytes);
  *file = (SeerFile){.fd = -1};
  if (!header) return seer_fail(SEER_MACHINE, "cannot make the header of '%s'", path);
  SeerStatus status = seer_file_create(file, path);
  if (!status) status = seer_file_write(file, header, header_bytes);
  free(header);
  return status;
}

SeerStatus seer_safetensors_write(const char *path, const SeerToStore *tensors, int count, const SeerMetadata *metadata,
                                  int metadata_count, uint64_t *bytes, SeerHash *hash) {
  SeerFile file;
  SeerStatus status = seer_safetensors_create(&file, path, tensors, count, metadata, metadata_count);
  for (int i = 0; i < count && !status; i++) {
    uint64_t size = seer_dtype_bytes(tensors[i].tensor.dtype);
    for (int d = 0; d < tensors[i].tensor.rank; d++) size *= (uint64_t)tensors[i].tensor.size[d];
    status = seer_file_write(&file, tensors[i].data, size);
  }
  *bytes = file.bytes;
  return seer_file_finish(&file, status, hash);
}
