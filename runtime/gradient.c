// Gradients are results of `train`, or, of several micro-steps, accumulators of the state.
#include "runtime/gradient.h"

#include <string.h>

#include "runtime/parts.h"

SeerGradientPlace seer_gradient_place(const SeerProgram *program, const SeerTensor *parameter) {
  size_t length = strlen(parameter->name);
  for (int i = 0; i < program->tensor_count && program->accumulate > 1; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind == SEER_ACCUMULATOR && strncmp(tensor->name, parameter->name, length) == 0 &&
        strcmp(tensor->name + length, ".accumulator") == 0)
      return (SeerGradientPlace){true, tensor->offset};
  }
  return (SeerGradientPlace){false, parameter->gradient_offset};
}

uint64_t seer_gradient_count(const SeerTensor *parameter) {
  return parameter->gradient_part ? parameter->gradient_part : seer_tensor_count(parameter);
}
