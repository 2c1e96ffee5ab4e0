// Synthetic pictures; see synthetic.h.
#include "runtime/synthetic.h"

#include <stdlib.h>

#include "runtime/random.h"

SeerStatus seer_synthetic_make(const SeerProgram *program, uint64_t seed, SeerSynthetic *synthetic) {
  int batch = seer_rank_batch(program);
  *synthetic = (SeerSynthetic){.program = program};
  for (int i = 0; i < program->views.size_group_count; i++) {
    const SeerSizeGroup *group = &program->views.size_groups[i];
    synthetic->bytes += (uint64_t)group->crops * (uint64_t)batch * (uint64_t)group->size * (uint64_t)group->size * 3;
  }
  SeerStatus status = seer_memory_map(synthetic->bytes, "synthetic pictures", &synthetic->images);
  synthetic->labels = calloc((size_t)batch, sizeof *synthetic->labels);
  if (!status && !synthetic->labels) status = seer_fail(SEER_MACHINE, "no memory for labels");
  if (status) return status;
  SeerRandom random = seer_random_make(seed, SEER_STREAM_STEP, 0, 0, 0);
  for (uint64_t at = 0; at < synthetic->bytes; at++)
    synthetic->images[at] = (unsigned char)(seer_random_word(&random) >> 24);
  for (int i = 0; i < batch && program->classes > 0; i++) {
    synthetic->labels[i] = (int32_t)seer_random_below(&random, (uint32_t)program->classes);
  }
  return SEER_OK;
}

void seer_synthetic_release(SeerSynthetic *synthetic) {
  seer_memory_unmap(synthetic->images, synthetic->bytes);
  free(synthetic->labels);
  *synthetic = (SeerSynthetic){.program = synthetic->program};
}

SeerStatus seer_synthetic_next(void *source, SeerBatch *batch) {
  const SeerSynthetic *synthetic = source;
  const SeerProgram *program = synthetic->program;
  *batch = (SeerBatch){.labels = synthetic->labels};
  const unsigned char *at = synthetic->images;
  for (int i = 0; i < program->views.size_group_count; i++) {
    const SeerSizeGroup *group = &program->views.size_groups[i];
    batch->images[i] = at;
    at +=
        (uint64_t)group->crops * (uint64_t)seer_rank_batch(program) * (uint64_t)group->size * (uint64_t)group->size * 3;
  }
  return SEER_OK;
}
