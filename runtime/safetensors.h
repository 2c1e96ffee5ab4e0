// The safetensors format: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
// The reader is strict: names once, ranges that follow one another from the first byte to the last, sizes that match
// shapes, no unknown keys, nothing after the data. Files from elsewhere may be hostile.
#ifndef SEER_RUNTIME_SAFETENSORS_H
#define SEER_RUNTIME_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/files.h"
#include "runtime/status.h"

enum { SEER_STORED_RANK_MAX = 8, SEER_HEADER_BYTES_MAX = 16 << 20 };

//   DTYPE(NAME, bytes)
#define SEER_DTYPES(DTYPE)                                                                                \
  DTYPE(BOOL, 1)                                                                                          \
  DTYPE(U8, 1) DTYPE(I8, 1) DTYPE(F8_E5M2, 1) DTYPE(F8_E4M3, 1) DTYPE(I16, 2) DTYPE(U16, 2) DTYPE(F16, 2) \
      DTYPE(BF16, 2) DTYPE(I32, 4) DTYPE(U32, 4) DTYPE(F32, 4) DTYPE(I64, 8) DTYPE(U64, 8) DTYPE(F64, 8)

typedef enum SeerDtype {
#define DTYPE(NAME, bytes) SEER_DTYPE_##NAME,
  SEER_DTYPES(DTYPE)
#undef DTYPE
      SEER_DTYPE_COUNT
} SeerDtype;

const char *seer_dtype_name(SeerDtype dtype);
uint64_t seer_dtype_bytes(SeerDtype dtype);

typedef struct SeerStored {
  const char *name;
  SeerDtype dtype;
  int rank;
  int64_t size[SEER_STORED_RANK_MAX];
  uint64_t begin, end;  // in the data, which follows the header
} SeerStored;

typedef struct SeerSafetensors SeerSafetensors;

SeerStatus seer_safetensors_open(const char *path, SeerSafetensors **file);
void seer_safetensors_close(SeerSafetensors *file);
int seer_safetensors_count(const SeerSafetensors *file);
const SeerStored *seer_safetensors_tensor(const SeerSafetensors *file, int index);       // in the order of the data
const SeerStored *seer_safetensors_find(const SeerSafetensors *file, const char *name);  // NULL: not there
const char *seer_safetensors_metadata(const SeerSafetensors *file, const char *key);     // NULL: not there
// `count` elements from the `first` on, as f32, from F32, F16, BF16 or F64; other types are SEER_INPUT.
SeerStatus seer_safetensors_read_floats(const SeerSafetensors *file, const SeerStored *tensor, uint64_t first,
                                        uint64_t count, float *values);
// A whole tensor's bytes as they lie there, little-endian: its end - begin of them.
SeerStatus seer_safetensors_read_bytes(const SeerSafetensors *file, const SeerStored *tensor, void *bytes);
// Bytes first..first+count of it.
SeerStatus seer_safetensors_read_range(const SeerSafetensors *file, const SeerStored *tensor, uint64_t first,
                                       uint64_t count, void *bytes);
uint64_t seer_stored_count(const SeerStored *tensor);
// "[64, 3, 3, 3]"
const char *seer_shape_text(char *text, size_t bytes, const int64_t *size, int rank);

typedef struct SeerToStore {
  SeerStored tensor;  // begin and end are filled in by the writer
  const void *data;
} SeerToStore;

typedef struct SeerMetadata {
  const char *key, *value;
} SeerMetadata;

// A new file with its header alone: the data of all tensors follows with seer_file_write, in their order; `data` is not
// looked at. On failure, too, the file is to be finished with seer_file_finish.
SeerStatus seer_safetensors_create(SeerFile *file, const char *path, const SeerToStore *tensors, int count,
                                   const SeerMetadata *metadata, int metadata_count);
// Writes and flushes a new file: same input, same bytes.
SeerStatus seer_safetensors_write(const char *path, const SeerToStore *tensors, int count, const SeerMetadata *metadata,
                                  int metadata_count, uint64_t *bytes, SeerHash *hash);

#endif
