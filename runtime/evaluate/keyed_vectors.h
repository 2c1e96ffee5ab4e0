// One vector for each of some things, by name: features of pictures, of texts. From safetensors as `features` writes
// them (names in `names`), NumPy's npy (no names: rows in order), or JSONL ({"id": ..., "features": [...]}). Files come
// from elsewhere: every length is checked before memory is taken for it, and every number must be finite.
#ifndef SEER_RUNTIME_EVALUATE_KEYED_VECTORS_H
#define SEER_RUNTIME_EVALUATE_KEYED_VECTORS_H

#include <stdint.h>

#include "runtime/evaluate/feature_table.h"

typedef struct SeerKeyedVectors {
  char *origin;
  int64_t count, width;
  float *values;  // [count][width]
  char **keys;    // [count], or NULL: known by their order alone
} SeerKeyedVectors;

// By the end of its name: .npy, .jsonl, else safetensors.
SeerStatus seer_vectors_load(const char *path, SeerKeyedVectors *vectors);
// Takes over the first layer of a table, which is released.
void seer_vectors_take(SeerFeatureTable *table, SeerKeyedVectors *vectors);
void seer_keyed_vectors_release(SeerKeyedVectors *vectors);

// npy, versions 1 to 3: f2, f4 or f8, little-endian, two dimensions, in either order, and not a byte more or less.
SeerStatus seer_npy_load(const char *path, int64_t *rows, int64_t *columns, float **values);

// JSON's numbers and texts as a key: 42 and "42" are one. NULL: neither, or no memory; malloc'ed.
struct json_t;
char *seer_key_of(const struct json_t *json);

#endif
