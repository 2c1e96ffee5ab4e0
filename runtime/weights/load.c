// A rank reads what it keeps, in pieces; see load.h.
#include "runtime/weights/load.h"

#include "runtime/init.h"
#include "runtime/parts.h"

static SeerStatus tensors_fill(const SeerProgram *program, const SeerWeightFile *file, const SeerFit *fit, int rank,
                               unsigned char *state) {
  SeerNotFinite bad = {0};
  SeerStatus status = SEER_OK;
  for (int i = 0; i < program->tensor_count && !status; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    float *values = seer_tensor_values(tensor, state);
    if (!fit->weights[i]) continue;
    for (SeerPiece piece = {0}; !status && seer_part_next(tensor, rank, &piece);) {
      status = seer_weight_read(file, fit->weights[i], piece.begin, piece.count, values + piece.local);
      if (!status) seer_not_finite_look(&bad, fit->weights[i], values + piece.local, piece.count);
    }
  }
  return status ? status : seer_not_finite_tell(&bad, file->path.text);
}

SeerStatus seer_weights_load(const SeerProgram *program, const char *path, SeerWeightUse use, int rank,
                             unsigned char *state, SeerWeights *weights) {
  SeerWeightFile file;
  SeerFit fit = {.weights = NULL};
  SeerWanted wanted = {.tensors = program->tensors,
                       .count = program->tensor_count,
                       .who = "this trainer",
                       .head_note = "--new-head takes the trunk alone, and the head starts at random"};
  *weights = (SeerWeights){0};
  SeerStatus status = seer_weight_file_open(path, &file);
  if (status) return status;
  status = seer_weights_fit(&file, &wanted, use, &fit);
  if (!status) status = tensors_fill(program, &file, &fit, rank, state);
  *weights = (SeerWeights){seer_format_name(file.format), fit.taken, fit.head_missing, fit.aside};
  seer_weights_fit_release(&fit);
  seer_weight_file_close(&file);
  return status;
}
