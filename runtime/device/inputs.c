// One behind the other, pictures first.
#include "runtime/device/inputs.h"

static uint64_t align(uint64_t bytes) { return (bytes + SEER_ALIGNMENT - 1) / SEER_ALIGNMENT * SEER_ALIGNMENT; }

static uint64_t picture_bytes(uint64_t pictures, int size) {
  return align(pictures * (uint64_t)size * (uint64_t)size * 3);
}

SeerInputs seer_inputs_place(const SeerProgram *program, bool trains, bool evaluates, int tensor_count,
                             bool has_units) {
  SeerInputs inputs = {.labels = 0};
  uint64_t at = 0;
  for (int i = 0; i < program->views.size_group_count && trains; i++) {
    inputs.images[i] = at;
    at += picture_bytes(seer_group_pictures(program, i), program->views.size_groups[i].size);
  }
  uint64_t evaluated = evaluates ? picture_bytes((uint64_t)program->evaluate_batch, program->evaluate_size) : 0;
  inputs.labels = evaluated > at ? evaluated : at;
  inputs.scalars = inputs.labels + align((uint64_t)seer_rank_batch(program) * sizeof(int32_t));
  inputs.found = inputs.scalars + align(sizeof(SeerScalars));
  inputs.bounce = inputs.found + align((uint64_t)tensor_count * sizeof(int32_t));
  inputs.size_bytes = inputs.bounce + (has_units ? SEER_BOUNCE_BYTES : 0);
  return inputs;
}
