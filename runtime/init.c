// The state at step 0; see init.h. Chunks of tensors are tasks of the pool; an element's draw depends on nothing but
// the seed, its tensor's name and its index.
#include "runtime/init.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/finite.h"
#include "runtime/random.h"

enum { CHUNK = 1 << 14 };

uint64_t seer_tensor_bytes(const SeerTensor *tensor) { return seer_tensor_count(tensor) * sizeof(float); }

float *seer_tensor_values(const SeerTensor *tensor, unsigned char *state) {
  return (float *)(void *)(state + tensor->offset);
}

bool seer_tensor_is_kept(const SeerTensor *tensor) { return tensor->kind != SEER_ACCUMULATOR; }

typedef struct FillArguments {
  const SeerTensor *tensor;
  uint64_t seed, count, first;  // first: index in the tensor of values[0]
  uint32_t name;
  float *values;
} FillArguments;

static void fill_chunk(const void *arguments, int task, int worker) {
  (void)worker;
  const FillArguments *fill = arguments;
  const SeerTensor *tensor = fill->tensor;
  uint64_t begin = (uint64_t)task * CHUNK, end = begin + CHUNK < fill->count ? begin + CHUNK : fill->count;
  for (uint64_t i = begin; i < end; i++) {
    if (tensor->init == SEER_INIT_ZERO || tensor->init == SEER_INIT_ONE) {
      fill->values[i] = tensor->init == SEER_INIT_ONE ? 1.0f : 0.0f;
      continue;
    }
    SeerRandom random = seer_random_make(fill->seed, SEER_STREAM_INIT, fill->name, fill->first + i, 0);
    double draw = tensor->init == SEER_INIT_NORMAL ? seer_random_normal(&random) : seer_random_between(&random, -1, 1);
    fill->values[i] = (float)(tensor->init_a * draw);
  }
}

static uint64_t row_floats(const SeerTensor *tensor) {
  return seer_tensor_count(tensor) / (uint64_t)tensor->size[0];
}

static void normalize_row(const void *arguments, int task, int worker) {
  (void)worker;
  const FillArguments *fill = arguments;
  uint64_t length = row_floats(fill->tensor);
  float *row = fill->values + (uint64_t)task * length;
  double squares = 0;
  for (uint64_t i = 0; i < length; i++) squares += (double)row[i] * (double)row[i];
  double scale = squares > 0 ? 1 / sqrt(squares) : 0;
  for (uint64_t i = 0; i < length; i++) row[i] = (float)(row[i] * scale);
}

// Rows that are normalised are never cut: pieces hold whole ones.
static void piece_fill(const SeerTensor *tensor, const SeerPiece *piece, uint64_t seed, SeerPool *pool, float *values) {
  FillArguments fill = {.tensor = tensor,
                        .seed = seed,
                        .count = piece->count,
                        .first = piece->begin,
                        .name = (uint32_t)XXH3_64bits(tensor->name, strlen(tensor->name)),
                        .values = values};
  seer_pool_run(pool, fill_chunk, &fill, (int)((fill.count + CHUNK - 1) / CHUNK));
  if (tensor->normalize_rows_at_start)
    seer_pool_run(pool, normalize_row, &fill, (int)(piece->count / row_floats(tensor)));
}

void seer_state_init(const SeerProgram *program, uint64_t seed, int rank, SeerPool *pool, unsigned char *state) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    float *values = seer_tensor_values(tensor, state);
    for (SeerPiece piece = {0}; seer_part_next(tensor, rank, &piece);)
      piece_fill(tensor, &piece, seed, pool, values + piece.local);
  }
}

const SeerTensor *seer_state_find_not_finite(const SeerProgram *program, const unsigned char *state) {
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    const float *values = (const float *)(const void *)(state + tensor->offset);
    if (!seer_floats_finite(values, seer_part_count(tensor))) return tensor;
  }
  return NULL;
}
